/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_DROP_H
#define _DROPPABLE_DROP_H

#include <linux/list.h>
#include <linux/types.h>

struct droppable_region;
struct droppable_slot;

void droppable_drop_isolated(struct droppable_slot *slot,
			     struct list_head *batch);
unsigned long droppable_drop(struct list_head *batch, bool wait);
int droppable_drop_range(struct droppable_region *region,
			 pgoff_t first, pgoff_t last,
			 u64 *dropped, u64 *pinned);
bool droppable_drop_oldest(struct droppable_region *region, pgoff_t keep);

#endif
