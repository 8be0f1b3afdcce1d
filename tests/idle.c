// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to wait for memory: next to nothing, for the waiter and for
 * everybody else.
 * Contract line 24.
 *
 * The guest's clock counts instructions, so that a busy host makes nothing look
 * dearer: a second is 1000 million of them, fewer than any processor has that
 * these kernels run on.  What the wait is besides idle, starve has.
 */
// vm: --mem 256 --smp 2 --icount --timeout 300
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define KEPT (8 * MIB)
#define PAGES 16UL
#define SECONDS 5

static struct cgroup group;

static volatile int *done;

/* In a group that is full of what can't be had, nor its process killed. */
static pid_t fill_group(void)
{
	pid_t keeper;

	done = shared_map(PAGE);
	group = cgroup_new(CGROUP_MAX);
	keeper = cgroup_keeper(&group, KEPT);
	cgroup_set(&group, "memory.max", KEPT / 2);
	return keeper;
}

/* A byte into each of the pages: the charges left over may serve some. */
static void store(char *area, int pipe)
{
	for (size_t i = 0; i < PAGES; i++) {
		if (pipe < 0)
			*(volatile char *)(area + i * PAGE) = 'a';
		else
			want_eq(read(pipe, area + i * PAGE, 1), 1);
	}
}

static pid_t start_waiter(bool by_kernel)
{
	pid_t child = spawn();

	if (!child) {
		char bytes[PAGES] = { 0 };
		int fds[2] = { -1, -1 };
		char *area;

		if (by_kernel) {
			want_ok(pipe(fds));
			want_eq(write(fds[1], bytes, PAGES), PAGES);
		}
		want_ok(mlockall(MCL_CURRENT));
		area = mem_map(PAGES * PAGE);
		/* Its page tables are there, and no page of it. */
		fill(area, PAGES, 1, 1);
		mem_drop(area, PAGES * PAGE);
		want_eq(resident(area, PAGES * PAGE), 0);
		cgroup_enter(&group);
		store(area, fds[0]);
		*done = 1;
		_exit(0);
	}
	pause_seconds(1);
	return child;
}

/* Seconds that the processor was busy. */
static double busy_seconds(void)
{
	unsigned long user, nice, system, idle, io, irq, soft;
	char text[4096];

	want(try_read_file("/proc/stat", text, sizeof(text)));
	want_eq(sscanf(text, "cpu %lu %lu %lu %lu %lu %lu %lu", &user, &nice,
		       &system, &idle, &io, &irq, &soft), 7);
	return (double)(user + nice + system + irq + soft) /
	       (double)sysconf(_SC_CLK_TCK);
}

static void want_idle(const char *what, bool by_kernel)
{
	pid_t keeper = fill_group(), child;
	double cpu, busy;

	/* Until booting is over in the background: it takes no time here. */
	pause_seconds(60);
	child = start_waiter(by_kernel);
	if (native && wait_for(!alive(child), 1)) {
		note("measured: line 24: %% of a CPU over 5 s while %s waits: killed",
		     what);
		skip("a number, not a promise");
	}
	want(alive(child));
	cpu = cpu_seconds(child);
	busy = busy_seconds();
	pause_seconds(SECONDS);
	cpu = 100 * (cpu_seconds(child) - cpu) / SECONDS;
	busy = 100 * (busy_seconds() - busy) / SECONDS;
	note("measured: line 24: %% of a CPU over 5 s while %s waits: %.2f",
	     what, cpu);
	note("%.2f %% in all processes and interrupts", busy);
	want(!*done);
	if (native) {
		/* It was killed, and spins on until there is memory. */
		cgroup_set(&group, "memory.max", 4 * KEPT);
		wait_status(child);
		skip("a number, not a promise");
	}
	want_le(cpu * 100, 200 * tap_slowness());
	want_le(busy * 100, 400 * tap_slowness());

	cgroup_set(&group, "memory.max", 4 * KEPT);
	want(wait_for(*done, 10));
	join(child);
	kill(keeper, SIGKILL);
	join_signal(keeper, SIGKILL);
}

TEST_WITHIN(stores, 200, "line 24: a store that waits for memory costs at most 2 % of a CPU over 5 s, and nobody spins for it")
{
	want_idle("a store", false);
}

TEST_WITHIN(reads, 200, "line 24: a read(2) into it that waits for memory costs as little")
{
	want_idle("a read(2)", true);
}
