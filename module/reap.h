/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_REAP_H
#define _DROPPABLE_REAP_H

#include <linux/types.h>

struct mm_struct;
struct mmu_notifier;

int droppable_reap_init(void);
void droppable_reap_exit(void);

struct mmu_notifier *droppable_reap_watch(struct mm_struct *mm);
void droppable_reap_unwatch(struct mmu_notifier *notifier);
bool droppable_reap_noted(struct mmu_notifier *notifier,
			  unsigned long address);

#endif
