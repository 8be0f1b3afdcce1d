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

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/interval_tree_generic.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>

#include "drop.h"
#include "file.h"
#include "ptes.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"
#include "trace.h"

/* The tree of mapping->i_mmap, whose own lookup functions aren't exported. */
#define VMA_FIRST(vma)	((vma)->vm_pgoff)
#define VMA_LAST(vma)	((vma)->vm_pgoff + vma_pages(vma) - 1)
INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long,
		     shared.rb_subtree_last, VMA_FIRST, VMA_LAST,
		     static __maybe_unused, i_mmap_tree)

/* VMAs of one region that a group remembers; most regions have one. */
#define GROUP_VMAS	4

/**
 * struct group - isolated slots of one region
 * @region:	theirs
 * @slots:	the slots
 * @nr:		how many, at most DROPPABLE_DROP_BATCH
 * @first:	least index
 * @last:	greatest index
 * @vmas:	the region's VMAs between them, while i_mmap_rwsem is held
 * @nr_vmas:	how many; if there are more, @vmas has not all of them
 *
 * So that a drop looks for the VMAs once, among those of all relatives, and not
 * once for each run of neighbours.  Lives on the stack of the drop.
 */
struct group {
	struct droppable_region *region;
	struct list_head slots;
	unsigned long nr;
	pgoff_t first;
	pgoff_t last;
	struct vm_area_struct *vmas[GROUP_VMAS];
	unsigned int nr_vmas;
};

/**
 * struct run - neighbours in a group
 * @group:	theirs
 * @first:	index of the first
 * @nr:		how many
 * @keep:	those that are to stay mapped
 */
struct run {
	struct group *group;
	pgoff_t first;
	unsigned long nr;
	DECLARE_BITMAP(keep, DROPPABLE_DROP_BATCH);
};

typedef void (*vma_part)(struct run *run, struct vm_area_struct *vma,
			 pgoff_t from, unsigned long nr);

static struct address_space *group_mapping(struct group *group)
{
	return group->region->file->inode->i_mapping;
}

/* The next VMA of the region, from @vma on, between two offsets. */
static struct vm_area_struct *same_region(struct group *group,
					  struct vm_area_struct *vma,
					  pgoff_t first, pgoff_t last)
{
	/* Relatives share the offsets, not the region (line 17). */
	while (vma && READ_ONCE(vma->vm_private_data) != group->region)
		vma = i_mmap_tree_iter_next(vma, first, last);
	return vma;
}

static struct vm_area_struct *first_vma(struct group *group, pgoff_t first,
					pgoff_t last)
{
	struct rb_root_cached *tree = &group_mapping(group)->i_mmap;

	i_mmap_assert_locked(group_mapping(group));
	return same_region(group, i_mmap_tree_iter_first(tree, first, last),
			   first, last);
}

static struct vm_area_struct *next_vma(struct group *group,
				       struct vm_area_struct *vma,
				       pgoff_t first, pgoff_t last)
{
	return same_region(group, i_mmap_tree_iter_next(vma, first, last),
			   first, last);
}

static void find_vmas(struct group *group)
{
	pgoff_t first = group->region->base + group->first;
	pgoff_t last = group->region->base + group->last;
	struct vm_area_struct *vma;

	group->nr_vmas = 0;
	for (vma = first_vma(group, first, last); vma;
	     vma = next_vma(group, vma, first, last)) {
		if (group->nr_vmas == GROUP_VMAS) {
			group->nr_vmas++;
			return;
		}
		group->vmas[group->nr_vmas++] = vma;
	}
}

static void call_part(struct run *run, struct vm_area_struct *vma,
		      pgoff_t first, pgoff_t last, vma_part fn)
{
	pgoff_t from = max(first, VMA_FIRST(vma));
	pgoff_t to = min(last, VMA_LAST(vma));

	if (from <= to)
		fn(run, vma, from, to - from + 1);
}

/* Calls @fn for each VMA's part of a range of the run. */
static void for_each_vma_of(struct run *run, unsigned long at, unsigned long nr,
			    vma_part fn)
{
	struct group *group = run->group;
	pgoff_t first = group->region->base + run->first + at;
	pgoff_t last = first + nr - 1;
	struct vm_area_struct *vma;
	unsigned int i;

	if (group->nr_vmas <= GROUP_VMAS) {
		for (i = 0; i < group->nr_vmas; i++)
			call_part(run, group->vmas[i], first, last, fn);
		return;
	}
	for (vma = first_vma(group, first, last); vma;
	     vma = next_vma(group, vma, first, last))
		call_part(run, vma, first, last, fn);
}

static unsigned long vma_address_of(struct vm_area_struct *vma, pgoff_t pgoff)
{
	return vma->vm_start + ((pgoff - vma->vm_pgoff) << PAGE_SHIFT);
}

static void zap_one(struct run *run, struct vm_area_struct *vma, pgoff_t from,
		    unsigned long nr)
{
	zap_vma_range(vma, vma_address_of(vma, from), nr << PAGE_SHIFT);
}

/* Marks in run->keep what @look finds. */
static void keep(struct run *run, struct vm_area_struct *vma, pgoff_t from,
		 unsigned long nr,
		 void (*look)(struct vm_area_struct *vma, unsigned long start,
			      unsigned long nr, unsigned long *found))
{
	DECLARE_BITMAP(found, DROPPABLE_DROP_BATCH) = { 0 };
	unsigned long at = from - run->group->region->base - run->first;
	unsigned long bit;

	look(vma, vma_address_of(vma, from), nr, found);
	for_each_set_bit(bit, found, nr)
		__set_bit(at + bit, run->keep);
}

static void keep_young(struct run *run, struct vm_area_struct *vma,
		       pgoff_t from, unsigned long nr)
{
	keep(run, vma, from, nr, droppable_ptes_young);
}

static void keep_dirty(struct run *run, struct vm_area_struct *vma,
		       pgoff_t from, unsigned long nr)
{
	keep(run, vma, from, nr, droppable_ptes_dirty);
}

/* Returns how many pages were unmapped. */
static unsigned long unmap_run(struct run *run, unsigned int how)
{
	unsigned long at;

	bitmap_zero(run->keep, DROPPABLE_DROP_BATCH);
	if (how & DROPPABLE_DROP_OLD)
		for_each_vma_of(run, 0, run->nr, keep_young);
	if (how & DROPPABLE_DROP_ZERO)
		for_each_vma_of(run, 0, run->nr, keep_dirty);

	at = find_next_zero_bit(run->keep, run->nr, 0);
	while (at < run->nr) {
		unsigned long end = find_next_bit(run->keep, run->nr, at);

		for_each_vma_of(run, at, end - at, zap_one);
		at = find_next_zero_bit(run->keep, run->nr, end);
	}
	return run->nr - bitmap_weight(run->keep, run->nr);
}

static unsigned long unmap_runs(struct group *group, unsigned int how)
{
	struct run run = { .group = group };
	struct droppable_slot *slot;
	unsigned long unmapped = 0;

	list_for_each_entry(slot, &group->slots, lru) {
		if (run.nr && slot->index != run.first + run.nr) {
			unmapped += unmap_run(&run, how);
			run.nr = 0;
		}
		if (!run.nr)
			run.first = slot->index;
		run.nr++;
		/*
		 * Set before it is unmapped: what was unmapped earlier was
		 * discarded by its owner and must not come back.
		 */
		if (folio_mapped(slot->folio))
			slot->flags |= DROPPABLE_SLOT_HELD;
	}
	return unmapped + unmap_run(&run, how);
}

/*
 * i_mmap_rwsem keeps the VMAs and their page tables where they are.  If it
 * can't be had, the folios stay mapped and so stay resident.
 *
 * PF_MEMALLOC tells the reaper that this unmapping is ours.  It lets the
 * unmapping itself, which allocates only to go faster, use reserves, as it does
 * in reclaim.
 *
 * The drop counter grows here, while the folios are still locked and in the
 * store: whoever finds one unmapped has to wait for that lock before reading
 * zero, and so sees the counter grown (line 40).
 */
static void unmap(struct group *group, unsigned int how)
{
	unsigned long unmapped;
	unsigned int flags;

	if (how & DROPPABLE_DROP_WAIT)
		i_mmap_lock_read(group_mapping(group));
	else if (!i_mmap_trylock_read(group_mapping(group)))
		return;
	find_vmas(group);
	flags = memalloc_noreclaim_save();
	unmapped = unmap_runs(group, how);
	memalloc_noreclaim_restore(flags);
	if (!(how & DROPPABLE_DROP_ZERO))
		droppable_file_bump(group->region->file, unmapped);
	i_mmap_unlock_read(group_mapping(group));
}

/* Back to where it was; mapped or not, the content is the page's. */
static void put_back(struct droppable_slot *slot)
{
	struct folio *folio = slot->folio;

	if (folio_mapped(folio))
		slot->flags &= ~DROPPABLE_SLOT_HELD;
	droppable_lru_add(slot);
	folio_unlock(folio);
}

/*
 * Takes the slot out of region->folios.  False if it is mapped or held, and so
 * stays: then it is back on the list_lru and unlocked.
 */
static bool take_out(struct droppable_region *region,
		     struct droppable_slot *slot)
{
	const int refs = 1 + DROPPABLE_CHARGE_REFS;
	struct folio *folio = slot->folio;

	xa_lock(&region->folios);
	if (folio_mapped(folio) || !folio_ref_freeze(folio, refs)) {
		xa_unlock(&region->folios);
		put_back(slot);
		return false;
	}
	__xa_erase(&region->folios, slot->index);
	xa_unlock(&region->folios);
	/* Found nowhere any more: whoever looked it up before finds out. */
	folio_ref_unfreeze(folio, refs);
	droppable_region_removed(slot);
	return true;
}

/* Moves slots of one region, as they come, from @batch to a group. */
static void cut_group(struct list_head *batch, struct group *group)
{
	struct droppable_slot *slot, *next;

	slot = list_first_entry(batch, struct droppable_slot, lru);
	group->region = slot->region;
	group->first = slot->index;
	group->last = slot->index;
	group->nr = 0;
	INIT_LIST_HEAD(&group->slots);
	list_for_each_entry_safe(slot, next, batch, lru) {
		if (slot->region != group->region ||
		    group->nr == DROPPABLE_DROP_BATCH)
			break;
		group->first = min(group->first, slot->index);
		group->last = max(group->last, slot->index);
		list_move_tail(&slot->lru, &group->slots);
		group->nr++;
	}
}

static unsigned long drop_group(struct group *group, unsigned int how)
{
	struct droppable_region *region = group->region;
	struct droppable_slot *slot, *next;
	unsigned long dropped = 0;

	unmap(group, how);
	list_for_each_entry_safe(slot, next, &group->slots, lru) {
		list_del_init(&slot->lru);
		if (!take_out(region, slot))
			continue;
		droppable_slot_free(slot, 0);
		dropped++;
	}
	trace_droppable_drop(region, group->first, group->nr, dropped);
	if (dropped) {
		droppable_count(region->file, DROPPABLE_DROPPED, dropped);
		droppable_file_wake(region->file);
	}
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
	/* The folio's lock keeps the region: freeing it has to get past. */
	atomic_inc(&slot->region->drops);
	list_add_tail(&slot->lru, batch);
}

/**
 * droppable_drop - drop a batch of isolated slots
 * @batch:	empty afterwards
 * @how:	DROPPABLE_DROP_*; in reclaim without DROPPABLE_DROP_WAIT
 *
 * Returns how many folios left the store.  The others are back on the
 * list_lru, at the young end.  All are unlocked.
 */
unsigned long droppable_drop(struct list_head *batch, unsigned int how)
{
	unsigned long dropped = 0;

	while (!list_empty(batch)) {
		struct group group;

		cut_group(batch, &group);
		dropped += drop_group(&group, how);
	}
	return dropped;
}

/*
 * Collects up to DROPPABLE_DROP_BATCH folios from *@index on, and moves *@index
 * behind what was looked at.  False when the range is through.
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
		if (nr == DROPPABLE_DROP_BATCH)
			return *index <= last;
	}
	return false;
}

static int drop_range_once(struct droppable_region *region, pgoff_t first,
			   pgoff_t last, u64 *dropped, u64 *pinned)
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
		gone = droppable_drop(&batch, DROPPABLE_DROP_WAIT);
		*dropped += gone;
		*pinned += nr - gone;	/* pinned between the two looks */
		cond_resched();
	} while (more);
	return 0;
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
 * fault or the reaper.  Neither holds it for long, so it is tried again.
 *
 * Returns -EINTR on a fatal signal.
 */
int droppable_drop_range(struct droppable_region *region,
			 pgoff_t first, pgoff_t last,
			 u64 *dropped, u64 *pinned)
{
	int tries = 3;
	u64 held;
	int err;

	for (;;) {
		held = 0;
		err = drop_range_once(region, first, last, dropped, &held);
		if (err)
			return err;
		if (!held || !--tries)
			break;
		schedule_timeout_killable(1);
	}
	*pinned += held;
	droppable_count(region->file, DROPPABLE_PINNED, held);
	return 0;
}

/* Locks and isolates the slot at @index, if that takes no waiting. */
static struct droppable_slot *try_isolate(struct droppable_region *region,
					  pgoff_t index)
{
	struct droppable_slot *slot;
	struct folio *folio;

	folio = droppable_region_trylock_folio(region, index);
	if (!folio)
		return NULL;
	slot = droppable_slot_of(folio);
	if (droppable_slot_pinned(folio, 1)) {
		folio_unlock(folio);
		folio_put(folio);
		return NULL;
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
		if (droppable_region_spares(region, index))
			continue;
		slot = try_isolate(region, index);
		if (!slot)
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

		if (slot)
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
	struct group group;
	LIST_HEAD(batch);

	list_add(&slot->lru, &batch);
	cut_group(&batch, &group);
	unmap(&group, how);
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
	droppable_slot_free(slot, 1);
	folio_put(folio);
	return ERR_PTR(err == -EBUSY ? -EBUSY : -EAGAIN);
}

/**
 * droppable_drop_recycle - give an old page's folio to a fault
 * @region:	of a fault that found no memory
 * @index:	that the fault is for
 *
 * Drops the region's oldest page and makes its folio, zeroed, resident at
 * @index without letting go of it, so that nobody else gets it in between
 * (line 24).  Returns it locked, with a reference; ERR_PTR(-EBUSY) if another
 * thread was faster there, ERR_PTR(-EAGAIN) if the folio couldn't be kept but
 * has been freed, ERR_PTR(-ENOMEM) if there is none to be had.
 */
struct folio *droppable_drop_recycle(struct droppable_region *region,
				     pgoff_t index)
{
	struct droppable_slot *slot = isolate_victim(region);
	struct folio *folio;

	if (!slot)
		return ERR_PTR(-ENOMEM);
	unmap_one(slot, DROPPABLE_DROP_WAIT);
	trace_droppable_drop(region, slot->index, 1, 1);
	if (!take_out(region, slot))
		return ERR_PTR(-ENOMEM);
	droppable_count(region->file, DROPPABLE_DROPPED, 1);
	droppable_file_wake(region->file);
	clear_highpage(folio_page(slot->folio, 0));
	folio = move_in(region, slot, index, 0);
	if (!IS_ERR(folio))
		droppable_count(region->file, DROPPABLE_RECYCLED, 1);
	return folio;
}

/**
 * droppable_drop_reuse_zero - move a page that is still zero to another index
 * @region:	of a read fault
 * @old:	index of a page that was read once
 * @index:	that the fault is for
 *
 * Nothing is dropped: the old page reads zero as before.  A store into it that
 * comes between the look at its dirty bit and the unmapping is found by the
 * dirty bit that unmapping leaves in the folio, which then stays where it is.
 * Telling such a folio, unmapped and held by nobody, from one that its owner
 * discarded takes a reaper.  Returns as droppable_drop_recycle() does.
 */
struct folio *droppable_drop_reuse_zero(struct droppable_region *region,
					pgoff_t old, pgoff_t index)
{
	struct droppable_slot *slot;

	if (!region->reaper)
		return ERR_PTR(-ENOMEM);
	slot = try_isolate(region, old);
	if (!slot)
		return ERR_PTR(-ENOMEM);
	if (slot->flags & DROPPABLE_SLOT_CLEAN &&
	    !folio_test_dirty(slot->folio)) {
		unmap_one(slot, DROPPABLE_DROP_WAIT | DROPPABLE_DROP_ZERO);
		if (!folio_mapped(slot->folio) &&
		    !folio_test_dirty(slot->folio))
			return take_out(region, slot) ?
			       move_in(region, slot, index,
				       DROPPABLE_SLOT_CLEAN) :
			       ERR_PTR(-ENOMEM);
	}
	slot->flags &= ~DROPPABLE_SLOT_CLEAN;
	put_back(slot);
	return ERR_PTR(-ENOMEM);
}
