// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mincore says of pages that are there and of pages that are not.
 * Contract line 35.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define TAG 0x3c04

TEST(fresh, "line 35: mincore shows 0 for pages that were never touched, 1 for those that were")
{
	unsigned char vector[PAGES];
	char *area = mem_map(PAGES * PAGE);

	want_eq(resident(area, PAGES * PAGE), 0);
	for (size_t i = 0; i < PAGES; i += 3)
		fill_page(area + i * PAGE, TAG, 1, i);
	want_ok(mincore(area, PAGES * PAGE, vector));
	for (size_t i = 0; i < PAGES; i++)
		want_eq(vector[i], i % 3 == 0);
}

static void want_seen(void (*drop)(void *, size_t))
{
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	want_eq(resident(area, PAGES * PAGE), PAGES);
	drop(area, PAGES * PAGE);
	want_eq(resident(area, PAGES * PAGE), 0);
	/* Asking does not bring it back. */
	want_eq(resident(area, PAGES * PAGE), 0);
	want_eq(present(area, PAGES * PAGE), 0);
	for (size_t i = 0; i < PAGES; i++) {
		fill_page(area + i * PAGE, TAG, 2, i);
		want_eq(resident(area, PAGES * PAGE), i + 1);
	}
	want_whole(area, PAGES, TAG, 2);
}

TEST(dropped, "line 35: mincore shows 0 for explicitly dropped pages until they are touched")
{
	want_seen(mem_drop);
}

TEST(shrunk, "line 35: mincore shows 0 for pages the shrinkers dropped until they are touched")
{
	want_seen(mem_shrink);
}

TEST(partly, "line 35: mincore tells dropped pages from their neighbours")
{
	unsigned char vector[PAGES];
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	mem_drop(area + 10 * PAGE, 20 * PAGE);
	want_ok(mincore(area, PAGES * PAGE, vector));
	for (size_t i = 0; i < PAGES; i++)
		want_eq(vector[i], i < 10 || i >= 30);
}

TEST(two_maps, "line 35: mincore of one mapping does not show another's pages, nor a parent's")
{
	char *first = mem_map(PAGES * PAGE);
	char *second = mem_map(PAGES * PAGE);
	pid_t child;

	fill(first, PAGES, TAG, 1);
	want_eq(resident(second, PAGES * PAGE), 0);
	child = spawn();
	if (!child) {
		want_eq(resident(first, PAGES * PAGE), 0);
		fill(second, PAGES, TAG, 1);
		_exit(0);
	}
	join(child);
	want_eq(resident(second, PAGES * PAGE), 0);
	want_eq(resident(first, PAGES * PAGE), PAGES);
}

TEST(nobody, "line 35: mincore says the same to a user without privileges")
{
	become_nobody();
	want_seen(mem_drop);
}
