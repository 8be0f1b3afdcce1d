// SPDX-License-Identifier: GPL-2.0-only
/*
 * The counter page: a plain load tells whether anything was dropped.
 * Contract line 40.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <errno.h>
#include <linux/droppable.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/device.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0xc039
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)

static const volatile struct droppable_counter *counter_of(int fd)
{
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			 DROPPABLE_COUNTER_OFFSET);

	want_ok(map);
	return map;
}

TEST(counter, "line 40: the counter page grows by what is dropped of its open file, and of no other")
{
	int fd = device_open(), other = device_open();
	const volatile struct droppable_counter *counter = counter_of(fd);
	const volatile struct droppable_counter *again = counter_of(fd);
	char *area = device_map(fd, LENGTH);
	char *second = device_map(other, LENGTH);
	uint64_t before = counter->drops;

	fill(area, PAGES, TAG, 1);
	fill(second, PAGES, TAG, 1);
	want_eq(counter->drops, before);
	mem_drop(second, LENGTH);
	want_eq(counter->drops, before);
	want_ok(madvise(area, PAGE, MADV_DONTNEED));
	mem_drop(area + PAGE, 4 * PAGE);
	want_ge(counter->drops, before + 4);
	want_le(counter->drops, before + 5);
	before = counter->drops;
	mem_shrink(area, LENGTH);
	want_ge(counter->drops, before + PAGES - 5);
	want_eq(again->drops, counter->drops);
	want_zero((const char *)(uintptr_t)counter + sizeof(*counter),
		  PAGE - sizeof(*counter));
}

TEST(counter_late, "line 40: the counter page stays when the file is closed, and counts what its mappings lose")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	const volatile struct droppable_counter *counter = counter_of(fd);
	uint64_t before = counter->drops;

	close(fd);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, LENGTH);
	want_ge(counter->drops, before + PAGES);
	/* Nor does it go, whatever pressure there is or who asks. */
	before = counter->drops;
	write_file("/proc/sys/vm/drop_caches", "3");
	madvise((void *)(uintptr_t)counter, PAGE, MADV_DONTNEED);
	want_eq(counter->drops, before);
	mem_unmap(area, LENGTH);
	want_eq(counter->drops, before);
}

TEST(counter_refused, "line 40: the counter page can't be written, and is one page: EPERM, EINVAL")
{
	int fd = device_open();
	off_t at = DROPPABLE_COUNTER_OFFSET;
	void *counter;

	want_errno(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at),
		   EPERM);
	want_errno(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, at), EPERM);
	want_errno(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, at),
		   EPERM);
	want_errno(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, at), EINVAL);
	want_errno(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, at), EINVAL);
	want_errno(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			at + (off_t)PAGE), EINVAL);
	counter = (void *)(uintptr_t)counter_of(fd);
	want_errno(mprotect(counter, PAGE, PROT_READ | PROT_WRITE), EACCES);
	want_errno(mprotect(counter, PAGE, PROT_READ | PROT_EXEC), EACCES);
	want_eq(mremap(counter, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED,
		1);
}

TEST(counter_fork, "line 40: a forked child sees the same counter, whoever's pages are dropped; a fork is no drop")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	const volatile struct droppable_counter *counter = counter_of(fd);
	uint64_t before = counter->drops;
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		/* It reads zeros, and nothing was dropped. */
		want_zero(area, LENGTH);
		want_eq(counter->drops, before);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_ge(counter->drops, before + PAGES);
		before = counter->drops;
		fill(area, PAGES, TAG + 1, 1);
		mem_drop(area, LENGTH);
		want_ge(counter->drops, before + PAGES);
		*turn = 3;
		_exit(0);
	}
	want(wait_for(*turn == 1 || !alive(child), 30));
	mem_drop(area, LENGTH);
	want_eq(counter->drops, before + PAGES);
	*turn = 2;
	join(child);
	want_ge(counter->drops, before + 2 * PAGES);
}

#define RECORD 8UL

static char *record_area;
static volatile int record_stop;

static void *drop_record(void *argument)
{
	uint64_t seed = 40;

	(void)argument;
	while (!record_stop) {
		if (random_next(&seed) % 8)
			mem_drop(record_area, RECORD * PAGE);
		else
			write_file("/proc/sys/vm/drop_caches", "2");
		pause_seconds((double)(random_next(&seed) % 2000) / 1e6);
	}
	return NULL;
}

TEST(counter_whole, "line 40: what was copied between two equal readings is whole, while drops race with it")
{
	int fd = device_open();
	const volatile struct droppable_counter *counter = counter_of(fd);
	static uint64_t copy[RECORD * PAGE / sizeof(uint64_t)];
	const size_t words = RECORD * PAGE / sizeof(uint64_t);
	volatile uint64_t *record;
	size_t whole = 0, told = 0, torn = 0;
	double end = race_end();
	pthread_t thread;

	record_area = device_map(fd, RECORD * PAGE);
	record = (volatile uint64_t *)record_area;
	want_eq(pthread_create(&thread, NULL, drop_record, NULL), 0);
	for (uint64_t generation = 1;
	     race_goes_on(end, whole >= 10 && torn >= 10); generation++) {
		uint64_t drops = counter->drops;
		size_t bad = 0;

		for (size_t i = 0; i < words; i++)
			record[i] = generation * words + i;
		for (size_t i = 0; i < words; i++)
			copy[i] = record[i];
		drops = counter->drops - drops;
		for (size_t i = 0; i < words; i++)
			bad += copy[i] != generation * words + i;
		if (!drops && bad)
			fail("got %zu of %zu words torn with the counter unchanged",
			     bad, words);
		whole += !drops;
		told += !!drops;
		torn += bad != 0;
	}
	record_stop = 1;
	want_eq(pthread_join(thread, NULL), 0);
	note("%zu copies with the counter unchanged, %zu with drops between, %zu of them torn",
	     whole, told, torn);
	want_ge(whole, 10);
	want_ge(torn, 10);
}
