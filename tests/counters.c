// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen of the device: fdinfo, sysfs, tracepoints, the kernel's own
 * figures, the counter page, poll(2) and read(2).
 * Contract lines 39, 40, 19 and 22.
 *
 * Nobody else uses the device here, so every number is exact.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"
#include "support/tracing.h"

#define TAG 0xc039
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define SYSFS "/sys/class/misc/droppable/"

static int device(void)
{
	need_device("counters");
	return mem_open();
}

static char *map_of(int fd, size_t length)
{
	char *area = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);

	want_ok(area);
	return area;
}

/* A number of the whole device. */
static size_t total(const char *name)
{
	char path[64], text[32], *end;
	size_t number;

	snprintf(path, sizeof(path), SYSFS "%s", name);
	want(try_read_file(path, text, sizeof(text)));
	number = strtoul(text, &end, 10);
	want(end > text && !strcmp(end, "\n"));
	return number;
}

static struct droppable_drop drop_file(int fd)
{
	struct droppable_drop drop = { .flags = DROPPABLE_DROP_FILE };

	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	return drop;
}

/* ---- line 39: fdinfo and sysfs ---- */

static void want_info(int fd, size_t resident_pages, size_t faults,
		      size_t dropped)
{
	want_eq(file_counter(fd, "resident"), resident_pages);
	want_eq(file_counter(fd, "faults"), faults);
	want_eq(file_counter(fd, "dropped"), dropped);
	want_eq(file_counter(fd, "recycled"), 0);
	want_eq(file_counter(fd, "waits"), 0);
}

TEST(fdinfo, "line 39: fdinfo counts the resident pages, the faults and the drops of one open file, exactly")
{
	int fd = device(), other = device();
	char *area = map_of(fd, LENGTH);
	char *second = map_of(fd, LENGTH);

	want_info(fd, 0, 0, 0);
	fill(area, 10, TAG, 1);
	want_info(fd, 10, 10, 0);
	fill(area, 10, TAG, 2);
	want_info(fd, 10, 10, 0);
	fill(second, 5, TAG, 1);
	want_info(fd, 15, 15, 0);
	mem_drop(area, 4 * PAGE);
	want_info(fd, 11, 15, 4);
	mem_drop(area, 4 * PAGE);
	want_info(fd, 11, 15, 4);
	fill(area, 4, TAG, 3);
	want_info(fd, 15, 19, 4);
	mem_unmap(second, LENGTH);
	want_info(fd, 10, 19, 4);
	mem_shrink(area, LENGTH);
	want_info(fd, 0, 19, 14);
	want_info(other, 0, 0, 0);
	want_eq(file_counter(fd, "pinned"), 0);
}

TEST(refaulted, "line 39: refaulted counts the dropped pages that are touched again, each once, stored to or read, and no others")
{
	int fd = device();
	char *area = map_of(fd, LENGTH);
	size_t before = total("refaulted");

	fill(area, 20, TAG, 1);
	want_eq(file_counter(fd, "refaulted"), 0);
	mem_drop(area, 10 * PAGE);
	want_eq(file_counter(fd, "refaulted"), 0);
	/* Four that were dropped, four that were not, four that are new. */
	fill(area + 6 * PAGE, 8, TAG, 2);
	fill(area + 20 * PAGE, 4, TAG, 2);
	want_eq(file_counter(fd, "refaulted"), 4);
	want_zero(area, 3 * PAGE);
	want_eq(file_counter(fd, "refaulted"), 7);
	fill(area, 3, TAG, 3);
	want_zero(area + 3 * PAGE, PAGE);
	want_eq(file_counter(fd, "refaulted"), 8);
	/* Discarded by their owner: that isn't a drop. */
	want_ok(madvise(area, 20 * PAGE, MADV_DONTNEED));
	fill(area, 5, TAG, 4);
	want_eq(file_counter(fd, "refaulted"), 9);
	want_eq(total("refaulted") - before, 9);
	/* Again and again, also far away. */
	for (int round = 0; round < 3; round++) {
		fill(area + LENGTH - 2 * PAGE, 2, TAG, 5);
		mem_drop(area + LENGTH - 2 * PAGE, 2 * PAGE);
	}
	want_eq(file_counter(fd, "refaulted"), 13);
}

TEST(fdinfo_discard, "line 39: a page given back by MADV_DONTNEED is resident no more, and not counted as dropped")
{
	int fd = device();
	char *area = map_of(fd, LENGTH);

	fill(area, 10, TAG, 1);
	want_ok(madvise(area, 4 * PAGE, MADV_DONTNEED));
	want(wait_for(file_counter(fd, "resident") == 6, 2));
	want_info(fd, 6, 10, 0);
}

TEST(fdinfo_pinned, "line 39: fdinfo counts the pages that were passed over because somebody holds them")
{
	int fd = device(), fds[2];
	char *area = map_of(fd, LENGTH);
	struct iovec range = { .iov_base = area, .iov_len = 3 * PAGE };
	size_t before = total("pinned");

	fill(area, 10, TAG, 1);
	want_ok(pipe(fds));
	want_eq(vmsplice(fds[1], &range, 1, 0), 3 * PAGE);
	want_eq(file_counter(fd, "pinned"), 0);
	want_eq(drop_file(fd).pinned, 3);
	want_eq(file_counter(fd, "pinned"), 3);
	want_eq(file_counter(fd, "dropped"), 7);
	want_eq(file_counter(fd, "resident"), 3);
	write_file("/proc/sys/vm/drop_caches", "2");
	want_ge(file_counter(fd, "pinned"), 3);
	want_eq(total("pinned") - before, file_counter(fd, "pinned"));
}

TEST(fdinfo_child, "line 39: the pages of a child count in the file it inherited, until it exits")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device();
	char *area = map_of(fd, LENGTH);
	pid_t child;

	fill(area, 3, TAG, 1);
	child = spawn();
	if (!child) {
		fill(area, 5, TAG + 1, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		_exit(0);
	}
	want(wait_for(*turn == 1 || !alive(child), 30));
	want_info(fd, 8, 8, 0);
	*turn = 2;
	join(child);
	want(wait_for(file_counter(fd, "resident") == 3, 5));
	want_info(fd, 3, 8, 0);
}

TEST(fdinfo_closed, "line 39: /proc/PID/fdinfo of another process is read without touching its pages")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device();
	char path[64], text[1024];
	pid_t child = spawn();

	if (!child) {
		fill(map_of(fd, LENGTH), 7, TAG, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		_exit(0);
	}
	want(wait_for(*turn == 1 || !alive(child), 30));
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", child, fd);
	want(try_read_file(path, text, sizeof(text)));
	want(strstr(text, "\nresident:\t7\n"));
	*turn = 2;
	join(child);
}

TEST(sysfs, "line 39: sysfs counts the same for the whole device")
{
	int fd = device(), other = device();
	size_t faults = total("faults"), dropped = total("dropped");
	char *area = map_of(fd, LENGTH), *second = map_of(other, LENGTH);

	want_eq(total("resident"), 0);
	fill(area, 10, TAG, 1);
	fill(second, 20, TAG, 1);
	want_eq(total("resident"), 30);
	want_eq(total("faults") - faults, 30);
	mem_drop(area, LENGTH);
	want_eq(total("resident"), 20);
	want_eq(total("dropped") - dropped, 10);
	mem_unmap(second, LENGTH);
	want_eq(total("resident"), 0);
	want_eq(total("dropped") - dropped, 10);
	total("recycled");
	total("waits");
	total("pinned");
}

static void want_mode(const char *name, unsigned int mode)
{
	struct stat stat_;
	char path[64];

	snprintf(path, sizeof(path), SYSFS "%s", name);
	want_ok(stat(path, &stat_));
	want_eq(stat_.st_mode & 0777, mode);
}

TEST(sysfs_modes, "line 39: everybody may read the counters, only root may drop everything")
{
	static const char *const names[] = { "resident", "faults", "dropped",
					     "refaulted", "recycled", "waits",
					     "pinned" };

	close(device());
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		want_mode(names[i], 0444);
	want_mode("drop", 0200);
	become_nobody();
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		total(names[i]);
	want_errno(open(SYSFS "drop", O_WRONLY), EACCES);
}

TEST(drop_all, "line 22: 1 written to sysfs drops every process's pages, anything else is EINVAL")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device();
	char *area = map_of(fd, LENGTH);
	pid_t child = spawn();

	if (!child) {
		char *own = mem_map(LENGTH);

		fill(own, PAGES, TAG + 1, 1);
		fill(area, PAGES, TAG + 2, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_eq(resident(own, LENGTH), 0);
		want_zero(own, LENGTH);
		want_zero(area, LENGTH);
		_exit(0);
	}
	fill(area, PAGES, TAG, 1);
	want(wait_for(*turn == 1 || !alive(child), 30));
	want_eq(total("resident"), 3 * PAGES);
	want_errno(try_write_file(SYSFS "drop", "0") - 1, EINVAL);
	want_errno(try_write_file(SYSFS "drop", "2") - 1, EINVAL);
	want_errno(try_write_file(SYSFS "drop", "-1") - 1, EINVAL);
	want_errno(try_write_file(SYSFS "drop", "all") - 1, EINVAL);
	want_eq(total("resident"), 3 * PAGES);
	write_file(SYSFS "drop", "1");
	want_eq(total("resident"), 0);
	*turn = 2;
	join(child);
	want_zero(area, LENGTH);
}

/* ---- line 19: the kernel's figures ---- */

/* Each CPU's share of them is folded in. */
static size_t reclaimable(void)
{
	write_file("/proc/sys/vm/stat_refresh", "1");
	return vmstat("nr_kernel_misc_reclaimable");
}

TEST(reclaimable_exact, "line 19: nr_kernel_misc_reclaimable holds exactly the resident pages; KReclaimable rises, MemAvailable falls by less than was populated")
{
	int fd = device();
	size_t size = 64 * MIB;
	char *area = map_of(fd, size);
	size_t before, kreclaimable, available;

	fill(area, size / PAGE, TAG, 1);
	mem_drop(area, size);
	before = reclaimable();
	kreclaimable = meminfo("KReclaimable");
	available = meminfo("MemAvailable");
	fill(area, size / PAGE, TAG, 1);
	want_eq(reclaimable() - before, size / PAGE);
	want_ge(meminfo("KReclaimable"), kreclaimable + size / 10 * 9);
	note("measured: line 19: %% of what is populated by which MemAvailable falls: %.0f",
	     100.0 *
		     (double)(ssize_t)(available - meminfo("MemAvailable")) /
		     (double)size);
	want_le(available, meminfo("MemAvailable") + size / 2);
	mem_drop(area, size / 2);
	want_eq(reclaimable() - before, size / 2 / PAGE);
	mem_unmap(area, size);
	want_eq(reclaimable(), before);
}

/* Whether reclaim for the whole machine got so much, by its own account. */
static bool reclaim_machine(size_t bytes)
{
	struct cgroup root = cgroup_new(CGROUP_MAX);

	*strrchr(root.path, '/') = '\0';
	if (!cgroup_has(&root, "memory.reclaim"))
		skip("this kernel has no memory.reclaim (5.19)");
	if (cgroup_try_set(&root, "memory.reclaim", bytes))
		return true;
	want_eq(errno, EAGAIN);
	return false;
}

TEST(progress, "line 19: reclaim for the machine counts what is dropped as reclaimed: memory.reclaim of the root succeeds where there is so much, and only there")
{
	const size_t size = 64 * MIB, asked = 8 * MIB;
	char *area = map_of(device(), size);
	size_t left;

	write_file(SYSFS "drop", "1");
	/* Until the caches of the machine don't have so much any more. */
	for (int i = 0; reclaim_machine(asked); i++)
		want_le(i, 20);
	fill(area, size / PAGE, TAG, 1);
	want_eq(resident(area, size), size / PAGE);
	want(reclaim_machine(asked));
	left = resident(area, size);
	note("%zu of %zu pages left", left, size / PAGE);
	want_le(left, (size - asked * 9 / 10) / PAGE);
	want_ge(left, (size - 3 * asked) / PAGE);
	want_eq(tally(area, size / PAGE, TAG, 1).bad, 0);
}

static void *churn(void *argument)
{
	char *area = argument;
	uint64_t seed = (uint64_t)getpid();

	for (;;) {
		size_t first = random_next(&seed) % PAGES;
		size_t count = 1 + random_next(&seed) % (PAGES - first);
		char *at = area + first * PAGE;

		switch (random_next(&seed) % 4) {
		case 0:
			mem_drop(at, count * PAGE);
			break;
		case 1:
			madvise(at, count * PAGE, MADV_DONTNEED);
			break;
		default:
			for (size_t i = 0; i < count; i++)
				at[i * PAGE] = 1;
		}
	}
	return NULL;
}

/* Lives on and on, by all means that change a counter. */
static void storm(char *area, unsigned int id)
{
	char *own = mem_map(LENGTH);
	pthread_t thread;

	if (id % 2)
		pthread_create(&thread, NULL, churn, area);
	for (unsigned int round = 0;; round++) {
		pid_t child;

		fill(own, PAGES, TAG, round);
		mem_unmap(own + LENGTH / 2, LENGTH / 2);
		child = fork();
		if (!child) {
			for (size_t i = 0; i < PAGES / 2; i++)
				own[i * PAGE] = 1;
			for (size_t i = 0; i < PAGES; i++)
				area[i * PAGE] = 1;
			_exit(0);
		}
		for (size_t i = 0; i < PAGES; i++)
			area[i * PAGE] = 1;
		if (child > 0)
			waitpid(child, NULL, 0);
		mem_unmap(own, LENGTH / 2);
		own = mem_map(LENGTH);
	}
}

TEST(after_storm, "line 19: after a storm of faults, drops, forks, unmappings and kills every counter is back at exactly 0")
{
	int fd = device();
	char *area = map_of(fd, LENGTH);
	size_t before = reclaimable();
	pid_t children[4];
	uint64_t seed = 19;

	want_eq(total("resident"), 0);
	for (int round = 0; round < 12; round++) {
		for (unsigned int id = 0; id < 4; id++) {
			children[id] = spawn();
			if (!children[id])
				storm(area, id);
		}
		pause_seconds((double)(random_next(&seed) % 200) / 1e3);
		write_file("/proc/sys/vm/drop_caches", "2");
		for (unsigned int id = 0; id < 4; id++) {
			kill(children[id], SIGKILL);
			wait_status(children[id]);
			want(!tap_failed());
		}
	}
	/* A killed process's own child ends by itself. */
	if (!wait_for(total("resident") == 0, 5))
		fail("got %zu resident pages, want 0", total("resident"));
	want_eq(file_counter(fd, "resident"), 0);
	want_eq(reclaimable(), before);
	note("%zu faults, %zu drops", file_counter(fd, "faults"),
	     file_counter(fd, "dropped"));
	want_ge(file_counter(fd, "faults"), 1000);
}

/* ---- waits, and the tracepoints ---- */

#define KEPT (8 * MIB)

/* A store that finds no memory at all, and then is given some. */
static void starve(int fd)
{
	volatile int *touches = shared_map(PAGE);
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t keeper, child;

	keeper = cgroup_keeper(&group, KEPT);
	cgroup_set(&group, "memory.max", KEPT / 2);
	child = spawn();
	if (!child) {
		char *area = map_of(fd, LENGTH);

		/* Its page tables are there, and no page of it. */
		area[0] = area[LENGTH - 1] = 1;
		want_ok(mlockall(MCL_CURRENT));
		mem_drop(area, LENGTH);
		cgroup_enter(&group);
		*touches = 1;
		area[PAGE] = 1;
		_exit(0);
	}
	want(wait_for(*touches || !alive(child), 30));
	want(wait_for(file_counter(fd, "waits"), 30));
	pause_seconds(0.05);
	want(alive(child));
	cgroup_set(&group, "memory.max", 4 * KEPT);
	join(child);
	kill(keeper, SIGKILL);
	join_signal(keeper, SIGKILL);
}

TEST(waits, "line 39: a fault that waits for memory is counted, in fdinfo and in sysfs")
{
	int fd = device();
	size_t before = total("waits");

	starve(fd);
	want_ge(file_counter(fd, "waits"), 1);
	want_eq(total("waits") - before, file_counter(fd, "waits"));
}

static char trace_text[256 * KIB];

static void start_tracing(void)
{
	tracing_start();
	want_eq(access(TRACING "/events/droppable/droppable_fault", F_OK), 0);
	want_eq(access(TRACING "/events/droppable/droppable_drop", F_OK), 0);
	want_eq(access(TRACING "/events/droppable/droppable_wait", F_OK), 0);
	write_file(TRACING "/events/droppable/enable", "1");
}

static void stop_tracing(void)
{
	write_file(TRACING "/tracing_on", "0");
	write_file(TRACING "/events/droppable/enable", "0");
	want(try_read_file(TRACING "/trace", trace_text, sizeof(trace_text)));
	tracing_stop();
}

/* The fields of the next event of that name, and past it. */
static const char *next_event(const char **from, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), ": %s: ", name);
	at = strstr(*from, key);
	if (!at)
		return NULL;
	*from = at + strlen(key);
	return *from;
}

TEST(trace_fault_drop, "line 39: the tracepoints droppable:droppable_fault and droppable_drop tell region, address, pages")
{
	int fd = device();
	volatile char *area = map_of(fd, LENGTH);
	const char *at = trace_text, *event;
	char region[32], first_region[32], how[16];
	unsigned long address, index, nr, dropped, sum = 0;

	start_tracing();
	for (size_t i = 0; i < 4; i++)
		area[(2 + i) * PAGE] = 1;
	(void)area[9 * PAGE];
	mem_drop((void *)area, LENGTH);
	stop_tracing();

	for (size_t i = 0; i < 4; i++) {
		event = next_event(&at, "droppable_fault");
		want(event);
		want_eq(sscanf(event, "region=%31s address=%lx index=%lu %15s",
			       region, &address, &index, how), 4);
		if (i == 0)
			strcpy(first_region, region);
		want(!strcmp(region, first_region));
		want_eq(address & ~(PAGE - 1),
			(uintptr_t)area + (2 + i) * PAGE);
		want_eq(index, 2 + i);
		want(!strcmp(how, "write"));
	}
	event = next_event(&at, "droppable_fault");
	want(event);
	want_eq(sscanf(event, "region=%31s address=%lx index=%lu %15s", region,
		       &address, &index, how), 4);
	want_eq(address & ~(PAGE - 1), (uintptr_t)area + 9 * PAGE);
	want(!strcmp(how, "read"));
	while ((event = next_event(&at, "droppable_drop"))) {
		want_eq(sscanf(event, "region=%31s index=%lu nr=%lu dropped=%lu",
			       region, &index, &nr, &dropped), 4);
		want(!strcmp(region, first_region));
		want_le(dropped, nr);
		want_ge(index, 2);
		want_le(index + nr, 10);
		sum += dropped;
	}
	want_eq(sum, file_counter(fd, "dropped"));
	want_ge(sum, 4);
}

TEST(trace_wait, "line 39: the tracepoint droppable:droppable_wait tells how long a fault waited")
{
	int fd = device();
	const char *at = trace_text, *event;
	unsigned long address, waited;
	size_t events = 0;

	start_tracing();
	starve(fd);
	stop_tracing();
	while ((event = next_event(&at, "droppable_wait"))) {
		want_eq(sscanf(event, "address=%lx waited=%luus", &address,
			       &waited), 2);
		want_ne(address, 0);
		want_ge(waited, 1);
		want_le(waited, 30 * 1000 * 1000UL);
		events++;
	}
	want_eq(events, file_counter(fd, "waits"));
}

static bool older_than(unsigned int major, unsigned int minor)
{
	unsigned int is_major, is_minor;
	struct utsname name;

	want_ok(uname(&name));
	want_eq(sscanf(name.release, "%u.%u", &is_major, &is_minor), 2);
	return is_major < major || (is_major == major && is_minor < minor);
}

TEST(progress_cgroup, "line 19: before Linux 6.4 a cgroup's reclaim counts what is dropped as reclaimed, too")
{
	const size_t size = 32 * MIB;
	char *area = map_of(device(), size);
	struct cgroup group = cgroup_new(CGROUP_MAX);
	size_t reclaimed = 0, dropped;
	const char *at = trace_text;

	if (!older_than(6, 4))
		skip("from 6.4 on it counts nothing that a shrinker frees");
	start_tracing();
	write_file(TRACING "/events/droppable/enable", "0");
	cgroup_enter(&group);
	fill(area, size / PAGE, TAG, 1);
	dropped = resident(area, size);
	write_file(TRACING "/events/vmscan/mm_vmscan_memcg_reclaim_end/enable",
		   "1");
	cgroup_set(&group, "memory.max",
		   cgroup_get(&group, "memory.current") - 8 * MIB);
	dropped -= resident(area, size);
	write_file(TRACING "/events/vmscan/mm_vmscan_memcg_reclaim_end/enable",
		   "0");
	cgroup_set(&group, "memory.max", CGROUP_MAX);
	stop_tracing();
	while ((at = strstr(at, "nr_reclaimed="))) {
		at += strlen("nr_reclaimed=");
		reclaimed += strtoul(at, NULL, 10);
	}
	note("%zu pages dropped, %zu reclaimed by the kernel's own account",
	     dropped, reclaimed);
	want_ge(dropped, 7 * MIB / PAGE);
	want_ge(reclaimed, dropped * 9 / 10);
}

/* ---- line 40: the counter page ---- */

static const volatile struct droppable_counter *counter_of(int fd)
{
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			 DROPPABLE_COUNTER_OFFSET);

	want_ok(map);
	return map;
}

TEST(counter, "line 40: the counter page grows by what is dropped of its open file, and of no other")
{
	int fd = device(), other = device();
	const volatile struct droppable_counter *counter = counter_of(fd);
	const volatile struct droppable_counter *again = counter_of(fd);
	char *area = map_of(fd, LENGTH), *second = map_of(other, LENGTH);
	uint64_t before = counter->drops;

	fill(area, PAGES, TAG, 1);
	fill(second, PAGES, TAG, 1);
	want_eq(counter->drops, before);
	mem_drop(second, LENGTH);
	want_eq(counter->drops, before);
	want_ok(madvise(area, PAGE, MADV_DONTNEED));
	mem_drop(area + PAGE, 4 * PAGE);
	want_ge(counter->drops, before + 4);
	want_le(counter->drops, before + 5);
	before = counter->drops;
	mem_shrink(area, LENGTH);
	want_ge(counter->drops, before + PAGES - 5);
	want_eq(again->drops, counter->drops);
	want_zero((const char *)(uintptr_t)counter + sizeof(*counter),
		  PAGE - sizeof(*counter));
}

TEST(counter_late, "line 40: the counter page stays when the file is closed, and counts what its mappings lose")
{
	int fd = device();
	char *area = map_of(fd, LENGTH);
	const volatile struct droppable_counter *counter = counter_of(fd);
	uint64_t before = counter->drops;

	close(fd);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, LENGTH);
	want_ge(counter->drops, before + PAGES);
	/* Nor does it go, whatever pressure there is or who asks. */
	before = counter->drops;
	write_file("/proc/sys/vm/drop_caches", "3");
	madvise((void *)(uintptr_t)counter, PAGE, MADV_DONTNEED);
	want_eq(counter->drops, before);
	mem_unmap(area, LENGTH);
	want_eq(counter->drops, before);
}

TEST(counter_refused, "line 40: the counter page can't be written, and is one page: EPERM, EINVAL")
{
	int fd = device();
	off_t at = DROPPABLE_COUNTER_OFFSET;
	void *counter;

	want_errno(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at),
		   EPERM);
	want_errno(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, at), EPERM);
	want_errno(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, at),
		   EPERM);
	want_errno(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, at), EINVAL);
	want_errno(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, at), EINVAL);
	want_errno(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			at + (off_t)PAGE), EINVAL);
	counter = (void *)(uintptr_t)counter_of(fd);
	want_errno(mprotect(counter, PAGE, PROT_READ | PROT_WRITE), EACCES);
	want_errno(mprotect(counter, PAGE, PROT_READ | PROT_EXEC), EACCES);
	want_eq(mremap(counter, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED,
		1);
}

TEST(counter_fork, "line 40: a forked child sees the same counter, whoever's pages are dropped")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device();
	char *area = map_of(fd, LENGTH);
	const volatile struct droppable_counter *counter = counter_of(fd);
	uint64_t before = counter->drops;
	pid_t child = spawn();

	if (!child) {
		want_eq(counter->drops, before);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_ge(counter->drops, before + PAGES);
		before = counter->drops;
		fill(area, PAGES, TAG + 1, 1);
		mem_drop(area, LENGTH);
		want_ge(counter->drops, before + PAGES);
		*turn = 3;
		_exit(0);
	}
	fill(area, PAGES, TAG, 1);
	want(wait_for(*turn == 1 || !alive(child), 30));
	mem_drop(area, LENGTH);
	want_eq(counter->drops, before + PAGES);
	*turn = 2;
	join(child);
	want_ge(counter->drops, before + 2 * PAGES);
}

#define RECORD 8UL

static char *record_area;
static volatile int record_stop;

static void *drop_record(void *argument)
{
	uint64_t seed = 40;

	(void)argument;
	while (!record_stop) {
		if (random_next(&seed) % 8)
			mem_drop(record_area, RECORD * PAGE);
		else
			write_file("/proc/sys/vm/drop_caches", "2");
		pause_seconds((double)(random_next(&seed) % 2000) / 1e6);
	}
	return NULL;
}

TEST(counter_whole, "line 40: what was copied between two equal readings is whole, while drops race with it")
{
	int fd = device();
	const volatile struct droppable_counter *counter = counter_of(fd);
	static uint64_t copy[RECORD * PAGE / sizeof(uint64_t)];
	const size_t words = RECORD * PAGE / sizeof(uint64_t);
	volatile uint64_t *record;
	size_t whole = 0, told = 0, torn = 0;
	double end = race_end();
	pthread_t thread;

	record_area = map_of(fd, RECORD * PAGE);
	record = (volatile uint64_t *)record_area;
	want_eq(pthread_create(&thread, NULL, drop_record, NULL), 0);
	for (uint64_t generation = 1;
	     race_goes_on(end, whole >= 10 && torn >= 10); generation++) {
		uint64_t drops = counter->drops;
		size_t bad = 0;

		for (size_t i = 0; i < words; i++)
			record[i] = generation * words + i;
		for (size_t i = 0; i < words; i++)
			copy[i] = record[i];
		drops = counter->drops - drops;
		for (size_t i = 0; i < words; i++)
			bad += copy[i] != generation * words + i;
		if (!drops && bad)
			fail("got %zu of %zu words torn with the counter unchanged",
			     bad, words);
		whole += !drops;
		told += !!drops;
		torn += bad != 0;
	}
	record_stop = 1;
	want_eq(pthread_join(thread, NULL), 0);
	note("%zu copies with the counter unchanged, %zu with drops between, %zu of them torn",
	     whole, told, torn);
	want_ge(whole, 10);
	want_ge(torn, 10);
}

/* ---- line 40: poll(2) and read(2) ---- */

static short polled(int fd, int milliseconds)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN | POLLRDNORM };

	want_ok(poll(&entry, 1, milliseconds));
	return entry.revents;
}

static void nonblocking(int fd)
{
	want_ok(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
}

static uint64_t drops_read(int fd)
{
	uint64_t drops = 0;

	want_eq(read(fd, &drops, sizeof(drops)), sizeof(drops));
	return drops;
}

TEST(polling, "line 40: poll(2) says nothing before a drop and POLLIN after it; read(2) gives the number and starts anew")
{
	int fd = device(), other = device();
	char *area = map_of(fd, LENGTH);
	uint64_t drops[4] = { 0 };

	nonblocking(fd);
	want_eq(polled(fd, 0), 0);
	want_errno(read(fd, drops, sizeof(*drops)), EAGAIN);
	fill(area, PAGES, TAG, 1);
	want_ok(madvise(area, PAGE, MADV_DONTNEED));
	fill(area, 1, TAG, 1);
	want_eq(polled(fd, 0), 0);
	mem_drop(area, 10 * PAGE);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(polled(other, 0), 0);
	mem_drop(area, 12 * PAGE);
	want_eq(drops_read(fd), 12);
	want_eq(polled(fd, 0), 0);
	want_errno(read(fd, drops, sizeof(*drops)), EAGAIN);
	mem_shrink(area, LENGTH);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	/* A longer buffer gets one number as well. */
	want_eq(read(fd, drops, sizeof(drops)), sizeof(*drops));
	want_ge(drops[0], PAGES - 12);
	want_eq(drops[1], 0);
	/* Nothing was resident: nothing to say. */
	mem_drop(area, LENGTH);
	want_eq(polled(fd, 0), 0);
}

TEST(reading_wrong, "line 40: a short buffer is EINVAL, a bad one EFAULT, and neither loses the number; nothing can be written")
{
	void *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	int fd = device();
	char *area = map_of(fd, LENGTH);
	uint64_t drops;

	nonblocking(fd);
	want_errno(read(fd, &drops, 7), EINVAL);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, LENGTH);
	want_errno(read(fd, &drops, 7), EINVAL);
	want_errno(read(fd, &drops, 0), EINVAL);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(drops_read(fd), PAGES);
	fill(area, PAGES, TAG, 2);
	mem_drop(area, LENGTH);
	want_ok(nowhere);
	want_errno(read(fd, nowhere, sizeof(drops)), EFAULT);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(drops_read(fd), PAGES);
	want_eq(write(fd, &drops, sizeof(drops)), -1);
	want_errno(pread(fd, &drops, sizeof(drops), 0), ESPIPE);
}

/* Drops as soon as the other process or thread sleeps. */
static void drop_when_asleep(pid_t child, void *area)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	want(wait_for(try_read_file(path, text, sizeof(text)) &&
		      strstr(text, ") S "), 10));
	pause_seconds(0.05);
	want(alive(child));
	if (area)
		mem_drop(area, LENGTH);
}

TEST(read_blocks, "line 40: a read(2) without O_NONBLOCK sleeps until the next drop")
{
	int fd = device();
	char *area = map_of(fd, LENGTH);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		want_eq(drops_read(fd), PAGES);
		_exit(0);
	}
	drop_when_asleep(child, area);
	join(child);
}

TEST(poll_blocks, "line 40: a poll(2) that sleeps is woken by a drop, and so is epoll")
{
	int fd = device();
	char *area = map_of(fd, LENGTH);
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		want_eq(polled(fd, 20000), POLLIN | POLLRDNORM);
		_exit(0);
	}
	drop_when_asleep(child, area);
	join(child);
	want_eq(drops_read(fd), PAGES);

	want_ok(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	fill(area, PAGES, TAG, 2);
	child = spawn();
	if (!child) {
		want_eq(epoll_wait(epoll, &event, 1, 20000), 1);
		want_eq(event.events, EPOLLIN);
		_exit(0);
	}
	drop_when_asleep(child, area);
	join(child);
}

TEST(woken_by_reclaim, "line 40: reclaim wakes a sleeping reader too")
{
	struct cgroup group = cgroup_new(8 * MIB);
	int fd = device();
	pid_t child = spawn(), writer;

	if (!child) {
		want_ge(drops_read(fd), 1);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	writer = spawn();
	if (!writer) {
		char *area = map_of(fd, 16 * MIB);

		cgroup_enter(&group);
		fill(area, 16 * MIB / PAGE, TAG, 1);
		_exit(0);
	}
	join(writer);
	want(wait_for(!alive(child), 5));
	join(child);
}

static void handle(int number)
{
	(void)number;
}

TEST(read_signals, "line 40: a handled signal ends a sleeping read(2) with EINTR, SIGKILL ends its process")
{
	struct sigaction action = { .sa_handler = handle };
	int fd = device();
	uint64_t drops;
	pid_t child = spawn();

	if (!child) {
		want_ok(sigaction(SIGUSR1, &action, NULL));
		want_errno(read(fd, &drops, sizeof(drops)), EINTR);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	want_ok(kill(child, SIGUSR1));
	join(child);

	child = spawn();
	if (!child) {
		drops_read(fd);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	want_ok(kill(child, SIGKILL));
	want(wait_for(!alive(child), 5));
	join_signal(child, SIGKILL);
}

TEST(read_restarts, "line 40: with SA_RESTART it goes on sleeping until the next drop")
{
	struct sigaction action = { .sa_handler = handle,
				    .sa_flags = SA_RESTART };
	int fd = device();
	char *area = map_of(fd, LENGTH);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		want_ok(sigaction(SIGUSR1, &action, NULL));
		want_eq(drops_read(fd), PAGES);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	want_ok(kill(child, SIGUSR1));
	drop_when_asleep(child, area);
	join(child);
}
