/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_SHRINK_H
#define _DROPPABLE_SHRINK_H

struct droppable_slot;
struct list_lru;

int droppable_shrink_init(void);
void droppable_shrink_exit(void);
unsigned long droppable_shrink_all(void);

struct list_lru *droppable_lru(void);
void droppable_lru_add(struct droppable_slot *slot);
void droppable_lru_del(struct droppable_slot *slot);

#endif
