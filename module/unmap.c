// SPDX-License-Identifier: GPL-2.0
/*
 * Unmapping: takes isolated folios out of the page tables of their region's
 * VMAs, all but those that were touched or written, if that is asked for.
 */

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/interval_tree_generic.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "drop.h"
#include "file.h"
#include "ptes.h"
#include "reap.h"
#include "region.h"
#include "slot.h"
#include "unmap.h"

/* The tree of mapping->i_mmap, whose own lookup functions aren't exported. */
#define VMA_FIRST(vma)	((vma)->vm_pgoff)
#define VMA_LAST(vma)	((vma)->vm_pgoff + vma_pages(vma) - 1)
INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long,
		     shared.rb_subtree_last, VMA_FIRST, VMA_LAST,
		     static __maybe_unused, i_mmap_tree)

/**
 * struct run - neighbours in a group
 * @group:	theirs
 * @first:	index of the first
 * @nr:		how many
 * @keep:	those that are to stay mapped
 */
struct run {
	struct droppable_group *group;
	pgoff_t first;
	unsigned long nr;
	DECLARE_BITMAP(keep, DROPPABLE_DROP_BATCH);
};

typedef void (*vma_part)(struct run *run, struct vm_area_struct *vma,
			 pgoff_t from, unsigned long nr);

static struct address_space *group_mapping(struct droppable_group *group)
{
	return group->region->file->inode->i_mapping;
}

/* The next VMA of the region, from @vma on, between two offsets. */
static struct vm_area_struct *same_region(struct droppable_group *group,
					  struct vm_area_struct *vma,
					  pgoff_t first, pgoff_t last)
{
	/* Relatives share the offsets, not the region (line 17). */
	while (vma && READ_ONCE(vma->vm_private_data) != group->region)
		vma = i_mmap_tree_iter_next(vma, first, last);
	return vma;
}

static struct vm_area_struct *first_vma(struct droppable_group *group, pgoff_t first,
					pgoff_t last)
{
	struct rb_root_cached *tree = &group_mapping(group)->i_mmap;

	i_mmap_assert_locked(group_mapping(group));
	return same_region(group, i_mmap_tree_iter_first(tree, first, last),
			   first, last);
}

static struct vm_area_struct *next_vma(struct droppable_group *group,
				       struct vm_area_struct *vma,
				       pgoff_t first, pgoff_t last)
{
	return same_region(group, i_mmap_tree_iter_next(vma, first, last),
			   first, last);
}

static void find_vmas(struct droppable_group *group)
{
	pgoff_t first = group->region->base + group->first;
	pgoff_t last = group->region->base + group->last;
	struct vm_area_struct *vma;

	group->nr_vmas = 0;
	for (vma = first_vma(group, first, last); vma;
	     vma = next_vma(group, vma, first, last)) {
		if (group->nr_vmas == DROPPABLE_GROUP_VMAS) {
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
	struct droppable_group *group = run->group;
	pgoff_t first = group->region->base + run->first + at;
	pgoff_t last = first + nr - 1;
	struct vm_area_struct *vma;
	unsigned int i;

	if (group->nr_vmas <= DROPPABLE_GROUP_VMAS) {
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

static unsigned long unmap_runs(struct droppable_group *group, unsigned int how)
{
	struct run run = { .group = group };
	u32 now = droppable_reap_clock(READ_ONCE(group->region->reaper));
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
		if (folio_mapped(slot->folio)) {
			slot->flags |= DROPPABLE_SLOT_HELD;
			slot->held_at = now;
		}
	}
	return unmapped + unmap_run(&run, how);
}

/**
 * droppable_unmap - unmap a group's folios
 * @group:	of isolated slots
 * @how:	DROPPABLE_DROP_*
 *
 * i_mmap_rwsem keeps the VMAs and their page tables where they are.  If it
 * can't be had without waiting, and waiting wasn't allowed, the folios stay
 * mapped and so stay resident: false.
 *
 * PF_MEMALLOC tells the reaper that this unmapping is ours.  It lets the
 * unmapping itself, which allocates only to go faster, use reserves, as it does
 * in reclaim.
 *
 * The drop counter grows here, while the folios are still locked and in the
 * store: whoever finds one unmapped has to wait for that lock before reading
 * zero, and so sees the counter grown (line 40).
 */
bool droppable_unmap(struct droppable_group *group, unsigned int how)
{
	unsigned long unmapped;
	unsigned int flags;

	if (how & DROPPABLE_DROP_WAIT)
		i_mmap_lock_read(group_mapping(group));
	else if (!i_mmap_trylock_read(group_mapping(group)))
		return false;
	find_vmas(group);
	flags = memalloc_noreclaim_save();
	unmapped = unmap_runs(group, how);
	memalloc_noreclaim_restore(flags);
	if (!(how & DROPPABLE_DROP_ZERO))
		droppable_file_bump(group->region->file, unmapped);
	i_mmap_unlock_read(group_mapping(group));
	return true;
}

/**
 * droppable_unmap_cut - move slots of one region, as they come, to a group
 * @batch:	not empty
 * @group:	filled in, all but the VMAs
 */
void droppable_unmap_cut(struct list_head *batch,
			 struct droppable_group *group)
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
