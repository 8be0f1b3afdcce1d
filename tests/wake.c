// SPDX-License-Identifier: GPL-2.0-only
/*
 * A store that waits for memory goes on when there is some, woken by whoever
 * freed it, or soon after a limit was raised.
 * Contract line 24.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/starved.h"
#include "support/tap.h"
#include "support/tracing.h"

#define TAG 0x3a4e
#define ROUNDS 4
#define OURS 256UL

/* Whom a task is woken by tells the tracepoint of the scheduler. */
static void trace_wakings(pid_t woken)
{
	char filter[32];

	snprintf(filter, sizeof(filter), "pid == %d", woken);
	write_file(TRACING "/trace", "");
	write_file(TRACING "/events/sched/sched_waking/filter", filter);
	write_file(TRACING "/events/sched/sched_waking/enable", "1");
}

/*
 * Whether that task has woken it, by itself: an interrupt that only happens to
 * come there, as the waiter's own timer, has a letter in its third flag.
 */
static bool woken_by(pid_t waker)
{
	static char text[256 * KIB];
	bool found = false;

	write_file(TRACING "/events/sched/sched_waking/enable", "0");
	want(try_read_file(TRACING "/trace", text, sizeof(text)));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char flags[16];
		int task;

		if (sscanf(line, " %*15[^-]-%d [%*d] %15s", &task, flags) == 2 &&
		    task == waker && flags[2] == '.')
			found = true;
	}
	return found;
}

/* Droppable memory that can't be dropped until it says so. */
static pid_t start_holder(void)
{
	pid_t child = spawn();

	if (!child) {
		struct iovec range = { .iov_len = OURS * PAGE };
		char *area;
		int fds[2];

		want_ok(pipe(fds));
		want_ge(fcntl(fds[1], F_SETPIPE_SZ, OURS * PAGE), OURS * PAGE);
		settle();
		area = empty_area(OURS * PAGE);
		range.iov_base = area;
		write_file("/proc/self/oom_score_adj", "-1000");
		cgroup_enter(&starved.group);
		fill(area, OURS, TAG, 1);
		want_eq(vmsplice(fds[1], &range, 1, SPLICE_F_NONBLOCK),
			OURS * PAGE);
		shared->started = 1;
		while (!shared->go)
			pause_seconds(0.002);
		close(fds[0]);
		close(fds[1]);
		shared->freed = now();
		mem_unmap(area, OURS * PAGE);
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	shared->started = 0;
	return child;
}

struct waking {
	double took;		/* from memory's return to the store, in ms */
	bool direct;		/* whoever freed the memory woke it */
};

static struct waking wake_once(bool ours, double wait)
{
	struct waking waking = { .direct = false };
	pid_t holder = 0, child;

	starved_keeper();
	if (ours)
		holder = start_holder();
	starved_limit(0);
	starved_victim();
	child = start_storing(NULL);
	want_waiting(child, wait);
	if (ours) {
		trace_wakings(child);
		shared->go = 1;
	} else {
		shared->freed = now();
		starved_feed();
	}
	want(wait_for(shared->done, 10));
	if (ours)
		waking.direct = woken_by(holder);
	join(child);
	if (ours)
		join(holder);
	want_nobody_killed();
	starved_end();
	waking.took = 1000 * (shared->stored - shared->freed);
	return waking;
}

/* Returns how often it was whoever freed the memory who woke it. */
static int want_woken(bool ours, const char *by)
{
	double slowest = 0;
	int direct = 0;

	/* At different times after the waiter last looked by itself. */
	for (int i = 0; i < ROUNDS; i++) {
		struct waking waking = wake_once(ours, 0.5 + 0.23 * i);

		note("went on %.1f ms after memory returned", waking.took);
		slowest = waking.took > slowest ? waking.took : slowest;
		direct += waking.direct;
	}
	note("measured: line 24: ms until a waiting store goes on, %s: %.1f",
	     by, slowest);
	want_le(slowest, AT_ONCE / 2);
	return direct;
}

TEST(woken_by_ours, "line 24: a waiting store goes on as soon as droppable memory is freed in its cgroup, woken by who frees it, not by a timer")
{
	int direct;

	need_device("wait");
	tracing_start();
	direct = want_woken(true, "droppable memory freed");
	tracing_stop();
	note("woken by who freed it in %d of %d rounds", direct, ROUNDS);
	/* It may just be looking by itself. */
	want_ge(direct, ROUNDS / 2);
}

TEST(woken_by_limit, "line 24: a waiting store goes on as soon as memory.max is raised")
{
	need_device("wait");
	want_woken(false, "memory.max raised");
}
