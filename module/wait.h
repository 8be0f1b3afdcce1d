/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_WAIT_H
#define _DROPPABLE_WAIT_H

#include <linux/compiler.h>
#include <linux/jiffies.h>
#include <linux/types.h>

struct mem_cgroup;

/* Free or easily freed, in pages, below which a fault needn't be retried. */
#define DROPPABLE_AVAILABLE_MIN	64

/**
 * struct droppable_try - a fault's try to get memory, and its wait if that fails
 * @began:	in jiffies
 * @again:	whether the fault has waited before
 * @freed:	if @again: how often something of ours had been freed by then
 * @least:	pages that have to be available for another try to be worth it
 *
 * On the stack of the fault, which alone looks at it, from droppable_try_start()
 * to droppable_try_end().
 */
struct droppable_try {
	unsigned long began;
	bool again;
	int freed;
	long least;
};

void droppable_try_again(struct droppable_try *try);
void droppable_try_tried(void);

/**
 * droppable_try_start - before a fault looks for memory
 * @try:	filled
 * @again:	whether the fault has waited before
 */
static inline void droppable_try_start(struct droppable_try *try, bool again)
{
	try->began = jiffies;
	try->again = again;
	try->least = DROPPABLE_AVAILABLE_MIN;
	if (unlikely(again))
		droppable_try_again(try);
}

/**
 * droppable_try_end - when a fault is over, whatever came of it
 * @try:	from droppable_try_start()
 */
static inline void droppable_try_end(const struct droppable_try *try)
{
	if (unlikely(try->again))
		droppable_try_tried();
}

struct mem_cgroup *droppable_charged_cgroup(void);
void droppable_wait(const struct droppable_try *try);
void droppable_wait_wake(void);

#endif
