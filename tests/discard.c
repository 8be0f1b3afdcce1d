// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is given up on purpose: MADV_DONTNEED, and the explicit drop of a range,
 * a mapping, a file, and of everything.  It reads zero at once, the memory goes
 * back without any pressure, and nobody else loses a page.
 * Contract lines 21 and 22.
 *
 * Without init_on_alloc, which distributions switch on: it would hide a page
 * that was not cleared.
 */
// vm: --mem 384 --smp 2 --parallel --append init_on_alloc=0
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 512UL
#define TAG 0xd15c
#define SIZE (16 * MIB)
#define HELD 8UL
#define RW (PROT_READ | PROT_WRITE)

/* What a cgroup is charged may be this much behind, in each CPU's batch. */
#define SLACK (MIB)

static void discard(void *address, size_t length)
{
	want_ok(madvise(address, length, MADV_DONTNEED));
}

/* ---- MADV_DONTNEED ---- */

/* Calls give() in a cgroup with a filled area; all of it must come back. */
static void want_returned(size_t size, double seconds,
			  void (*give)(char *area, size_t size))
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t child;

	/* Nobody else's, from a test before. */
	want(wait_for(!device_counter("resident"), 10));
	child = spawn();
	if (!child) {
		int fd = mem_open();
		char *area = device_map(fd, size);
		size_t charged;
		double began;

		cgroup_enter(&group);
		fill(area, size / PAGE, TAG, 1);
		charged = cgroup_get(&group, "memory.current");
		want_ge(charged, size);
		want_eq(file_counter(fd, "resident"), size / PAGE);
		want_eq(device_counter("resident"), size / PAGE);
		give(area, size);
		began = now();
		want(wait_for(cgroup_get(&group, "memory.current") <=
			      charged - size + SLACK, seconds));
		note("%zu KiB were returned within %.0f ms", size / KIB,
		     1000 * (now() - began));
		want(wait_for(!file_counter(fd, "resident"), 1));
		want_eq(device_counter("resident"), 0);
		want_eq(resident(area, size), 0);
		want_eq(smaps(area, size, "Rss"), 0);
		want_zero(area, size);
		_exit(0);
	}
	join(child);
}

TEST(returned, "line 21: what MADV_DONTNEED discards goes back within a second, without pressure and untouched")
{
	need_device("prompt return to be waited for");
	want_returned(SIZE, 1, (void (*)(char *, size_t))discard);
}

TEST(returned_large, "line 21: likewise a range that takes long to unmap (in ten seconds: an emulated machine clears it slowly)")
{
	need_device("prompt return to be waited for");
	want_returned(9 * SIZE, 10, (void (*)(char *, size_t))discard);
}

static void discard_pages(char *area, size_t size)
{
	/* From both ends, so that no two calls touch. */
	for (size_t i = 0; i < size / PAGE; i += 2)
		discard(area + i * PAGE, PAGE);
	for (size_t i = size / PAGE - 1; i < size / PAGE; i -= 2)
		discard(area + i * PAGE, PAGE);
}

TEST(returned_pages, "line 21: likewise when it is discarded a page at a time")
{
	need_device("prompt return to be waited for");
	want_returned(4 * MIB, 1, discard_pages);
}

/* Away, and back again. */
static void discard_moved(char *area, size_t size)
{
	char *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	want_ok(place);
	want_eq(mremap(area, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place),
		place);
	want_whole(place, size / PAGE, TAG, 1);
	discard(place, size);
	want_eq(mremap(place, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, area),
		area);
}

static void discard_split(char *area, size_t size)
{
	want_ok(mprotect(area + size / 4, size / 4, PROT_READ));
	discard(area, size);
	want_ok(mprotect(area + size / 4, size / 4, RW));
}

TEST(returned_split, "line 21: likewise from a mapping split by mprotect, and from a moved one")
{
	need_device("prompt return to be waited for");
	want_returned(4 * MIB, 1, discard_split);
	want_returned(4 * MIB, 1, discard_moved);
}

TEST(kept, "line 21: what was not discarded, or was written again at once, stays")
{
	int fd;
	char *area;

	need_device("fdinfo");
	fd = mem_open();
	area = device_map(fd, PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	for (int round = 0; round < 20; round++) {
		discard(area, PAGES / 2 * PAGE);
		fill(area, PAGES / 4, TAG, 1);
		pause_seconds(0.01 * (round % 5));
		want_whole(area, PAGES / 4, TAG, 1);
	}
	want(wait_for(file_counter(fd, "resident") <= PAGES / 4 * 3, 1));
	pause_seconds(0.5);
	want_eq(file_counter(fd, "resident"), PAGES / 4 * 3);
	want_whole(area, PAGES / 4, TAG, 1);
	for (size_t i = PAGES / 2; i < PAGES; i++)
		want_eq(page_state(area + i * PAGE, TAG, 1, i), PAGE_WHOLE);
	want_zero(area + PAGES / 4 * PAGE, PAGES / 4 * PAGE);
}

TEST(ends, "line 21: a process that discards and ends at once leaves nothing")
{
	need_device("counter");
	want(wait_for(!device_counter("resident"), 10));
	for (int round = 0; round < 30; round++) {
		pid_t child = spawn();

		if (!child) {
			char *area = mem_map(PAGES * PAGE);

			fill(area, PAGES, TAG, 1);
			discard(area, PAGES / 2 * PAGE);
			pause_seconds(0.004 * (round % 8));
			_exit(0);
		}
		join(child);
	}
	want(wait_for(!device_counter("resident"), 2));
}

/* Pages written and discarded by one thread while others fault them. */
#define RACED 8UL

static struct {
	char *area;
	/* No data as old as this may be seen any more. */
	volatile uint64_t floor[RACED];
	volatile bool stop;
} raced;

static volatile uint64_t *raced_word(size_t i)
{
	return (volatile uint64_t *)(raced.area + i * PAGE + 56);
}

static void want_above(size_t i, uint64_t floor)
{
	uint64_t seen = *raced_word(i);

	if (seen && seen <= floor)
		fail("got the data of round %llu in page %zu, want none up to round %llu, which were discarded",
		     (unsigned long long)seen, i, (unsigned long long)floor);
}

static void *fault_thread(void *unused)
{
	(void)unused;
	while (!raced.stop) {
		for (size_t i = 0; i < RACED; i++) {
			uint64_t floor = raced.floor[i];

			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			want_above(i, floor);
			/* A store faults too, and keeps the page there. */
			raced.area[i * PAGE + PAGE - 1] = 1;
		}
	}
	return NULL;
}

static void want_gone(size_t first, size_t count, uint64_t round)
{
	discard(raced.area + first * PAGE, count * PAGE);
	for (size_t i = first; i < first + count; i++) {
		raced.floor[i] = round;
		want_above(i, round);
	}
}

/* Plays rounds, while threads fault the pages, and one does something else. */
static void race(void (*play)(uint64_t round), void *(*beside)(void *))
{
	pthread_t threads[2], other;
	double end = race_end();
	uint64_t round = 0;

	raced.area = mem_map(RACED * PAGE);
	if (beside)
		want_eq(pthread_create(&other, NULL, beside, NULL), 0);
	for (int i = 0; i < 2; i++)
		want_eq(pthread_create(&threads[i], NULL, fault_thread, NULL),
			0);
	while (now() < end || round < 10) {
		round++;
		play(round);
		/* Sometimes the worker that frees gets its turn between. */
		if (round % 32 == 0)
			pause_seconds(0.001 * (double)(round / 32 % 40));
	}
	raced.stop = true;
	for (int i = 0; i < 2; i++)
		want_eq(pthread_join(threads[i], NULL), 0);
	if (beside)
		want_eq(pthread_join(other, NULL), 0);
	note("%llu rounds", (unsigned long long)round);
}

static void write_and_discard(uint64_t round)
{
	for (size_t i = 0; i < RACED; i++) {
		*raced_word(i) = round;
		if (round % 4)
			want_gone(i, 1, round);
	}
	if (round % 4 == 0)
		want_gone(0, RACED, round);
}

TEST(raced_faults, "line 21: old data never comes back after MADV_DONTNEED, while other threads fault the same pages")
{
	race(write_and_discard, NULL);
}

static int pipe_fds[2];

static void hold(char *area, size_t pages)
{
	struct iovec range = { .iov_base = area, .iov_len = pages * PAGE };

	want_ok(pipe(pipe_fds));
	want_eq(vmsplice(pipe_fds[1], &range, 1, SPLICE_F_NONBLOCK),
		pages * PAGE);
}

static void let_go(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/*
 * A drop that has looked for holders, and then unmaps what somebody has come to
 * hold in between, leaves it unmapped: a fault maps it again.
 */
static void *hold_thread(void *unused)
{
	(void)unused;
	while (!raced.stop) {
		hold(raced.area, RACED);
		sched_yield();
		let_go();
	}
	return NULL;
}

static void write_drop_and_discard(uint64_t round)
{
	for (size_t i = 0; i < RACED; i++)
		*raced_word(i) = round;
	mem_drop(raced.area, RACED * PAGE);
	/* The others find them unmapped, one after the other. */
	pause_seconds(0.0005 * (double)(round % 8));
	want_gone(0, RACED, round);
}

TEST(raced_held, "line 21: likewise when somebody comes to hold the pages while a drop unmaps them")
{
	race(write_drop_and_discard, hold_thread);
}

static void want_held(size_t pages, unsigned int generation)
{
	static char page[PAGE] __attribute__((aligned(16)));

	for (size_t i = 0; i < pages; i++) {
		want_eq(read(pipe_fds[0], page, PAGE), PAGE);
		want_eq(page_state(page, TAG, generation, i), PAGE_WHOLE);
	}
}

/* Discards held pages, and looks at them so long afterwards. */
static void want_discarded_held(double seconds)
{
	int fd = mem_open();
	char *area = device_map(fd, PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	hold(area, HELD);
	/* A drop leaves them, perhaps unmapped. */
	mem_drop(area, PAGES * PAGE);
	discard(area, PAGES * PAGE);
	if (seconds > 0)
		pause_seconds(seconds);
	want_zero(area, HELD * PAGE);
	fill(area, HELD, TAG, 2);
	want_held(HELD, 1);
	want_whole(area, HELD, TAG, 2);
	discard(area, PAGES * PAGE);
	want_zero(area, PAGES * PAGE);
	discard(area, PAGES * PAGE);
	want(wait_for(!file_counter(fd, "resident"), 1));
	let_go();
}

TEST(held, "line 21: a discarded page that somebody holds: the holder keeps the old one, the mapping reads zero")
{
	need_device("fdinfo");
	want_discarded_held(0);
	want_discarded_held(0.01);
	want_discarded_held(0.2);
}

TEST(held_shrunk, "line 21: likewise when the shrinkers came before or in between")
{
	char *area;

	need_device("shrinker");
	for (int between = 0; between < 2; between++) {
		area = mem_map(HELD * PAGE);
		fill(area, HELD, TAG, 1);
		hold(area, HELD);
		if (!between)
			write_file("/proc/sys/vm/drop_caches", "2");
		discard(area, HELD * PAGE);
		if (between)
			write_file("/proc/sys/vm/drop_caches", "2");
		want_zero(area, HELD * PAGE);
		fill(area, HELD, TAG, 2);
		want_held(HELD, 1);
		want_whole(area, HELD, TAG, 2);
		mem_unmap(area, HELD * PAGE);
		let_go();
	}
}

/* ---- explicit drops ---- */

/* What a drop of this kind did; it must succeed. */
static struct droppable_drop dropped_by(int fd, void *address, size_t length,
					unsigned int flags)
{
	struct droppable_drop drop = {
		.addr = (uintptr_t)address,
		.len = length,
		.flags = flags,
	};

	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	return drop;
}

static void give_range(char *area, size_t size)
{
	mem_drop(area, size);
}

static void give_all(char *area, size_t size)
{
	(void)area;
	(void)size;
	write_file(DEVICE_SYSFS "drop", "1\n");
}

TEST(drop_returned, "line 22: a drop by ioctl, and one of everything, returns the memory at once")
{
	need_device("explicit drop");
	want_returned(SIZE, 0.1, give_range);
	want_returned(SIZE, 0.1, give_all);
}

TEST(drop_mapping, "line 22: a drop of a mapping drops it whole, by any address in it, also split by mprotect and munmap, and nothing else")
{
	size_t length = 64 * PAGE;
	struct droppable_drop drop;
	char *area, *other;
	int fd;

	need_device("ioctl");
	fd = mem_open();
	/* Beside each other, of the same file. */
	area = mem_try(NULL, 3 * length, PROT_NONE, 0);
	want_ok(area);
	want_eq(mmap(area, length, RW, MAP_SHARED | MAP_FIXED, fd, 0), area);
	other = area + length;
	want_eq(mmap(other, length, RW, MAP_SHARED | MAP_FIXED, fd, 0), other);

	/* Without a page yet. */
	drop = dropped_by(fd, area, 0, DROPPABLE_DROP_MAPPING);
	want_eq(drop.dropped + drop.pinned, 0);

	for (int round = 0; round < 3; round++) {
		fill(area, 64, TAG, 1);
		fill(other, 64, TAG + 1, 1);
		if (round == 1) {
			want_ok(mprotect(area + 8 * PAGE, PAGE, PROT_NONE));
			want_ok(mprotect(area + 9 * PAGE, PAGE, PROT_READ));
		}
		drop = dropped_by(fd, area + 12345 * round, 0,
				  DROPPABLE_DROP_MAPPING);
		want_eq(drop.dropped, 64);
		want_eq(drop.pinned, 0);
		if (round == 1)
			want_ok(mprotect(area + 8 * PAGE, 2 * PAGE, RW));
		want_zero(area, length);
		want_whole(other, 64, TAG + 1, 1);
	}

	/* In two pieces; the last byte of the last page names it too. */
	fill(area, 64, TAG, 2);
	mem_unmap(area + 20 * PAGE, 4 * PAGE);
	drop = dropped_by(fd, area + length - 1, 0, DROPPABLE_DROP_MAPPING);
	want_eq(drop.dropped, 60);
	want_zero(area, 20 * PAGE);
	want_zero(area + 24 * PAGE, 40 * PAGE);
	want_whole(other, 64, TAG + 1, 1);
}

TEST(drop_file, "line 22: a drop of an open file drops all its mappings, and no other file's")
{
	struct droppable_drop drop;
	char *areas[3], *other;
	int fd, copy, second;

	need_device("ioctl");
	fd = mem_open();
	second = mem_open();
	copy = dup(fd);
	want_ok(copy);
	for (int i = 0; i < 3; i++) {
		areas[i] = device_map(fd, PAGES * PAGE);
		fill(areas[i], PAGES, TAG + i, 1);
	}
	want_ok(mprotect(areas[1] + PAGE, PAGE, PROT_READ));
	other = device_map(second, PAGES * PAGE);
	fill(other, PAGES, TAG + 9, 1);

	drop = dropped_by(copy, NULL, 0, DROPPABLE_DROP_FILE);
	want_eq(drop.dropped, 3 * PAGES);
	want_eq(drop.pinned, 0);
	want_eq(file_counter(fd, "resident"), 0);
	want_eq(file_counter(second, "resident"), PAGES);
	for (int i = 0; i < 3; i++)
		want_zero(areas[i], PAGES * PAGE);
	want_whole(other, PAGES, TAG + 9, 1);
	drop = dropped_by(second, NULL, 0, DROPPABLE_DROP_FILE);
	want_eq(drop.dropped, PAGES);
	want_zero(other, PAGES * PAGE);
}

/* Tells the other process, and waits to be told. */
static void meet(int mine, int others)
{
	char byte = 0;

	want_eq(write(mine, &byte, 1), 1);
	want_eq(read(others, &byte, 1), 1);
}

/* Parent and child with pages of their own; one drops, the other keeps. */
static void want_spares(unsigned int flags, bool child_drops)
{
	int to_child[2], to_parent[2];
	struct droppable_drop drop;
	int fd = mem_open();
	char *area = device_map(fd, PAGES * PAGE);
	size_t length = flags ? 0 : PAGES * PAGE;
	void *address = flags & DROPPABLE_DROP_FILE ? NULL : area;
	pid_t child;

	want_ok(pipe(to_child));
	want_ok(pipe(to_parent));
	fill(area, PAGES, TAG, 1);
	child = spawn();
	for (int turn = 0; turn < 2; turn++) {
		bool in_child = !child;
		unsigned int tag = in_child ? TAG + 1 : TAG;

		fill(area, PAGES, tag, 2);
		if (in_child)
			meet(to_parent[1], to_child[0]);
		else
			meet(to_child[1], to_parent[0]);
		if (in_child == child_drops) {
			drop = dropped_by(fd, address, length, flags);
			want_eq(drop.dropped, PAGES);
			want_eq(drop.pinned, 0);
		}
		if (in_child)
			meet(to_parent[1], to_child[0]);
		else
			meet(to_child[1], to_parent[0]);
		if (in_child == child_drops)
			want_zero(area, PAGES * PAGE);
		else
			want_whole(area, PAGES, tag, 2);
	}
	if (!child)
		_exit(0);
	join(child);
	mem_unmap(area, PAGES * PAGE);
	close(fd);
}

TEST(spares_relatives, "line 22: a drop of a range, a mapping or a file takes no page of a parent or a child")
{
	unsigned int flags[] = { 0, DROPPABLE_DROP_MAPPING,
				 DROPPABLE_DROP_FILE };

	need_device("ioctl");
	for (int i = 0; i < 3; i++) {
		want_spares(flags[i], false);
		want_spares(flags[i], true);
	}
}

TEST(drop_held, "line 22: a drop of a range, a mapping, a file, and of everything leaves what is held, and counts it")
{
	unsigned int flags[] = { 0, DROPPABLE_DROP_MAPPING,
				 DROPPABLE_DROP_FILE };
	struct droppable_drop drop;
	size_t skipped[2];
	char *area;
	int fd;

	need_device("ioctl");
	want(wait_for(!device_counter("resident"), 10));
	fd = mem_open();
	area = device_map(fd, PAGES * PAGE);
	fill(area, HELD, TAG, 1);
	hold(area, HELD);
	for (int i = 0; i < 3; i++) {
		fill(area, PAGES, TAG, 2 + i);
		skipped[0] = file_counter(fd, "pinned");
		skipped[1] = device_counter("pinned");
		drop = dropped_by(fd,
				  flags[i] & DROPPABLE_DROP_FILE ? NULL : area,
				  flags[i] ? 0 : PAGES * PAGE, flags[i]);
		want_eq(drop.dropped, PAGES - HELD);
		want_eq(drop.pinned, HELD);
		want_eq(file_counter(fd, "resident"), HELD);
		want_ge(file_counter(fd, "pinned"), skipped[0] + HELD);
		want_ge(device_counter("pinned"), skipped[1] + HELD);
		want_whole(area, HELD, TAG, 2 + i);
		want_zero(area + HELD * PAGE, (PAGES - HELD) * PAGE);
	}
	fill(area, PAGES, TAG, 6);
	skipped[0] = file_counter(fd, "pinned");
	write_file(DEVICE_SYSFS "drop", "1");
	want_eq(file_counter(fd, "resident"), HELD);
	want_eq(device_counter("resident"), HELD);
	want_ge(file_counter(fd, "pinned"), skipped[0] + HELD);
	want_whole(area, HELD, TAG, 6);
	want_zero(area + HELD * PAGE, (PAGES - HELD) * PAGE);
	want_held(HELD, 6);
	write_file(DEVICE_SYSFS "drop", "1");
	want_zero(area, PAGES * PAGE);
}

static void *refill_thread(void *area)
{
	while (!raced.stop)
		for (size_t i = 0; i < HELD; i++)
			((char *)area)[i * PAGE] = 1;
	return NULL;
}

TEST(drop_once, "line 22: beside a held page, which is tried again, what another thread stores anew is not dropped and counted twice")
{
	struct droppable_drop drop;
	pthread_t thread;
	char *area;
	int fd;

	need_device("ioctl");
	fd = mem_open();
	area = device_map(fd, (1 + HELD) * PAGE);
	fill(area, 1, TAG, 1);
	hold(area, 1);
	want_eq(pthread_create(&thread, NULL, refill_thread, area + PAGE), 0);
	for (int i = 0; i < 50; i++) {
		want(wait_for(resident(area, (1 + HELD) * PAGE) == 1 + HELD, 5));
		drop = dropped_by(fd, area, (1 + HELD) * PAGE, 0);
		want_le(drop.dropped, HELD);
		/* The one, and what is just being faulted. */
		want_ge(drop.pinned, 1);
		want_le(drop.dropped + drop.pinned, 1 + HELD);
	}
	raced.stop = true;
	want_eq(pthread_join(thread, NULL), 0);
	want_whole(area, 1, TAG, 1);
	let_go();
}

TEST(drop_all, "line 22: root's drop takes everything of everybody, also of another user and of pages just touched")
{
	int ready[2], go[2];
	char byte = 0;
	pid_t children[2];
	char *area;

	need_device("sysfs");
	want(wait_for(!device_counter("resident"), 10));
	want_ok(pipe(ready));
	want_ok(pipe(go));
	for (int i = 0; i < 2; i++) {
		children[i] = spawn();
		if (children[i])
			continue;
		if (i)
			become_nobody();
		area = mem_map(PAGES * PAGE);
		fill(area, PAGES, TAG + i, 1);
		want_whole(area, PAGES, TAG + i, 1);
		want_eq(write(ready[1], &byte, 1), 1);
		want_eq(read(go[0], &byte, 1), 1);
		want_eq(resident(area, PAGES * PAGE), 0);
		want_zero(area, PAGES * PAGE);
		fill(area, PAGES, TAG + i, 2);
		want_whole(area, PAGES, TAG + i, 2);
		_exit(0);
	}
	area = mem_map(PAGES * PAGE);
	for (int i = 0; i < 2; i++)
		want_eq(read(ready[0], &byte, 1), 1);
	fill(area, PAGES, TAG + 5, 1);
	want_eq(device_counter("resident"), 3 * PAGES);
	write_file(DEVICE_SYSFS "drop", "1");
	want_eq(device_counter("resident"), 0);
	want_eq(write(go[1], "ab", 2), 2);
	want_zero(area, PAGES * PAGE);
	for (int i = 0; i < 2; i++)
		join(children[i]);
}

static bool refused(const char *text, int error)
{
	errno = 0;
	return !try_write_file(DEVICE_SYSFS "drop", text) && errno == error;
}

TEST(drop_all_refused, "line 22: any other value is EINVAL, an unprivileged user gets EACCES, and nothing is dropped")
{
	const char *wrong[] = { "0", "2", "-1", "x", "1x", "1 1", "11", "\n",
				"1.0", "one", "4294967295" };
	pid_t child;
	char *area;

	need_device("sysfs");
	area = mem_map(PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (!refused(wrong[i], EINVAL))
			fail("got %s, want EINVAL from writing '%s'",
			     tap_errno(errno), wrong[i]);
	}
	child = spawn();
	if (!child) {
		become_nobody();
		want(refused("1", EACCES));
		want_errno(open(DEVICE_SYSFS "drop", O_RDONLY), EACCES);
		want_ok(open(DEVICE_SYSFS "resident", O_RDONLY));
		_exit(0);
	}
	join(child);
	want_whole(area, PAGES, TAG, 1);
}
