/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patterns that tell a page's own data from anything else.
 *
 * Every word of a page tells whose it is: tag (of the mapping, 16 bits, not
 * 0), generation (12 bits), page index (27 bits) and place in the page.
 */
#ifndef TESTS_PATTERN_H
#define TESTS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t word_of(unsigned int tag, unsigned int generation, size_t index,
		 unsigned int place);
void fill_page(void *address, unsigned int tag, unsigned int generation,
	       size_t index);
void fill(void *address, size_t pages, unsigned int tag,
	  unsigned int generation);

enum page_state { PAGE_WHOLE, PAGE_ZERO, PAGE_BAD };

/* Looks at every byte.  A page dropped while it is looked at is PAGE_ZERO. */
enum page_state page_state(const void *address, unsigned int tag,
			   unsigned int generation, size_t index);

struct tally {
	size_t whole;
	size_t zero;
	size_t bad;
};

struct tally tally(const void *address, size_t pages, unsigned int tag,
		   unsigned int generation);
/*
 * What is resident is whole, or went since; each step-th page of all, read back,
 * is no other's.  All of them could cost more memory than there is.  How many
 * were whole.
 */
size_t want_sane(const void *address, size_t pages, unsigned int tag,
		 unsigned int generation, size_t step);
/* No page may be bad, and exactly (or at least) so many be whole. */
void want_whole(const void *address, size_t pages, unsigned int tag,
		unsigned int generation);
void want_zero(const void *address, size_t length);
bool is_zero(const void *address, size_t length);
/* How many words of a buffer stand at their place of a page with this tag. */
size_t count_words(const void *page, unsigned int tag);

/* A xorshift generator: the same on every machine. */
uint64_t random_next(uint64_t *state);

#endif /* TESTS_PATTERN_H */
