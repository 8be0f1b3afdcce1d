/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Which addresses hold what the shim mapped from the device.
 *
 * No locks, no malloc(): callable from a signal handler, from inside malloc(),
 * from all threads at once and in a child of a process with threads.  What two
 * threads do to the same address at the same time has no order, as with
 * munmap(2) itself.
 */
#ifndef DROPPABLE_AREA_H
#define DROPPABLE_AREA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

struct chunk;

/* NULL until the first area is added: all that most programs ever read. */
extern _Atomic(_Atomic(struct chunk *) *) area_chunks;

/* False for ever in a program that never maps droppable memory. */
static inline bool area_any(void)
{
	return atomic_load_explicit(&area_chunks, memory_order_relaxed);
}

/**
 * area_add() - the device is mapped at [@start, @end) now
 *
 * False if there is no memory to note that in; part of it may be noted then.
 */
bool area_add(uintptr_t start, uintptr_t end);

/**
 * area_remove() - something else, or nothing, is mapped at [@start, @end) now
 *
 * Can't fail, but where an area of 128 MiB or more has to be split and there
 * is no memory for it, part of the range stays noted.
 */
void area_remove(uintptr_t start, uintptr_t end);

/**
 * area_run() - how far everything from @at on is the device, or nothing of it
 * @at:		first address
 * @end:	last, exclusive; more than @at
 * @ours:	out: which of the two
 *
 * Returns the end of that run, at most @end.
 */
uintptr_t area_run(uintptr_t at, uintptr_t end, bool *ours);

/* All of [@start, @end) is the device; false for an empty range. */
static inline bool area_covers(uintptr_t start, uintptr_t end)
{
	bool ours;

	return start < end && area_run(start, end, &ours) == end && ours;
}

#pragma GCC visibility pop

#endif /* DROPPABLE_AREA_H */
