// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device is open to everybody: random calls, floods of descriptors and
 * mappings, and attempts to hold more memory than a cgroup may.
 * Contract line 41.
 *
 * A crash shows as a run that fails: on any warning in the kernel's log.
 *
 * Without init_on_alloc, which distributions switch on: it would hide a page
 * that was not cleared.
 */
// vm: --mem 384 --smp 2 --append init_on_alloc=0
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
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x4057

TEST(mode, "line 41: the device's mode is 0666 and a user without privileges can use it")
{
	struct stat status;
	char *area;

	need_device("device file");
	want_ok(stat(DROPPABLE_DEVICE, &status));
	want(S_ISCHR(status.st_mode));
	want_eq(status.st_mode & 07777, 0666);
	become_nobody();
	area = mem_map(16 * PAGE);
	fill(area, 16, TAG, 1);
	want_whole(area, 16, TAG, 1);
	mem_drop(area, 16 * PAGE);
	want_zero(area, 16 * PAGE);
}

/* ---- random calls ---- */

#define AREA (64 * PAGE)

/* Addresses, lengths and words of the kind that break things. */
static uint64_t odd(uint64_t *seed)
{
	static const uint64_t odds[] = {
		0, 1, 8, PAGE - 1, PAGE, PAGE + 1, 2 * MIB, 1UL << 31,
		1UL << 32, 1UL << 46, 1UL << 47, (1UL << 47) - PAGE, 1UL << 62,
		1UL << 63, (1UL << 63) - PAGE, -PAGE, -(2 * PAGE), -1UL,
		0xffff800000000000, 0xffffffff81000000, 0xffffffffff600000,
	};
	uint64_t value = odds[random_next(seed) %
			      (sizeof(odds) / sizeof(*odds))];

	switch (random_next(seed) % 4) {
	case 0:
		return value + random_next(seed) % 64;
	case 1:
		return random_next(seed);
	default:
		return value;
	}
}

/*
 * Where the random calls may write: a region kept free for them, small enough
 * that they meet what others have made.
 */
static char *arena;
#define ARENA (4 * MIB)

static char *place(uint64_t *seed)
{
	return arena + random_next(seed) % (ARENA / PAGE - 256) * PAGE;
}

/* Half of them short: those fit what is there. */
static size_t extent(uint64_t *seed)
{
	uint64_t dice = random_next(seed);

	return (dice / 2 % (dice & 1 ? 64 : 4) + 1) * PAGE;
}

union argument {
	struct droppable_info info;
	struct droppable_drop drop;
	struct droppable_pin pin;
	struct droppable_unpin unpin;
	uint64_t words[32];
};

/* What this thread mapped last, and its last pin there. */
static __thread struct {
	int fd;
	char *at;
	size_t length;
	uint64_t pin;
	int pin_fd;
} made = { .fd = -1, .pin_fd = -1 };

/* Half of the time where it could succeed, an eighth where it can't. */
static uint64_t random_place(uint64_t *seed)
{
	uint64_t dice = random_next(seed);

	if (dice & 1 && made.at)
		return (uintptr_t)made.at +
		       dice / 2 % (made.length / PAGE) * PAGE;
	return dice & 6 ? (uintptr_t)place(seed) : odd(seed);
}

/* Mostly zeros; then what is asked for is mostly what could be. */
static unsigned long random_request(union argument *argument, uint64_t *seed)
{
	uint64_t dice = random_next(seed);
	uint64_t where = random_place(seed);
	uint64_t length = dice / 8 % 8 ? extent(seed) : odd(seed);

	switch (dice / 64 % 10) {
	case 0:
		return DROPPABLE_IOC_INFO;
	case 1:
		return random_next(seed);
	case 2:
		return _IOC(random_next(seed) & 3, DROPPABLE_IOC_MAGIC,
			    random_next(seed) % 8, random_next(seed) % 256);
	case 3:
	case 4:
		argument->pin = (struct droppable_pin){
			.addr = where,
			.len = length,
			.flags = dice / 512 % 16 < 14 ? dice / 512 % 2 : dice >> 32,
			.vec = dice / 8192 % 4 ? 0 : (uintptr_t)place(seed),
		};
		return DROPPABLE_IOC_PIN;
	case 5:
	case 6:
	case 7:
		argument->unpin = (struct droppable_unpin){
			.id = dice / 512 % 4 ? made.pin : odd(seed),
			.flags = dice / 2048 % 8 == 0,
		};
		return DROPPABLE_IOC_UNPIN;
	default:
		argument->drop = (struct droppable_drop){
			.addr = where,
			.len = length,
			.flags = dice / 512 % 8 ? 0 : dice / 4096 % 5,
			.reserved0 = dice / 32768 % 8 == 0,
		};
		/* What goes with a flag that says more than a range. */
		if (argument->drop.flags)
			argument->drop.len = 0;
		if (argument->drop.flags == DROPPABLE_DROP_FILE)
			argument->drop.addr = 0;
		return DROPPABLE_IOC_DROP;
	}
}

/* What was not refused: a loop that is always refused has seen little. */
static struct accepted {
	size_t infos;
	size_t drops;
	size_t pins;
	size_t unpins;
	size_t reads;
} accepted;

static bool need_accepted;

static void count_accepted(unsigned long request)
{
	size_t *count = request == DROPPABLE_IOC_INFO  ? &accepted.infos :
			request == DROPPABLE_IOC_DROP  ? &accepted.drops :
			request == DROPPABLE_IOC_PIN   ? &accepted.pins :
			request == DROPPABLE_IOC_UNPIN ? &accepted.unpins :
							 NULL;

	if (count)
		__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

static void random_ioctl(int fd, uint64_t *seed)
{
	union argument argument;
	unsigned long request;
	bool clean = random_next(seed) & 1;

	for (unsigned int i = 0; i < 32; i++)
		argument.words[i] = clean || random_next(seed) % 4 ? 0 : odd(seed);
	request = random_request(&argument, seed);
	if (random_next(seed) & 1)
		fd = request == DROPPABLE_IOC_UNPIN ? made.pin_fd : made.fd;
	if (random_next(seed) % 16 == 0) {
		ioctl(fd, request, odd(seed));
	} else if (!ioctl(fd, request, &argument)) {
		count_accepted(request);
		if (request == DROPPABLE_IOC_PIN) {
			made.pin = argument.pin.id;
			made.pin_fd = fd;
		}
	}
}

/* Of the descriptor itself, which was opened with O_NONBLOCK. */
static void random_read(int fd, uint64_t *seed)
{
	struct pollfd ready = { .fd = fd, .events = (short)random_next(seed) };
	size_t length = random_next(seed) % 32;
	char buffer[32];
	ssize_t got;

	poll(&ready, 1, 0);
	switch (random_next(seed) % 4) {
	case 0:
		got = read(fd, buffer, length);
		break;
	case 1:
		got = read(fd, place(seed), length);
		break;
	case 2:
		got = read(fd, (void *)odd(seed), length);
		break;
	default:
		got = pread(fd, place(seed), length, (off_t)odd(seed));
	}
	if (got > 0)
		__atomic_add_fetch(&accepted.reads, 1, __ATOMIC_RELAXED);
}

/* Loads and stores that may fault: through the kernel, which says EFAULT. */
static void random_touch(uint64_t *seed)
{
	static char buffer[2 * PAGE];
	size_t length = random_next(seed) % sizeof(buffer) + 1;
	struct iovec local = { buffer, length };
	struct iovec remote = { place(seed) + random_next(seed) % PAGE, length };

	if (random_next(seed) & 1)
		process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	else
		process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}

static void random_call(int *fds, uint64_t *seed)
{
	int *fd = &fds[random_next(seed) % 4];
	char *at = place(seed);
	size_t length = extent(seed);
	uint64_t dice = random_next(seed);
	unsigned char vector[256];
	void *map;

	switch (dice % 16) {
	case 0:
		if (*fd > 2)
			close(*fd);
		*fd = open(DROPPABLE_DEVICE,
			   O_NONBLOCK | ((dice >> 8) % 4 ? O_RDWR :
							   (int)(dice >> 16) % 3));
		break;
	case 1:
	case 2:
	case 3:
		map = mmap(at, length, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED |
				   (dice & 1 << 12 ? MAP_POPULATE : 0),
			   *fd, 0);
		if (map == MAP_FAILED)
			break;
		made.fd = *fd;
		made.at = at;
		made.length = length;
		break;
	case 4:
		/* Anything at all; what comes up elsewhere is taken down. */
		length = dice & 256 ? odd(seed) : length;
		map = mmap(NULL, length, (int)(dice >> 16) & 15,
			   (int)(random_next(seed) &
				 ~(uint64_t)(MAP_FIXED | MAP_ANONYMOUS |
					     MAP_POPULATE)),
			   *fd, dice & 512 ? (off_t)odd(seed) : 0);
		if (map != MAP_FAILED)
			munmap(map, length);
		break;
	case 5:
		munmap(at, length);
		break;
	case 6:
		mprotect(at, length, (int)(dice >> 16) & 7);
		break;
	case 7:
		/* Not 100, 101: they take memory from the machine. */
		madvise(at, length, (int)((dice >> 16) % 100));
		break;
	case 8:
		mremap(at, length, extent(seed),
		       MREMAP_MAYMOVE | MREMAP_FIXED |
			       (dice & 256 ? MREMAP_DONTUNMAP : 0),
		       place(seed));
		break;
	case 9:
		mremap(at, dice & 256 ? 0 : length, length,
		       MREMAP_MAYMOVE | MREMAP_FIXED, place(seed));
		break;
	case 10:
		mincore(at, length, vector);
		msync(at, length, (int)(dice >> 16) & 7);
		break;
	case 11:
		mlock(at, length);
		munlock(at, length);
		mmap(at, PAGE, dice & 256 ? PROT_READ : PROT_NONE,
		     MAP_SHARED | MAP_FIXED, *fd, DROPPABLE_COUNTER_OFFSET);
		break;
	case 12:
		syscall(SYS_remap_file_pages, at, length, 0,
			dice & 256 ? odd(seed) : (dice >> 16) % 64, 0);
		break;
	case 13:
		random_read(dice & 256 ? *fd : made.fd, seed);
		break;
	default:
		random_ioctl(*fd, seed);
	}
	random_touch(seed);
}

static bool all_accepted(void)
{
	return accepted.infos && accepted.drops && accepted.pins &&
	       accepted.unpins && accepted.reads;
}

/* On a slow machine for longer, until some of each were accepted. */
static void *random_thread(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	double end = race_end(), last = end + (need_accepted ? 40 : 0);
	int fds[4] = { -1, -1, -1, -1 };
	size_t calls = 0;

	while (now() < end || (now() < last && !all_accepted())) {
		for (int i = 0; i < 64; i++)
			random_call(fds, &seed);
		calls += 64;
	}
	note("seed %#lx: %zu calls", (unsigned long)(uintptr_t)argument, calls);
	return NULL;
}

static void run_random(uint64_t seed)
{
	/* Little: what is pinned in a cgroup that is full is waited for. */
	struct rlimit pinnable = { 64 * PAGE, 64 * PAGE };
	pthread_t threads[2];

	arena = mmap(NULL, ARENA, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	want_ok(arena);
	want_ok(setrlimit(RLIMIT_MEMLOCK, &pinnable));
	become_nobody();
	for (uint64_t i = 0; i < 2; i++)
		want_eq(pthread_create(&threads[i], NULL, random_thread,
				       (void *)(seed + i)), 0);
	for (int i = 0; i < 2; i++)
		want_eq(pthread_join(threads[i], NULL), 0);
	note("accepted: %zu infos, %zu drops, %zu pins, %zu unpins, %zu reads",
	     accepted.infos, accepted.drops, accepted.pins, accepted.unpins,
	     accepted.reads);
}

static uint64_t chosen_seed(uint64_t seed)
{
	const char *text = getenv("TEST_SEED");

	return text ? strtoul(text, NULL, 0) : seed;
}

TEST(random_arguments, "line 41: random arguments to every entry point, in two threads, as a user without privileges")
{
	need_device("entry points of its own");
	need_accepted = true;
	run_random(chosen_seed(0x5eed));
	want(all_accepted());
}

TEST(random_pressure, "line 41: the same in a cgroup too small for it, while the shrinkers run")
{
	struct cgroup group;
	pid_t child;
	int status;

	need_device("entry points of its own");
	group = cgroup_new(3 * MIB);
	child = spawn();
	if (!child) {
		cgroup_enter(&group);
		run_random(chosen_seed(0xfeed));
		_exit(0);
	}
	while (alive(child)) {
		write_file("/proc/sys/vm/drop_caches", "2");
		pause_seconds(0.05);
	}
	/* Its page tables and copies may be more than the group may have. */
	status = wait_status(child);
	want(!tap_failed());
	want(WIFEXITED(status) || WTERMSIG(status) == SIGKILL);
}

/* ---- memory that is nobody's ---- */

/*
 * Free memory once it stays what it is: what the test before this let go of comes
 * back when its files and slabs have gone, which is later than its process.
 */
static size_t settled_free(void)
{
	size_t before, after = memory_free();
	double end = now() + 10 * tap_slowness();

	do {
		before = after;
		pause_seconds(0.2);
		empty_caches();
		after = memory_free();
	} while (after > before + 256 * KIB && now() < end);
	return after;
}

/*
 * What the machine has less after @make, which is @least or more, and what the
 * group is charged for it.
 */
static void want_charged(const char *what, size_t least, void (*make)(void))
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t child = spawn();

	if (!child) {
		size_t free_before, current, lost, charged;

		cgroup_enter(&group);
		close(mem_open());
		free_before = settled_free();
		current = cgroup_get(&group, "memory.current");
		make();
		lost = free_before - memory_free();
		charged = cgroup_get(&group, "memory.current") - current;
		if ((ssize_t)lost < 0)
			lost = 0;
		note("%s: the machine lost %zu KiB, the group is charged %zu KiB",
		     what, lost / KIB, charged / KIB);
		want_ge(lost, least);
		/* A debug kernel's notes of objects are charged to nobody. */
		if (tap_slowness() == 1)
			want_ge(charged * 5 / 4 + MIB, lost);
		_exit(0);
	}
	join(child);
	want(wait_for(module_references() == 0, 20));
}

static void allow_files(size_t count)
{
	struct rlimit files = { count + 64, count + 64 };

	want_ok(setrlimit(RLIMIT_NOFILE, &files));
}

static void make_descriptors(void)
{
	allow_files(12000);
	for (int i = 0; i < 12000; i++)
		mem_open();
}

TEST(descriptors, "line 41: open descriptors are charged to the cgroup")
{
	need_device("descriptor");
	want_charged("12000 descriptors", 0, make_descriptors);
}

static void make_mappings(void)
{
	int fd = mem_open();

	for (int i = 0; i < 20000; i++) {
		char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);

		want_ok(map);
		if (i % 8 == 0)
			*map = 1;
	}
}

TEST(mappings, "line 41: mappings are charged to the cgroup, touched and untouched")
{
	need_device("mapping of its own");
	want_charged("20000 mappings", 0, make_mappings);
}

#define COUNTER_PAGES 4000

static void make_counter_pages(void)
{
	allow_files(COUNTER_PAGES);
	for (int i = 0; i < COUNTER_PAGES; i++) {
		char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mem_open(),
				  DROPPABLE_COUNTER_OFFSET);

		want_ok(page);
		mem_unmap(page, PAGE);
	}
}

TEST(counter_pages, "line 41: counter pages, which live as long as their file, are charged to the cgroup")
{
	need_device("counter page");
	want_charged("4000 counter pages", COUNTER_PAGES * PAGE,
		     make_counter_pages);
}

static void make_pins(void)
{
	struct droppable_pin pin = { .len = PAGE };
	int fd = mem_open();
	char *area = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	want_ok(area);
	*area = 1;
	pin.addr = (uintptr_t)area;
	for (int i = 0; i < 50000; i++)
		want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &pin));
}

TEST(pins, "line 41: pins are charged to the cgroup, though they are of one page")
{
	need_device("pin");
	want_charged("50000 pins", 2 * MIB, make_pins);
}

TEST(flood, "line 41: a flood of descriptors and mappings in a small cgroup ends in an error, a wait or its own OOM kill, and others get memory")
{
	volatile int *made;
	struct cgroup group;
	size_t before;
	pid_t child;

	need_device("descriptor");
	made = shared_map(PAGE);
	group = cgroup_new(16 * MIB);
	before = meminfo("MemAvailable");
	child = spawn();
	if (!child) {
		struct rlimit files = { 60000, 60000 };

		want_ok(setrlimit(RLIMIT_NOFILE, &files));
		cgroup_enter(&group);
		become_nobody();
		for (int i = 0; i < 60000; i++) {
			int fd = open(DROPPABLE_DEVICE, O_RDWR);
			char *map;

			if (fd < 0)
				break;
			map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED, fd, 0);
			if (map == MAP_FAILED)
				break;
			*map = 1;
			*made = i;
		}
		/* Keeps it all. */
		for (;;)
			pause();
	}
	/* To the end of what it gets, however that looks. */
	for (int last = -1; *made != last && alive(child);) {
		double end = now() + 2;

		last = *made;
		while (now() < end && alive(child)) {
			want_le(cgroup_get(&group, "memory.current"),
				16 * MIB + CGROUP_AHEAD);
			pause_seconds(0.02);
		}
	}
	note("%d descriptors and mappings, %s", *made,
	     alive(child) ? "no more" : "dead");
	want_ge(meminfo("MemAvailable") + 40 * MIB, before);
	/* Somebody else, outside, is not disturbed. */
	char *area = mem_map(8 * MIB);
	fill(area, 8 * MIB / PAGE, TAG, 1);
	want_whole(area, 8 * MIB / PAGE, TAG, 1);
	mem_unmap(area, 8 * MIB);
	kill(child, SIGKILL);
	join_signal(child, SIGKILL);
	want(wait_for(module_references() == 0, 20));
	want(wait_for(cgroup_get(&group, "memory.current") < 2 * MIB, 20));
}

TEST(limit, "line 41: nobody holds more than the cgroup's limit by it, in four processes at once")
{
	struct cgroup group = cgroup_new(12 * MIB);
	size_t before = memory_free();
	size_t peak = 0, least = before;
	pid_t children[4];

	for (int i = 0; i < 4; i++) {
		children[i] = spawn();
		if (children[i])
			continue;
		char *area = mem_map(16 * MIB);

		cgroup_enter(&group);
		become_nobody();
		for (unsigned int round = 1; round <= 2; round++) {
			fill(area, 16 * MIB / PAGE, TAG + (unsigned int)i,
			     round);
			fill(area, MIB / PAGE, TAG + (unsigned int)i, round);
		}
		_exit(0);
	}
	for (bool running = true; running;) {
		size_t current = cgroup_get(&group, "memory.current");
		size_t left = memory_free();

		running = false;
		for (int i = 0; i < 4; i++)
			running |= alive(children[i]);
		peak = current > peak ? current : peak;
		least = left < least ? left : least;
		pause_seconds(0.01);
	}
	for (int i = 0; i < 4; i++)
		join(children[i]);
	note("memory.current was %zu KiB at most, free memory fell by %zu KiB",
	     peak / KIB, (before - least) / KIB);
	want_le(peak, 12 * MIB + 4 * CGROUP_AHEAD);
	want_le(before - least, 16 * MIB);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

TEST(foreign_drop, "line 41: nobody drops another's pages by address")
{
	char *area = mem_map(16 * PAGE);
	pid_t child;

	need_device("ioctl");
	fill(area, 16, TAG, 1);
	child = spawn();
	if (!child) {
		become_nobody();
		/* The same address is the child's own mapping. */
		mem_drop(area, 16 * PAGE);
		fill(area, 16, TAG, 2);
		mem_drop(area, 16 * PAGE);
		_exit(0);
	}
	join(child);
	want_whole(area, 16, TAG, 1);
}

TEST(others_data, "line 41: pages that were another's read zero: dropped, exited, discarded")
{
	need_device("shrinker");
	for (int round = 0; round < 8; round++) {
		pid_t child = spawn();
		char *area;

		if (!child) {
			area = mem_map(4 * MIB);
			memset(area, 0xd5, 4 * MIB);
			if (round % 2)
				mem_shrink(area, 4 * MIB);
			_exit(0);
		}
		join(child);
		area = mem_map(4 * MIB);
		want_zero(area, 4 * MIB);
		mem_unmap(area, 4 * MIB);
	}
}

/* ---- a setuid program ---- */

#define INHERITED "DROPPABLE_INHERITED"
#define SETUID_PROGRAM "/tmp/setuid-program"

static bool is_mapped(const char *address)
{
	return !msync((void *)address, PAGE, MS_ASYNC);
}

/*
 * What this very program does when it was executed with the caller's descriptor,
 * as root: nothing of the caller's memory is there, and what is stored through
 * the descriptor is its own.  The status says which of it failed.
 */
static void __attribute__((constructor)) be_setuid_program(void)
{
	const char *text = getenv(INHERITED);
	char *old, *counter, *fresh;
	int fd;

	if (!text)
		return;
	if (sscanf(text, "%d %p %p", &fd, (void **)&old, (void **)&counter) != 3)
		_exit(10);
	if (geteuid() || !getuid())
		_exit(11);
	if (is_mapped(old) || is_mapped(counter))
		_exit(12);
	/* At the same place, by the same open file. */
	fresh = mmap(old, 16 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED, fd, 0);
	if (fresh != old)
		_exit(13);
	if (!is_zero(fresh, 16 * PAGE))
		_exit(14);
	fill(fresh, 16, TAG + 1, 7);
	_exit(tally(fresh, 16, TAG + 1, 7).whole == 16 ? 0 : 15);
}

static void copy_program(void)
{
	char command[128];

	snprintf(command, sizeof(command), "cp /proc/%d/exe %s && chmod 4755 %s",
		 getpid(), SETUID_PROGRAM, SETUID_PROGRAM);
	want_eq(system(command), 0);
}

TEST(setuid_exec, "line 41: a setuid program that inherits the descriptor reads nothing of its caller's, and nobody reads what it stores")
{
	char *area, *counter, text[64];
	pid_t child;
	int fd;

	need_device("descriptor");
	copy_program();
	become_nobody();
	fd = open(DROPPABLE_DEVICE, O_RDWR);
	want_ok(fd);
	area = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	counter = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
		       DROPPABLE_COUNTER_OFFSET);
	want_ok(area);
	want_ok(counter);
	fill(area, 16, TAG, 1);
	child = spawn();
	if (!child) {
		snprintf(text, sizeof(text), "%d %p %p", fd, area, counter);
		setenv(INHERITED, text, 1);
		fill(area, 16, TAG, 2);
		execl(SETUID_PROGRAM, SETUID_PROGRAM, NULL);
		_exit(9);
	}
	want_eq(wait_status(child), 0);
	/* Neither did its caller lose anything, nor get anything. */
	want_whole(area, 16, TAG, 1);
	mem_drop(area, 16 * PAGE);
	want_zero(area, 16 * PAGE);
	/* The counter page has a counter of this open file, and no more. */
	want_zero(counter + sizeof(struct droppable_counter),
		  PAGE - sizeof(struct droppable_counter));
}
