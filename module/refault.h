/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_REFAULT_H
#define _DROPPABLE_REFAULT_H

#include <linux/gfp.h>
#include <linux/types.h>

struct droppable_region;

void droppable_refault_init(struct droppable_region *region);
void droppable_refault_exit(struct droppable_region *region);
void droppable_refault_ready(struct droppable_region *region, pgoff_t index,
			     gfp_t gfp);
void droppable_refault_dropped(struct droppable_region *region, pgoff_t index);
void droppable_refault_resident(struct droppable_region *region,
				pgoff_t index);

#endif
