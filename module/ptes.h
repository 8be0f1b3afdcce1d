/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_PTES_H
#define _DROPPABLE_PTES_H

struct vm_area_struct;

void droppable_ptes_young(struct vm_area_struct *vma, unsigned long start,
			  unsigned long nr, unsigned long *young);
void droppable_ptes_dirty(struct vm_area_struct *vma, unsigned long start,
			  unsigned long nr, unsigned long *dirty);

#endif
