/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each page may read.
 *
 * A page is stored in cells, a word after the other, upwards.  Every store of a
 * cell has a number, seq, that grows with each store into the page; a word's
 * time is the seq of its cell's last store and its place in the cell.  A drop
 * takes away all that was stored before it.  So at each moment there is one
 * time, gone, such that a word reads zero if it was stored up to then, and what
 * was stored if later; gone never goes back.  Each word that is read tells
 * something of gone: a zero raises it, and data of a time that is already gone
 * is a fault, as is anything that is not the word's own last store.
 *
 * Only a page's owner (a thread) stores into it and checks it.  Whoever
 * discards or replaces it, owner or not, says so in begun and ended, and raises
 * floor to the last store that was complete before: that much must be gone.
 * No lock is taken for it, so all of this goes on at the same time.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AREAS 3U
#define AREA_PAGES 1024U
#define PAGE_WORDS 512U
#define CELLS 16U
#define CELL_WORDS (PAGE_WORDS / CELLS)
#define FILES 2U
#define PROCESSES 24U

/* Slots that are none: of an unmapped page, of no page, of any mapped page. */
#define NOWHERE (-1)
#define NO_SLOT (-2)
#define ANY_SLOT (-3)

/* Beside PROT_*: a change failed half way, or was not heard of. */
#define PROT_UNKNOWN 0x80

/**
 * struct page - one page
 * @base:	the part of its values that is always the same
 * @seq:	the last store of each cell.  This and all up to @last: the
 *		owner's alone
 * @next:	the latest seq given out
 * @gone:	what was stored up to this time was seen to be gone
 * @unsure:	a store was cut short: cells may be a mixture of all that was
 *		stored up to this seq, 0 if not
 * @missing:	data was lost and nothing stored since
 * @seen:	the next two are valid
 * @seen_begun:	@begun when it was last looked at or filled
 * @seen_count:	the file's drop counter then
 * @pins:	how many hold it
 * @pin_valid:	nothing was discarded or replaced when it was pinned, and
 * @pin_begun:	@begun then: while it is the same, the page may not be dropped
 * @last:	the latest store that is complete
 * @floor:	what was stored up to this time must be gone
 * @begun:	discards and replacements begun
 * @ended:	and ended
 * @slot:	where it is mapped, or NOWHERE.  This and what follows: under the
 *		area's lock; valid while the area's epoch stays the same
 * @protection:	PROT_* or PROT_UNKNOWN
 * @file:	which of the open files it belongs to
 * @barred:	from children, by MADV_DONTFORK
 */
struct page {
	uint64_t base;
	uint32_t seq[CELLS];
	uint32_t next;
	uint64_t gone;
	uint32_t unsure;
	bool missing;
	bool seen;
	uint32_t seen_begun;
	uint64_t seen_count;
	uint32_t pins;
	bool pin_valid;
	uint32_t pin_begun;

	_Atomic uint32_t last;
	_Atomic uint64_t floor;
	_Atomic uint32_t begun;
	_Atomic uint32_t ended;

	_Atomic int8_t slot;
	_Atomic uint8_t protection;
	_Atomic uint8_t file;
	_Atomic bool barred;
};

/**
 * struct area - pages that are mapped together
 * @lock:	whoever changes mappings
 * @epoch:	odd while mappings change
 * @pages:	in order
 */
struct area {
	pthread_mutex_t lock;
	_Atomic uint32_t epoch;
	struct page pages[AREA_PAGES];
};

/**
 * struct process - what one process knows, in memory that all share
 * @used:	somebody's
 * @number:	part of every value it stores, so that another's data is known
 * @areas:	its pages
 */
struct process {
	atomic_bool used;
	uint32_t number;
	struct area areas[AREAS];
};

/* The calling process's. */
extern struct process *process;

void model_make(void);
/* Of no process: all of them, for another run. */
void model_clear(void);
/* A place for a child that is about to be forked; NULL if there is none. */
struct process *model_take(void);
void model_give(struct process *other);
/* Which place the calling process has: no other that lives has the same. */
unsigned int model_place(void);
/*
 * Before the fork, with all areas locked: the child takes over the layout, and
 * knows of no data.
 */
void model_inherit(struct process *child);

uint64_t model_value(const struct page *page, uint32_t seq, unsigned int word);
/* "area 1 page 17". */
const char *model_name(const struct page *page);

/* The time of a cell's last word, and so after all stores up to seq. */
static inline uint64_t model_time(uint32_t seq)
{
	return ((uint64_t)seq << 5) | (CELL_WORDS - 1);
}

/* The owner: numbers for a store, and that it is complete, or was cut short. */
uint32_t model_store_begin(struct page *page);
void model_store_end(struct page *page, unsigned int cell, uint32_t seq);
void model_store_failed(struct page *page);
/* All of the page is being stored: what was known before does not matter. */
void model_fill_begin(struct page *page);
void model_fill_end(struct page *page);

/**
 * struct look - the owner looks at a page, here or in a copy
 * @page:	the page
 * @begun:	as in the page, when it began
 * @calm:	no discard was under way then
 * @count:	the drop counter then
 * @known:	what was known to be gone then
 * @gone:	what is known by now
 * @loose:	an old copy: data that has been replaced meanwhile is right too
 */
struct look {
	struct page *page;
	uint32_t begun;
	bool calm;
	uint64_t count;
	uint64_t known;
	uint64_t gone;
	bool loose;
};

void look_begin(struct look *look, struct page *page);
/* All of the page's words, read upwards. */
void look_words(struct look *look, const volatile uint64_t *words);
void look_end(struct look *look);

/* The owner, when somebody has begun to hold the page that was looked at. */
void model_pinned(struct page *page, uint32_t begun, bool calm);
void model_unpinned(struct page *page);
/* The holder still has the page's own memory. */
bool model_same_page(const struct page *page);

/**
 * struct discard - pages whose content somebody takes away
 * @time:	of the last store that was complete before, or KEPT
 */
struct discard {
	struct area *area;
	unsigned int first;
	unsigned int count;
	uint64_t time[AREA_PAGES];
};

#define KEPT UINT64_MAX

/* All but the pages in slot @kept, which keep their content. */
void discard_begin(struct discard *discard, struct area *area,
		   unsigned int first, unsigned int count, int kept);
/* It is gone, if @gone says so of a page. */
void discard_end(struct discard *discard,
		 bool (*gone)(const struct page *page, const void *data),
		 const void *data);

/*
 * A drop, which leaves what is held: nothing is said in advance, so a drop of a
 * page that is pinned, or that isn't counted, is found.
 */
void drop_begin(struct discard *drop, struct area *area, unsigned int first,
		unsigned int count);
void drop_end(struct discard *drop,
	      bool (*gone)(const struct page *page, const void *data),
	      const void *data);

#endif /* FUZZ_MODEL_H */
