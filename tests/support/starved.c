// SPDX-License-Identifier: GPL-2.0-only
/* See starved.h. */
#define _GNU_SOURCE
#include "starved.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "figures.h"
#include "file.h"
#include "memory.h"
#include "process.h"

#define KEPT (8 * MIB)

struct starved starved;
volatile struct shared *shared;
char *volatile stored_to;

static void touch_stack(void)
{
	volatile char room[64 * KIB];

	for (size_t i = 0; i < sizeof(room); i += PAGE)
		room[i] = 1;
}

void settle(void)
{
	touch_stack();
	want_ok(mlockall(MCL_CURRENT));
}

void starved_keeper(void)
{
	shared = shared_map(PAGE);
	starved.kills = vmstat("oom_kill");
	starved.group = cgroup_new(CGROUP_MAX);
	starved.keeper = cgroup_keeper(&starved.group, KEPT);
}

void starved_victim(void)
{
	starved.victim = spawn();
	if (!starved.victim) {
		settle();
		write_file("/proc/self/oom_score_adj", "1000");
		cgroup_enter(&starved.group);
		shared->inside = 1;
		for (;;)
			pause();
	}
	want(wait_for(shared->inside, 30));
}

void starved_fill(size_t room)
{
	starved_keeper();
	if (room)
		cgroup_set(&starved.group, "memory.max",
			   cgroup_get(&starved.group, "memory.current") + room);
	else
		cgroup_set(&starved.group, "memory.max", KEPT / 2);
	starved_victim();
}

/*
 * A limit of nothing takes back what the batches of the CPUs hold, a little later;
 * nobody can be killed for it yet.  Until three in a row have taken nothing: a busy
 * machine may be late, and a single page left over is enough for a store, and by
 * recycling it for all of them.
 */
void starved_limit(size_t room)
{
	unsigned int same = 0;

	while (same < 3) {
		size_t before = cgroup_get(&starved.group, "memory.current");

		cgroup_set(&starved.group, "memory.max", 0);
		pause_seconds(0.1);
		if (cgroup_get(&starved.group, "memory.current") == before)
			same++;
		else
			same = 0;
	}
	cgroup_set(&starved.group, "memory.max",
		   cgroup_get(&starved.group, "memory.current") + room);
}

void starved_end(void)
{
	kill(starved.keeper, SIGKILL);
	kill(starved.victim, SIGKILL);
	join_signal(starved.keeper, SIGKILL);
	join_signal(starved.victim, SIGKILL);
}

void want_nobody_killed(void)
{
	want(alive(starved.victim));
	want(alive(starved.keeper));
	want_eq(cgroup_event(&starved.group, "oom_kill"), 0);
	want_eq(vmstat("oom_kill"), starved.kills);
}

void starved_feed(void)
{
	cgroup_set(&starved.group, "memory.max", 4 * KEPT);
}

char *empty_area(size_t length)
{
	char *area = mem_map(length);

	for (size_t at = 0; at < length; at += 2 * MIB)
		area[at] = 1;
	area[length - 1] = 1;
	want_ok(madvise(area, length, MADV_DONTNEED));
	mem_drop(area, length);
	want_eq(resident(area, length), 0);
	return area;
}

static void count_signal(int number)
{
	(void)number;
	shared->handled++;
}

void count_signals(void)
{
	struct sigaction action = { .sa_handler = count_signal };

	want_ok(sigaction(SIGUSR1, &action, NULL));
}

pid_t start_storing(void (*first)(void))
{
	pid_t child = spawn();

	if (!child) {
		char *area;

		count_signals();
		if (first)
			first();
		settle();
		area = empty_area(STARVED_PAGES * PAGE);
		cgroup_enter(&starved.group);
		stored_to = area;
		shared->started = 1;
		for (size_t i = 0; i < STARVED_PAGES; i++) {
			area[i * PAGE + i] = 'a';
			if (!shared->stores++)
				shared->stored = now();
		}
		shared->done = 1;
		for (size_t i = 0; i < STARVED_PAGES; i++) {
			if (area[i * PAGE + i] != 'a' && area[i * PAGE + i])
				_exit(3);
		}
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	want(shared->started);
	return child;
}

pid_t start_waiter(void (*first)(void))
{
	starved_fill(0);
	return start_storing(first);
}

/*
 * Not "until a store waits": charges may be left over in the batches of the CPUs,
 * and with a page of its own the process could go on for ever by recycling it.
 */
void want_waiting(pid_t child, double seconds)
{
	double end = now() + seconds;

	while (now() < end) {
		if (!alive(child))
			fail("has not waited: %zu stores, wait status %#x",
			     (size_t)shared->stores, wait_status(child));
		want(!shared->done);
		pause_seconds(0.02);
	}
}
