// SPDX-License-Identifier: GPL-2.0
/*
 * Recycling: gives the folio of one page of a region to another, for a fault
 * that finds no memory, or that reads and shall cost none.
 */

#include <linux/mm.h>

#include "drop.h"
#include "file.h"
#include "recycle.h"
#include "refault.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"
#include "trace.h"
#include "unmap.h"

/*
 * Locks and isolates the slot at @index.  ERR_PTR(-ENOMEM) if that would take
 * waiting, ERR_PTR(-ENOENT) if it is held, or there is none.
 */
static struct droppable_slot *try_isolate(struct droppable_region *region,
					  pgoff_t index)
{
	struct droppable_slot *slot;
	struct folio *folio;

	folio = droppable_region_trylock_folio(region, index);
	if (!folio)
		return ERR_PTR(xa_load(&region->folios, index) ? -ENOMEM :
								 -ENOENT);
	slot = droppable_slot_of(folio);
	if (droppable_slot_pinned(folio, 1)) {
		folio_unlock(folio);
		droppable_slot_put(folio);
		return ERR_PTR(-ENOENT);
	}
	droppable_lru_del(slot);
	/* The store's reference keeps what is isolated. */
	folio_put(folio);
	return slot;
}

/* The oldest but the recent ones, from @from to @to. */
static struct droppable_slot *isolate_oldest(struct droppable_region *region,
					     pgoff_t from, pgoff_t to)
{
	struct droppable_slot *slot;
	struct folio *folio;
	unsigned long index;

	xa_for_each_range(&region->folios, index, folio, from, to) {
		/* They may all be held, and very many. */
		if (fatal_signal_pending(current))
			break;
		cond_resched();
		if (droppable_region_spares(region, index))
			continue;
		slot = try_isolate(region, index);
		if (IS_ERR(slot))
			continue;
		WRITE_ONCE(region->hand, index + 1);
		return slot;
	}
	return NULL;
}

/*
 * The oldest of the recent ones, in a region that has nothing else.  Not if it
 * has fewer than one instruction may need: they would chase each other.
 */
static struct droppable_slot *isolate_recent(struct droppable_region *region)
{
	unsigned int at = READ_ONCE(region->recent_at), i;

	if (atomic_long_read(&region->resident) < DROPPABLE_RECENT)
		return NULL;
	for (i = 0; i < DROPPABLE_RECENT; i++) {
		pgoff_t index = READ_ONCE(region->recent[(at + i) %
							 DROPPABLE_RECENT]);
		struct droppable_slot *slot = try_isolate(region, index);

		if (!IS_ERR(slot))
			return slot;
	}
	return NULL;
}

/* By a hand that goes round: the order of age for memory filled in order. */
static struct droppable_slot *isolate_victim(struct droppable_region *region)
{
	pgoff_t hand = READ_ONCE(region->hand);
	struct droppable_slot *slot;

	slot = isolate_oldest(region, hand, ULONG_MAX);
	if (!slot && hand)
		slot = isolate_oldest(region, 0, hand - 1);
	return slot ?: isolate_recent(region);
}

/* Unmaps one isolated slot's folio. */
static void unmap_one(struct droppable_slot *slot, unsigned int how)
{
	struct droppable_group group;
	LIST_HEAD(batch);

	list_add(&slot->lru, &batch);
	droppable_unmap_cut(&batch, &group);
	droppable_unmap(&group, how);
	list_del_init(&slot->lru);
}

/*
 * Makes a slot that was taken out resident elsewhere.  Returns its folio locked,
 * with a reference; ERR_PTR(-EBUSY) if another thread was faster there,
 * ERR_PTR(-EAGAIN) if it couldn't be kept but has been freed.
 */
static struct folio *move_in(struct droppable_region *region,
			     struct droppable_slot *slot, pgoff_t index,
			     unsigned int flags)
{
	struct folio *folio = slot->folio;
	int err;

	folio_get(folio);
	/* Not waiting, not reclaiming: the node of the old index may serve. */
	err = droppable_region_insert(region, slot, index, flags,
				      GFP_NOWAIT | __GFP_NOWARN);
	if (!err)
		return folio;
	droppable_slot_free(slot);
	folio_put(folio);
	return ERR_PTR(err == -EBUSY ? -EBUSY : -EAGAIN);
}

/**
 * droppable_recycle_oldest - give an old page's folio to a fault
 * @region:	of a fault that found no memory
 * @index:	that the fault is for
 * @flags:	DROPPABLE_SLOT_* to begin with there
 *
 * Drops the region's oldest page and makes its folio, zeroed, resident at
 * @index without letting go of it, so that nobody else gets it in between
 * (line 24).  Returns it locked, with a reference; ERR_PTR(-EBUSY) if another
 * thread was faster there, ERR_PTR(-EAGAIN) if the folio couldn't be kept but
 * has been freed, ERR_PTR(-ENOMEM) if there is none to be had.
 */
struct folio *droppable_recycle_oldest(struct droppable_region *region,
				       pgoff_t index, unsigned int flags)
{
	struct droppable_slot *slot = isolate_victim(region);
	struct folio *folio;

	if (!slot)
		return ERR_PTR(-ENOMEM);
	unmap_one(slot, DROPPABLE_DROP_WAIT);
	if (!droppable_drop_take_out(slot, true)) {
		/* It has counted all the same. */
		droppable_file_wake(region->file);
		return ERR_PTR(-ENOMEM);
	}
	droppable_refault_dropped(region, slot->index);
	trace_droppable_drop(region, slot->index, 1, 1);
	droppable_count(region->file, DROPPABLE_DROPPED, 1);
	droppable_file_wake(region->file);
	folio = move_in(region, slot, index, flags);
	if (!IS_ERR(folio))
		droppable_count(region->file, DROPPABLE_RECYCLED, 1);
	return folio;
}

/* For good: nobody can store into it any more. */
static bool is_still_zero(struct droppable_slot *slot)
{
	struct folio *folio = slot->folio;

	return !folio_mapped(folio) && !droppable_slot_pinned(folio, 0) &&
	       !folio_test_dirty(folio) && droppable_slot_is_zero(folio);
}

/*
 * It was stored to while it was being unmapped, and its content depends on the
 * reaper's notes from here on: for the drop counter it may have been dropped.
 */
static void count_unmapped(struct droppable_slot *slot)
{
	struct droppable_file *df = slot->region->file;

	i_mmap_lock_read(df->inode->i_mapping);
	droppable_file_bump(df, 1);
	i_mmap_unlock_read(df->inode->i_mapping);
	droppable_file_wake(df);
}

/**
 * droppable_recycle_zero - move a page that is still zero to another index
 * @region:	of a read fault
 * @old:	index of a page that was read once
 * @index:	that the fault is for
 *
 * Nothing is dropped: the old page reads zero as before.  Unmapped and held by
 * nobody it can't change any more, so its bytes are looked at then; if they aren't
 * zero it stays where it is.  Telling such a folio from one that its owner
 * discarded takes a reaper.
 *
 * Returns as droppable_recycle_oldest() does; ERR_PTR(-ENOENT) if there is no page
 * to move any more, ERR_PTR(-ENOMEM) if not now.
 */
struct folio *droppable_recycle_zero(struct droppable_region *region,
				     pgoff_t old, pgoff_t index)
{
	struct droppable_slot *slot;

	if (!region->reaper)
		return ERR_PTR(-ENOMEM);
	slot = try_isolate(region, old);
	if (IS_ERR(slot))
		return ERR_CAST(slot);
	if (!folio_test_dirty(slot->folio)) {
		unmap_one(slot, DROPPABLE_DROP_WAIT | DROPPABLE_DROP_ZERO);
		if (is_still_zero(slot))
			return droppable_drop_take_out(slot, false) ?
			       move_in(region, slot, index,
				       DROPPABLE_SLOT_CLEAN) :
			       ERR_PTR(-ENOENT);
		if (!folio_mapped(slot->folio))
			count_unmapped(slot);
	}
	droppable_drop_put_back(slot);
	return ERR_PTR(-ENOENT);
}
