// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings whose first touch can't have them watched for MADV_DONTNEED: the core
 * takes no notifier while a signal is pending, and none without letting go of
 * mmap_lock, which some of its own accesses can't do.  The next touch makes up
 * for it.
 * Contract lines 21 and 42.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/device.h"
#include "support/figures.h"
#include "support/memory.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define TAG 0x0d0

/* Pages that a read of absent ones keeps, at most (droppable(4), line 42). */
#define ZEROS 16

/* A kernel's store that faults without FAULT_FLAG_ALLOW_RETRY. */
static void futex_store(char *area, size_t page)
{
	uint32_t *word = (uint32_t *)(area + page * PAGE);

	want_ok(syscall(SYS_futex, word, FUTEX_WAKE_OP_PRIVATE, 0, 0, word,
			FUTEX_OP(FUTEX_OP_SET, TAG, FUTEX_OP_CMP_EQ, 0)));
}

static void futex_fill(char *area)
{
	for (size_t i = 0; i < PAGES; i++)
		futex_store(area, i);
}

static void want_words(const char *area, size_t from, size_t to, uint32_t word)
{
	for (size_t i = from; i < to; i++)
		want_eq(*(const volatile uint32_t *)(area + i * PAGE), word);
}

/*
 * What was discarded before stays resident, as nobody heard of it: so this is the
 * mapping that it is about.
 */
static void want_unwatched(int fd, char *area)
{
	want_eq(file_counter(fd, "resident"), PAGES);
	want_ok(madvise(area, LENGTH / 2, MADV_DONTNEED));
	want(!wait_for(file_counter(fd, "resident") != PAGES, 1));
}

TEST(kernel_store, "line 21: a mapping that the kernel touched first gives back what was discarded, from the first fault of the program's own on")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);

	futex_fill(area);
	want_unwatched(fd, area);
	want_words(area, 0, 1, 0);
	want_eq(file_counter(fd, "resident"), PAGES / 2 + 1);
	want_words(area, PAGES / 2, PAGES, TAG);
	want_ok(madvise(area + LENGTH / 2, LENGTH / 4, MADV_DONTNEED));
	want(wait_for(file_counter(fd, "resident") == PAGES / 4 + 1, 1));
	want_words(area, 3 * PAGES / 4, PAGES, TAG);
	want_words(area, 0, 3 * PAGES / 4, 0);
}

TEST(split, "line 21: likewise in all parts of one that was split before")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	size_t third = PAGES / 3 * PAGE;

	futex_fill(area);
	want_ok(mprotect(area + third, third, PROT_READ));
	want_unwatched(fd, area);
	want_words(area, 0, 1, 0);
	want_eq(file_counter(fd, "resident"), PAGES / 2 + 1);
	want_ok(madvise(area, LENGTH, MADV_DONTNEED));
	want(wait_for(!file_counter(fd, "resident"), 1));
	want_words(area, 0, PAGES, 0);
}

TEST(kernel_store_read, "line 42: in a mapping that the kernel touched first, reading absent pages costs a few pages, too")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);

	futex_store(area, 0);
	want_words(area, 1, PAGES, 0);
	note("%zu pages are resident after %lu were read",
	     file_counter(fd, "resident") - 1, PAGES - 1);
	want_le(file_counter(fd, "resident"), 1 + ZEROS);
	want_words(area, 0, 1, TAG);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* To be locked, one after the other: a signal comes meanwhile, now and then. */
static void make_many_vmas(void)
{
	size_t pages = 3000;
	char *area = anon_map(pages * PAGE);

	for (size_t i = 0; i < pages; i += 2)
		want_ok(mprotect(area + i * PAGE, PAGE, PROT_READ));
}

TEST(signals, "line 42: reading absent pages costs a few pages, too, where signals come at the first touch")
{
	struct itimerval timer = { { 0, 2000 }, { 0, 2000 } };
	struct sigaction action = { .sa_handler = on_alarm };
	size_t most = 0, rounds = 0;
	double end = race_end();

	make_many_vmas();
	want_ok(sigaction(SIGALRM, &action, NULL));
	want_ok(setitimer(ITIMER_REAL, &timer, NULL));
	for (; now() < end; rounds++) {
		int fd = device_open();
		char *area = device_map(fd, LENGTH);
		size_t resident;

		area[0] = 1;
		want_words(area, 1, PAGES, 0);
		resident = file_counter(fd, "resident");
		most = resident > most ? resident : most;
		mem_unmap(area, LENGTH);
		close(fd);
	}
	note("%zu rounds, at most %zu pages were resident", rounds, most);
	/* Signals may come at some of the next touches, too. */
	want_le(most, 1 + 3 * ZEROS);
}
