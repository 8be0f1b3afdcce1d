/* SPDX-License-Identifier: GPL-2.0-only */
/* How a page's owner stores into it, and copies of it are made and checked. */
#ifndef FUZZ_TOUCH_H
#define FUZZ_TOUCH_H

#include <stdint.h>

#include "area.h"

/* Stores cells; false if a signal cut it short. */
bool touch_store(unsigned int area, unsigned int page, unsigned int cell,
		 unsigned int cells);
bool touch_load(unsigned int area, unsigned int page);

/*
 * Somebody else stores for the owner: the values for the page, in a buffer,
 * and then whether all of it was stored.
 */
void touch_prepare(struct page *page, uint64_t *buffer);
void touch_stored(struct page *page, bool all);

#endif /* FUZZ_TOUCH_H */
