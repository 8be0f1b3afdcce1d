// SPDX-License-Identifier: GPL-2.0-only
/* See model.h. */
#define _GNU_SOURCE
#include "model.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../support/memory.h"
#include "../support/tap.h"
#include "area.h"
#include "report.h"

/* A value: whose, which page, which store, which word.  Never 0. */
#define NUMBER_SHIFT 52
#define INDEX_SHIFT 40
#define SEQ_SHIFT 9
#define NUMBERS 4095U

struct model {
	atomic_uint numbers;
	struct process processes[PROCESSES];
};

static struct model *model;
struct process *process;

void model_make(void)
{
	/* Touched here, so charged to no group that is short of memory. */
	model = shared_map(sizeof(*model));
	model_clear();
}

static void clear_process(struct process *other)
{
	for (unsigned int a = 0; a < AREAS; a++) {
		struct area *area = &other->areas[a];

		pthread_mutex_init(&area->lock, NULL);
		area->epoch = 0;
		for (unsigned int i = 0; i < AREA_PAGES; i++) {
			struct page *page = &area->pages[i];

			memset(page, 0, sizeof(*page));
			page->slot = NOWHERE;
			page->base = (uint64_t)other->number << NUMBER_SHIFT |
				     (uint64_t)(a * AREA_PAGES + i)
					     << INDEX_SHIFT;
		}
	}
}

void model_clear(void)
{
	memset(model, 0, sizeof(*model));
	process = model_take();
	clear_process(process);
}

struct process *model_take(void)
{
	for (unsigned int i = 0; i < PROCESSES; i++) {
		struct process *other = &model->processes[i];

		if (!atomic_exchange(&other->used, true)) {
			other->number = 1 + model->numbers++ % NUMBERS;
			return other;
		}
	}
	return NULL;
}

void model_give(struct process *other)
{
	other->used = false;
}

unsigned int model_place(void)
{
	return (unsigned int)(process - model->processes);
}

void model_inherit(struct process *child)
{
	clear_process(child);
	for (unsigned int a = 0; a < AREAS; a++) {
		for (unsigned int i = 0; i < AREA_PAGES; i++) {
			struct page *from = &process->areas[a].pages[i];
			struct page *page = &child->areas[a].pages[i];

			page->protection = PROT_UNKNOWN;
			if (from->barred)
				continue;
			page->slot = from->slot;
			page->protection = from->protection;
			page->file = from->file;
		}
	}
}

uint64_t model_value(const struct page *page, uint32_t seq, unsigned int word)
{
	return page->base | (uint64_t)seq << SEQ_SHIFT | word;
}

const char *model_name(const struct page *page)
{
	static __thread char name[64];
	unsigned int index = page->base >> INDEX_SHIFT & 0xfff;

	snprintf(name, sizeof(name), "area %u page %u", index / AREA_PAGES,
		 index % AREA_PAGES);
	return name;
}

/* ---- the owner stores ---- */

uint32_t model_store_begin(struct page *page)
{
	if (page->missing) {
		page->missing = false;
		report->refilled++;
	}
	return ++page->next;
}

void model_store_end(struct page *page, unsigned int cell, uint32_t seq)
{
	page->seq[cell] = seq;
	atomic_store_explicit(&page->last, seq, memory_order_release);
}

void model_store_failed(struct page *page)
{
	page->unsure = page->next;
	atomic_store_explicit(&page->last, page->next, memory_order_release);
}

static bool calm(const struct page *page, uint32_t *begun)
{
	/* Ended first: what began after that look is seen in begun. */
	uint32_t ended = page->ended;

	*begun = page->begun;
	return ended == *begun;
}

void model_fill_begin(struct page *page)
{
	page->seen = false;
	if (!calm(page, &page->seen_begun))
		return;
	page->seen_count = area_drops(page->file);
	page->seen = true;
}

void model_fill_end(struct page *page)
{
	page->unsure = 0;
}

/* ---- the owner looks ---- */

void look_begin(struct look *look, struct page *page)
{
	uint64_t floor;

	memset(look, 0, sizeof(*look));
	look->page = page;
	look->calm = calm(page, &look->begun);
	look->count = area_drops(page->file);
	floor = page->floor;
	look->known = page->gone > floor ? page->gone : floor;
	look->gone = look->known;
	if (page->unsure && look->known >= model_time(page->unsure))
		page->unsure = 0;
}

static const char *what(const struct page *page, uint64_t value,
			unsigned int word)
{
	static __thread char text[128];
	uint32_t seq = (value >> SEQ_SHIFT) & 0x7fffffff;

	if ((value & (PAGE_WORDS - 1)) != word)
		return "no value of that word";
	if (value >> NUMBER_SHIFT != page->base >> NUMBER_SHIFT)
		snprintf(text, sizeof(text), "data of process number %u",
			 (unsigned int)(value >> NUMBER_SHIFT));
	else if (value != model_value(page, seq, word))
		snprintf(text, sizeof(text), "data of area %u page %u",
			 (unsigned int)(value >> INDEX_SHIFT & 0xfff) /
				 AREA_PAGES,
			 (unsigned int)(value >> INDEX_SHIFT & 0xfff) %
				 AREA_PAGES);
	else
		snprintf(text, sizeof(text), "store %u", seq);
	return text;
}

static bool own_value(const struct page *page, uint64_t value,
		      unsigned int word)
{
	uint32_t seq = (value >> SEQ_SHIFT) & 0x7fffffff;

	return value == model_value(page, seq, word) && seq <= page->next;
}

/* After a store that was cut short, and in an old copy: any store of its own. */
static void look_loosely(struct look *look, uint64_t value, unsigned int word)
{
	uint32_t seq = (value >> SEQ_SHIFT) & 0x7fffffff;
	uint64_t time = (uint64_t)seq << 5 | word % CELL_WORDS;

	if (!value)
		return;
	if (!own_value(look->page, value, word))
		fail("got %016llx (%s) in word %u of %s, want zero or any store up to %u",
		     (unsigned long long)value,
		     what(look->page, value, word), word,
		     model_name(look->page), look->page->next);
	if (!look->loose && time <= look->known)
		fail("got store %u in word %u of %s again, which was gone before (up to %llu.%llu)",
		     seq, word, model_name(look->page),
		     (unsigned long long)look->known >> 5,
		     (unsigned long long)look->known & 31);
}

static void look_word(struct look *look, uint64_t value, unsigned int word)
{
	struct page *page = look->page;
	uint32_t seq = page->seq[word / CELL_WORDS];
	uint64_t time = (uint64_t)seq << 5 | word % CELL_WORDS;

	if (!value) {
		if (seq && time > look->gone)
			look->gone = time;
		return;
	}
	if (!seq || value != model_value(page, seq, word))
		fail("got %016llx (%s) in word %u of %s, want zero or store %u",
		     (unsigned long long)value, what(page, value, word), word,
		     model_name(page), seq);
	if (time <= look->gone)
		fail("got store %u in word %u of %s, but what was stored up to %llu.%llu is gone (%s)",
		     seq, word, model_name(page),
		     (unsigned long long)look->gone >> 5,
		     (unsigned long long)look->gone & 31,
		     look->gone > look->known ? "a torn page" :
						"old data again");
}

void look_words(struct look *look, const volatile uint64_t *words)
{
	bool loose = look->loose || look->page->unsure;

	for (unsigned int i = 0; i < PAGE_WORDS; i++) {
		if (loose)
			look_loosely(look, words[i], i);
		else
			look_word(look, words[i], i);
	}
}

static void lost(struct look *look)
{
	struct page *page = look->page;
	uint64_t count = area_drops(page->file);
	uint32_t begun;
	bool still = calm(page, &begun);

	if (page->pins && page->pin_valid && begun == page->pin_begun)
		fail("got zero in %s, which is pinned, want what was stored",
		     model_name(page));
	if (!still || !page->seen || begun != page->seen_begun)
		return;	/* somebody discarded it just then */
	if (area_has_counter() && count == page->seen_count)
		fail("got zero in %s, but the drop counter has stayed at %llu",
		     model_name(page), (unsigned long long)count);
	page->missing = true;
	report->lost++;
}

void look_end(struct look *look)
{
	struct page *page = look->page;

	if (look->loose)
		return;
	if (look->gone > look->known)
		lost(look);
	page->gone = look->gone;
	page->seen_begun = look->begun;
	page->seen_count = look->count;
	page->seen = look->calm;
}

/* ---- pins ---- */

void model_pinned(struct page *page, uint32_t begun, bool calm)
{
	/* Pinned twice: the older pin's memory is the one that is watched. */
	if (page->pins++)
		return;
	page->pin_begun = begun;
	/* Native memory is private: what was zero when pinned, a store copies. */
	page->pin_valid = !native && calm && page->begun == begun;
}

void model_unpinned(struct page *page)
{
	page->pins--;
}

bool model_same_page(const struct page *page)
{
	return page->pin_valid && page->begun == page->pin_begun;
}

/* ---- anybody discards ---- */

static bool is_kept(const struct page *page, int kept)
{
	int slot = page->slot;

	return kept == ANY_SLOT ? slot != NOWHERE : slot == kept;
}

void discard_begin(struct discard *discard, struct area *area,
		   unsigned int first, unsigned int count, int kept)
{
	discard->area = area;
	discard->first = first;
	discard->count = count;
	for (unsigned int i = 0; i < count; i++) {
		struct page *page = &area->pages[first + i];

		discard->time[i] = KEPT;
		if (is_kept(page, kept))
			continue;
		page->begun++;
		discard->time[i] = model_time(page->last);
	}
}

static void raise_floor(struct page *page, uint64_t time)
{
	uint64_t old = page->floor;

	while (old < time &&
	       !atomic_compare_exchange_weak(&page->floor, &old, time))
		;
}

void discard_end(struct discard *discard,
		 bool (*gone)(const struct page *page, const void *data),
		 const void *data)
{
	for (unsigned int i = 0; i < discard->count; i++) {
		struct page *page = &discard->area->pages[discard->first + i];

		if (discard->time[i] == KEPT)
			continue;
		if (page->last && gone(page, data))
			raise_floor(page, discard->time[i]);
		page->ended++;
	}
}

void drop_begin(struct discard *drop, struct area *area, unsigned int first,
		unsigned int count)
{
	drop->area = area;
	drop->first = first;
	drop->count = count;
	for (unsigned int i = 0; i < count; i++)
		drop->time[i] = model_time(area->pages[first + i].last);
}

void drop_end(struct discard *drop,
	      bool (*gone)(const struct page *page, const void *data),
	      const void *data)
{
	for (unsigned int i = 0; i < drop->count; i++) {
		struct page *page = &drop->area->pages[drop->first + i];

		if (page->last && gone(page, data))
			raise_floor(page, drop->time[i]);
	}
}
