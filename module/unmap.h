/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_UNMAP_H
#define _DROPPABLE_UNMAP_H

#include <linux/list.h>
#include <linux/types.h>

struct droppable_region;
struct vm_area_struct;

/* VMAs of one region that a group remembers; most regions have one. */
#define DROPPABLE_GROUP_VMAS	4

/**
 * struct droppable_group - isolated slots of one region
 * @region:	theirs
 * @slots:	the slots
 * @nr:		how many, at most DROPPABLE_DROP_BATCH
 * @first:	least index
 * @last:	greatest index
 * @vmas:	the region's VMAs between them, while i_mmap_rwsem is held
 * @nr_vmas:	how many; if there are more, @vmas has not all of them
 *
 * So that a drop looks for the VMAs once, among those of all relatives, and not
 * once for each run of neighbours.  Lives on the stack of the drop.
 */
struct droppable_group {
	struct droppable_region *region;
	struct list_head slots;
	unsigned long nr;
	pgoff_t first;
	pgoff_t last;
	struct vm_area_struct *vmas[DROPPABLE_GROUP_VMAS];
	unsigned int nr_vmas;
};

void droppable_unmap_cut(struct list_head *batch,
			 struct droppable_group *group);
bool droppable_unmap(struct droppable_group *group, unsigned int how);

#endif
