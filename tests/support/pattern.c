// SPDX-License-Identifier: GPL-2.0-only
/* See pattern.h. */
#define _GNU_SOURCE
#include "pattern.h"

#include <sys/mman.h>

#include "memory.h"
#include "tap.h"

#define WORDS (PAGE / sizeof(uint64_t))

uint64_t word_of(unsigned int tag, unsigned int generation, size_t index,
		 unsigned int place)
{
	return (uint64_t)(tag & 0xffff) << 48 |
	       (uint64_t)(generation & 0xfff) << 36 |
	       (uint64_t)(index & 0x7ffffff) << 9 | (place & 0x1ff);
}

/*
 * A page that goes while it is written keeps the later stores only: then once
 * more, so that each page was whole at least once.
 */
void fill_page(void *address, unsigned int tag, unsigned int generation,
	       size_t index)
{
	uint64_t first = word_of(tag, generation, index, 0);
	volatile uint64_t *word = address;

	do {
		for (unsigned int i = 0; i < WORDS; i++)
			word[i] = first + i;
	} while (word[0] != first);
}

void fill(void *address, size_t pages, unsigned int tag,
	  unsigned int generation)
{
	for (size_t i = 0; i < pages; i++)
		fill_page((char *)address + i * PAGE, tag, generation, i);
}

bool is_zero(const void *address, size_t length)
{
	const volatile uint64_t *word = address;

	for (size_t i = 0; i < length / sizeof(*word); i++) {
		if (word[i])
			return false;
	}
	return true;
}

/*
 * The page may go at any moment, between two loads of this loop as well: then
 * all that follows is zero, and what was read before is zero as well now.
 */
enum page_state page_state(const void *address, unsigned int tag,
			   unsigned int generation, size_t index)
{
	uint64_t first = word_of(tag, generation, index, 0);
	const volatile uint64_t *word = address;
	unsigned int i = 0;

	while (i < WORDS && word[i] == first + i)
		i++;
	if (i == WORDS)
		return PAGE_WHOLE;
	return is_zero(address, PAGE) ? PAGE_ZERO : PAGE_BAD;
}

static void describe_bad(const volatile uint64_t *word, size_t index,
			 uint64_t wanted)
{
	note("page %zu is neither whole nor zero: starts %016llx %016llx, ends %016llx; want %016llx",
	     index, (unsigned long long)word[0], (unsigned long long)word[1],
	     (unsigned long long)word[WORDS - 1], (unsigned long long)wanted);
}

static void add_page(struct tally *sum, const void *address, unsigned int tag,
		     unsigned int generation, size_t index)
{
	switch (page_state(address, tag, generation, index)) {
	case PAGE_WHOLE:
		sum->whole++;
		break;
	case PAGE_ZERO:
		sum->zero++;
		break;
	case PAGE_BAD:
		if (!sum->bad++)
			describe_bad(address, index,
				     word_of(tag, generation, index, 0));
		break;
	}
}

struct tally tally(const void *address, size_t pages, unsigned int tag,
		   unsigned int generation)
{
	struct tally sum = { 0, 0, 0 };

	for (size_t i = 0; i < pages; i++)
		add_page(&sum, (const char *)address + i * PAGE, tag,
			 generation, i);
	return sum;
}

size_t want_sane(const void *address, size_t pages, unsigned int tag,
		 unsigned int generation, size_t step)
{
	/* Mapped: malloc() would keep it. */
	unsigned char *vector = anon_map(pages);
	const char *at = address;
	struct tally sum = { 0, 0, 0 };

	want_ok(mincore((void *)address, pages * PAGE, vector));
	for (size_t i = 0; i < pages; i++)
		if (vector[i] & 1)
			add_page(&sum, at + i * PAGE, tag, generation, i);
	want_ok(munmap(vector, pages));
	want_eq(sum.bad, 0);
	for (size_t i = 0; i < pages; i += step)
		want_ne(page_state(at + i * PAGE, tag, generation, i),
			PAGE_BAD);
	return sum.whole;
}

void want_whole(const void *address, size_t pages, unsigned int tag,
		unsigned int generation)
{
	struct tally sum = tally(address, pages, tag, generation);

	want_eq(sum.bad, 0);
	want_eq(sum.whole, pages);
}

void want_zero(const void *address, size_t length)
{
	for (size_t at = 0; at < length; at += PAGE) {
		if (!is_zero((const char *)address + at, PAGE))
			fail("got page %zu with data (%016llx), want zero",
			     at / PAGE,
			     *(const unsigned long long *)((const char *)address +
							   at));
	}
}

size_t count_words(const void *page, unsigned int tag)
{
	const uint64_t *word = page;
	size_t count = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		count += word[i] >> 48 == tag && (word[i] & 0x1ff) == i;
	return count;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}
