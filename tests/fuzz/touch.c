// SPDX-License-Identifier: GPL-2.0-only
/* See touch.h: stores and loads, where the page is. */
#define _GNU_SOURCE
#include "touch.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/tap.h"
#include "op.h"
#include "report.h"

static void store_cells(struct page *page, volatile uint64_t *words,
			unsigned int cell, unsigned int cells)
{
	for (unsigned int end = cell + cells; cell < end; cell++) {
		uint32_t seq = model_store_begin(page);
		unsigned int first = cell * CELL_WORDS;

		for (unsigned int i = first; i < first + CELL_WORDS; i++)
			words[i] = model_value(page, seq, i);
		model_store_end(page, cell, seq);
	}
}

static bool usable(const struct access *access, int protection)
{
	/* Once in a while where it can't work: it must end in a SIGSEGV. */
	return access->words &&
	       ((access->protection & protection) ||
		access->page->next % 8 == 0);
}

bool touch_store(unsigned int area, unsigned int page, unsigned int cell,
		 unsigned int cells)
{
	struct access access;
	int signal;

	access_begin(&access, area, page);
	if (!usable(&access, PROT_WRITE))
		return false;
	if (cells == CELLS)
		model_fill_begin(access.page);
	signal = GUARDED(store_cells(access.page, access.words, cell, cells));
	if (signal) {
		model_store_failed(access.page);
		access_caught(&access, signal, true);
		return false;
	}
	if (!(access.protection & (PROT_WRITE | PROT_UNKNOWN)) &&
	    access_stable(&access))
		fail("got a store into %s done, which is protected",
		     model_name(access.page));
	if (cells == CELLS)
		model_fill_end(access.page);
	return true;
}

bool touch_load(unsigned int area, unsigned int page)
{
	struct access access;
	struct look look;
	int signal;

	access_begin(&access, area, page);
	if (!usable(&access, PROT_READ))
		return false;
	look_begin(&look, access.page);
	signal = GUARDED(look_words(&look, access.words));
	if (signal) {
		access_caught(&access, signal, false);
		return false;
	}
	if (!(access.protection & (PROT_READ | PROT_UNKNOWN)) &&
	    access_stable(&access))
		fail("got a load from %s done, which is protected",
		     model_name(access.page));
	look_end(&look);
	return true;
}

void touch_prepare(struct page *page, uint64_t *buffer)
{
	for (unsigned int cell = 0; cell < CELLS; cell++) {
		uint32_t seq = model_store_begin(page);
		unsigned int first = cell * CELL_WORDS;

		for (unsigned int i = first; i < first + CELL_WORDS; i++)
			buffer[i] = model_value(page, seq, i);
	}
}

void touch_stored(struct page *page, bool all)
{
	if (!all) {
		model_store_failed(page);
		return;
	}
	for (unsigned int cell = 0; cell < CELLS; cell++)
		model_store_end(page, cell, page->next - CELLS + 1 + cell);
	model_fill_end(page);
}

bool op_fill(const struct op *op)
{
	bool any = false;

	for_owned(op, index)
		any |= touch_store(op->area, index, 0, CELLS);
	return any;
}

bool op_patch(const struct op *op)
{
	bool any = false;

	for_owned(op, index) {
		unsigned int random = op_more(op->value, index);
		unsigned int cell = random % CELLS;
		unsigned int cells = 1 + (random >> 8) % (CELLS - cell);

		any |= touch_store(op->area, index, cell, cells);
	}
	return any;
}

bool op_load(const struct op *op)
{
	bool any = false;

	for_owned(op, index)
		any |= touch_load(op->area, index);
	return any;
}

/*
 * The kernel adds 0 to the first word: a store whose fault may not let go of
 * mmap_lock, and which changes nothing.
 */
static bool nudge(unsigned int area, unsigned int page)
{
	struct access access;

	access_begin(&access, area, page);
	if (!access.words)
		return false;
	if (!syscall(SYS_futex, access.words, FUTEX_WAKE_OP_PRIVATE, 0, 0,
		     access.words,
		     FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)))
		return true;
	if (errno != EFAULT && errno != ENOMEM)
		fail("got %s from FUTEX_WAKE_OP in %s, want 0, EFAULT or ENOMEM",
		     tap_errno(errno), model_name(access.page));
	return false;
}

bool op_nudge(const struct op *op)
{
	bool any = false;

	for_owned(op, index)
		any |= nudge(op->area, index);
	return any;
}
