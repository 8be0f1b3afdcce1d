/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_DEVICE_H
#define _DROPPABLE_DEVICE_H

struct mm_struct;

int droppable_device_init(void);
void droppable_device_exit(void);
int droppable_device_drop_mm(struct mm_struct *mm);

#endif
