// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes related by fork share the file, not the fate: pressure on one
 * takes no page of another, and a page costs as much to drop however many
 * there are.
 * Contract line 17.
 */
// vm: --mem 512 --smp 2 --timeout 300 --icount
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x4e17
#define ANON_TAG 0xae17
#define PAGES_OF(bytes) ((bytes) / PAGE)
#define LENGTH (8 * MIB)
#define PAGES PAGES_OF(LENGTH)
#define FAMILY 4U

static volatile struct {
	int filled[FAMILY];
	int pressed;
	int counted[FAMILY];
	size_t left[FAMILY];
} *shared;

/*
 * One of the family: in a cgroup of its own, with data of its own at the same
 * addresses.  The second of them gets more than fits its cgroup.
 */
static void live(char *area, unsigned int id, const struct cgroup *group)
{
	cgroup_enter(group);
	fill(area, PAGES, TAG + id, 1);
	shared->filled[id] = 1;
	if (id == 1) {
		char *anonymous;

		want(wait_for(shared->filled[0] && shared->filled[2] &&
			      shared->filled[3], 60));
		anonymous = anon_map(12 * MIB);
		fill(anonymous, PAGES_OF(12 * MIB), ANON_TAG, 1);
		shared->pressed = 1;
	}
	want(wait_for(shared->pressed, 60));
	shared->left[id] = resident(area, LENGTH);
	if (id != 1)
		want_whole(area, PAGES, TAG + id, 1);
	else
		want_eq(tally(area, PAGES, TAG + id, 1).bad, 0);
	/* Nobody ends, and gives room, before all have looked. */
	shared->counted[id] = 1;
	want(wait_for(shared->counted[0] && shared->counted[1] &&
		      shared->counted[2] && shared->counted[3], 60));
}

TEST(spared, "line 17: pressure on a child's cgroup takes no page from its parent, its sibling and its own child")
{
	struct cgroup group[FAMILY];
	size_t lost;
	char *area;
	pid_t parent;

	shared = shared_map(PAGE);
	for (unsigned int id = 0; id < FAMILY; id++)
		group[id] = cgroup_new(16 * MIB);
	area = mem_map(LENGTH);
	area[0] = 1;
	parent = spawn();
	if (!parent) {
		pid_t child = spawn(), sibling;

		if (!child) {
			pid_t grandchild = spawn();

			if (!grandchild) {
				live(area, 3, &group[3]);
				_exit(0);
			}
			live(area, 1, &group[1]);
			join(grandchild);
			_exit(0);
		}
		sibling = spawn();
		if (!sibling) {
			live(area, 2, &group[2]);
			_exit(0);
		}
		live(area, 0, &group[0]);
		join(child);
		join(sibling);
		_exit(0);
	}
	if (native) {
		wait_status(parent);
		if (!shared->pressed) {
			note("measured: line 17: pages that a process's relatives lose: killed");
			skip("a number, not a promise");
		}
	} else {
		join(parent);
	}
	lost = 3 * PAGES - shared->left[0] - shared->left[2] - shared->left[3];
	note("measured: line 17: pages that a process's relatives lose: %zu",
	     lost);
	note("%zu of its own %lu left", shared->left[1], PAGES);
	if (native)
		skip("a number, not a promise");
	want_le(shared->left[1], PAGES_OF(4 * MIB));
	want_eq(lost, 0);
}

TEST(dropped, "line 17: an explicit drop takes no page from a relative")
{
	size_t pages = 64;
	volatile int *turn = shared_map(PAGE);
	char *area = mem_map(pages * PAGE);
	pid_t child;

	fill(area, pages, TAG, 1);
	child = spawn();
	if (!child) {
		fill(area, pages, TAG + 1, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_whole(area, pages, TAG + 1, 1);
		mem_drop(area, pages * PAGE);
		want_zero(area, pages * PAGE);
		*turn = 3;
		want(wait_for(*turn == 4, 30));
		_exit(0);
	}
	want(wait_for(*turn == 1 || !alive(child), 30));
	mem_drop(area, pages * PAGE);
	want_zero(area, pages * PAGE);
	fill(area, pages, TAG, 2);
	*turn = 2;
	want(wait_for(*turn == 3 || !alive(child), 30));
	want_whole(area, pages, TAG, 2);
	*turn = 4;
	join(child);
}

/* ---- what a page costs to drop ---- */

#define MANY 200U
#define ROUNDS 15U
#define SMALL (4 * MIB)

/* Each child has the mappings there are, a page in each, and nothing to do. */
static void have_children(unsigned int number, char *const *areas)
{
	volatile unsigned int *ready = shared_map(PAGE);

	for (unsigned int i = 0; i < number; i++) {
		if (spawn())
			continue;
		cgroup_enter_root();
		for (; *areas; areas++)
			(*areas)[i * PAGE] = 1;
		__atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
		for (;;)
			pause();
	}
	want(wait_for(*ready == number, 60));
}

static void touch(char *area, size_t step)
{
	for (size_t at = 0; at < SMALL; at += step)
		area[at] = 1;
}

/* Microseconds per page. */
static double drop_touched(char *area, size_t step)
{
	double began;

	touch(area, step);
	began = now();
	mem_drop(area, SMALL);
	began = now() - began;
	if (!native)
		want_eq(resident(area, SMALL), 0);
	return began * 1e6 / (double)(SMALL / step);
}

static double drop_whole(char *area)
{
	return drop_touched(area, PAGE);
}

/* No two pages next to each other: each is unmapped alone. */
static double drop_scattered(char *area)
{
	return drop_touched(area, 2 * PAGE);
}

static struct cgroup small;

/* A limit lowered by three quarters of it: reclaim looks at each page twice. */
static double reclaim_touched(char *area, size_t step)
{
	size_t had, left;
	double began;

	touch(area, step);
	had = resident(area, SMALL);
	began = now();
	cgroup_set(&small, "memory.max",
		   cgroup_get(&small, "memory.current") - had * PAGE / 4 * 3);
	began = now() - began;
	left = resident(area, SMALL);
	cgroup_set(&small, "memory.max", CGROUP_MAX);
	want_ge(had - left, had / 2);
	mem_drop(area, SMALL);
	return began * 1e6 / (double)(had - left);
}

static double reclaim_whole(char *area)
{
	return reclaim_touched(area, PAGE);
}

static double reclaim_scattered(char *area)
{
	return reclaim_touched(area, 2 * PAGE);
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

/*
 * Two areas in turn, and the best round of each, so that a busy machine
 * disturbs both as little: most of the children were forked before the second
 * was mapped.
 */
static double times_dearer(double (*round)(char *area))
{
	char *areas[] = { mem_map(SMALL), NULL, NULL };
	double one = 1e9, many = 1e9;

	have_children(MANY - 1, areas);
	areas[1] = mem_map(SMALL);
	have_children(1, areas);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		many = smaller(many, round(areas[0]));
		one = smaller(one, round(areas[1]));
	}
	note("%.2f us per page with one child, %.2f with %u", one, many, MANY);
	return many / one;
}

/* In a process of its own: native's reclaim may kill it. */
static void compare_costs(const char *what, double (*round)(char *area))
{
	volatile double *times = shared_map(PAGE);
	char said[16] = "killed";
	pid_t child = spawn();
	int status;

	if (!child) {
		if (small.path[0])
			cgroup_enter(&small);
		*times = times_dearer(round);
		_exit(0);
	}
	status = wait_status(child);
	if (!tap_failed() && *times > 0)
		snprintf(said, sizeof(said), "%.2f", *times);
	note("measured: line 17: cost of a page with 200 forked children, in that with one, %s: %s",
	     what, said);
	if (native)
		skip("a number, not a promise");
	want_eq(status, 0);
	want(*times > 0);
	want_le(*times * 100, 150);
}

TEST(cost_drop, "line 17: dropping a page by ioctl costs with 200 forked children at most 1.5 x what it does with one")
{
	compare_costs("drop", drop_whole);
}

TEST(cost_drop_scattered, "line 17: dropping scattered pages, no two of them neighbours, costs at most 1.5 x as well")
{
	compare_costs("drop of scattered pages", drop_scattered);
}

TEST(cost_reclaim, "line 17: reclaiming a page costs with 200 forked children at most 1.5 x what it does with one")
{
	small = cgroup_new(CGROUP_MAX);
	compare_costs("reclaim", reclaim_whole);
}

TEST(cost_reclaim_scattered, "line 17: reclaiming scattered pages, no two of them neighbours, costs at most 1.5 x as well")
{
	small = cgroup_new(CGROUP_MAX);
	compare_costs("reclaim of scattered pages", reclaim_scattered);
}
