// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many pages go: what pressure needs and little more, and none for reading
 * pages that are not there.
 * Contract lines 15 and 42.
 *
 * What went is counted by mincore before anything is read back.  The numbers
 * of MAP_DROPPABLE are measured as well, and bind it to nothing.
 */
// vm: --mem 384 --swap 16 --smp 2 --timeout 300
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x9509
#define ANON_TAG 0xa509
#define PAGES_OF(bytes) ((bytes) / PAGE)

/* A reclaim frees 32 pages at a time; two may be at it. */
#define SMALL_CHANGE 64UL

static double ratio(size_t pages, size_t of)
{
	return (double)pages / (double)of;
}

/* Native's numbers are looked at, and not judged. */
static void end_if_native(void)
{
	if (native)
		skip("a number, not a promise");
}

/* What a process saw of its area. */
struct seen {
	size_t left;		/* before anything is read back */
	size_t lost;		/* pages of those that reading back cost */
	size_t bad;
};

static void read_back(const char *area, size_t pages, struct seen *seen)
{
	unsigned char *vector = shared_map(pages);
	size_t kept = 0;

	/* What looking takes is there: the group has no page to spare for it. */
	resident(area, pages * PAGE);
	seen->left = resident(area, pages * PAGE);
	want_ok(mincore((void *)area, pages * PAGE, vector));
	seen->bad = tally(area, pages, TAG, 1).bad;
	for (size_t i = 0; i < pages; i++)
		kept += vector[i] & 1 &&
			page_state(area + i * PAGE, TAG, 1, i) == PAGE_WHOLE;
	seen->lost = seen->left - kept;
}

/* False where native's process was killed instead. */
static bool survived(pid_t child)
{
	int status;

	if (!native) {
		join(child);
		return true;
	}
	status = wait_status(child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(mixed, "line 15: 48 MB droppable + 40 MB anonymous in 64 MB: at most 1.15 x the pages that have to go are dropped")
{
	struct cgroup group = cgroup_new(64 * MIB);
	struct seen *seen = shared_map(PAGE);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(48 * MIB);
		char *anonymous = anon_map(40 * MIB);

		cgroup_enter(&group);
		fill(area, PAGES_OF(48 * MIB), TAG, 1);
		want_eq(resident(area, 48 * MIB), PAGES_OF(48 * MIB));
		fill(anonymous, PAGES_OF(40 * MIB), ANON_TAG, 1);
		read_back(area, PAGES_OF(48 * MIB), seen);
		want_whole(anonymous, PAGES_OF(40 * MIB), ANON_TAG, 1);
		_exit(0);
	}
	if (!survived(child)) {
		note("measured: line 15: dropped per page that had to go, 48 + 40 MB in 64 MB: killed");
		end_if_native();
	}
	note("measured: line 15: dropped per page that had to go, 48 + 40 MB in 64 MB: %.2f",
	     ratio(PAGES_OF(48 * MIB) - seen->left, PAGES_OF(24 * MIB)));
	note("measured: line 42: pages dropped by reading all of that back: %zu",
	     seen->lost);
	end_if_native();
	want_eq(seen->bad, 0);
	want_le(seen->left, PAGES_OF(24 * MIB));
	want_le(PAGES_OF(48 * MIB) - seen->left,
		PAGES_OF(24 * MIB) * 115 / 100);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

/* Reads all back in a group that is full, or at its limit to the last page. */
static void want_free_reading(bool to_the_last, size_t most)
{
	struct cgroup group = cgroup_new(64 * MIB);
	struct seen *seen = shared_map(PAGE);
	pid_t child;

	need_device("such promise");
	child = spawn();
	if (!child) {
		char *area = mem_map(48 * MIB);
		char *anonymous = anon_map(40 * MIB);

		cgroup_enter(&group);
		fill(area, PAGES_OF(48 * MIB), TAG, 1);
		fill(anonymous, PAGES_OF(40 * MIB), ANON_TAG, 1);
		if (to_the_last)
			cgroup_set(&group, "memory.max",
				   cgroup_get(&group, "memory.current"));
		read_back(area, PAGES_OF(48 * MIB), seen);
		_exit(0);
	}
	join(child);
	note("%zu of %zu pages lost", seen->lost, seen->left);
	want_eq(seen->bad, 0);
	want_ge(seen->left, PAGES_OF(16 * MIB));
	want_le(seen->lost, most);
}

TEST(read_full, "line 42: in that full cgroup, reading the whole area back drops nothing more")
{
	want_free_reading(false, SMALL_CHANGE);
}

/* What the core asks a shrinker for at a time, and this drops at once. */
#define BATCH 128UL

TEST(read_brimful, "line 42: where its limit leaves not one page, the first of those reads costs one reclaim at most: 128 pages")
{
	want_free_reading(true, BATCH);
}

TEST(read_fresh, "line 42: reading 32 MB never touched charges no more than their page tables")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	size_t *cost = shared_map(PAGE);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(32 * MIB);
		size_t before;

		cgroup_enter(&group);
		area[0] = 1;
		before = cgroup_get(&group, "memory.current");
		for (size_t at = PAGE; at < 32 * MIB; at += PAGE)
			want_eq(area[at], 0);
		cost[0] = cgroup_get(&group, "memory.current") - before;
		/* What was read only is memory like any other. */
		fill(area, PAGES_OF(32 * MIB), TAG, 1);
		want_whole(area, PAGES_OF(32 * MIB), TAG, 1);
		_exit(0);
	}
	join(child);
	note("measured: line 42: KiB charged for reading 32 MB never touched: %zu",
	     cost[0] / KIB);
	end_if_native();
	/* 64 KiB of tables, and what each CPU charges ahead. */
	want_le(cost[0], MIB);
}

TEST(read_write, "line 42: pages read while absent and then written, in a full cgroup, keep what was written")
{
	struct cgroup group = cgroup_new(16 * MIB);
	pid_t child = spawn();

	if (!child) {
		size_t pages = PAGES_OF(8 * MIB);
		char *area = mem_map(8 * MIB);
		char *filler = mem_map(32 * MIB);
		uint64_t seed = 42;

		cgroup_enter(&group);
		fill(filler, PAGES_OF(32 * MIB), TAG + 1, 1);
		for (size_t i = 0; i < 4 * pages; i++) {
			size_t at = random_next(&seed) % pages;
			size_t other = random_next(&seed) % pages;

			want_ne(page_state(area + other * PAGE, TAG, 1, other),
				PAGE_BAD);
			fill_page(area + at * PAGE, TAG, 1, at);
		}
		want_eq(tally(area, pages, TAG, 1).bad, 0);
		_exit(0);
	}
	join(child);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

/* A child with a full area of that size in the group, to be asked once. */
struct holder {
	pid_t pid;
	volatile struct {
		int filled;
		int asked;
		int answered;
		struct seen seen;
	} *shared;
};

static struct holder hold(const struct cgroup *group, size_t length)
{
	struct holder holder = { .shared = shared_map(PAGE) };

	holder.pid = spawn();
	if (!holder.pid) {
		char *area = mem_map(length);

		cgroup_enter(group);
		fill(area, PAGES_OF(length), TAG, 1);
		want_eq(resident(area, length), PAGES_OF(length));
		holder.shared->filled = 1;
		while (!holder.shared->asked)
			pause_seconds(0.01);
		holder.shared->seen.left = resident(area, length);
		holder.shared->answered = 1;
		want_eq(tally(area, PAGES_OF(length), TAG, 1).bad, 0);
		_exit(0);
	}
	want(wait_for(holder.shared->filled || !alive(holder.pid), 60));
	want(holder.shared->filled);
	return holder;
}

/* Pages left; none where native's process was killed. */
static size_t left_of(struct holder *holder)
{
	holder->shared->asked = 1;
	if (!survived(holder->pid))
		return 0;
	want(holder->shared->answered);
	return holder->shared->seen.left;
}

/* Pages dropped of 64 MB when so much is asked for. */
static size_t reclaim(size_t bytes)
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct holder holder;

	if (!cgroup_has(&group, "memory.reclaim"))
		skip("this kernel has no memory.reclaim (5.19)");
	holder = hold(&group, 64 * MIB);
	/* Where the kernel counts nothing freed by a shrinker: EAGAIN. */
	if (!cgroup_try_set(&group, "memory.reclaim", bytes))
		want_eq(errno, EAGAIN);
	return PAGES_OF(64 * MIB) - left_of(&holder);
}

TEST(reclaimed, "line 15: memory.reclaim of 16 MB from 64 MB drops 16 to 24 MB")
{
	size_t dropped = reclaim(16 * MIB);

	note("measured: line 15: MB dropped by memory.reclaim of 16 from 64 MB: %.1f",
	     ratio(dropped, PAGES_OF(MIB)));
	end_if_native();
	/* The cgroup holds a little else that counts as reclaimed. */
	want_ge(dropped, PAGES_OF(16 * MIB) - SMALL_CHANGE);
	want_le(dropped, PAGES_OF(24 * MIB));
}

TEST(reclaimed_little, "line 15: memory.reclaim of 4 MB from 64 MB leaves more than half")
{
	size_t dropped = reclaim(4 * MIB);

	note("measured: line 15: MB dropped by memory.reclaim of 4 from 64 MB: %.1f",
	     ratio(dropped, PAGES_OF(MIB)));
	end_if_native();
	want_ge(dropped, PAGES_OF(4 * MIB) - SMALL_CHANGE);
	want_le(dropped, PAGES_OF(32 * MIB));
}

static size_t lower(const char *file)
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct holder holder = hold(&group, 64 * MIB);
	size_t need = cgroup_get(&group, "memory.current") - 40 * MIB;
	size_t dropped;

	cgroup_set(&group, file, 40 * MIB);
	dropped = PAGES_OF(64 * MIB) - left_of(&holder);
	note("measured: line 15: dropped per page that had to go, %s lowered from 64 to 40 MB: %.2f",
	     file, ratio(dropped, PAGES_OF(need)));
	end_if_native();
	return dropped;
}

TEST(lowered_max, "line 15: memory.max lowered from 64 MB to 40 MB drops at most 1.15 x what has to go")
{
	want_le(lower("memory.max"), PAGES_OF(24 * MIB) * 115 / 100);
}

TEST(lowered_high, "line 15: memory.high lowered from 64 MB to 40 MB drops at most 1.15 x what has to go")
{
	want_le(lower("memory.high"), PAGES_OF(24 * MIB) * 115 / 100);
}

/* It fills the machine: not one that anybody works on. */
static void need_guest(void)
{
	const char *device = getenv("SWAPDEV");

	if (!device)
		skip("SWAPDEV is not set: not in a guest of its own");
	want(!swapoff(device) || errno == EINVAL);
}

/* The hog asks for this much more than is free. */
#define BEYOND (48 * MIB)

TEST_WITHIN(global, 200, "line 15: a hog takes 48 MB more than is free, and stops: at most 1.25 x that is dropped")
{
	volatile int *hog_done = shared_map(PAGE);
	size_t kills = vmstat("oom_kill");
	size_t pages, spare, free_pages, size, left;
	pid_t hog;
	char *area;

	need_guest();
	pages = meminfo("MemAvailable") / 100 * 60 / PAGE;
	area = mem_map(pages * PAGE);
	fill(area, pages, TAG, 1);
	/* kswapd frees up to here by itself. */
	spare = zoneinfo("high");
	free_pages = meminfo("MemFree") / PAGE;
	want_ge(free_pages, spare);
	size = (free_pages - spare) * PAGE + BEYOND;

	hog = spawn();
	if (!hog) {
		char *anonymous = anon_map(size);

		write_file("/proc/self/oom_score_adj", "1000");
		fill(anonymous, size / PAGE, ANON_TAG, 1);
		*hog_done = 1;
		for (;;)
			pause();
	}
	want(wait_for(*hog_done || !alive(hog), 120));
	/* kswapd may be at it still. */
	pause_seconds(0.5);
	left = resident(area, pages * PAGE);
	if (!*hog_done)
		note("measured: line 15: dropped per page that had to go, a hog takes 48 MB more than is free: killed");
	else
		note("measured: line 15: dropped per page that had to go, a hog takes 48 MB more than is free: %.2f",
		     ratio(pages - left, PAGES_OF(BEYOND)));
	note("%zu of %zu pages left, %zu KiB free, %zu to be kept free", left,
	     pages, meminfo("MemFree") / KIB, spare * PAGE / KIB);
	kill(hog, SIGKILL);
	end_if_native();
	want(*hog_done);
	want_ge(pages - left, PAGES_OF(BEYOND) / 2);
	want_le(pages - left, PAGES_OF(BEYOND) * 125 / 100);
	want_eq(tally(area, pages, TAG, 1).bad, 0);
	want_eq(vmstat("oom_kill"), kills);
}
