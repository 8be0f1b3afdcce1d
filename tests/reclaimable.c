// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own figures: resident pages are memory that can be reclaimed, and
 * what a drop frees counts as progress where it can.
 * Contract line 19.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <errno.h>
#include <linux/droppable.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
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

/* Each CPU's share of them is folded in. */
static size_t reclaimable(void)
{
	write_file("/proc/sys/vm/stat_refresh", "1");
	return vmstat("nr_kernel_misc_reclaimable");
}

TEST(reclaimable_exact, "line 19: nr_kernel_misc_reclaimable holds exactly the resident pages; KReclaimable rises, MemAvailable falls by less than was populated")
{
	int fd = device_open();
	size_t size = 64 * MIB;
	char *area = device_map(fd, size);
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

TEST(reclaimable_pinned, "line 19: pages with a pin, or several, don't count as reclaimable, discarded or not, until it ends")
{
	int fd = device_open();
	size_t size = 4 * MIB;
	char *area = device_map(fd, size);
	struct droppable_pin pin = { .addr = (uintptr_t)area, .len = size },
			     half = pin;
	struct droppable_unpin unpin = { 0 };
	size_t before;

	half.len /= 2;
	fill(area, size / PAGE, TAG, 1);
	mem_drop(area, size);
	before = reclaimable();
	fill(area, size / PAGE, TAG, 1);
	want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &pin));
	want_eq(reclaimable(), before);
	want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &half));
	unpin.id = pin.id;
	want_ok(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin));
	want_eq(reclaimable() - before, size / 2 / PAGE);
	want_ok(madvise(area, size, MADV_DONTNEED));
	want(wait_for(reclaimable() == before, 1));
	unpin.id = half.id;
	want_ok(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin));
	want(wait_for(!file_counter(fd, "resident"), 1));
	want_eq(reclaimable(), before);
	fill(area, size / PAGE, TAG, 1);
	want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &pin));
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
	char *area = device_map(device_open(), size);
	size_t left;

	write_file(DEVICE_SYSFS "drop", "1");
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
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	size_t before = reclaimable();
	pid_t children[4];
	uint64_t seed = 19;

	want_eq(device_counter("resident"), 0);
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
	if (!wait_for(device_counter("resident") == 0, 5))
		fail("got %zu resident pages, want 0",
		     device_counter("resident"));
	want_eq(file_counter(fd, "resident"), 0);
	want_eq(reclaimable(), before);
	note("%zu faults, %zu drops", file_counter(fd, "faults"),
	     file_counter(fd, "dropped"));
	want_ge(file_counter(fd, "faults"), 1000);
}

static char trace_text[256 * KIB];

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
	char *area = device_map(device_open(), size);
	struct cgroup group = cgroup_new(CGROUP_MAX);
	size_t reclaimed = 0, dropped;
	const char *at = trace_text;
	const char *enable =
		TRACING "/events/vmscan/mm_vmscan_memcg_reclaim_end/enable";

	if (!older_than(6, 4))
		skip("from 6.4 on it counts nothing that a shrinker frees");
	tracing_start();
	cgroup_enter(&group);
	fill(area, size / PAGE, TAG, 1);
	dropped = resident(area, size);
	write_file(enable, "1");
	cgroup_set(&group, "memory.max",
		   cgroup_get(&group, "memory.current") - 8 * MIB);
	dropped -= resident(area, size);
	write_file(enable, "0");
	cgroup_set(&group, "memory.max", CGROUP_MAX);
	want(try_read_file(TRACING "/trace", trace_text, sizeof(trace_text)));
	tracing_stop();
	while ((at = strstr(at, "nr_reclaimed="))) {
		at += strlen("nr_reclaimed=");
		reclaimed += strtoul(at, NULL, 10);
	}
	note("%zu pages dropped, %zu reclaimed by the kernel's own account",
	     dropped, reclaimed);
	want_ge(dropped, 7 * MIB / PAGE);
	want_ge(reclaimed, dropped * 9 / 10);
}
