// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The table of areas against a plain list of pages, and by many threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../area.h"

#define PAGE ((uintptr_t)4096)
#define CHUNK ((uintptr_t)128 << 20)
#define GIB ((uintptr_t)1 << 30)

static int tests, failed;

static void ok(int good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failed |= !good;
}

static uint64_t seed = 88172645463325252;

static uint64_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Four chunks, of which ranges of every size and alignment come and go. */
#define BASE (0x7f0000000000 / CHUNK * CHUNK)
#define PAGES (4 * CHUNK / PAGE)

static char model[PAGES];

static int same_run(size_t at, size_t end)
{
	size_t stop = at;
	bool ours;
	uintptr_t got = area_run(BASE + at * PAGE, BASE + end * PAGE, &ours);

	while (stop < end && model[stop] == model[at])
		stop++;
	return ours == model[at] && got == BASE + stop * PAGE;
}

static size_t random_page(void)
{
	switch (next() % 3) {
	case 0:
		return next() % 5 * (PAGES / 4);
	case 1:
		return (next() % 5 * (PAGES / 4) + next() % 200) % PAGES;
	default:
		return next() % PAGES;
	}
}

static int model_agrees(void)
{
	for (int i = 0; i < 500; i++) {
		size_t a = random_page(), b = random_page();
		size_t at = a < b ? a : b, end = a < b ? b : a;
		bool ours = next() % 2;

		if (next() % 2 && end > at + 300)
			end = at + next() % 300;
		if (ours && !area_add(BASE + at * PAGE, BASE + end * PAGE))
			return 0;
		if (!ours)
			area_remove(BASE + at * PAGE, BASE + end * PAGE);
		memset(model + at, ours, end - at);
		for (int j = 0; j < 20; j++) {
			a = next() % PAGES;
			b = a + 1 + next() % (PAGES - a);
			if (!same_run(a, b))
				return 0;
		}
	}
	return 1;
}

/* Neighbours in the same words, each by a thread of its own. */
#define THREADS 4
#define SHARED ((uintptr_t)0x600000000000)

static void *own_pages(void *argument)
{
	uintptr_t mine = (uintptr_t)argument;

	for (int round = 0; round < 50; round++) {
		for (uintptr_t i = mine; i < 600; i += THREADS) {
			uintptr_t at = SHARED + i * PAGE;

			area_add(at, at + PAGE);
			if (!area_covers(at, at + PAGE))
				return "lost";
		}
		for (uintptr_t i = mine; i < 600; i += THREADS) {
			uintptr_t at = SHARED + i * PAGE;

			area_remove(at, at + PAGE);
			if (area_covers(at, at + PAGE))
				return "kept";
		}
	}
	return NULL;
}

static int threads_agree(void)
{
	pthread_t thread[THREADS];
	void *wrong;
	int good = 1;

	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, own_pages, (void *)i))
			return 0;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &wrong);
		good &= !wrong;
	}
	return good;
}

static int large_is_cheap(void)
{
	uintptr_t at = 0x500000000000 + 5 * PAGE, end = at + 1024 * GIB;
	bool ours;

	if (!area_add(at, end) || !area_covers(at, end))
		return 0;
	area_remove(at + 512 * GIB, at + 512 * GIB + PAGE);
	return !area_covers(at, end) &&
	       area_run(at, end, &ours) == at + 512 * GIB && ours &&
	       area_run(at + 512 * GIB, end, &ours) ==
		       at + 512 * GIB + PAGE && !ours &&
	       area_run(at - PAGE, end, &ours) == at && !ours;
}

/* In a child: there is no way back to having memory. */
static int without_memory(void)
{
	uintptr_t at = 0x400000000000 + PAGE;
	int status;
	pid_t child = fork();

	if (!child) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_AS, &none);
		_exit(area_add(at, at + PAGE) || area_covers(at, at + PAGE));
	}
	return waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
	uintptr_t beyond = (uintptr_t)1 << 52;

	ok(!area_any() && !area_covers(PAGE, 2 * PAGE), "empty at first");
	area_remove(0, UINTPTR_MAX);
	ok(!area_any(), "removing from nothing makes nothing");
	ok(model_agrees(), "as a plain list has it");
	ok(threads_agree(), "threads don't lose each other's neighbours");
	ok(large_is_cheap(), "1 TiB, and a hole in it");
	ok(!area_covers(PAGE, PAGE), "an empty range is nobody's");
	ok(area_add(beyond, beyond + PAGE) &&
		   !area_covers(beyond, beyond + PAGE),
	   "beyond 48 bits nothing is known, and nothing breaks");
	ok(without_memory(), "without memory it says so");
	area_remove(0, UINTPTR_MAX);
	ok(!area_covers(0x500000000000 + 5 * PAGE,
			0x500000000000 + 6 * PAGE),
	   "everything goes");
	printf("1..%d\n", tests);
	return failed;
}
