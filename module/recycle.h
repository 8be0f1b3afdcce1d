/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_RECYCLE_H
#define _DROPPABLE_RECYCLE_H

#include <linux/types.h>

struct droppable_region;
struct folio;

struct folio *droppable_recycle_oldest(struct droppable_region *region,
				       pgoff_t index, unsigned int flags);
struct folio *droppable_recycle_zero(struct droppable_region *region,
				     pgoff_t old, pgoff_t index);

#endif
