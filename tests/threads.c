// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that fault, drop and discard the same pages at the same time.
 * Contract lines 37 and 12.
 *
 * What goes wrong in the kernel here often shows in its log only: the run
 * fails on any warning there.
 */
// vm: --mem 256 --smp 2 --parallel
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
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

#define PAGES 256UL
#define THREADS 4U

static char *area;
static volatile bool stop;
static uint32_t arrived;

/*
 * Lets all threads start within a few instructions of each other.  Who has to
 * wait for longer sleeps: a processor that is emulated would use up its turn.
 */
static void meet(uint32_t turn)
{
	unsigned int patience = 100;

	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < turn * THREADS) {
		if (patience && patience--)
			sched_yield();
		else
			usleep(100);
	}
}

static volatile uint64_t *slot(size_t page, unsigned int id)
{
	return (volatile uint64_t *)(area + page * PAGE) + 17 * id;
}

static void in_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (uintptr_t id = 0; id < THREADS; id++)
		want_eq(pthread_create(&threads[id], NULL, body, (void *)id),
			0);
	for (unsigned int id = 0; id < THREADS; id++)
		want_eq(pthread_join(threads[id], NULL), 0);
}

#define ROUNDS 30U

static void *store_body(void *argument)
{
	unsigned int id = (unsigned int)(uintptr_t)argument;
	uint32_t turn = 0;

	for (unsigned int round = 1; round <= ROUNDS; round++) {
		meet(++turn);
		for (size_t i = 0; i < PAGES; i++)
			*slot(i, id) = round;
		meet(++turn);
		for (size_t i = id; i < PAGES; i += THREADS) {
			for (unsigned int other = 0; other < THREADS; other++)
				want_eq(*slot(i, other), round);
		}
		meet(++turn);
		if (id == 0) {
			switch (round % 3) {
			case 0:
				mem_drop(area, PAGES * PAGE);
				break;
			case 1:
				want_ok(madvise(area, PAGES * PAGE,
						MADV_DONTNEED));
				break;
			default:
				mem_unmap(area, PAGES * PAGE);
				area = mem_map(PAGES * PAGE);
			}
			want_zero(area, (round & 1) * PAGES * PAGE);
		}
	}
	return NULL;
}

TEST(same_page, "line 37: threads that fault the same page by stores get the same page, no store is lost")
{
	area = mem_map(PAGES * PAGE);
	in_threads(store_body);
}

static void *read_store_body(void *argument)
{
	unsigned int id = (unsigned int)(uintptr_t)argument;
	uint32_t turn = 0;

	for (unsigned int round = 1; round <= ROUNDS; round++) {
		meet(++turn);
		/* Half of the threads come with a load first. */
		for (size_t i = 0; i < PAGES; i++) {
			if (id & 1 && *slot(i, id) != 0)
				fail("got %llx before the first store, want 0",
				     (unsigned long long)*slot(i, id));
			*slot(i, id) = round;
			if (*slot(i, id) != round)
				fail("got another value than was just stored");
		}
		meet(++turn);
		for (unsigned int other = 0; other < THREADS; other++)
			want_eq(*slot((id * 61) % PAGES, other), round);
		for (size_t i = 0; i < PAGES; i++)
			want_eq(*slot(i, id), round);
		meet(++turn);
		if (id == 0) {
			mem_drop(area, PAGES * PAGE);
			want_ok(madvise(area, PAGES * PAGE, MADV_DONTNEED));
		}
	}
	return NULL;
}

TEST(loads_and_stores, "line 37: one thread's load racing another's store of the same page loses no store")
{
	area = mem_map(PAGES * PAGE);
	in_threads(read_store_body);
}

/*
 * A load of an absent page takes the memory of one that was only read some loads
 * ago.  A thread stores to one of those, at the moment that it is taken if the
 * processors run at the same time.
 */
#define READ_PAGES 4096UL
#define BEHIND 16UL

static volatile size_t reading;

static volatile uint64_t *first_word(size_t page)
{
	return (volatile uint64_t *)(area + page * PAGE);
}

static void *store_behind(void *unused)
{
	uint64_t seed = 42;

	(void)unused;
	while (!stop) {
		size_t behind = 1 + random_next(&seed) % BEHIND, at = reading;

		if (at >= behind)
			*first_word(at - behind) = at - behind + 1;
	}
	return NULL;
}

/* Whether there is something in a page, which then is its own. */
static bool read_page(size_t page)
{
	uint64_t word = *first_word(page);

	if (word && word != page + 1)
		fail("page %zu holds what was stored to page %llu", page,
		     (unsigned long long)word - 1);
	return word;
}

/* Returns how many were stored to. */
static size_t read_all(void)
{
	size_t stored = 0;

	for (size_t i = 0; i < READ_PAGES; i++) {
		read_page(i);
		reading = i;
	}
	reading = 0;
	for (size_t i = 0; i < READ_PAGES; i++)
		stored += read_page(i);
	return stored;
}

TEST(taken_from_reader, "line 12: a page stored to while another's load takes its memory, since it was only read, shows nowhere else")
{
	double end = race_end();
	size_t stored = 0;
	pthread_t thread;

	area = mem_map(READ_PAGES * PAGE);
	want_eq(pthread_create(&thread, NULL, store_behind, NULL), 0);
	while (race_goes_on(end, stored)) {
		stored += read_all();
		mem_drop(area, READ_PAGES * PAGE);
	}
	stop = true;
	pthread_join(thread, NULL);
	note("%zu pages were stored to", stored);
	want_ge(stored, 1);
}

/*
 * Each thread counts up in its own word of every page.  A word holds what it
 * stored last or, dropped, zero; never anything older, never zero and then a
 * value again.
 */
static void *count_body(void *argument)
{
	unsigned int id = (unsigned int)(uintptr_t)argument;
	uint64_t count = 1, kept = 0, gone = 0;

	while (!stop) {
		for (size_t i = 0; i < PAGES; i++) {
			uint64_t before = *slot(i, id);
			uint64_t again;

			if (before && before != count - 1)
				fail("got the older %llu in page %zu, want %llu or 0",
				     (unsigned long long)before, i,
				     (unsigned long long)count - 1);
			again = *slot(i, id);
			if (again && again != before)
				fail("got %llu after %llu in page %zu: back from the dead",
				     (unsigned long long)again,
				     (unsigned long long)before, i);
			*slot(i, id) = count;
			again = *slot(i, id);
			if (again && again != count)
				fail("got %llu in page %zu after storing %llu",
				     (unsigned long long)again, i,
				     (unsigned long long)count);
			if (before)
				kept++;
			else
				gone++;
		}
		count++;
	}
	note("thread %u: %llu stores found, %llu dropped", id,
	     (unsigned long long)kept, (unsigned long long)gone);
	return NULL;
}

static void *time_body(void *unused)
{
	(void)unused;
	pause_seconds(tap_race());
	stop = true;
	return NULL;
}

static void count_against(void *(*disturb)(void *))
{
	pthread_t timer, disturber;

	area = mem_map(PAGES * PAGE);
	want_eq(pthread_create(&timer, NULL, time_body, NULL), 0);
	want_eq(pthread_create(&disturber, NULL, disturb, NULL), 0);
	in_threads(count_body);
	pthread_join(disturber, NULL);
	want_ge(resident(area, PAGES * PAGE), 0);
}

static void *drop_body(void *unused)
{
	uint64_t seed = 99;

	(void)unused;
	while (!stop) {
		size_t first = random_next(&seed) % PAGES;
		size_t count = random_next(&seed) % 16 + 1;

		if (first + count > PAGES)
			count = PAGES - first;
		mem_drop(area + first * PAGE, count * PAGE);
	}
	return NULL;
}

TEST(against_drops, "line 37: stores racing explicit drops: never an older value")
{
	count_against(drop_body);
}

static void *discard_body(void *unused)
{
	uint64_t seed = 77;

	(void)unused;
	while (!stop) {
		size_t first = random_next(&seed) % PAGES;
		size_t count = random_next(&seed) % 16 + 1;

		if (first + count > PAGES)
			count = PAGES - first;
		want_ok(madvise(area + first * PAGE, count * PAGE,
				MADV_DONTNEED));
	}
	return NULL;
}

TEST(against_dontneed, "line 37: stores racing MADV_DONTNEED: never an older value")
{
	count_against(discard_body);
}

static void *shrink_body(void *unused)
{
	(void)unused;
	while (!stop)
		write_file("/proc/sys/vm/drop_caches", "2");
	return NULL;
}

TEST(against_shrinkers, "line 37: stores racing the shrinkers: never an older value")
{
	need_device("shrinker");
	count_against(shrink_body);
}

/* All at once, and a limit that is smaller than the area. */
static void *all_body(void *unused)
{
	size_t length = PAGES * PAGE;
	uint64_t seed = 55;

	(void)unused;
	while (!stop) {
		size_t at = random_next(&seed) % (PAGES - 16) * PAGE;

		switch (random_next(&seed) % 8) {
		case 0:
			mem_drop(area + at, 8 * PAGE);
			break;
		case 1:
			want_ok(mprotect(area + at, 4 * PAGE, PROT_READ));
			want_ok(mprotect(area, length,
					 PROT_READ | PROT_WRITE));
			break;
		case 2: {
			pid_t child = spawn();

			if (!child) {
				want_zero(area + at, 4 * PAGE);
				_exit(0);
			}
			join(child);
			break;
		}
		default:
			want_ok(madvise(area + at, 16 * PAGE, MADV_DONTNEED));
		}
	}
	return NULL;
}

static void *churn_body(void *argument)
{
	unsigned int id = (unsigned int)(uintptr_t)argument;
	uint64_t seed = id + 1;

	while (!stop) {
		size_t page = random_next(&seed) % PAGES;

		if (*slot(page, id) > 1000000)
			fail("got a value that nobody stored");
	}
	return NULL;
}

static void *write_body(void *unused)
{
	unsigned int generation = 0;

	(void)unused;
	while (!stop)
		fill(area + PAGES * PAGE, PAGES, 0x7123, ++generation);
	return NULL;
}

TEST(under_pressure, "line 37: faults, drops, MADV_DONTNEED, mprotect and fork at once, in a cgroup too small for it")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t child = spawn();

	if (!child) {
		pthread_t timer, disturber, writer;

		area = mem_map(2 * PAGES * PAGE);
		cgroup_enter(&group);
		fill(area, 2 * PAGES, 0x7123, 1);
		memset(area, 0, PAGES * PAGE);
		cgroup_set(&group, "memory.max",
			   cgroup_get(&group, "memory.current") -
				   PAGES * PAGE / 2);
		want_eq(pthread_create(&timer, NULL, time_body, NULL), 0);
		want_eq(pthread_create(&writer, NULL, write_body, NULL), 0);
		want_eq(pthread_create(&disturber, NULL, all_body, NULL), 0);
		in_threads(churn_body);
		pthread_join(disturber, NULL);
		pthread_join(writer, NULL);
		_exit(0);
	}
	join(child);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

/* Isolates all there is, again and again. */
static void *refill_body(void *unused)
{
	unsigned int generation = 0;

	(void)unused;
	while (!stop) {
		fill(area, PAGES, 0x7124, ++generation);
		mem_drop(area, PAGES * PAGE);
	}
	return NULL;
}

/* Needs memory that only the area has. */
static void *charge_body(void *unused)
{
	size_t length = PAGES / 16 * PAGE;

	(void)unused;
	while (!stop) {
		char *anonymous = anon_map(length);

		for (size_t at = 0; at < length; at += PAGE)
			anonymous[at] = 1;
		want_ok(munmap(anonymous, length));
	}
	return NULL;
}

TEST(charges_against_drops, "line 10: one thread's drops keep all pages locked while another needs their memory: nobody is killed")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t child = spawn();

	if (!child) {
		pthread_t timer, dropper;

		area = mem_map(PAGES * PAGE);
		cgroup_enter(&group);
		fill(area, PAGES, 0x7124, 1);
		memset(anon_map(PAGES / 16 * PAGE), 1, PAGES / 16 * PAGE);
		cgroup_set(&group, "memory.max",
			   cgroup_get(&group, "memory.current"));
		want_eq(pthread_create(&timer, NULL, time_body, NULL), 0);
		want_eq(pthread_create(&dropper, NULL, refill_body, NULL), 0);
		in_threads(charge_body);
		pthread_join(dropper, NULL);
		_exit(0);
	}
	join(child);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

static void *map_body(void *argument)
{
	unsigned int id = (unsigned int)(uintptr_t)argument;
	unsigned int round = 0;

	while (!stop) {
		char *mine = mem_map(16 * PAGE);

		fill(mine, 16, 0x6000 + id, ++round);
		if (round % 3 == 0)
			mem_drop(mine, 8 * PAGE);
		want_eq(tally(mine, 16, 0x6000 + id, round).bad, 0);
		mem_unmap(mine, (1 + round % 15) * PAGE);
		mem_unmap(mine + (1 + round % 15) * PAGE,
			  (15 - round % 15) * PAGE);
	}
	return NULL;
}

static void *timed_shrink_body(void *unused)
{
	if (native)
		return NULL;
	return shrink_body(unused);
}

TEST(maps_racing, "line 37: mappings made, dropped and unmapped in all threads while the shrinkers run")
{
	pthread_t timer, shrinker;

	want_eq(pthread_create(&timer, NULL, time_body, NULL), 0);
	want_eq(pthread_create(&shrinker, NULL, timed_shrink_body, NULL), 0);
	in_threads(map_body);
	pthread_join(shrinker, NULL);
}
