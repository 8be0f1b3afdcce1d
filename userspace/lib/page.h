/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * How something is kept in a page that can turn to zeros at any instant.
 *
 * A page begins with its generation, a word that is never 0; the generation it
 * ought to have is known in ordinary memory.
 *
 *	fill	page_begin(): store a generation never used before; fence;
 *		copy_in(): store the data
 *	add	page_has(), then copy_in() to a part not used so far
 *	read	page_has(); copy_out(): load the data; fence; page_still()
 *
 * Why it can't go wrong.  What the kernel does is one thing only: between any
 * two instructions of any thread it may put the whole page to zero, after which
 * the page is like new memory (contract lines 12 and 13).  So:
 *
 *  1. Say the page is dropped at T.  From T on its generation reads 0, until
 *     somebody fills it, and that is with another number: generations are
 *     never used twice, and adding doesn't store one.  So whoever loads the
 *     generation g at a time t knows that between the store of g and t there
 *     was no drop.
 *  2. A reader loads g after its data: page_still()'s fence keeps the loads of
 *     the data before it.  By 1 there was no drop until after the last of them,
 *     so they saw what was stored, however long the copying took and whatever
 *     faults it met.  Is it dropped on the way, then some of the copy is old
 *     and some zero, and page_still() says so.  It needn't have been touched
 *     again: loading from a dropped page gives 0 too.
 *  3. The first look, page_has(), saves copying in vain.  It isn't what makes
 *     the copy good.
 *  4. A writer stores g before the data.  Dropped before g: as if it had begun
 *     later.  Dropped after g, before or among the data: the page ends as 0
 *     with some data behind it, which nobody takes for anything.  The other way
 *     round, a drop among the data would be covered up by the g that follows.
 *     store_fence() keeps compiler and CPU from swapping them.
 *  5. Adding to a page that is dropped between page_has() and the stores, or
 *     among them, leaves data behind a 0: the same as 4.
 *  6. A page is filled anew while somebody still reads what was there: if any
 *     word of his copy is from the new data, then page_begin()'s fence before
 *     the store of that word and page_still()'s after the load of it order the
 *     new generation before his second look.  He sees that, or a 0, or a later
 *     one; never the old one.
 *  7. That a reader sees the data at all, and not what was in the page before
 *     them, is up to how he learnt of the generation: under a lock, or by
 *     whatever means his threads hand things to each other.
 *
 * Two writers never store to the same bytes; see pool.c for who sees to that.
 * All words are accessed as atomics: a copy that is thrown away may have raced
 * with a store, which is undefined for others.  Objects are aligned to words
 * and padded to words, so that no two share one.
 *
 * A thread that is moved to another CPU on the way is no exception, where the
 * kernel has every CPU forget the old page before a new one can be faulted in, as
 * the device does.  MAP_DROPPABLE may have them forget up to 32 pages together, a
 * moment later: who has stored his generation into the new page, and is moved
 * within that moment to a CPU where another thread of the same process has just
 * run, stores his data into the old one, and the new page vouches for zeros.  So
 * it reads in mm/rmap.c; nobody has seen it happen.
 */
#ifndef DROPPABLE_PAGE_H
#define DROPPABLE_PAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "order.h"

#define WORD		sizeof(uint64_t)
/* What is in front of the data: the generation. */
#define PAGE_HEAD	WORD

static inline int page_has(const char *page, uint64_t gen)
{
	return __atomic_load_n((const uint64_t *)page, __ATOMIC_ACQUIRE) == gen;
}

static inline int page_still(const char *page, uint64_t gen)
{
	load_fence();
	return __atomic_load_n((const uint64_t *)page, __ATOMIC_RELAXED) == gen;
}

static inline void page_begin(char *page, uint64_t gen)
{
	__atomic_store_n((uint64_t *)page, gen, __ATOMIC_RELAXED);
	store_fence();
}

/* From byte @at of the page, which may be any; @to is ordinary memory. */
static inline void copy_out(void *to, const char *page, size_t at, size_t len)
{
	const uint64_t *from = (const uint64_t *)(page + at - at % WORD);
	unsigned char *dst = to;
	size_t skip = at % WORD, n;
	uint64_t word;

	if (skip) {
		n = len < WORD - skip ? len : WORD - skip;
		word = __atomic_load_n(from++, DATA_LOAD);
		memcpy(dst, (unsigned char *)&word + skip, n);
		dst += n;
		len -= n;
	}
	for (; len >= WORD; len -= WORD, dst += WORD) {
		word = __atomic_load_n(from++, DATA_LOAD);
		memcpy(dst, &word, WORD);
	}
	if (len) {
		word = __atomic_load_n(from, DATA_LOAD);
		memcpy(dst, &word, len);
	}
}

/* To byte @at of the page, a multiple of WORD; the last word is padded. */
static inline void copy_in(char *page, size_t at, const void *from, size_t len)
{
	uint64_t *to = (uint64_t *)(page + at);
	const unsigned char *src = from;
	uint64_t word;

	for (; len >= WORD; len -= WORD, src += WORD) {
		memcpy(&word, src, WORD);
		__atomic_store_n(to++, word, DATA_STORE);
	}
	if (len) {
		word = 0;
		memcpy(&word, src, len);
		__atomic_store_n(to, word, DATA_STORE);
	}
}

#endif /* DROPPABLE_PAGE_H */
