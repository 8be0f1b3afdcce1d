/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_STATS_H
#define _DROPPABLE_STATS_H

struct droppable_file;

/**
 * enum droppable_event - what is counted, in pages or events, since the start
 * @DROPPABLE_FAULTS:	pages made resident, recycled ones included
 * @DROPPABLE_REMOVED:	pages that left the store, for any reason.  What is
 *			resident is the difference of these two
 * @DROPPABLE_DROPPED:	of those, dropped: by reclaim, by command or to recycle
 * @DROPPABLE_REFAULTED: of the faults, those on a page that had been dropped
 * @DROPPABLE_RECYCLED:	of the dropped, reused at once for a fault that found no
 *			memory
 * @DROPPABLE_WAITS:	times that a fault waited for memory
 * @DROPPABLE_PINNED:	times that a page was passed over because somebody
 *			holds it
 */
enum droppable_event {
	DROPPABLE_FAULTS,
	DROPPABLE_REMOVED,
	DROPPABLE_DROPPED,
	DROPPABLE_REFAULTED,
	DROPPABLE_RECYCLED,
	DROPPABLE_WAITS,
	DROPPABLE_PINNED,
	DROPPABLE_NR_EVENTS
};

void droppable_count(struct droppable_file *df, enum droppable_event event,
		     unsigned long nr);
unsigned long droppable_total(enum droppable_event event);
unsigned long droppable_total_resident(void);
unsigned long droppable_file_resident(struct droppable_file *df);

#endif
