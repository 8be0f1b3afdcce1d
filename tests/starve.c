// SPDX-License-Identifier: GPL-2.0-only
/*
 * A store when no memory is to be had: it recycles the mapping's own pages or
 * waits, and kills nobody.  What wakes it, tests/wake.c has; what interrupts it,
 * tests/interrupt.c.
 * Contract lines 24 and 27.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <immintrin.h>
#include <linux/droppable.h>
#include <pthread.h>
#include <sched.h>
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
#include "support/starved.h"
#include "support/tap.h"

#define TAG 0x57a4

TEST(control, "line 24: control: an anonymous store in such a cgroup does kill the victim")
{
	pid_t child;

	starved_fill(0);
	child = spawn();
	if (!child) {
		char *area = anon_map(2 * MIB);

		settle();
		munlockall();
		madvise(area, 2 * MIB, MADV_DONTNEED);
		cgroup_enter(&starved.group);
		area[MIB] = 1;
		_exit(0);
	}
	join_signal(starved.victim, SIGKILL);
	want_ge(cgroup_event(&starved.group, "oom_kill"), 1);
}

/* Of pages stored to in order, where there was room for a quarter of them. */
static void want_oldest_gone(char *area, size_t pages)
{
	size_t whole = 0, oldest = pages;

	for (size_t i = 0; i < pages; i++) {
		enum page_state state = page_state(area + i * PAGE, TAG, 1, i);

		want_ne(state, PAGE_BAD);
		if (state != PAGE_WHOLE)
			continue;
		whole++;
		if (oldest == pages)
			oldest = i;
	}
	note("%zu of %zu pages whole, the oldest is %zu", whole, pages, oldest);
	want_ge(oldest, pages / 2);
	for (size_t i = pages - pages / 32; i < pages; i++)
		want_eq(page_state(area + i * PAGE, TAG, 1, i), PAGE_WHOLE);
}

TEST(recycles, "line 24: stores of more than there is room for go on by recycling the oldest pages, nobody is killed")
{
	size_t size = 8 * MIB;
	pid_t child;

	starved_fill(2 * MIB);
	child = spawn();
	if (!child) {
		char *area;

		settle();
		area = empty_area(size);
		cgroup_enter(&starved.group);
		shared->started = 1;
		fill(area, size / PAGE, TAG, 1);
		shared->done = 1;
		/* Out of it, to look at leisure. */
		cgroup_enter_root();
		want_oldest_gone(area, size / PAGE);
		_exit(0);
	}
	join(child);
	want_nobody_killed();
}

/*
 * Of a mapping whose pages are another group's reclaim can't help, so these
 * stores find nothing but the mapping itself.  What goes is what is oldest.
 */
TEST(recycles_oldest, "line 24: a mapping's own oldest pages are reused before a store waits, and counted")
{
	const size_t old = 64, new = 32;
	pid_t child;

	need_device("counters");
	starved_fill(0);
	child = spawn();
	if (!child) {
		unsigned char there[2 * old];
		size_t recycled;
		char *area;
		int fd;

		settle();
		fd = mem_open();
		area = mmap(NULL, 2 * old * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
		want_ok(area);
		fill(area, old, TAG, 1);
		/* All nodes of the index are there. */
		fill_page(area + (2 * old - 1) * PAGE, TAG, 1, 2 * old - 1);
		cgroup_enter(&starved.group);
		shared->started = 1;
		for (size_t i = old; i < old + new; i++)
			fill_page(area + i * PAGE, TAG, 1, i);
		want_ok(mincore(area, 2 * old * PAGE, there));
		shared->done = 1;
		/* What is opened is charged. */
		while (!shared->go)
			pause_seconds(0.005);
		recycled = file_counter(fd, "recycled");
		note("%zu of %zu stores recycled a page", recycled, new);
		want_eq(file_counter(fd, "waits"), 0);
		/* A charge may have been left over. */
		want_ge(recycled, new - 4);
		for (size_t i = 0; i < 2 * old; i++)
			want_eq(there[i] & 1,
				(i >= recycled && i < old + new) ||
					i == 2 * old - 1);
		want_eq(tally(area, 2 * old, TAG, 1).bad, 0);
		_exit(0);
	}
	want(wait_for(shared->done || !alive(child), 30));
	want_nobody_killed();
	starved_feed();
	shared->go = 1;
	join(child);
}

static void changed(double began)
{
	double took = 1000 * (now() - began);

	if (took > shared->slowest)
		shared->slowest = took;
	shared->changes++;
	pause_seconds(0.01);
}

/*
 * Takes mmap_lock for writing, and the lock of the very VMA that is waited in,
 * without anything to be charged.
 */
static void *protect_thread(void *other)
{
	for (;;) {
		double began = now();

		mprotect(other, PAGE, PROT_READ);
		mprotect(other, PAGE, PROT_READ | PROT_WRITE);
		if (stored_to) {
			want_ok(madvise(stored_to, STARVED_PAGES * PAGE,
					MADV_RANDOM));
			want_ok(madvise(stored_to, STARVED_PAGES * PAGE,
					MADV_NORMAL));
		}
		changed(began);
	}
	return NULL;
}

static void start_protecting(void)
{
	void *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	want_ok(other);
	want_eq(pthread_create(&thread, NULL, protect_thread, other), 0);
}

/* What that costs, tests/idle.c counts. */
TEST(waits, "line 24: a store with no memory to be had waits: no signal, nobody killed, and goes on when there is memory")
{
	pid_t child = start_waiter(NULL);

	want_waiting(child, 5);
	want_nobody_killed();
	starved_feed();
	want(wait_for(shared->done, 10));
	join(child);
	want_nobody_killed();
}

TEST(waits_unlocked, "line 24: while a store waits, another thread can take mmap_lock for writing, and the lock of that VMA")
{
	pid_t child = start_waiter(start_protecting);
	char line[64];
	char path[64];
	int before;

	want_waiting(child, 0.5);
	before = shared->changes;
	shared->slowest = 0;
	want_waiting(child, 2);
	want(wait_for(shared->changes > before + 10, 20));
	note("%d changes of two VMAs, the slowest in %.1f ms",
	     shared->changes - before, shared->slowest);
	want_le(shared->slowest, AT_ONCE);
	want(!shared->done);
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	want(try_read_file(path, line, sizeof(line)));
	want_nobody_killed();
	starved_feed();
	want(wait_for(shared->done, 10));
	/* The thread is still there: the process ends by exit_group. */
	join(child);
}

/* Shares its maker's memory; in the group, it alone. */
static int store_in_group(void *area)
{
	cgroup_enter(&starved.group);
	shared->started = 1;
	*(volatile char *)area = 'a';
	shared->done = 1;
	_exit(0);
}

TEST(maps_meanwhile, "line 24: while a store waits, the address space can be changed and faulted in from a task that has memory")
{
	pid_t child;

	starved_fill(0);
	child = spawn();
	if (!child) {
		char *stack = anon_map(64 * KIB);
		pid_t waiter;
		char *area;

		settle();
		area = empty_area(STARVED_PAGES * PAGE);
		waiter = clone(store_in_group, stack + 64 * KIB,
			       CLONE_VM | CLONE_FILES | SIGCHLD, area);
		want_ok(waiter);
		while (!shared->done) {
			double began = now();
			char *other = anon_map(MIB);

			memset(other, 1, 8 * PAGE);
			want_ok(munmap(other, MIB));
			other = mem_map(STARVED_PAGES * PAGE);
			fill(other, STARVED_PAGES, TAG, 1);
			want_whole(other, STARVED_PAGES, TAG, 1);
			mem_unmap(other, STARVED_PAGES * PAGE);
			changed(began);
		}
		join(waiter);
		want(*area == 'a' || !*area);
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	want_waiting(child, 0.5);
	shared->slowest = 0;
	shared->changes = 0;
	want_waiting(child, 2);
	note("%d times mapped, filled and unmapped, the slowest in %.1f ms",
	     shared->changes, shared->slowest);
	want_ge(shared->changes * (int)tap_slowness(), 10);
	want_le(shared->slowest, AT_ONCE);
	want_nobody_killed();
	starved_feed();
	want(wait_for(shared->done, 10));
	join(child);
}

/* Of pages, all in one node of the index. */
#define WIDE 60UL

static void copy_unaligned(char *area)
{
	char *from = area + PAGE - 3, *to = area + WIDE / 2 * PAGE - 5;
	size_t count = (WIDE / 2 - 2) * PAGE / 8;

	asm volatile("rep movsq"
		     : "+S"(from), "+D"(to), "+c"(count)
		     :
		     : "memory");
	want_eq(count, 0);
}

__attribute__((target("avx2"))) static void gather(char *area)
{
	for (size_t first = 1; first + 8 * 7 < WIDE; first++) {
		__m256i at = _mm256_setr_epi32(-4, PAGE * 7 - 2, PAGE * 14 - 1,
					       PAGE * 21 - 3, PAGE * 28 - 2,
					       PAGE * 35 - 1, PAGE * 42 - 3,
					       PAGE * 49 - 2);
		__m256i got, zero = _mm256_setzero_si256();

		/* Else the pages wouldn't be there to be told apart. */
		for (size_t i = 0; i < 8; i++)
			area[(first + i * 7) * PAGE] = 1;
		got = _mm256_i32gather_epi32((int *)(area + first * PAGE), at,
					     1);
		want(_mm256_movemask_epi8(_mm256_cmpgt_epi32(zero, got)) == 0);
	}
}

/* Calls touch() where so many pages can be had, and not one more. */
static void want_progress(size_t room, void (*touch)(char *area))
{
	double began;
	pid_t child;

	starved_keeper();
	starved_limit(room * PAGE);
	starved_victim();
	child = spawn();
	if (!child) {
		unsigned char there[WIDE];
		cpu_set_t one;
		char *area;

		/* On one CPU, so that there is one batch of charges. */
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		want_ok(sched_setaffinity(0, sizeof(one), &one));
		settle();
		area = empty_area(WIDE * PAGE);
		cgroup_enter(&starved.group);
		memset(area, 1, WIDE * PAGE);
		shared->started = 1;
		touch(area);
		/* Opens nothing: that would be charged. */
		want_ok(mincore(area, WIDE * PAGE, there));
		for (size_t i = 0; i < WIDE; i++)
			shared->had += there[i] & 1;
		shared->done = 1;
		cgroup_enter_root();
		for (size_t i = 0; i < WIDE * PAGE; i++)
			want_le((unsigned char)area[i], 1);
		_exit(0);
	}
	began = now();
	want(wait_for(shared->done || !alive(child), 40));
	join(child);
	note("room for %zu pages, %zu of them data: %.0f ms", room,
	     shared->had, 1000 * (now() - began));
	want_ge(shared->had, 1);
	want_le(shared->had, room);
	want_nobody_killed();
	starved_end();
}

TEST(movs, "line 27: rep movs across page borders at both ends goes on where only a few pages can be had")
{
	for (size_t room = 5; room <= 7; room++)
		want_progress(room, copy_unaligned);
}

TEST(gathers, "line 27: a gather of elements that lie across page borders goes on where only a few pages can be had")
{
	if (!__builtin_cpu_supports("avx2"))
		skip("this CPU has no AVX2");
	for (size_t room = 5; room <= 7; room++)
		want_progress(room, gather);
}

#define COUNTERS 12

/* As many as there is room for, and the next: each is a page of the module's. */
static void map_counters(const int *fds)
{
	for (int i = 0; i < COUNTERS; i++) {
		void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fds[i],
				  DROPPABLE_COUNTER_OFFSET);

		shared->error = errno;
		if (page == MAP_FAILED)
			break;
		shared->had++;
	}
}

TEST(no_counter, "line 24: mapping the counter page with no memory to be had is ENOMEM, and nobody is killed")
{
	pid_t child;

	need_device("counter page");
	starved_keeper();
	starved_limit(COUNTERS / 2 * PAGE);
	starved_victim();
	child = spawn();
	if (!child) {
		int fds[COUNTERS];
		cpu_set_t one;

		/* On one CPU, so that one page serves what the core makes. */
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		want_ok(sched_setaffinity(0, sizeof(one), &one));
		settle();
		for (int i = 0; i < COUNTERS; i++)
			fds[i] = mem_open();
		cgroup_enter(&starved.group);
		map_counters(fds);
		_exit(0);
	}
	join(child);
	note("%zu of %d mapped, then %s", shared->had, COUNTERS,
	     tap_errno(shared->error));
	want_nobody_killed();
	want_ge(shared->had, 1);
	want_le(shared->had, COUNTERS / 2);
	want_eq(shared->error, ENOMEM);
}

TEST(no_table, "line 24: a store that needs a page table as well, with no memory to be had: no signal, nobody killed")
{
	pid_t child;

	starved_fill(0);
	child = spawn();
	if (!child) {
		char *area;

		settle();
		area = mem_map(8 * MIB);
		cgroup_enter(&starved.group);
		shared->started = 1;
		area[4 * MIB] = 1;
		shared->done = 1;
		_exit(0);
	}
	want(wait_for(shared->started, 30));
	for (double end = now() + 1; now() < end; pause_seconds(0.02)) {
		if (alive(child) && alive(starved.victim))
			continue;
		skip("the core charges a page table page before ->fault (one per 2 MiB): see droppable(4)");
	}
	want_nobody_killed();
	starved_feed();
	want(wait_for(shared->done, 10));
	join(child);
}
