/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_FILE_H
#define _DROPPABLE_FILE_H

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "stats.h"

struct folio;

/* vm_pgoff of memory is from DROPPABLE_CHARGE_END on, and below this ... */
#define DROPPABLE_PGOFF_MAX	(1UL << (BITS_PER_LONG - 15))
/* ... and that of the counter page is this. */
#define DROPPABLE_COUNTER_PGOFF	DROPPABLE_PGOFF_MAX

/**
 * struct droppable_file - one open of the device
 * @inode:	whose i_mapping is the file's f_mapping, so that the VMAs of
 *		one open hang in an i_mmap of their own (invariant)
 * @next:	vm_pgoff for the next mmap()
 * @events:	what happened to this file's pages, by enum droppable_event
 * @counter:	page that user space maps to see drops, or NULL until it does;
 *		set once.  It starts at 0 then: only differences mean something
 * @drops:	pages that drops have unmapped, or were about to
 * @seen:	@drops at the last read(2)
 * @readers:	waiting for @drops to change
 * @pins:	struct pin, by the lower half of its id, see give_id() in pin.c
 * @pins_made:	the last one's upper half
 * @flushed:	somebody has closed a descriptor, see is_open() in pin.c
 * @locked:	pages that @pins hold.  This, @flushed and @pins_made are changed
 *		under the lock of @pins; this and @flushed are read without
 *
 * Owned by the file, which every VMA of it keeps: it outlives close(2) and dies
 * with the last mapping.  Regions point here and die before.
 */
struct droppable_file {
	struct inode *inode;
	atomic_long_t next;
	atomic_long_t events[DROPPABLE_NR_EVENTS];
	struct folio *counter;
	atomic64_t drops;
	atomic64_t seen;
	wait_queue_head_t readers;
	struct xarray pins;
	u32 pins_made;
	bool flushed;
	unsigned long locked;
};

int droppable_file_init(void);
void droppable_file_exit(void);

struct droppable_file *droppable_file_alloc(void);
void droppable_file_free(struct droppable_file *df);
pgoff_t droppable_file_next_pgoff(struct droppable_file *df,
				  unsigned long pages);

bool droppable_file_counter(struct droppable_file *df);
void droppable_file_bump(struct droppable_file *df, unsigned long nr);
void droppable_file_wake(struct droppable_file *df);

#endif
