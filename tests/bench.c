// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a page costs, in instructions.  Not a test: tests/bench runs it in a
 * guest of one processor whose clock counts instructions, one a nanosecond.
 *
 * A process in a cgroup of its own does what it is told; what it or its maker
 * does for that is timed.  The best of several rounds, each with a new process
 * and a new cgroup: the timer's interrupts count like everything else.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/droppable.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/process.h"
#include "support/tap.h"
#include "support/tracing.h"

#define TAG 0xbe4c
#define ROUNDS 5
#define SIZE (32 * MIB)
#define PAGES (SIZE / PAGE)

static double instructions(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_RAW, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- the process that has the pages ---- */

enum order {
	WRITE,		/* a byte into each page */
	READ,		/* a byte of each page */
	AGE,		/* forget that they were touched */
	COUNT,		/* those that are resident */
	DROP,		/* by the ioctl, or as native can */
	UNMAP,
	QUIT,
};

struct worker {
	pid_t pid;
	struct cgroup group;
	volatile struct {
		int given;
		int taken;
		enum order order;
		double took;
		size_t pages;
	} *shared;
};

static void write_each(char *area)
{
	for (size_t i = 0; i < PAGES; i++)
		*(volatile char *)(area + i * PAGE) = 1;
}

static void read_each(const char *area)
{
	for (size_t i = 0; i < PAGES; i++)
		(void)*(const volatile char *)(area + i * PAGE);
}

static void obey(enum order order, char *area)
{
	switch (order) {
	case WRITE:
		write_each(area);
		break;
	case READ:
		read_each(area);
		break;
	case AGE:
		write_file("/proc/self/clear_refs", "1");
		break;
	case DROP:
		if (native)
			want_ok(madvise(area, SIZE, MADV_DONTNEED));
		else
			mem_drop(area, SIZE);
		break;
	case UNMAP:
		mem_unmap(area, SIZE);
		break;
	case COUNT:
	case QUIT:
		break;
	}
}

static void work(struct worker *worker)
{
	char *area;

	cgroup_enter(&worker->group);
	area = mem_map(SIZE);
	for (;;) {
		double began;

		while (worker->shared->given == worker->shared->taken)
			pause_seconds(0.0001);
		if (worker->shared->order == QUIT)
			_exit(0);
		began = instructions();
		obey(worker->shared->order, area);
		worker->shared->took = instructions() - began;
		if (worker->shared->order == COUNT)
			worker->shared->pages = resident(area, SIZE);
		worker->shared->taken++;
	}
}

static struct worker hire(void)
{
	struct worker worker = {
		.group = cgroup_new(CGROUP_MAX),
		.shared = shared_map(PAGE),
	};

	worker.pid = spawn();
	if (!worker.pid)
		work(&worker);
	return worker;
}

/* Instructions that it took.  Native's process may have been killed. */
static double tell(struct worker *worker, enum order order)
{
	worker->shared->order = order;
	worker->shared->given++;
	want(wait_for(worker->shared->given == worker->shared->taken ||
		      !alive(worker->pid), 60));
	if (worker->shared->given != worker->shared->taken) {
		if (order != QUIT)
			skip("the process was killed");
		join(worker->pid);
	}
	return worker->shared->took;
}

static size_t count(struct worker *worker)
{
	tell(worker, COUNT);
	return worker->shared->pages;
}

static double least(double a, double b)
{
	return b < a ? b : a;
}

static void say(const char *what, double cost)
{
	note("measured: bench: %s: %.0f", what, cost);
}

/* ---- faults, and giving back ---- */

static double per_page(enum order first, enum order timed)
{
	double best = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		struct worker worker = hire();

		tell(&worker, first);
		best = least(best, tell(&worker, timed));
		tell(&worker, QUIT);
	}
	return best / (double)PAGES;
}

/* Page tables are there: what a page costs alone. */
static double per_page_again(enum order timed)
{
	double best = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		struct worker worker = hire();

		tell(&worker, WRITE);
		tell(&worker, DROP);
		best = least(best, tell(&worker, timed));
		tell(&worker, QUIT);
	}
	return best / (double)PAGES;
}

TEST(first_touch, "first touch")
{
	say("a fault: first store into a page", per_page(COUNT, WRITE));
}

TEST(refault, "store into a dropped page")
{
	say("a fault: store into a page that was dropped",
	    per_page_again(WRITE));
}

TEST(absent, "load of an absent page")
{
	say("a fault: load of a page that isn't there", per_page_again(READ));
}

TEST(explicit, "explicit drop")
{
	say(native ? "given back by MADV_DONTNEED" :
		     "given back by DROPPABLE_IOC_DROP",
	    per_page(WRITE, DROP));
}

TEST(unmapping, "munmap")
{
	say("given back by munmap", per_page(WRITE, UNMAP));
}

/* ---- reclaim ---- */

struct cost {
	double instructions;
	size_t dropped;
};

/* Has the cgroup give up half of the area. */
static struct cost reclaim_half(bool hot, const char *file)
{
	struct worker worker = hire();
	struct cost cost;
	size_t before;

	tell(&worker, WRITE);
	tell(&worker, AGE);
	if (hot)
		tell(&worker, READ);
	before = count(&worker);
	want_eq(before, PAGES);
	cost.instructions = instructions();
	if (!strcmp(file, "memory.reclaim")) {
		if (!cgroup_try_set(&worker.group, file, SIZE / 2))
			want_eq(errno, EAGAIN);
	} else {
		cgroup_set(&worker.group, file,
			   cgroup_get(&worker.group, "memory.current") -
				   SIZE / 2);
	}
	cost.instructions = instructions() - cost.instructions;
	cost.dropped = before - count(&worker);
	want_ge(cost.dropped, PAGES / 8);
	tell(&worker, QUIT);
	return cost;
}

/* Of the round with the least instructions for a dropped page. */
static struct cost reclaim_best(bool hot, const char *file)
{
	struct cost best = { 1e18, 1 };

	for (int i = 0; i < ROUNDS; i++) {
		struct cost cost = reclaim_half(hot, file);

		if (cost.instructions / (double)cost.dropped <
		    best.instructions / (double)best.dropped)
			best = cost;
	}
	return best;
}

static double per_drop(struct cost cost)
{
	return cost.instructions / (double)cost.dropped;
}

/*
 * Reclaim looks at each page once before it comes to one for the second time:
 * all of those just touched are kept once, whatever goes then.
 */
static void measure_reclaim(const char *file, const char *drop,
			    const char *dropped, const char *keep)
{
	struct cost cold = reclaim_best(false, file);
	struct cost hot = reclaim_best(true, file);

	say(drop, per_drop(cold));
	say(dropped, (double)cold.dropped / (double)(PAGES / 2) * 100);
	say(keep, (hot.instructions - per_drop(cold) * (double)hot.dropped) /
			  (double)PAGES);
}

TEST(limit, "a cgroup's limit")
{
	measure_reclaim("memory.max", "reclaimed at a limit, per page dropped",
			"reclaimed at a limit, dropped in % of what had to go",
			"reclaimed at a limit, per page looked at and kept");
}

TEST(ahead, "memory.reclaim")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);

	if (!cgroup_has(&group, "memory.reclaim"))
		skip("this kernel has no memory.reclaim (5.19)");
	measure_reclaim("memory.reclaim",
			"reclaimed by memory.reclaim, per page dropped",
			"reclaimed by memory.reclaim, dropped in % of what was asked",
			"reclaimed by memory.reclaim, per page looked at and kept");
}

/* ---- scrubbing ---- */

#define SCRUB "/sys/module/droppable/parameters/scrub"

TEST(scrubbing, "without scrubbing")
{
	need_device("scrubbing");
	write_file(SCRUB, "0");
	say("reclaimed at a limit, per page dropped, scrub=0",
	    per_drop(reclaim_best(false, "memory.max")));
	say("given back by DROPPABLE_IOC_DROP, scrub=0",
	    per_page(WRITE, DROP));
	write_file(SCRUB, "1");
}

/* ---- pins ---- */

struct pin_cost {
	double pin;
	double unpin;
};

/* Of pages that are there, so many by each pin; for a page. */
static struct pin_cost pin_round(size_t pages)
{
	struct droppable_pin pin = { .len = pages * PAGE };
	struct droppable_unpin unpin = { 0 };
	int fd = device_open();
	char *area = device_map(fd, SIZE);
	struct pin_cost cost;
	uint64_t ids[PAGES];
	size_t nr = 0;

	write_each(area);
	cost.pin = instructions();
	for (size_t at = 0; at < SIZE; at += pin.len) {
		pin.addr = (uintptr_t)area + at;
		want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &pin));
		want_eq(pin.dropped, 0);
		ids[nr++] = pin.id;
	}
	cost.pin = instructions() - cost.pin;
	cost.unpin = instructions();
	for (size_t i = 0; i < nr; i++) {
		unpin.id = ids[i];
		want_ok(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin));
	}
	cost.unpin = instructions() - cost.unpin;
	mem_unmap(area, SIZE);
	close(fd);
	return (struct pin_cost){ cost.pin / (double)PAGES,
				  cost.unpin / (double)PAGES };
}

static struct pin_cost pin_best(size_t pages)
{
	struct pin_cost best = { 1e18, 1e18 };

	for (int i = 0; i < ROUNDS; i++) {
		struct pin_cost cost = pin_round(pages);

		best.pin = least(best.pin, cost.pin);
		best.unpin = least(best.unpin, cost.unpin);
	}
	return best;
}

/* Of a page that is there, over and over; for both calls. */
static double pin_alone(void)
{
	struct droppable_pin pin = { .len = PAGE };
	struct droppable_unpin unpin = { 0 };
	int fd = device_open();
	char *area = device_map(fd, PAGE);
	double cost;

	area[0] = 1;
	pin.addr = (uintptr_t)area;
	cost = instructions();
	for (size_t i = 0; i < PAGES; i++) {
		want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &pin));
		unpin.id = pin.id;
		want_ok(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin));
	}
	cost = instructions() - cost;
	mem_unmap(area, PAGE);
	close(fd);
	return cost / (double)PAGES;
}

TEST(pins, "pins, of a page and of many")
{
	struct pin_cost one, all;
	double alone = 1e18;

	need_device("pins");
	one = pin_best(1);
	all = pin_best(PAGES);
	for (int i = 0; i < ROUNDS; i++)
		alone = least(alone, pin_alone());
	say("pinned, a page at a time", one.pin);
	say("unpinned, a page at a time", one.unpin);
	say("pinned and unpinned, one page over and over", alone);
	say("pinned, all at once, per page", all.pin);
	say("unpinned, all at once, per page", all.unpin);
}

/* ---- looking how much there is ---- */

/*
 * A call that comes when its caller has had its ration: reclaim asks the
 * shrinker how much there is hundreds of times, and is told nothing but where
 * insistence gets it a few pages.  Instructions for all of it.
 */
static struct cost insist(size_t pages)
{
	struct cost best = { 1e18, 0 };

	for (int i = 0; i < ROUNDS; i++) {
		struct cgroup group = cgroup_new(CGROUP_MAX);
		char *area = mem_map(pages * PAGE);
		struct cost cost;

		cgroup_enter(&group);
		for (size_t p = 0; p < pages; p++)
			area[p * PAGE] = 1;
		cgroup_try_set(&group, "memory.reclaim", pages * PAGE);
		cost.dropped = resident(area, pages * PAGE);
		cost.instructions = instructions();
		cgroup_try_set(&group, "memory.reclaim", PAGE);
		cost.instructions = instructions() - cost.instructions;
		cost.dropped -= resident(area, pages * PAGE);
		if (cost.instructions < best.instructions)
			best = cost;
		cgroup_enter_root();
		mem_unmap(area, pages * PAGE);
	}
	return best;
}

TEST(counted, "count_objects: no dearer where there is more to count")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct cost few, many;

	need_device("shrinker");
	if (!cgroup_has(&group, "memory.reclaim"))
		skip("this kernel has no memory.reclaim (5.19)");
	few = insist(1024);
	many = insist(16384);
	say("a memory.reclaim that is refused, 1024 pages there, in all",
	    few.instructions);
	say("a memory.reclaim that is refused, 16384 pages there, in all",
	    many.instructions);
	note("%zu and %zu pages went all the same", few.dropped, many.dropped);
	want_eq(few.dropped, many.dropped);
	/*
	 * The pages that went aren't the same ones, so neither is their cost;
	 * to go over 15360 more, even once, would take as much again.
	 */
	want_le(many.instructions, few.instructions * 1.25);
}

/* ---- is it as it is said above? ---- */

#define TRACING "/tmp/droppable-tracing"

/* Sums over the drops that were traced. */
static void traced(size_t *looked, size_t *dropped)
{
	FILE *file = fopen(TRACING "/trace", "re");
	char line[512];

	want(file);
	*looked = *dropped = 0;
	while (fgets(line, sizeof(line), file)) {
		const char *at = strstr(line, " nr=");
		unsigned long nr, gone;

		if (at && sscanf(at, " nr=%lu dropped=%lu", &nr, &gone) == 2) {
			*looked += nr;
			*dropped += gone;
		}
	}
	fclose(file);
}

/* Not timed: tracing costs. */
TEST(control, "control: hot pages are looked at and kept once each, cold ones not at all")
{
	size_t looked, dropped;

	need_device("tracepoints");
	mkdir(TRACING, 0700);
	if (mount("tracefs", TRACING, "tracefs", 0, NULL))
		skip("tracefs: %s", tap_errno(errno));
	write_file(TRACING "/buffer_size_kb", "4096");
	write_file(TRACING "/events/droppable/droppable_drop/enable", "1");
	for (int hot = 0; hot < 2; hot++) {
		write_file(TRACING "/trace", "");
		reclaim_half(hot, "memory.max");
		traced(&looked, &dropped);
		note("%s: %zu pages dropped, %zu kept", hot ? "hot" : "cold",
		     dropped, looked - dropped);
		want_ge(dropped, PAGES / 2 - 64);
		want_ge(looked - dropped, hot ? PAGES - 512 : 0);
		want_le(looked - dropped, hot ? PAGES + 512 : 64);
	}
	write_file(TRACING "/events/droppable/droppable_drop/enable", "0");
	umount(TRACING);
}
