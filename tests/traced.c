// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waits for memory, counted and traced; faults and drops traced.
 * Contract line 39.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/process.h"
#include "support/tap.h"
#include "support/tracing.h"

#define TAG 0xc039
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)

#define KEPT (8 * MIB)

/* A store that finds no memory at all, and then is given some. */
static void starve(int fd)
{
	volatile int *touches = shared_map(PAGE);
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t keeper, child;

	keeper = cgroup_keeper(&group, KEPT);
	cgroup_set(&group, "memory.max", KEPT / 2);
	child = spawn();
	if (!child) {
		char *area = device_map(fd, LENGTH);

		/* Its page tables are there, and no page of it. */
		area[0] = area[LENGTH - 1] = 1;
		want_ok(mlockall(MCL_CURRENT));
		mem_drop(area, LENGTH);
		cgroup_enter(&group);
		*touches = 1;
		area[PAGE] = 1;
		_exit(0);
	}
	want(wait_for(*touches || !alive(child), 30));
	want(wait_for(file_counter(fd, "waits"), 30));
	pause_seconds(0.05);
	want(alive(child));
	cgroup_set(&group, "memory.max", 4 * KEPT);
	join(child);
	kill(keeper, SIGKILL);
	join_signal(keeper, SIGKILL);
}

TEST(waits, "line 39: a fault that waits for memory is counted, in fdinfo and in sysfs")
{
	int fd = device_open();
	size_t before = device_counter("waits");

	starve(fd);
	want_ge(file_counter(fd, "waits"), 1);
	want_eq(device_counter("waits") - before, file_counter(fd, "waits"));
}

static char trace_text[256 * KIB];

static void start_tracing(void)
{
	tracing_start();
	want_eq(access(TRACING "/events/droppable/droppable_fault", F_OK), 0);
	want_eq(access(TRACING "/events/droppable/droppable_drop", F_OK), 0);
	want_eq(access(TRACING "/events/droppable/droppable_wait", F_OK), 0);
	write_file(TRACING "/events/droppable/enable", "1");
}

static void stop_tracing(void)
{
	write_file(TRACING "/tracing_on", "0");
	write_file(TRACING "/events/droppable/enable", "0");
	want(try_read_file(TRACING "/trace", trace_text, sizeof(trace_text)));
	tracing_stop();
}

/* The fields of the next event of that name, and past it. */
static const char *next_event(const char **from, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), ": %s: ", name);
	at = strstr(*from, key);
	if (!at)
		return NULL;
	*from = at + strlen(key);
	return *from;
}

TEST(trace_fault_drop, "line 39: the tracepoints droppable:droppable_fault and droppable_drop tell region, address, pages")
{
	int fd = device_open();
	volatile char *area = device_map(fd, LENGTH);
	const char *at = trace_text, *event;
	char region[32], first_region[32], how[16];
	unsigned long address, index, nr, dropped, sum = 0;

	start_tracing();
	for (size_t i = 0; i < 4; i++)
		area[(2 + i) * PAGE] = 1;
	(void)area[9 * PAGE];
	mem_drop((void *)area, LENGTH);
	stop_tracing();

	for (size_t i = 0; i < 4; i++) {
		event = next_event(&at, "droppable_fault");
		want(event);
		want_eq(sscanf(event, "region=%31s address=%lx index=%lu %15s",
			       region, &address, &index, how), 4);
		if (i == 0)
			strcpy(first_region, region);
		want(!strcmp(region, first_region));
		want_eq(address & ~(PAGE - 1),
			(uintptr_t)area + (2 + i) * PAGE);
		want_eq(index, 2 + i);
		want(!strcmp(how, "write"));
	}
	event = next_event(&at, "droppable_fault");
	want(event);
	want_eq(sscanf(event, "region=%31s address=%lx index=%lu %15s", region,
		       &address, &index, how), 4);
	want_eq(address & ~(PAGE - 1), (uintptr_t)area + 9 * PAGE);
	want(!strcmp(how, "read"));
	while ((event = next_event(&at, "droppable_drop"))) {
		want_eq(sscanf(event, "region=%31s index=%lu nr=%lu dropped=%lu",
			       region, &index, &nr, &dropped), 4);
		want(!strcmp(region, first_region));
		want_le(dropped, nr);
		want_ge(index, 2);
		want_le(index + nr, 10);
		sum += dropped;
	}
	want_eq(sum, file_counter(fd, "dropped"));
	want_ge(sum, 4);
}

TEST(trace_wait, "line 39: the tracepoint droppable:droppable_wait tells how long a fault waited")
{
	int fd = device_open();
	const char *at = trace_text, *event;
	unsigned long address, waited;
	size_t events = 0;

	start_tracing();
	starve(fd);
	stop_tracing();
	while ((event = next_event(&at, "droppable_wait"))) {
		want_eq(sscanf(event, "address=%lx waited=%luus", &address,
			       &waited), 2);
		want_ne(address, 0);
		want_ge(waited, 1);
		want_le(waited, 30 * 1000 * 1000UL);
		events++;
	}
	want_eq(events, file_counter(fd, "waits"));
}
