// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a child inherits: the mapping, and not one byte of it.
 * Contract lines 28, 29 and 2.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define TAG 0xf0f1

/* The child reads zeros, its store is its own, the parent keeps its data. */
static void want_wiped(char *area, size_t pages, unsigned int generation)
{
	pid_t child = spawn();

	if (!child) {
		want_zero(area, pages * PAGE);
		fill(area, pages, TAG + 1, generation);
		want_whole(area, pages, TAG + 1, generation);
		_exit(0);
	}
	join(child);
	want_whole(area, pages, TAG, generation);
}

TEST(child_zero, "line 28: the child has the mapping and reads zeros, the parent keeps its data")
{
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	want_wiped(area, PAGES, 1);
	/* Once more: the wipe is not used up. */
	fill(area, PAGES, TAG, 2);
	want_wiped(area, PAGES, 2);
}

TEST(child_stores, "line 28: stores after the fork stay on their own side")
{
	char *area = mem_map(PAGES * PAGE);
	volatile int *turn = shared_map(PAGE);
	pid_t child;

	fill(area, PAGES / 2, TAG, 1);
	child = spawn();
	if (!child) {
		/* Read, so that what a read maps is there as well. */
		want_zero(area, PAGES / 2 * PAGE);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_zero(area, PAGES * PAGE);
		fill(area, PAGES, TAG + 1, 1);
		*turn = 3;
		want(wait_for(*turn == 4, 30));
		want_whole(area, PAGES, TAG + 1, 1);
		_exit(0);
	}
	want(wait_for(*turn == 1, 30));
	fill(area, PAGES, TAG, 2);
	*turn = 2;
	want(wait_for(*turn == 3, 30));
	want_whole(area, PAGES, TAG, 2);
	fill(area, PAGES, TAG, 3);
	*turn = 4;
	join(child);
	want_whole(area, PAGES, TAG, 3);
}

TEST(grandchildren, "line 28: the same again for the child's own children")
{
	char *area = mem_map(PAGES * PAGE);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		fill(area, PAGES, TAG, 2);
		pid_t grandchild = spawn();

		if (!grandchild) {
			want_zero(area, PAGES * PAGE);
			fill(area, PAGES, TAG, 3);
			want_wiped(area, PAGES, 3);
			_exit(0);
		}
		join(grandchild);
		want_whole(area, PAGES, TAG, 2);
		_exit(0);
	}
	join(child);
	want_whole(area, PAGES, TAG, 1);
}

TEST(child_alone, "line 28: a child's mapping outlives its parent, and is dropped and written like any")
{
	char *area = mem_map(PAGES * PAGE);
	int *result = shared_map(PAGE);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		pid_t parent = getpid();

		if (!spawn()) {
			want(wait_for(getppid() != parent, 30));
			fill(area, PAGES, TAG, 7);
			want_whole(area, PAGES, TAG, 7);
			mem_drop(area, PAGES * PAGE);
			want_zero(area, PAGES * PAGE);
			fill(area, PAGES, TAG, 8);
			want_wiped(area, PAGES, 8);
			*result = 1;
			_exit(0);
		}
		_exit(0);
	}
	join(child);
	want(wait_for(*result == 1, 30));
	want_whole(area, PAGES, TAG, 1);
}

TEST(split_areas, "line 28: split, protected, moved and holed mappings are wiped as well")
{
	size_t third = PAGES / 4;
	char *area = mem_map(PAGES * PAGE);
	char *moved;
	pid_t child;

	fill(area, PAGES, TAG, 1);
	want_ok(mprotect(area + third * PAGE, PAGE, PROT_READ));
	mem_unmap(area + 2 * third * PAGE, PAGE);
	moved = mremap(area + 3 * third * PAGE, third * PAGE, third * PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED,
		       anon_map(third * PAGE));
	want_ok(moved);
	child = spawn();
	if (!child) {
		want_zero(area, 2 * third * PAGE);
		want_zero(area + (2 * third + 1) * PAGE, (third - 1) * PAGE);
		want_zero(moved, third * PAGE);
		_exit(0);
	}
	join(child);
	want_whole(area, 2 * third, TAG, 1);
	for (size_t i = 3 * third; i < PAGES; i++)
		want_eq(page_state(moved + (i - 3 * third) * PAGE, TAG, 1, i),
			PAGE_WHOLE);
}

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/*
 * These take the data away, hand the page to the memory failure code or, for
 * DONTFORK, have a test of their own.
 */
static bool destroys(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_PAGEOUT:
	case MADV_HWPOISON:
	case MADV_SOFT_OFFLINE:
	case MADV_GUARD_INSTALL:
	case MADV_DONTFORK:
		return true;
	}
	return false;
}

/* Every piece of advice by number, those this kernel may not have as well. */
static void advise_all(void *area, size_t length)
{
	for (int advice = 0; advice <= 110; advice++) {
		if (!destroys(advice))
			madvise(area, length, advice);
	}
}

TEST(keeponfork, "line 29: MADV_KEEPONFORK fails with EINVAL or changes nothing")
{
	char *area = mem_map(PAGES * PAGE);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	errno = 0;
	if (madvise(area, PAGES * PAGE, MADV_KEEPONFORK))
		want_eq(errno, EINVAL);
	want_wiped(area, PAGES, 1);
	/* Of a part, which splits the mapping. */
	madvise(area + 8 * PAGE, 8 * PAGE, MADV_KEEPONFORK);
	want_wiped(area, PAGES, 1);
	/* The child tries for its own children. */
	child = spawn();
	if (!child) {
		madvise(area, PAGES * PAGE, MADV_KEEPONFORK);
		fill(area, PAGES, TAG, 2);
		want_wiped(area, PAGES, 2);
		_exit(0);
	}
	join(child);
	want_whole(area, PAGES, TAG, 1);
}

TEST(keeponfork_control, "line 29: control: MADV_KEEPONFORK does keep anonymous memory that was to be wiped")
{
	char *area = anon_map(PAGE);
	pid_t child;

	fill(area, 1, TAG, 1);
	want_ok(madvise(area, PAGE, MADV_WIPEONFORK));
	child = spawn();
	if (!child) {
		want_zero(area, PAGE);
		_exit(0);
	}
	join(child);
	want_ok(madvise(area, PAGE, MADV_KEEPONFORK));
	child = spawn();
	if (!child) {
		want_whole(area, 1, TAG, 1);
		_exit(0);
	}
	join(child);
}

TEST(any_advice, "line 29: no other advice lets a child read a byte")
{
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	advise_all(area, PAGES * PAGE);
	want_wiped(area, PAGES, 1);
	madvise(area, PAGES * PAGE, MADV_DONTFORK);
	madvise(area, PAGES * PAGE, MADV_DOFORK);
	madvise(area, PAGES * PAGE, MADV_KEEPONFORK);
	/* 7.2 and later refuse DOFORK on it: then there is no child's mapping. */
	if (smaps_flag(area, "dc"))
		want_whole(area, PAGES, TAG, 1);
	else
		want_wiped(area, PAGES, 1);
}

TEST(dontfork, "line 29: MADV_DONTFORK leaves the child without the mapping, the parent with its data")
{
	char *area = mem_map(PAGES * PAGE);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	want_ok(madvise(area, PAGES * PAGE, MADV_DONTFORK));
	child = spawn();
	if (!child) {
		*(volatile char *)area = 1;
		_exit(0);
	}
	join_signal(child, SIGSEGV);
	want_whole(area, PAGES, TAG, 1);
}

static char *shared_area;

static int clone_body(void *unused)
{
	(void)unused;
	want_whole(shared_area, PAGES, TAG, 1);
	fill(shared_area, PAGES, TAG, 2);
	_exit(0);
}

TEST(clone_vm, "line 2: CLONE_VM shares it, vfork too")
{
	char *stack = anon_map(64 * KIB);
	pid_t child;

	shared_area = mem_map(PAGES * PAGE);
	fill(shared_area, PAGES, TAG, 1);
	child = clone(clone_body, stack + 64 * KIB, CLONE_VM | SIGCHLD, NULL);
	want_ok(child);
	join(child);
	want_whole(shared_area, PAGES, TAG, 2);
	fill(shared_area, PAGES, TAG, 1);
	child = clone(clone_body, stack + 64 * KIB,
		      CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	want_ok(child);
	join(child);
	want_whole(shared_area, PAGES, TAG, 2);
}

static volatile bool stop;

static void *store_thread(void *area)
{
	unsigned int generation = 0;

	while (!stop)
		fill(area, PAGES, TAG, ++generation);
	return NULL;
}

TEST(fork_while_faulting, "line 28: forks while another thread stores and drops find zeros each time")
{
	char *area = mem_map(PAGES * PAGE);
	pthread_t thread;

	want_eq(pthread_create(&thread, NULL, store_thread, area), 0);
	for (int i = 0; i < 100; i++) {
		pid_t child = spawn();

		if (!child) {
			want_zero(area, PAGES * PAGE);
			fill(area, 2, TAG + 1, 1);
			_exit(0);
		}
		mem_drop(area, PAGES * PAGE);
		join(child);
	}
	stop = true;
	want_eq(pthread_join(thread, NULL), 0);
	fill(area, PAGES, TAG, 5);
	want_whole(area, PAGES, TAG, 5);
}
