// SPDX-License-Identifier: GPL-2.0-only
/* Operations that change mappings. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "../support/memory.h"
#include "../support/tap.h"
#include "area.h"
#include "op.h"
#include "report.h"

static __thread struct discard change;

static char *at(const struct op *op, int slot)
{
	return area_address(op->area, slot, op->page);
}

static size_t length(const struct op *op)
{
	return op->count * PAGE;
}

static struct page *page_of(const struct op *op, unsigned int i)
{
	return &process->areas[op->area].pages[op->page + i];
}

/* The slot of the first page that has one. */
static int slot_of(const struct op *op)
{
	for (unsigned int i = 0; i < op->count; i++) {
		int slot = page_of(op, i)->slot;

		if (slot != NOWHERE)
			return slot;
	}
	return 0;
}

/* How many pages from the i-th on are in the same slot, or nowhere. */
static unsigned int run_of(const struct op *op, unsigned int i)
{
	unsigned int end = i;

	while (end < op->count &&
	       page_of(op, end)->slot == page_of(op, i)->slot)
		end++;
	return end - i;
}

/* ---- what replaces or unmaps ---- */

static void note_fresh(const struct op *op, unsigned int file, int protection)
{
	for (unsigned int i = 0; i < op->count; i++) {
		struct page *page = page_of(op, i);

		page->protection = (uint8_t)protection;
		page->file = (uint8_t)file;
		page->barred = false;
	}
}

bool op_map(const struct op *op)
{
	int slot = op->value & 1;
	unsigned int file = op->value >> 1 & 1;
	int flags = op->value & 0x70 ? 0 : MAP_POPULATE;
	void *got = MAP_FAILED;

	change_begin(&change, op->area, op->page, op->count, NO_SLOT);
	/* Cutting a mapping in two takes memory. */
	if (!munmap(at(op, !slot), length(op)))
		got = area_map(op->area, slot, op->page, op->count, file,
			       flags);
	if (got != MAP_FAILED)
		note_fresh(op, file, PROT_READ | PROT_WRITE);
	else
		want_eq(errno, ENOMEM);
	change_end(&change, got == MAP_FAILED ? NO_SLOT : slot);
	return got != MAP_FAILED;
}

bool op_unmap(const struct op *op)
{
	bool done;

	change_begin(&change, op->area, op->page, op->count, NO_SLOT);
	done = !munmap(at(op, slot_of(op)), length(op));
	change_end(&change, NO_SLOT);
	return done;
}

bool op_shrink(const struct op *op)
{
	unsigned int kept = 1 + op->value % op->count;
	struct op tail = *op;
	char *begin;
	bool done;

	if (kept == op->count)
		return false;
	tail.page += kept;
	tail.count -= kept;
	change_begin(&change, op->area, tail.page, tail.count, NO_SLOT);
	begin = at(op, slot_of(op));
	done = mremap(begin, length(op), kept * PAGE, 0) == begin;
	change_end(&change, NO_SLOT);
	return done;
}

/* The old way to ask for another part of a file: it maps anew. */
bool op_remap(const struct op *op)
{
	struct page *first = page_of(op, 0);
	int slot, protection;
	bool done;

	change_begin(&change, op->area, op->page, op->count, NO_SLOT);
	slot = slot_of(op);
	protection = first->protection;
	done = !remap_file_pages(at(op, slot), length(op), 0, 0, 0);
	if (done)
		note_fresh(op, first->file, protection);
	change_end(&change, done ? slot : NO_SLOT);
	return done;
}

/* ---- what keeps the content ---- */

static const int protections[] = { PROT_READ | PROT_WRITE, PROT_READ,
				   PROT_NONE, PROT_READ | PROT_WRITE };

static bool protect_run(const struct op *op, unsigned int first,
			unsigned int count, int protection)
{
	int slot = page_of(op, first)->slot;
	char *begin = area_address(op->area, slot, op->page + first);
	int error = mprotect(begin, count * PAGE, protection);

	if (error) {
		want_eq(errno, ENOMEM);
		protection = PROT_UNKNOWN;
	}
	for (unsigned int i = 0; i < count; i++)
		page_of(op, first + i)->protection = (uint8_t)protection;
	return !error;
}

bool op_protect(const struct op *op)
{
	int protection = protections[op->value % 4];
	bool any = false;

	change_begin(&change, op->area, op->page, op->count, ANY_SLOT);
	for (unsigned int i = 0; i < op->count; i += run_of(op, i)) {
		if (page_of(op, i)->slot != NOWHERE)
			any |= protect_run(op, i, run_of(op, i), protection);
	}
	change_end(&change, NO_SLOT);
	return any;
}

/* Pages that are where others come to lie are unmapped by it. */
bool op_move(const struct op *op)
{
	int slot = slot_of(op);
	bool done;

	change_begin(&change, op->area, op->page, op->count, slot);
	done = mremap(at(op, slot), length(op), length(op),
		      MREMAP_MAYMOVE | MREMAP_FIXED, at(op, !slot)) !=
	       MAP_FAILED;
	change_end(&change, NO_SLOT);
	return done;
}

bool op_dontfork(const struct op *op)
{
	bool done = false;

	change_begin(&change, op->area, op->page, op->count, ANY_SLOT);
	for (unsigned int i = 0; i < op->count; i++) {
		struct page *page = page_of(op, i);
		int slot = page->slot;
		char *begin = area_address(op->area, slot, op->page + i);

		if (slot == NOWHERE)
			continue;
		if (op->value & 1 && !madvise(begin, PAGE, MADV_DOFORK))
			page->barred = false;
		else if (!(op->value & 1) && !madvise(begin, PAGE, MADV_DONTFORK))
			page->barred = true;
		else
			continue;
		done = true;
	}
	change_end(&change, NO_SLOT);
	return done;
}

/* ---- what is refused ---- */

/* Growing, aliasing, leaving the old place mapped: must change nothing. */
static bool refused(const struct op *op, size_t old, size_t new, int flags)
{
	void *got;
	int error;

	change_begin(&change, op->area, op->page, op->count, ANY_SLOT);
	got = mremap(at(op, slot_of(op)), old, new, flags);
	if (got != MAP_FAILED)
		fail("got success from mremap(%zu, %zu, %d), want an error",
		     old, new, flags);
	error = errno;
	change_end(&change, NO_SLOT);
	return error == EFAULT || error == EINVAL;
}

bool op_grow(const struct op *op)
{
	return refused(op, length(op), length(op) + (1 + op->value % 64) * PAGE,
		       op->value >> 8 & 1 ? MREMAP_MAYMOVE : 0);
}

bool op_alias(const struct op *op)
{
	return refused(op, 0, length(op), MREMAP_MAYMOVE);
}

bool op_dontunmap(const struct op *op)
{
	return refused(op, length(op), length(op),
		       MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
}
