/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_DROP_H
#define _DROPPABLE_DROP_H

#include <linux/list.h>
#include <linux/types.h>

struct droppable_held;
struct droppable_region;
struct droppable_slot;

/* What a drop may do and whom it spares. */
#define DROPPABLE_DROP_WAIT	(1U << 0)	/* wait for i_mmap_rwsem */
#define DROPPABLE_DROP_OLD	(1U << 1)	/* spare what was just touched */
#define DROPPABLE_DROP_ZERO	(1U << 2)	/* spare what was written */

/* How many folios a drop locks together at most. */
#define DROPPABLE_DROP_BATCH	128

void droppable_drop_isolated(struct droppable_slot *slot,
			     struct list_head *batch);
unsigned long droppable_drop(struct list_head *batch, unsigned int how,
			     bool *busy, struct droppable_held *held);
bool droppable_drop_under_way(void);
void droppable_drop_settle(void);
int droppable_drop_range(struct droppable_region *region,
			 pgoff_t first, pgoff_t last,
			 u64 *dropped, u64 *pinned);
void droppable_drop_put_back(struct droppable_slot *slot);
bool droppable_drop_take_out(struct droppable_slot *slot, bool zero);

#endif
