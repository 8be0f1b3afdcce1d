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
#include <linux/interval_tree_generic.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>

#include "drop.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"

/* How many folios one drop locks together. */
#define DROP_BATCH	64

/* The tree of mapping->i_mmap, whose own lookup functions aren't exported. */
#define VMA_FIRST(vma)	((vma)->vm_pgoff)
#define VMA_LAST(vma)	((vma)->vm_pgoff + vma_pages(vma) - 1)
INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long,
		     shared.rb_subtree_last, VMA_FIRST, VMA_LAST,
		     static __maybe_unused, i_mmap_tree)

static void zap_vmas(struct droppable_region *region, pgoff_t first,
		     pgoff_t last)
{
	struct rb_root_cached *tree = &region->mapping->i_mmap;
	struct vm_area_struct *vma;

	i_mmap_assert_locked(region->mapping);
	for (vma = i_mmap_tree_iter_first(tree, first, last); vma;
	     vma = i_mmap_tree_iter_next(vma, first, last)) {
		pgoff_t from = max(first, VMA_FIRST(vma));
		pgoff_t to = min(last, VMA_LAST(vma));

		/* Relatives share the offsets, not the region (line 17). */
		if (READ_ONCE(vma->vm_private_data) != region)
			continue;
		zap_vma_range(vma, vma->vm_start +
			      ((from - vma->vm_pgoff) << PAGE_SHIFT),
			      (to - from + 1) << PAGE_SHIFT);
	}
}

/*
 * i_mmap_rwsem keeps the VMAs and their page tables where they are.  If it
 * can't be had, the folios stay mapped and so stay resident.
 */
static void zap(struct droppable_region *region, pgoff_t index,
		unsigned long nr, bool wait)
{
	pgoff_t first = region->base + index;

	if (wait)
		i_mmap_lock_read(region->mapping);
	else if (!i_mmap_trylock_read(region->mapping))
		return;
	zap_vmas(region, first, first + nr - 1);
	i_mmap_unlock_read(region->mapping);
}

/* Unlocks the folio.  False if it is still mapped or held, and so stays. */
static bool drop_slot(struct droppable_region *region,
		      struct droppable_slot *slot)
{
	const int refs = 1 + DROPPABLE_CHARGE_REFS;
	struct folio *folio = slot->folio;

	xa_lock(&region->folios);
	if (folio_mapped(folio) || !folio_ref_freeze(folio, refs)) {
		xa_unlock(&region->folios);
		if (folio_mapped(folio))
			slot->flags &= ~DROPPABLE_SLOT_HELD;
		droppable_lru_add(slot);
		folio_unlock(folio);
		return false;
	}
	__xa_erase(&region->folios, slot->index);
	xa_unlock(&region->folios);
	/* Found nowhere any more: whoever looked it up before finds out. */
	folio_ref_unfreeze(folio, refs);
	mod_node_page_state(folio_pgdat(folio), NR_KERNEL_MISC_RECLAIMABLE, -1);
	droppable_slot_free(slot);
	return true;
}

/* Moves slots that follow each other, in one region, from @batch to @run. */
static unsigned long cut_run(struct list_head *batch, struct list_head *run)
{
	struct droppable_slot *slot, *next, *prev = NULL;
	unsigned long nr = 0;

	list_for_each_entry_safe(slot, next, batch, lru) {
		if (prev && (slot->region != prev->region ||
			     slot->index != prev->index + 1))
			break;
		/*
		 * Set before it is unmapped: what was unmapped earlier was
		 * discarded by its owner and must not come back.
		 */
		if (folio_mapped(slot->folio))
			slot->flags |= DROPPABLE_SLOT_HELD;
		list_move_tail(&slot->lru, run);
		prev = slot;
		nr++;
	}
	return nr;
}

/**
 * droppable_drop_isolated - hand a slot to a drop
 * @slot:	its folio locked, itself in no list
 * @batch:	of the drop
 */
void droppable_drop_isolated(struct droppable_slot *slot,
			     struct list_head *batch)
{
	/* The folio's lock keeps the region: freeing it has to get past. */
	atomic_inc(&slot->region->drops);
	list_add_tail(&slot->lru, batch);
}

/**
 * droppable_drop - drop a batch of isolated slots
 * @batch:	empty afterwards
 * @wait:	may wait for i_mmap_rwsem; never set in reclaim
 *
 * Returns how many folios left the store.  The others are back on the
 * list_lru, at the young end.  All are unlocked.
 */
unsigned long droppable_drop(struct list_head *batch, bool wait)
{
	struct droppable_slot *slot, *next;
	unsigned long dropped = 0;

	while (!list_empty(batch)) {
		struct droppable_region *region;
		unsigned long nr;
		LIST_HEAD(run);

		nr = cut_run(batch, &run);
		slot = list_first_entry(&run, struct droppable_slot, lru);
		region = slot->region;
		zap(region, slot->index, nr, wait);
		list_for_each_entry_safe(slot, next, &run, lru) {
			list_del_init(&slot->lru);
			dropped += drop_slot(region, slot);
		}
		/* The last touch: region_free() may be waiting for it. */
		if (atomic_sub_and_test(nr, &region->drops))
			wake_up_var(&region->drops);
	}
	return dropped;
}

/*
 * Collects up to DROP_BATCH folios from *@index on, and moves *@index behind
 * what was looked at.  False when the range is through.
 */
static bool collect(struct droppable_region *region, pgoff_t *index,
		    pgoff_t last, struct list_head *batch, u64 *pinned)
{
	unsigned long at = *index;
	struct folio *folio;
	unsigned int nr = 0;

	xa_for_each_range(&region->folios, at, folio, *index, last) {
		struct droppable_slot *slot;

		*index = at + 1;
		folio = droppable_region_lock_folio(region, at);
		if (!folio)
			continue;
		slot = droppable_slot_of(folio);
		if (droppable_slot_pinned(folio, 1)) {
			++*pinned;
			folio_unlock(folio);
		} else {
			droppable_lru_del(slot);
			droppable_drop_isolated(slot, batch);
			nr++;
		}
		/* The store's reference keeps what is isolated. */
		folio_put(folio);
		if (nr == DROP_BATCH)
			return *index <= last;
	}
	return false;
}

/**
 * droppable_drop_range - drop what is resident between two indices
 * @region:	kept alive by the caller's mmap_lock
 * @first:	index
 * @last:	index, included
 * @dropped:	grows by the folios dropped
 * @pinned:	grows by the folios left because somebody holds them
 *
 * Returns -EINTR on a fatal signal.
 */
int droppable_drop_range(struct droppable_region *region,
			 pgoff_t first, pgoff_t last,
			 u64 *dropped, u64 *pinned)
{
	bool more;

	do {
		LIST_HEAD(batch);
		struct droppable_slot *slot;
		u64 nr = 0, gone;

		if (fatal_signal_pending(current))
			return -EINTR;
		more = collect(region, &first, last, &batch, pinned);
		list_for_each_entry(slot, &batch, lru)
			nr++;
		gone = droppable_drop(&batch, true);
		*dropped += gone;
		*pinned += nr - gone;	/* pinned between the two looks */
		cond_resched();
	} while (more);
	return 0;
}

/* From @from to @to, what can be had without waiting. */
static unsigned long try_collect(struct droppable_region *region, pgoff_t from,
				 pgoff_t to, pgoff_t keep, unsigned long max,
				 struct list_head *batch)
{
	struct folio *folio;
	unsigned long index, nr = 0;

	xa_for_each_range(&region->folios, index, folio, from, to) {
		if (index == keep)
			continue;
		folio = droppable_region_trylock_folio(region, index);
		if (!folio)
			continue;
		if (droppable_slot_pinned(folio, 1)) {
			folio_unlock(folio);
			folio_put(folio);
			continue;
		}
		droppable_lru_del(droppable_slot_of(folio));
		droppable_drop_isolated(droppable_slot_of(folio), batch);
		folio_put(folio);
		WRITE_ONCE(region->hand, index + 1);
		if (++nr == max)
			break;
	}
	return nr;
}

/**
 * droppable_drop_oldest - make room by dropping some of a region's own folios
 * @region:	of a fault that found no memory
 * @keep:	the index that the fault is for
 *
 * Oldest by a hand that goes round the region's offsets, which is the order of
 * age for memory filled front to back.  Returns whether anything was dropped.
 */
bool droppable_drop_oldest(struct droppable_region *region, pgoff_t keep)
{
	const unsigned long max = 16;
	pgoff_t hand = READ_ONCE(region->hand);
	LIST_HEAD(batch);
	unsigned long nr;

	nr = try_collect(region, hand, ULONG_MAX, keep, max, &batch);
	if (nr < max && hand)
		try_collect(region, 0, hand - 1, keep, max - nr, &batch);
	return droppable_drop(&batch, true);
}
