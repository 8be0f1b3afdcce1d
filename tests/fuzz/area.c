// SPDX-License-Identifier: GPL-2.0-only
/* See area.h. */
#define _GNU_SOURCE
#include "area.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/droppable.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "../support/memory.h"
#include "../support/tap.h"
#include "report.h"

/* The kernel looks for room from the top: it never comes down to here. */
#define BASE 0x10000000000UL
#define AREA_STRIDE 0x100000000UL
#define SLOT_STRIDE 0x40000000UL

static int files[FILES];
static const volatile struct droppable_counter *counters[FILES];
__thread sigjmp_buf *area_guard;

/* ---- files ---- */

static const volatile struct droppable_counter *map_counter(int file)
{
	void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file,
			 DROPPABLE_COUNTER_OFFSET);

	want_ok(map);
	return map;
}

void area_open_files(void)
{
	for (unsigned int i = 0; i < FILES && !native; i++) {
		files[i] = mem_open();
		want_ok(fcntl(files[i], F_SETFL, O_NONBLOCK));
		counters[i] = map_counter(files[i]);
	}
}

int area_file(unsigned int file)
{
	return files[file];
}

bool area_has_counter(void)
{
	return !native;
}

uint64_t area_drops(unsigned int file)
{
	return native ? 0 : counters[file]->drops;
}

/* ---- places ---- */

char *area_address(unsigned int area, int slot, unsigned int page)
{
	return (char *)(BASE + area * AREA_STRIDE +
			(unsigned int)slot * SLOT_STRIDE + page * PAGE);
}

void *area_map(unsigned int area, int slot, unsigned int first,
	       unsigned int count, unsigned int file, int flags)
{
	void *at = area_address(area, slot, first);
	int protection = PROT_READ | PROT_WRITE;

	if (native)
		return mmap(at, count * PAGE, protection,
			    MAP_FIXED | MAP_ANONYMOUS | MAP_DROPPABLE | flags,
			    -1, 0);
	return mmap(at, count * PAGE, protection,
		    MAP_FIXED | MAP_SHARED | flags, files[file], 0);
}

void area_map_all(void)
{
	for (unsigned int a = 0; a < AREAS; a++) {
		want_ok(area_map(a, 0, 0, AREA_PAGES, a % FILES, 0));
		for (unsigned int i = 0; i < AREA_PAGES; i++) {
			struct page *page = &process->areas[a].pages[i];

			page->slot = 0;
			page->protection = PROT_READ | PROT_WRITE;
			page->file = a % FILES;
		}
	}
}

static bool is_mapped(unsigned int area, int slot, unsigned int page)
{
	return !msync(area_address(area, slot, page), PAGE, MS_ASYNC);
}

static int find_slot(unsigned int area, unsigned int page)
{
	int found = NOWHERE;

	for (int slot = 0; slot < SLOTS; slot++) {
		if (!is_mapped(area, slot, page))
			continue;
		if (found != NOWHERE)
			fail("got area %u page %u mapped in both slots", area,
			     page);
		found = slot;
	}
	return found;
}

/* ---- changing mappings ---- */

void change_begin(struct discard *change, unsigned int number,
		  unsigned int first, unsigned int count, int kept)
{
	struct area *area = &process->areas[number];

	pthread_mutex_lock(&area->lock);
	area->epoch++;
	discard_begin(change, area, first, count, kept);
}

static bool is_gone(const struct page *page, const void *data)
{
	const int *fresh = data;

	return page->slot == NOWHERE || page->slot == *fresh;
}

void change_end(struct discard *change, int fresh)
{
	struct area *area = change->area;
	unsigned int number = (unsigned int)(area - process->areas);

	for (unsigned int i = 0; i < change->count; i++) {
		unsigned int at = change->first + i;
		int slot = find_slot(number, at);

		if (change->time[i] == KEPT && slot == NOWHERE)
			fail("got area %u page %u unmapped, want it kept",
			     number, at);
		area->pages[at].slot = (int8_t)slot;
	}
	discard_end(change, is_gone, &fresh);
	area->epoch++;
	pthread_mutex_unlock(&area->lock);
}

bool area_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * KIB);
	error = pthread_create(thread, &attributes, body, argument);
	pthread_attr_destroy(&attributes);
	return !error;
}

void area_lock_all(void)
{
	for (unsigned int a = 0; a < AREAS; a++)
		pthread_mutex_lock(&process->areas[a].lock);
}

void area_unlock_all(void)
{
	for (unsigned int a = 0; a < AREAS; a++)
		pthread_mutex_unlock(&process->areas[a].lock);
}

/* ---- touching ---- */

static __thread siginfo_t caught;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *state = context;

	caught = *info;
	if (area_guard)
		siglongjmp(*area_guard, signal);
	fail("got signal %d (code %d) for %p at instruction %llx, outside of any access",
	     signal, info->si_code, info->si_addr,
	     state->uc_mcontext.gregs[REG_RIP]);
}

void area_catch_signals(void)
{
	struct sigaction action = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	want_ok(sigaction(SIGSEGV, &action, NULL));
	want_ok(sigaction(SIGBUS, &action, NULL));
}

void access_begin(struct access *access, unsigned int number,
		  unsigned int index)
{
	struct page *page;
	int slot;

	access->area = &process->areas[number];
	access->page = page = &access->area->pages[index];
	access->epoch = access->area->epoch;
	slot = page->slot;
	access->protection = page->protection;
	access->words = NULL;
	if (slot != NOWHERE)
		access->words = (void *)area_address(number, slot, index);
}

bool access_stable(const struct access *access)
{
	return !(access->epoch & 1) && access->area->epoch == access->epoch;
}

void access_caught(const struct access *access, int signal, bool store)
{
	int needed = store ? PROT_WRITE : PROT_READ;

	report->signals++;
	if (signal != SIGSEGV)
		fail("got signal %d in %s, want none", signal,
		     model_name(access->page));
	if (access_stable(access) && access->words &&
	    access->protection & needed &&
	    !(access->protection & PROT_UNKNOWN))
		fail("got SIGSEGV at %p (code %d) in %s, which is mapped at %p, protection %d",
		     caught.si_addr, caught.si_code, model_name(access->page),
		     (void *)access->words, access->protection);
}
