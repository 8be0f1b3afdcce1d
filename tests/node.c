// SPDX-License-Identifier: GPL-2.0-only
/*
 * No memory left, and no cgroup in it: all of a node's is held, and who stores is
 * bound to that node.  The rest of the machine has memory, so that nothing but
 * the device is put to the test.
 * Contract lines 24 and 25.
 */
// vm: --mem 320 --smp 2 --numa 2
#define _GNU_SOURCE
#include <linux/droppable.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/process.h"
#include "support/tap.h"

#define NODE 1
/* More than comes back for all that when the node is full. */
#define PAGES 8192UL
/* A table of pages is the core's to allocate, and it would kill for it. */
#define TABLE (2 * MIB)
#define CHUNK (16 * PAGE)

static struct shared {
	volatile size_t held;
	volatile bool full;
	volatile bool storing;
	volatile size_t stored;
} *shared;

static pid_t hog;
static size_t kills;

/* From here on: the stack, too, is there already. */
static void bind_to_node(void)
{
	unsigned long nodes = 1UL << NODE;
	volatile char stack[64 * KIB];

	for (size_t i = 0; i < sizeof(stack); i += PAGE)
		stack[i] = 1;
	want_ok(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes,
			8 * sizeof(nodes)));
}

static void oom_score(const char *score)
{
	write_file("/proc/self/oom_score_adj", score);
}

static bool try_pin(int fd, char *at, size_t length)
{
	struct droppable_pin pin = { .addr = (uintptr_t)at, .len = length };

	if (!ioctl(fd, DROPPABLE_IOC_PIN, &pin))
		return true;
	want_eq(errno, ENOMEM);
	return false;
}

/* What making pins takes is there, so that it needs none of the node's. */
static void warm_pins(void)
{
	int fd = mem_open();
	char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);

	want_ok(area);
	for (size_t i = 0; i < PAGES; i++)
		want(try_pin(fd, area + i * PAGE, PAGE));
	close(fd);
	mem_unmap(area, PAGES * PAGE);
}

/* With all its tables, and no page. */
static char *tables_only(int fd, size_t length)
{
	char *area = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);

	want_ok(area);
	for (size_t at = 0; at < length; at += TABLE)
		area[at] = 1;
	area[length - 1] = 1;
	mem_drop(area, length);
	return area;
}

/*
 * Seconds.  A page that isn't to be had needn't be the last one: the kernel shrinks
 * its own caches a little each time somebody asks; and from 6.7 on a processor keeps
 * several MiB of what an earlier point has freed on its own list, for those that it
 * runs itself, and gives an eighth back a second.
 */
#define NO_MORE 1.0

/* Holds all that the node has, to its last page, and what comes back later too. */
static void hold_node(void)
{
	size_t length = meminfo("MemTotal");

	shared = shared_map(PAGE);
	kills = vmstat("oom_kill");
	hog = spawn();
	if (!hog) {
		int fd = mem_open();
		char *area = tables_only(fd, length);
		double found = now();

		oom_score("-1000");
		bind_to_node();
		for (size_t step = CHUNK, at = 0; at < length;) {
			if (try_pin(fd, area + at, step)) {
				at += step;
				shared->held = at;
				found = now();
			} else if (step > PAGE) {
				step = PAGE;
			} else {
				if (now() - found > NO_MORE)
					shared->full = true;
				pause_seconds(0.02);
			}
		}
		fail("all of the machine's memory was in one node");
	}
}

/* In one and the same store for that long, not in making its pin. */
static void want_in_a_store(double seconds)
{
	size_t last = (size_t)-1;
	double since = now(), end = since + 60 * tap_slowness();

	while (now() - since < seconds) {
		if (now() > end)
			fail("goes on, at %zu", shared->stored);
		if (shared->stored != last || !shared->storing) {
			last = shared->stored;
			since = now();
		}
		pause_seconds(0.02);
	}
}

static void fill_node(void)
{
	hold_node();
	want(wait_for(shared->full || !alive(hog), 60));
	want(alive(hog));
	note("%zu MiB held", shared->held / MIB);
	want_ge(shared->held, meminfo("MemTotal") / 4);
}

/*
 * Stores to a page after the other.  The kernel may find a last few for it; it
 * pins each, or it would go on for ever by recycling them.
 */
static pid_t start_storing(void)
{
	pid_t child;

	shared->stored = 0;
	child = spawn();
	if (!child) {
		int fd = mem_open();
		char *area = tables_only(fd, PAGES * PAGE);

		warm_pins();
		bind_to_node();
		for (size_t i = 0; i < PAGES; i++) {
			shared->storing = true;
			*(volatile char *)(area + i * PAGE) = 'a';
			shared->storing = false;
			shared->stored++;
			while (!try_pin(fd, area + i * PAGE, PAGE))
				pause_seconds(0.01);
		}
		_exit(0);
	}
	want_in_a_store(2);
	want(alive(child));
	note("%zu pages were still found", shared->stored);
	return child;
}

static void free_node(void)
{
	want_ok(kill(hog, SIGKILL));
	join_signal(hog, SIGKILL);
}

TEST(control, "line 24: control: an anonymous store with no memory left in its node kills")
{
	pid_t child;

	need_device("pin");
	fill_node();
	child = spawn();
	if (!child) {
		oom_score("1000");
		bind_to_node();
		memset(anon_map(4 * MIB), 1, 4 * MIB);
		_exit(0);
	}
	join_signal(child, SIGKILL);
	want_eq(vmstat("oom_kill"), kills + 1);
	free_node();
}

/*
 * Per cent of an emulated processor, where it is 0.7 to 2.6, for what is 0.0 to 0.7
 * in counted instructions (GUEST_OPTIONS=--icount): line 24's 2 of a real one.  Was
 * up to 50 while each look in vain was at all that is pinned, and 25 while each of
 * the hog's pins that failed woke who waits.
 */
#define MOST 5.0

TEST(waits, "line 24: a store with no memory left in its node waits: nobody is killed, and it goes on when there is memory")
{
	pid_t child;
	size_t before;
	double cpu;

	need_device("pin");
	fill_node();
	child = start_storing();
	before = shared->stored;
	/* Its second look at all there is may still be under way. */
	pause_seconds(2);
	cpu = cpu_seconds(child);
	pause_seconds(5);
	cpu = 100 * (cpu_seconds(child) - cpu) / 5;
	note("%.1f %% of a processor", cpu);
	want_le(cpu, MOST * tap_slowness());
	want_eq(vmstat("oom_kill"), kills);
	free_node();
	want(wait_for(shared->stored > before, 10));
	join(child);
	want_eq(shared->stored, PAGES);
	want_eq(vmstat("oom_kill"), kills);
}

/*
 * Milliseconds.  A signal that comes while the core looks for something to reclaim
 * is seen when it has looked.  On an emulated processor that takes 1 to 5; 2 to
 * 1800 while it was a look at all that is pinned.
 */
#define ONE_LOOK 500

static void want_ended_by(int number)
{
	double began, took;
	pid_t child;

	need_device("pin");
	fill_node();
	child = start_storing();
	began = now();
	want_ok(kill(child, number));
	join_signal(child, number);
	took = 1000 * (now() - began);
	note("%.0f ms", took);
	want_le(took, ONE_LOOK * tap_slowness());
	want_eq(vmstat("oom_kill"), kills);
	free_node();
}

TEST(sigterm, "line 25: with no memory left in its node, SIGTERM ends a store when one attempt at reclaim is over")
{
	want_ended_by(SIGTERM);
}

TEST(sigkill, "line 25: likewise SIGKILL")
{
	want_ended_by(SIGKILL);
}
