// SPDX-License-Identifier: GPL-2.0
/* Event counters: per open file, and per CPU for the whole device. */

#include <linux/cpumask.h>
#include <linux/percpu.h>

#include "file.h"
#include "stats.h"

static DEFINE_PER_CPU(unsigned long [DROPPABLE_NR_EVENTS], totals);

/**
 * droppable_count - count something that happened to a file's pages
 * @df:		the file
 * @event:	what
 * @nr:		how often
 */
void droppable_count(struct droppable_file *df, enum droppable_event event,
		     unsigned long nr)
{
	this_cpu_add(totals[event], nr);
	atomic_long_add(nr, &df->events[event]);
}

/**
 * droppable_total - the device's count of an event
 * @event:	what
 *
 * Exact when nothing is happening.
 */
unsigned long droppable_total(enum droppable_event event)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(totals, cpu)[event]);
	return sum;
}

/* Removed first: a page that goes meanwhile must not make it negative. */
static unsigned long difference(unsigned long removed, unsigned long faults)
{
	return faults > removed ? faults - removed : 0;
}

unsigned long droppable_total_resident(void)
{
	unsigned long removed = droppable_total(DROPPABLE_REMOVED);

	return difference(removed, droppable_total(DROPPABLE_FAULTS));
}

unsigned long droppable_file_resident(struct droppable_file *df)
{
	unsigned long removed =
		atomic_long_read(&df->events[DROPPABLE_REMOVED]);

	return difference(removed,
			  atomic_long_read(&df->events[DROPPABLE_FAULTS]));
}
