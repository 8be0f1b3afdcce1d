/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_YOUNG_H
#define _DROPPABLE_YOUNG_H

struct vm_area_struct;

void droppable_young(struct vm_area_struct *vma, unsigned long start,
		     unsigned long nr, unsigned long *young);

#endif
