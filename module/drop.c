// SPDX-License-Identifier: GPL-2.0
/*
 * Dropping: unmap folios, and take those out of the store that nobody holds.
 *
 * A drop owns a batch of isolated slots: their folios are locked and they are
 * off the list_lru.  It unmaps first and asks for pins afterwards, because only
 * an unmapped folio can't be pinned anew; one that turns out to be held goes
 * back with DROPPABLE_SLOT_HELD, and the next fault maps the same folio again
 * (contract line 18).
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>

#include "drop.h"
#include "file.h"
#include "refault.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"
#include "trace.h"
#include "unmap.h"

/* Stretches of neighbours; what is held in earnest is rarely in many. */
#define HELD_STRETCHES	16

/* How many folios a drop of a range looks at for one batch. */
#define LOOK_AT		(8 * DROPPABLE_DROP_BATCH)

/**
 * struct droppable_held - what a drop of a range had to leave
 * @folios:	how many
 * @nr:		of @at
 * @at:		indices of them, the first @nr stretches of neighbours
 *
 * On the stack of droppable_drop_range().
 */
struct droppable_held {
	u64 folios;
	unsigned int nr;
	struct {
		pgoff_t first;
		pgoff_t last;
	} at[HELD_STRETCHES];
};

/*
 * Drops between their first isolated slot and their end, and who waits for
 * there to be none.
 */
static atomic_t under_way;
static DECLARE_WAIT_QUEUE_HEAD(settled);

#define SETTLE	(HZ / 50)

static void note_held(struct droppable_held *held, pgoff_t index)
{
	held->folios++;
	if (held->nr && held->at[held->nr - 1].last + 1 == index) {
		held->at[held->nr - 1].last = index;
	} else if (held->nr < HELD_STRETCHES) {
		held->at[held->nr].first = index;
		held->at[held->nr++].last = index;
	}
}

/**
 * droppable_drop_put_back - put an isolated slot back on its list
 * @slot:	its folio is unlocked here; mapped or not, the content is the
 *		page's
 */
void droppable_drop_put_back(struct droppable_slot *slot)
{
	struct folio *folio = slot->folio;

	if (folio_mapped(folio))
		slot->flags &= ~DROPPABLE_SLOT_HELD;
	droppable_lru_add(slot);
	folio_unlock(folio);
}

/**
 * droppable_drop_take_out - take an unmapped slot out of region->folios
 * @slot:	isolated
 * @zero:	zero its folio
 *
 * False if it is mapped or held, and so stays: then it is back on its list and
 * unlocked.
 */
bool droppable_drop_take_out(struct droppable_slot *slot, bool zero)
{
	if (!droppable_region_take_out(slot, 0, zero)) {
		droppable_drop_put_back(slot);
		return false;
	}
	droppable_region_removed(slot);
	return true;
}

static unsigned long drop_group(struct droppable_group *group,
				unsigned int how, bool *busy,
				struct droppable_held *held)
{
	struct droppable_region *region = group->region;
	struct droppable_slot *slot, *next;
	unsigned long dropped = 0;

	if (!droppable_unmap(group, how) && busy)
		*busy = true;
	list_for_each_entry_safe(slot, next, &group->slots, lru) {
		pgoff_t index = slot->index;

		list_del_init(&slot->lru);
		if (!droppable_drop_take_out(slot, droppable_slot_scrubs())) {
			if (held)
				note_held(held, index);
			continue;
		}
		droppable_refault_dropped(region, index);
		droppable_slot_free(slot);
		dropped++;
	}
	trace_droppable_drop(region, group->first, group->nr, dropped);
	if (dropped)
		droppable_count(region->file, DROPPABLE_DROPPED, dropped);
	/* What was unmapped and found held has counted too. */
	droppable_file_wake(region->file);
	/* The last touch: region_free() may be waiting for it. */
	if (atomic_sub_and_test(group->nr, &region->drops))
		wake_up_var(&region->drops);
	return dropped;
}

/**
 * droppable_drop_isolated - hand a slot to a drop
 * @slot:	its folio locked, itself in no list
 * @batch:	of the drop
 */
void droppable_drop_isolated(struct droppable_slot *slot,
			     struct list_head *batch)
{
	if (list_empty(batch))
		atomic_inc(&under_way);
	/* The folio's lock keeps the region: freeing it has to get past. */
	atomic_inc(&slot->region->drops);
	list_add_tail(&slot->lru, batch);
}

/**
 * droppable_drop - drop a batch of isolated slots
 * @batch:	empty afterwards
 * @how:	DROPPABLE_DROP_*; in reclaim without DROPPABLE_DROP_WAIT
 * @busy:	set to true if folios stay because a lock couldn't be had; or NULL
 * @held:	told of those that stay because they are held; or NULL
 *
 * Returns how many folios left the store.  The others are back on the
 * list_lru, at the young end.  All are unlocked.
 */
unsigned long droppable_drop(struct list_head *batch, unsigned int how,
			     bool *busy, struct droppable_held *held)
{
	unsigned long dropped = 0;

	if (list_empty(batch))
		return 0;
	do {
		struct droppable_group group;

		droppable_unmap_cut(batch, &group);
		dropped += drop_group(&group, how, busy, held);
	} while (!list_empty(batch));
	/* Full barrier: a waiter that this doesn't see sees the new value. */
	if (atomic_dec_and_test(&under_way) && waitqueue_active(&settled))
		wake_up(&settled);
	return dropped;
}

/**
 * droppable_drop_under_way - whether somebody has isolated what may be free soon
 */
bool droppable_drop_under_way(void)
{
	return atomic_read(&under_way);
}

/**
 * droppable_drop_settle - let the drops under way come to their end
 *
 * For who found nothing to drop where an OOM killer may be next: what others
 * have isolated and will free in a moment must not cost a process its life.  The
 * core throttles its reclaimers for that too.  Waits for a tick and 20 ms at most,
 * whatever locks the caller holds, and not after a fatal signal.
 */
void droppable_drop_settle(void)
{
	/* One tick at least: a lock's owner that is no drop wakes nobody. */
	if (!schedule_timeout_killable(1))
		wait_event_killable_timeout(settled, !droppable_drop_under_way(),
					    SETTLE);
}

/*
 * Collects up to DROPPABLE_DROP_BATCH folios from *@index on, and moves *@index
 * behind what was looked at.  False when the range is through.
 */
static bool collect(struct droppable_region *region, pgoff_t *index,
		    pgoff_t last, struct list_head *batch,
		    struct droppable_held *held)
{
	unsigned long at = *index;
	struct folio *folio;
	unsigned int nr = 0, looked = 0;

	xa_for_each_range(&region->folios, at, folio, *index, last) {
		struct droppable_slot *slot;

		/* What was collected stays locked while it looks on. */
		if (++looked > LOOK_AT)
			return true;
		*index = at + 1;
		folio = droppable_region_lock_folio(region, at);
		if (!folio)
			continue;
		slot = droppable_slot_of(folio);
		if (droppable_slot_pinned(folio, 1)) {
			note_held(held, at);
			folio_unlock(folio);
			droppable_slot_put(folio);
			continue;
		}
		droppable_lru_del(slot);
		droppable_drop_isolated(slot, batch);
		nr++;
		/* The store's reference keeps what is isolated. */
		folio_put(folio);
		if (nr == DROPPABLE_DROP_BATCH)
			return *index <= last;
	}
	return false;
}

static int drop_range_once(struct droppable_region *region, pgoff_t first,
			   pgoff_t last, u64 *dropped,
			   struct droppable_held *held)
{
	bool more;

	do {
		LIST_HEAD(batch);

		if (fatal_signal_pending(current))
			return -EINTR;
		more = collect(region, &first, last, &batch, held);
		*dropped += droppable_drop(&batch, DROPPABLE_DROP_WAIT, NULL,
					   held);
		cond_resched();
	} while (more);
	return 0;
}

/* Of what was held: a page is dropped once, whatever comes back meanwhile. */
static int drop_again(struct droppable_region *region,
		      struct droppable_held *held, u64 *dropped)
{
	struct droppable_held old = *held;
	unsigned int i;
	int err = 0;

	held->nr = 0;
	for (i = 0; i < old.nr && !err; i++) {
		pgoff_t first = old.at[i].first, last = old.at[i].last;

		held->folios -= last - first + 1;
		err = drop_range_once(region, first, last, dropped, held);
	}
	return err;
}

/**
 * droppable_drop_range - drop what is resident between two indices
 * @region:	kept alive by the caller's mmap_lock
 * @first:	index
 * @last:	index, included
 * @dropped:	grows by the folios dropped
 * @pinned:	grows by the folios left because somebody holds them
 *
 * A folio that seems pinned may only be being looked up, by another thread's
 * fault or the reaper.  Neither holds it for long, so it is tried again, if it
 * isn't one of very many.
 *
 * Returns -EINTR on a fatal signal.
 */
int droppable_drop_range(struct droppable_region *region,
			 pgoff_t first, pgoff_t last,
			 u64 *dropped, u64 *pinned)
{
	struct droppable_held held = { 0 };
	int tries, err;

	err = drop_range_once(region, first, last, dropped, &held);
	for (tries = 2; !err && held.folios && tries; tries--) {
		schedule_timeout_killable(1);
		err = drop_again(region, &held, dropped);
	}
	if (err)
		return err;
	*pinned += held.folios;
	droppable_count(region->file, DROPPABLE_PINNED, held.folios);
	return 0;
}
