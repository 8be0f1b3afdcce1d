// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long reclaim holds locks that others want, however large a mapping is:
 * the file's i_mmap_rwsem, the list's lock, the folios' locks.  A pass takes a
 * batch at a time, so a million pages hold nobody up for longer than a few
 * hundred.
 *
 * Measured by ftrace on the stock kernel, by the functions that hold them, in
 * instructions: the guest's clock counts those, of interrupts that come in
 * between too.  A kernel without ftrace, as those that look for faults are, runs the
 * passes all the same, and says that nothing was measured.
 * Contract line 41.
 */
// vm: --mem 640 --timeout 300 --icount
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/process.h"
#include "support/tap.h"
#include "support/tracing.h"

/* Who holds what, from its first instruction to its last at most. */
static const struct holder {
	const char *function;
	const char *lock;
} holders[] = {
	{ "droppable_unmap", "i_mmap_rwsem" },
	{ "list_lru_walk_one", "the list's lock" },
	{ "droppable_drop", "the folios' locks" },
};

/*
 * Thousand instructions.  A batch of 128 pages takes 300 to 1400, an interrupt or
 * another task's turn in between at times 3000; a batch of 4096 took 22000 with
 * i_mmap_rwsem held.
 */
#define LONGEST 10000

#define HOLDERS (sizeof(holders) / sizeof(*holders))

struct times {
	size_t calls[HOLDERS];
	double longest[HOLDERS];
};

static bool can_trace(void)
{
	bool can;

	tracing_start();
	can = try_write_file(TRACING "/current_tracer", "function_graph");
	if (can)
		write_file(TRACING "/current_tracer", "nop");
	tracing_stop();
	return can;
}

static void start_tracing(void)
{
	tracing_start();
	write_file(TRACING "/tracing_on", "0");
	write_file(TRACING "/set_ftrace_filter", "");
	for (size_t i = 0; i < HOLDERS; i++) {
		FILE *filter = fopen(TRACING "/set_ftrace_filter", "a");

		want(filter);
		fprintf(filter, "%s\n", holders[i].function);
		want_eq(fclose(filter), 0);
	}
	write_file(TRACING "/buffer_size_kb", "8192");
	write_file(TRACING "/current_tracer", "function_graph");
	write_file(TRACING "/tracing_on", "1");
}

/*
 * A call without calls in it is one line, with its time; another begins with
 * a brace and has its time beside the closing one.
 */
static void note_line(const char *line, struct times *times, int *open)
{
	static const char *stack[16];
	const char *bar = strchr(line, '|'), *unit = strstr(line, " us ");
	const char *name = NULL;
	double time;

	if (!bar)
		return;
	for (size_t i = 0; i < HOLDERS; i++) {
		const char *at = strstr(bar, holders[i].function);
		size_t length = strlen(holders[i].function);

		if (at && (at[length] == '(' || at[length] == ' '))
			name = holders[i].function;
	}
	if (strchr(bar, '{')) {
		if (*open < 16)
			stack[(*open)++] = name;
		return;
	}
	if (strchr(bar, '}') && *open > 0)
		name = stack[--*open];
	if (!name || !unit || unit > bar)
		return;
	while (unit > line && strchr("0123456789.", unit[-1]))
		unit--;
	time = strtod(unit, NULL);
	for (size_t i = 0; i < HOLDERS; i++) {
		if (name != holders[i].function)
			continue;
		times->calls[i]++;
		if (time > times->longest[i])
			times->longest[i] = time;
	}
}

static struct times stop_tracing(void)
{
	struct times times = { 0 };
	char line[256];
	int open = 0;
	FILE *trace;

	write_file(TRACING "/tracing_on", "0");
	trace = fopen(TRACING "/trace", "r");
	want(trace);
	while (fgets(line, sizeof(line), trace))
		note_line(line, &times, &open);
	fclose(trace);
	write_file(TRACING "/current_tracer", "nop");
	write_file(TRACING "/set_ftrace_filter", "");
	tracing_stop();
	return times;
}

/* Touches @count pages, @apart of each other, in no order. */
static void scatter(char *area, size_t count, size_t apart)
{
	/* Prime to every power of two: each page once. */
	size_t step = 40503;

	for (size_t i = 0; i < count; i++)
		area[i * step % count * apart * PAGE] = 1;
}

/* The times of a reclaim of half of it; none if they aren't @traced. */
static struct times reclaim(bool traced, const char *what, size_t pages,
			    size_t apart)
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	size_t count = pages / apart, before, after;
	struct times times = { 0 };
	volatile int *touched = shared_map(PAGE);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(pages * PAGE);

		cgroup_enter(&group);
		scatter(area, count, apart);
		*touched = 1;
		for (;;)
			pause();
	}
	want(wait_for(*touched || !alive(child), 200));
	before = cgroup_get(&group, "memory.current");
	if (traced)
		start_tracing();
	cgroup_try_set(&group, "memory.max", before - count * PAGE / 2);
	if (traced)
		times = stop_tracing();
	after = cgroup_get(&group, "memory.current");
	kill(child, SIGKILL);
	join_signal(child, SIGKILL);
	want_le(after, before - count * PAGE / 2);
	for (size_t i = 0; traced && i < HOLDERS; i++) {
		note("%s: %s: %zu times, at most %.0f thousand instructions",
		     what, holders[i].lock, times.calls[i], times.longest[i]);
		want_ge(times.calls[i], 1);
	}
	return times;
}

TEST(locks, "line 41: a pass over a mapping of a million pages holds no lock for longer than 10 million instructions")
{
	struct times few, many, sparse;
	bool traced;

	need_device("shrinker");
	traced = can_trace();
	/* The first is slower: what it needs is in no cache. */
	reclaim(traced, "4096 of 4096 pages", 4096, 1);
	few = reclaim(traced, "4096 of 4096 pages", 4096, 1);
	many = reclaim(traced, "65536 of 1048576 pages", 1048576, 16);
	sparse = reclaim(traced,
			 "4096 of 2097152 pages, each in a page table of its own",
			 2097152, 512);
	if (!traced)
		skip("this kernel has no function_graph: the passes ran, unmeasured");
	for (size_t i = 0; i < HOLDERS; i++) {
		note("measured: line 41: thousand instructions with %s held: %.0f, %.0f, %.0f",
		     holders[i].lock, few.longest[i], many.longest[i],
		     sparse.longest[i]);
		want_le(few.longest[i], LONGEST);
		want_le(many.longest[i], LONGEST);
		want_le(sparse.longest[i], LONGEST);
	}
}
