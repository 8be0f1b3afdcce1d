// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A bit for each 4 KiB of the address space, in chunks of 128 MiB that are
 * made when they are needed and never freed: whoever found a chunk may use it
 * without asking again.  A chunk that is the device's as a whole is ALL, and
 * needs none.  Every operation is a number of independent atomic ones on single
 * words, so whatever interrupts it, for whatever time, nobody waits for it.
 */
#define _GNU_SOURCE
#include "area.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UNIT_SHIFT	12	/* the smallest page there is */
#define CHUNK_SHIFT	27
/* Beyond 48 bits the kernel only maps for those who ask for such an address. */
#define ADDRESS_BITS	48

#define UNIT		((uintptr_t)1 << UNIT_SHIFT)
#define CHUNK		((uintptr_t)1 << CHUNK_SHIFT)
#define ADDRESS_END	((uintptr_t)1 << ADDRESS_BITS)
#define CHUNKS		((size_t)1 << (ADDRESS_BITS - CHUNK_SHIFT))
#define WORD_BITS	64
#define WORD		(UNIT * WORD_BITS)
#define WORDS		(CHUNK / WORD)

struct chunk {
	_Atomic(uint64_t) words[WORDS];
};

_Atomic(_Atomic(struct chunk *) *) area_chunks;

#define ALL ((struct chunk *)1)

/* By the system call: whoever interposes mmap() shall not see us. */
static void *get_memory(size_t size)
{
	long p = syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			 0L);

	return p == -1 ? NULL : (void *)p;
}

static void put_memory(void *p, size_t size)
{
	syscall(SYS_munmap, p, size);
}

/* 16 MiB of addresses, of which a page is touched for each 64 GiB in use. */
static bool make_index(void)
{
	size_t size = CHUNKS * sizeof(_Atomic(struct chunk *));
	_Atomic(struct chunk *) *none = NULL, *index;

	if (area_any())
		return true;
	index = get_memory(size);
	if (!index)
		return false;
	if (!atomic_compare_exchange_strong(&area_chunks, &none, index))
		put_memory(index, size);
	return true;
}

static _Atomic(struct chunk *) *place_of(uintptr_t at)
{
	_Atomic(struct chunk *) *index = atomic_load(&area_chunks);

	return index && at < ADDRESS_END ? &index[at >> CHUNK_SHIFT] : NULL;
}

/*
 * Put a chunk where @was, NULL or ALL, is.  Whatever is there afterwards, also
 * from another thread, is in @was.  False for want of memory.
 */
static bool make_chunk(_Atomic(struct chunk *) *place, struct chunk **was)
{
	struct chunk *chunk = get_memory(sizeof(*chunk));

	if (!chunk)
		return false;
	if (*was == ALL)
		for (size_t i = 0; i < WORDS; i++)
			atomic_init(&chunk->words[i], ~(uint64_t)0);
	if (atomic_compare_exchange_strong(place, was, chunk))
		*was = chunk;
	else
		put_memory(chunk, sizeof(*chunk));
	return true;
}

static void write_bits(struct chunk *chunk, uintptr_t at, uintptr_t end,
		       bool ours)
{
	while (at < end) {
		size_t word = (at & (CHUNK - 1)) / WORD;
		unsigned int bit = (at / UNIT) % WORD_BITS;
		size_t bits = WORD_BITS - bit;
		uint64_t mask;

		if (bits > (end - at) / UNIT)
			bits = (end - at) / UNIT;
		mask = (~(uint64_t)0 >> (WORD_BITS - bits)) << bit;
		if (ours)
			atomic_fetch_or(&chunk->words[word], mask);
		else
			atomic_fetch_and(&chunk->words[word], ~mask);
		at += bits * UNIT;
	}
}

/* [@at, @end) lies in one chunk.  False for want of memory. */
static bool write_chunk(uintptr_t at, uintptr_t end, bool ours)
{
	_Atomic(struct chunk *) *place = place_of(at);
	struct chunk *was, *now = ours ? ALL : NULL;

	if (!place)
		return true;
	was = atomic_load(place);
	/* Again when another thread has changed it meanwhile. */
	while (was == NULL || was == ALL) {
		if (was == now)
			return true;
		if (end - at < CHUNK) {
			if (!make_chunk(place, &was))
				return false;
		} else if (atomic_compare_exchange_strong(place, &was, now)) {
			return true;
		}
	}
	write_bits(was, at, end, ours);
	return true;
}

static bool write_range(uintptr_t at, uintptr_t end, bool ours)
{
	bool done = true;

	at &= ~(UNIT - 1);
	end = (end + UNIT - 1) & ~(UNIT - 1);
	while (at < end) {
		uintptr_t next = (at | (CHUNK - 1)) + 1;

		if (next > end)
			next = end;
		done &= write_chunk(at, next, ours);
		at = next;
	}
	return done;
}

bool area_add(uintptr_t start, uintptr_t end)
{
	return make_index() && write_range(start, end, true);
}

void area_remove(uintptr_t start, uintptr_t end)
{
	if (end > ADDRESS_END)
		end = ADDRESS_END;
	if (area_any())
		write_range(start, end, false);
}

/* What is true of @at is true up to what this returns. */
static uintptr_t look(uintptr_t at, bool *ours)
{
	_Atomic(struct chunk *) *place = place_of(at);
	struct chunk *chunk = place ? atomic_load(place) : NULL;
	uint64_t word;

	*ours = chunk == ALL;
	if (!place)
		return UINTPTR_MAX;
	if (chunk == NULL || chunk == ALL)
		return (at | (CHUNK - 1)) + 1;
	word = atomic_load(&chunk->words[(at & (CHUNK - 1)) / WORD]);
	*ours = word >> ((at / UNIT) % WORD_BITS) & 1;
	if (word == 0 || word == ~(uint64_t)0)
		return (at | (WORD - 1)) + 1;
	return (at | (UNIT - 1)) + 1;
}

uintptr_t area_run(uintptr_t at, uintptr_t end, bool *ours)
{
	uintptr_t next = look(at, ours);
	bool same;

	while (next < end) {
		at = next;
		next = look(at, &same);
		if (same != *ours)
			return at;
	}
	return end;
}
