/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_REVIVE_H
#define _DROPPABLE_REVIVE_H

#include <linux/types.h>

struct droppable_region;
struct folio;

/* At once in an mm; who comes when there is no place faults again. */
#define DROPPABLE_REVIVALS	8

/**
 * struct droppable_revivals - folios that faults are about to map again
 * @nr:		how many are listed; some may be mapped already
 * @at:		where each is to be mapped, its region and its index there
 *
 * Part of an mm's reaper, and under its lock.  A region takes its entries off
 * before it dies.
 */
struct droppable_revivals {
	unsigned int nr;
	struct {
		unsigned long address;
		struct droppable_region *region;
		pgoff_t index;
	} at[DROPPABLE_REVIVALS];
};

bool droppable_revive_begin(struct droppable_revivals *revivals,
			    struct droppable_region *region, pgoff_t index,
			    unsigned long address);
struct folio *droppable_revive_get(struct droppable_revivals *revivals,
				   unsigned long start, unsigned long end);
void droppable_revive_forget(struct droppable_revivals *revivals,
			     struct droppable_region *region);

#endif
