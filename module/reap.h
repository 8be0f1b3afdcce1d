/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_REAP_H
#define _DROPPABLE_REAP_H

#include <linux/types.h>

struct droppable_region;
struct mmu_notifier;
struct vm_area_struct;

int droppable_reap_init(void);
void droppable_reap_exit(void);

struct mmu_notifier *droppable_reap_watch(struct droppable_region *region,
					  struct vm_area_struct *vma);
void droppable_reap_moved(struct mmu_notifier *notifier,
			  struct vm_area_struct *vma);
void droppable_reap_unwatch(struct mmu_notifier *notifier,
			    struct droppable_region *region);

u32 droppable_reap_clock(struct mmu_notifier *notifier);
bool droppable_reap_noted(struct mmu_notifier *notifier, unsigned long address,
			  u32 since);
int droppable_reap_revive(struct droppable_region *region, pgoff_t index,
			  unsigned long address, u32 since);

#endif
