// SPDX-License-Identifier: GPL-2.0-only
/*
 * A store when no memory is to be had: it recycles the mapping's own pages or
 * waits, and kills nobody.
 * Contract lines 24 and 25.
 *
 * The cgroup of these tests is full of anonymous memory that can't be swapped,
 * of a process that can't be killed; a victim that can be killed sits in it,
 * to be found dead when anybody asks the OOM killer.  The storing process
 * locks and touches all it needs before it enters the group, so that nothing
 * but droppable memory is charged there.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

#define PAGES 16UL
#define TAG 0x57a4
#define KEPT (8 * MIB)

static struct cgroup group;
static pid_t keeper, victim;
static size_t kills;

static volatile struct {
	int filled;
	int inside;
	int started;
	int stores;
	int done;
	int handled;
	int protects;
} *shared;

static void touch_stack(void)
{
	volatile char room[64 * KIB];

	for (size_t i = 0; i < sizeof(room); i += PAGE)
		room[i] = 1;
}

static void settle(void)
{
	touch_stack();
	want_ok(mlockall(MCL_CURRENT));
}

/* The group is left with room bytes that a charge can still have. */
static void fill_group(size_t room)
{
	shared = shared_map(PAGE);
	kills = vmstat("oom_kill");
	group = cgroup_new(CGROUP_MAX);

	keeper = spawn();
	if (!keeper) {
		char *kept = anon_map(KEPT);

		write_file("/proc/self/oom_score_adj", "-1000");
		cgroup_enter(&group);
		memset(kept, 1, KEPT);
		shared->filled = 1;
		for (;;)
			pause();
	}
	want(wait_for(shared->filled, 30));
	if (room)
		cgroup_set(&group, "memory.max",
			   cgroup_get(&group, "memory.current") + room);
	else
		cgroup_set(&group, "memory.max", KEPT / 2);

	victim = spawn();
	if (!victim) {
		settle();
		write_file("/proc/self/oom_score_adj", "1000");
		cgroup_enter(&group);
		shared->inside = 1;
		for (;;)
			pause();
	}
	want(wait_for(shared->inside, 30));
}

static void want_nobody_killed(void)
{
	want(alive(victim));
	want(alive(keeper));
	want_eq(cgroup_event(&group, "oom_kill"), 0);
	want_eq(vmstat("oom_kill"), kills);
}

static void give_memory(void)
{
	cgroup_set(&group, "memory.max", 4 * KEPT);
}

TEST(control, "line 24: control: an anonymous store in such a cgroup does kill the victim")
{
	pid_t child;

	fill_group(0);
	child = spawn();
	if (!child) {
		char *area = anon_map(2 * MIB);

		settle();
		munlockall();
		madvise(area, 2 * MIB, MADV_DONTNEED);
		cgroup_enter(&group);
		area[MIB] = 1;
		_exit(0);
	}
	join_signal(victim, SIGKILL);
	want_ge(cgroup_event(&group, "oom_kill"), 1);
}

/* With its page tables, and without one page. */
static char *empty_area(size_t length)
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

TEST(recycles, "line 24: stores of more than there is room for go on by recycling, nobody is killed")
{
	size_t size = 8 * MIB;
	pid_t child;

	fill_group(2 * MIB);
	child = spawn();
	if (!child) {
		char *area;

		settle();
		area = empty_area(size);
		cgroup_enter(&group);
		shared->started = 1;
		fill(area, size / PAGE, TAG, 1);
		shared->done = 1;
		/* Out of it, to look at leisure. */
		cgroup_enter_root();
		want_eq(tally(area, size / PAGE, TAG, 1).bad, 0);
		want_eq(page_state(area + size - PAGE, TAG, 1, size / PAGE - 1),
			PAGE_WHOLE);
		_exit(0);
	}
	join(child);
	want_nobody_killed();
}

static void *protect_thread(void *other)
{
	for (;;) {
		mprotect(other, PAGE, PROT_READ);
		mprotect(other, PAGE, PROT_READ | PROT_WRITE);
		shared->protects++;
		pause_seconds(0.01);
	}
	return NULL;
}

static void handle(int number)
{
	(void)number;
	shared->handled++;
}

/* A process whose store finds no memory at all. */
static pid_t start_waiter(bool with_thread)
{
	pid_t child;

	fill_group(0);
	child = spawn();
	if (!child) {
		struct sigaction action = { .sa_handler = handle };
		char *area, *other;
		pthread_t thread;

		want_ok(sigaction(SIGUSR1, &action, NULL));
		other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (with_thread)
			want_eq(pthread_create(&thread, NULL, protect_thread,
					       other), 0);
		settle();
		area = empty_area(PAGES * PAGE);
		cgroup_enter(&group);
		shared->started = 1;
		for (size_t i = 0; i < PAGES; i++) {
			area[i * PAGE + i] = 'a';
			shared->stores++;
		}
		shared->done = 1;
		for (size_t i = 0; i < PAGES; i++) {
			if (area[i * PAGE + i] != 'a' && area[i * PAGE + i])
				_exit(3);
		}
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	want(shared->started);
	return child;
}

/*
 * Until it waits: for that long not a single store more.  (Charges may be left
 * over in the batches of the CPUs; with a page of its own the process could go
 * on for ever by recycling it.)
 */
static void want_waiting(pid_t child, double seconds)
{
	double end = now() + seconds;

	while (now() < end) {
		want(alive(child));
		want(!shared->done);
		pause_seconds(0.02);
	}
}

TEST(waits, "line 24: a store with no memory to be had waits: no signal, nobody killed, the CPU idle, and goes on when there is memory")
{
	pid_t child = start_waiter(false);
	double cpu, began;

	want_waiting(child, 0.5);
	cpu = cpu_seconds(child);
	began = now();
	want_waiting(child, 2);
	cpu = (cpu_seconds(child) - cpu) / (now() - began);
	note("%.1f %% CPU while waiting, %d stores done", 100 * cpu,
	     shared->stores);
	want_le(100 * cpu, 20);
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
	want_nobody_killed();
}

TEST(waits_unlocked, "line 24: while a store waits, another thread can take mmap_lock for writing")
{
	pid_t child = start_waiter(true);
	char line[64];
	char path[64];
	int before;

	want_waiting(child, 0.5);
	before = shared->protects;
	want(wait_for(shared->protects > before + 10, 20));
	want(!shared->done);
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	want(try_read_file(path, line, sizeof(line)));
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	/* The thread is still there: the process ends by exit_group. */
	join(child);
}

static void want_dies(int number)
{
	pid_t child = start_waiter(false);
	double began;

	want_waiting(child, 0.5);
	began = now();
	want_ok(kill(child, number));
	want(wait_for(!alive(child), 10));
	note("dead after %.0f ms", 1000 * (now() - began));
	want_le(1000 * (now() - began), 2000);
	join_signal(child, number);
	want_nobody_killed();
}

TEST(sigterm, "line 25: SIGTERM ends a waiting store at once")
{
	want_dies(SIGTERM);
}

TEST(sigkill, "line 25: SIGKILL ends a waiting store at once")
{
	want_dies(SIGKILL);
}

TEST(handled, "line 25: a handled signal is handled at once, and the store waits on")
{
	pid_t child = start_waiter(false);

	want_waiting(child, 0.5);
	for (int i = 1; i <= 10; i++) {
		double began = now();

		want_ok(kill(child, SIGUSR1));
		want(wait_for(shared->handled >= i || !alive(child), 10));
		want_eq(shared->handled, i);
		want_le(1000 * (now() - began), 2000);
		want(!shared->done);
	}
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
}

TEST(no_table, "line 24: a store that needs a page table as well, with no memory to be had: no signal, nobody killed")
{
	pid_t child;

	fill_group(0);
	child = spawn();
	if (!child) {
		char *area;

		settle();
		area = mem_map(8 * MIB);
		cgroup_enter(&group);
		shared->started = 1;
		area[4 * MIB] = 1;
		shared->done = 1;
		_exit(0);
	}
	want(wait_for(shared->started, 30));
	for (double end = now() + 1; now() < end; pause_seconds(0.02)) {
		if (alive(child) && alive(victim))
			continue;
		skip("the core charges a page table page before ->fault (one per 2 MiB): see droppable(4)");
	}
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
}
