// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are touched all the time outlive those that are not.  Looking is
 * touching: the hot pages here are only read.
 * Contract line 16.
 *
 * The hot pages are scattered over the area, a tenth of it.  Pressure makes
 * half of the others go.  A hot page that was dropped once reads zero for
 * ever, so its content tells; of the cold ones, mincore does before they are
 * read.  No flush of the TLB makes a page's next use seen at once, so what a
 * page needs is to be used again before reclaim has been all the way round.
 */
// vm: --mem 256 --smp 2 --timeout 300 --icount
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x8016
#define LIMIT (64 * MIB)
#define LENGTH (48 * MIB)
#define PAGES (LENGTH / PAGE)
#define HOT (PAGES / 10)
#define COLD (PAGES - HOT)
#define NEEDED (COLD / 2)

static char *area;
static bool is_hot[PAGES];
static volatile int stop;
static volatile size_t rounds;

static struct result {
	size_t hot;		/* survivors */
	size_t cold;		/* dropped */
	size_t bad;
	size_t rounds;
} *result;

static void choose(void)
{
	uint64_t seed = 16;

	for (size_t chosen = 0; chosen < HOT;) {
		size_t at = random_next(&seed) % PAGES;

		chosen += !is_hot[at];
		is_hot[at] = true;
	}
}

static void load(size_t at)
{
	(void)*(volatile char *)(area + at * PAGE);
}

static void *load_all_the_time(void *argument)
{
	(void)argument;
	for (; !stop; rounds++) {
		for (size_t i = 0; i < PAGES; i++) {
			if (is_hot[i])
				load(i);
		}
	}
	return NULL;
}

/* A server with something else to do between two looks at its cache. */
static void *load_now_and_then(void *argument)
{
	(void)argument;
	for (; !stop; rounds++) {
		for (size_t i = 0; i < PAGES; i++) {
			if (is_hot[i])
				load(i);
		}
		pause_seconds(0.005);
	}
	return NULL;
}

/* The kernel's look, on behalf of write(2). */
static void *write_all_the_time(void *argument)
{
	int fds[2];
	char byte;

	(void)argument;
	want_ok(pipe(fds));
	for (; !stop; rounds++) {
		for (size_t i = 0; i < PAGES; i++) {
			if (!is_hot[i])
				continue;
			want_eq(write(fds[1], area + i * PAGE, 1), 1);
			want_eq(read(fds[0], &byte, 1), 1);
		}
	}
	return NULL;
}

static void count(void)
{
	unsigned char *vector = shared_map(PAGES);

	want_ok(mincore(area, LENGTH, vector));
	for (size_t i = 0; i < PAGES; i++) {
		if (!is_hot[i]) {
			result->cold += !(vector[i] & 1);
			continue;
		}
		switch (page_state(area + i * PAGE, TAG, 1, i)) {
		case PAGE_WHOLE:
			result->hot++;
			break;
		case PAGE_ZERO:
			break;
		case PAGE_BAD:
			result->bad++;
		}
	}
}

static void live(const struct cgroup *group, void *(*touch)(void *))
{
	size_t length = LIMIT - LENGTH + NEEDED * PAGE;
	char *anonymous = anon_map(length);
	pthread_t thread;

	area = mem_map(LENGTH);
	cgroup_enter(group);
	fill(area, PAGES, TAG, 1);
	want_eq(resident(area, LENGTH), PAGES);
	if (touch) {
		want_eq(pthread_create(&thread, NULL, touch, NULL), 0);
		want(wait_for(rounds >= 3, 30));
	}
	for (size_t at = 0; at < length; at += PAGE)
		anonymous[at] = 1;
	stop = 1;
	if (touch)
		want_eq(pthread_join(thread, NULL), 0);
	/* Before anything that takes memory. */
	count();
	result->rounds = rounds;
}

/* How it went with the hot pages touched like that, or not at all. */
static void measure(const char *how, void *(*touch)(void *))
{
	struct cgroup group = cgroup_new(LIMIT);
	pid_t child;
	int status;

	result = shared_map(PAGE);
	choose();
	child = spawn();
	if (!child) {
		live(&group, touch);
		_exit(0);
	}
	if (native) {
		status = wait_status(child);
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			note("measured: line 16: %% of the hot pages that stay, %s: killed",
			     how);
			skip("a number, not a promise");
		}
	} else {
		join(child);
	}
	note("measured: line 16: %% of the hot pages that stay, %s: %.1f", how,
	     100.0 * (double)result->hot / (double)HOT);
	note("measured: line 16: cold pages dropped per page that had to go, %s: %.2f",
	     how, (double)result->cold / (double)NEEDED);
	note("%zu rounds over %zu hot pages", result->rounds, HOT);
	if (native)
		skip("a number, not a promise");
	want_eq(result->bad, 0);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

static void want_hot_stay(void)
{
	want_ge(result->rounds, 10);
	want_ge(100 * result->hot, 95 * HOT);
	want_le(100 * result->cold, 125 * NEEDED);
}

TEST(control, "line 16: control: the same pages, touched by nobody, go like the others")
{
	measure("touched by nobody", NULL);
	want_le(100 * result->hot, 75 * HOT);
}

TEST(loaded, "line 16: a tenth of the pages, read all the time by a thread, stays (95 %) while half of the others goes")
{
	measure("read all the time", load_all_the_time);
	want_hot_stay();
}

TEST(loaded_slowly, "line 16: pages that are read every few milliseconds stay as well")
{
	measure("read every 5 ms", load_now_and_then);
	want_hot_stay();
}

TEST(written_from, "line 16: pages that only the kernel reads, for write(2), stay as well")
{
	measure("read by write(2)", write_all_the_time);
	want_hot_stay();
}
