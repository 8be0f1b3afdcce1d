// SPDX-License-Identifier: GPL-2.0
/* The memory of one mmap() call: its lifetime, and the store of its folios. */

#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "fault.h"
#include "file.h"
#include "notes.h"
#include "pin.h"
#include "reap.h"
#include "refault.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"

/* After how long a region for whose watching there was no memory tries again. */
#define WATCH_AGAIN	(HZ / 50)

static struct kmem_cache *region_cache;

int droppable_region_init(void)
{
	region_cache = KMEM_CACHE(droppable_region, SLAB_ACCOUNT);
	return region_cache ? 0 : -ENOMEM;
}

void droppable_region_exit(void)
{
	kmem_cache_destroy(region_cache);
}

static struct droppable_region *region_alloc(struct vm_area_struct *vma)
{
	struct droppable_region *region;

	region = kmem_cache_zalloc(region_cache, DROPPABLE_GFP);
	if (!region)
		return NULL;
	refcount_set(&region->vmas, 1);
	region->mm = vma->vm_mm;
	region->file = vma->vm_file->private_data;
	region->base = vma->vm_pgoff;
	memset(region->recent, 0xff, sizeof(region->recent));
	memset(region->zeros, 0xff, sizeof(region->zeros)); /* _ZERO_NONE */
	region->watch_at = jiffies;
	xa_init_flags(&region->folios, XA_FLAGS_ACCOUNT);
	droppable_refault_init(region);
	INIT_LIST_HEAD(&region->pins);
	return region;
}

/* Whether a drop unmapped it, and it is the page's content nevertheless. */
static bool is_held(struct droppable_slot *slot, unsigned int how, u32 time)
{
	if (!(slot->flags & DROPPABLE_SLOT_HELD) || how & DROPPABLE_REAP_GONE)
		return false;
	return !(how & DROPPABLE_REAP_DISCARDED) ||
	       !droppable_time_after(time, slot->held_at);
}

/* What droppable_region_reap() returns, of one folio, which is put. */
static unsigned int reap_folio(struct folio *folio, unsigned int how, u32 time)
{
	struct droppable_slot *slot = droppable_slot_of(folio);
	unsigned int left = 0;

	if (folio_mapped(folio) || is_held(slot, how, time))
		goto unlock;
	slot->flags &= ~DROPPABLE_SLOT_HELD;
	if (droppable_region_remove_if_unused(folio)) {
		folio_put(folio);
		return 0;
	}
	left = DROPPABLE_REAP_LEFT_HELD;
unlock:
	folio_unlock(folio);
	droppable_slot_put(folio);
	return left;
}

static unsigned int reap_index(struct droppable_region *region, pgoff_t index,
			       unsigned int how, u32 time)
{
	struct folio *folio;

	if (how & DROPPABLE_REAP_WAIT)
		folio = droppable_region_lock_folio(region, index);
	else
		folio = droppable_region_trylock_folio(region, index);
	if (!folio)
		return xa_load(&region->folios, index) ?
			DROPPABLE_REAP_LEFT_LOCKED : 0;
	return reap_folio(folio, how, time);
}

/*
 * A look without lock and reference.  The folio may be freed just now, and part
 * of a large one next, of whose tail folio_mapped() must not be asked.
 */
static bool seems_mapped(struct folio *folio)
{
	return atomic_read(&folio->_mapcount) >= 0;
}

/**
 * droppable_region_reap - free what nothing maps or holds any more
 * @region:	kept alive by the caller's mmap_lock
 * @first:	index
 * @last:	index, included
 * @how:	DROPPABLE_REAP_DISCARDED: by its owner at @time, so that what a
 *		drop unmapped before that and found held isn't to come back
 *		either; DROPPABLE_REAP_GONE: nor is anything, since the pages
 *		are gone themselves; DROPPABLE_REAP_WAIT: for folio locks
 * @time:	by droppable_reap_clock(); with DROPPABLE_REAP_DISCARDED
 *
 * Returns what nothing maps and yet stays: DROPPABLE_REAP_LEFT_HELD if
 * somebody holds one; without waiting, DROPPABLE_REAP_LEFT_LOCKED if one is
 * locked, for instance by a drop that may be finding it held and leave it to
 * come back: the discard must not be forgotten.
 */
unsigned int droppable_region_reap(struct droppable_region *region,
				   pgoff_t first, pgoff_t last,
				   unsigned int how, u32 time)
{
	struct folio *folio;
	unsigned long index;
	unsigned int left = 0;

	xa_for_each_range(&region->folios, index, folio, first, last) {
		/*
		 * Wrong only for what is going, or what a discard that is still
		 * under way is about to unmap, which stays noted.
		 */
		if (!seems_mapped(folio))
			left |= reap_index(region, index, how, time);
		cond_resched();
	}
	return left;
}

/* One folio, of those that region_settle() is about. */
static void settle_index(struct droppable_region *region, pgoff_t index,
			 u32 now)
{
	struct folio *folio = droppable_region_lock_folio(region, index);
	struct droppable_slot *slot;

	if (!folio)
		return;
	slot = droppable_slot_of(folio);
	if (!(slot->flags & DROPPABLE_SLOT_HELD) ||
	    !droppable_slot_pinned(folio, 1)) {
		reap_folio(folio, DROPPABLE_REAP_GONE, 0);
		return;
	}
	slot->held_at = now;
	folio_unlock(folio);
	droppable_slot_put(folio);
}

/*
 * What was unmapped while nobody watched, by its owner or by a drop that found it
 * held: which, nobody can say.  As a fault would have until now (is_content() in
 * fault.c), it believes the second while somebody holds it.
 */
static void region_settle(struct droppable_region *region)
{
	u32 now = droppable_reap_clock(region->reaper);
	struct folio *folio;
	unsigned long index;

	xa_for_each(&region->folios, index, folio) {
		if (!seems_mapped(folio))
			settle_index(region, index, now);
		cond_resched();
	}
}

/* Has it watched, from now on, if that can be had. */
static void region_watch(struct droppable_region *region,
			 struct vm_area_struct *vma)
{
	struct mmu_notifier *reaper;

	mmap_assert_write_locked(vma->vm_mm);
	reaper = droppable_reap_watch(region, vma);
	if (IS_ERR(reaper)) {
		/* What was pending is gone by the program's next access. */
		if (PTR_ERR(reaper) != -EINTR)
			WRITE_ONCE(region->watch_at, jiffies + WATCH_AGAIN);
		return;
	}
	WRITE_ONCE(region->reaper, reaper);
	if (!atomic_long_read(&region->resident))
		return;
	/*
	 * A drop that had no reaper to ask the time of is through with its
	 * unmapping after this: it asks under the same lock.
	 */
	i_mmap_lock_write(region->file->inode->i_mapping);
	i_mmap_unlock_write(region->file->inode->i_mapping);
	region_settle(region);
}

/**
 * droppable_region_make - give the VMA at an address a region that is watched
 * @mm:		of the VMA, unlocked
 * @address:	where a fault found a VMA of ours without one
 *
 * Takes mmap_lock for writing, which watching the mm needs.  What of it worked the
 * next try of the fault will see.
 */
void droppable_region_make(struct mm_struct *mm, unsigned long address)
{
	struct droppable_region *region;
	struct vm_area_struct *vma;

	if (mmap_write_lock_killable(mm))
		return;
	vma = find_vma(mm, address);
	if (!vma || vma->vm_start > address ||
	    vma->vm_ops != &droppable_vm_ops)
		goto unlock;
	region = droppable_region_of(vma);
	if (!region) {
		region = region_alloc(vma);
		if (!region)
			goto unlock;
		/* Drops compare it, under i_mmap_rwsem alone. */
		WRITE_ONCE(vma->vm_private_data, region);
	}
	if (!region->reaper)
		region_watch(region, vma);
unlock:
	mmap_write_unlock(mm);
}

/**
 * droppable_region_make_here - the same without letting go of mmap_lock
 * @vma:	locked for a fault: it can't be split, moved or closed meanwhile
 *
 * It isn't watched until a fault comes that can let go.  NULL if there is no memory
 * for it.
 */
struct droppable_region *droppable_region_make_here(struct vm_area_struct *vma)
{
	struct droppable_region *region, *raced;

	mmap_assert_locked(vma->vm_mm);
	region = region_alloc(vma);
	if (!region)
		return NULL;
	raced = cmpxchg(&vma->vm_private_data, NULL, region);
	if (!raced)
		return region;
	kmem_cache_free(region_cache, region);
	return raced;
}

/**
 * droppable_region_open - a VMA was copied: by fork, split or mremap
 * @vma:	the copy, whose vm_private_data is still the original's
 *
 * Can't fail, and needs no memory.
 */
void droppable_region_open(struct vm_area_struct *vma)
{
	struct droppable_region *region = vma->vm_private_data;

	mmap_assert_write_locked(vma->vm_mm);
	if (!region)
		return;
	if (region->mm == vma->vm_mm)
		refcount_inc(&region->vmas);
	else
		WRITE_ONCE(vma->vm_private_data, NULL);	/* see above */
}

/**
 * droppable_region_moved - mremap() moved a VMA
 * @vma:	where it is now
 */
int droppable_region_moved(struct vm_area_struct *vma)
{
	struct droppable_region *region = vma->vm_private_data;

	mmap_assert_write_locked(vma->vm_mm);
	if (!region)
		return 0;
	region->moved = vma->vm_pgoff;
	region->moved_nr = vma_pages(vma);
	droppable_reap_moved(region->reaper, vma);
	return 0;
}

static void region_remove_all(struct droppable_region *region)
{
	struct folio *folio;
	unsigned long index;

	xa_for_each(&region->folios, index, folio) {
		folio = droppable_region_lock_folio(region, index);
		if (!folio)
			continue;	/* dropped just now */
		droppable_region_remove(folio);
		cond_resched();
	}
}

static void region_free(struct droppable_region *region)
{
	/* First: what nobody holds any more is scrubbed. */
	droppable_pin_release(region);
	region_remove_all(region);
	/*
	 * Drops that isolated a slot before it was removed may still look at
	 * the region.  They try locks and wait for nothing that we hold.
	 */
	wait_var_event(&region->drops, !atomic_read(&region->drops));
	droppable_reap_unwatch(region->reaper, region);
	droppable_refault_exit(region);
	xa_destroy(&region->folios);
	kmem_cache_free(region_cache, region);
}

/**
 * droppable_region_close - a VMA goes away, its page tables have gone already
 * @vma:	the VMA
 */
void droppable_region_close(struct vm_area_struct *vma)
{
	struct droppable_region *region = vma->vm_private_data;
	pgoff_t first;

	if (!region)
		return;
	if (refcount_dec_and_test(&region->vmas)) {
		region_free(region);
		return;
	}
	/*
	 * Moved, its pages go on elsewhere; else they are gone.  No other VMA of
	 * the region can go meanwhile: that begins with mmap_lock for writing, of
	 * which munmap() has kept the reading half at least.
	 */
	if (region->moved_nr == vma_pages(vma) &&
	    region->moved == vma->vm_pgoff) {
		region->moved_nr = 0;
		return;
	}
	first = droppable_region_index(region, vma, vma->vm_start);
	droppable_region_reap(region, first, first + vma_pages(vma) - 1,
			      DROPPABLE_REAP_GONE | DROPPABLE_REAP_WAIT, 0);
}

/*
 * A reference to the resident folio at @index, or NULL.  It may leave the store
 * at any time, but is no other's: its lock may be waited for.
 */
static struct folio *region_get_folio(struct droppable_region *region,
				      pgoff_t index)
{
	struct folio *folio;

	for (;;) {
		rcu_read_lock();
		folio = xa_load(&region->folios, index);
		if (!folio || likely(folio_try_get(folio)))
			break;
		rcu_read_unlock();
		/* Frozen under xa_lock, to be erased: wait for that. */
		xa_lock(&region->folios);
		xa_unlock(&region->folios);
	}
	/*
	 * The store has a reference of its own, so a folio that is still there
	 * after ours was taken hasn't been freed and used elsewhere since.
	 */
	if (folio && unlikely(xa_load(&region->folios, index) != folio)) {
		droppable_slot_put(folio);
		folio = NULL;
	}
	rcu_read_unlock();
	return folio;
}

/* What is locked is in the store for as long as it stays locked. */
static bool region_still_has(struct droppable_region *region, pgoff_t index,
			     struct folio *folio)
{
	if (likely(xa_load(&region->folios, index) == folio))
		return true;
	folio_unlock(folio);
	droppable_slot_put(folio);
	return false;
}

/**
 * droppable_region_lock_folio - find, pin and lock a resident folio
 * @region:	kept alive by the caller
 * @index:	in the region
 *
 * Waits for the folio lock, which is held over a fault's mapping of the folio
 * or a drop's batch, neither of which waits for memory.  NULL if not resident.
 */
struct folio *droppable_region_lock_folio(struct droppable_region *region,
					  pgoff_t index)
{
	struct folio *folio = region_get_folio(region, index);

	if (!folio)
		return NULL;
	folio_lock(folio);
	return region_still_has(region, index, folio) ? folio : NULL;
}

/**
 * droppable_region_trylock_folio - the same without waiting
 * @region:	kept alive by the caller
 * @index:	in the region
 */
struct folio *droppable_region_trylock_folio(struct droppable_region *region,
					     pgoff_t index)
{
	struct folio *folio = region_get_folio(region, index);

	if (!folio)
		return NULL;
	if (!folio_trylock(folio)) {
		droppable_slot_put(folio);
		return NULL;
	}
	return region_still_has(region, index, folio) ? folio : NULL;
}

static void note_recent(struct droppable_region *region, pgoff_t index)
{
	unsigned int at = READ_ONCE(region->recent_at);

	WRITE_ONCE(region->recent_at, at + 1);
	WRITE_ONCE(region->recent[at % DROPPABLE_RECENT], index);
}

/**
 * droppable_region_spares - whether a page is one that recycling spares
 * @region:	of the page
 * @index:	of the page
 */
bool droppable_region_spares(struct droppable_region *region, pgoff_t index)
{
	int i;

	for (i = 0; i < DROPPABLE_RECENT; i++)
		if (READ_ONCE(region->recent[i]) == index)
			return true;
	return false;
}

/**
 * droppable_region_insert - make a slot's folio resident
 * @region:	where
 * @slot:	in no list and no xarray; its folio zeroed and locked
 * @index:	in @region
 * @flags:	DROPPABLE_SLOT_* to begin with
 * @gfp:	for the index's nodes
 *
 * Returns 0; -EBUSY if another thread was faster; -ENOMEM.
 */
int droppable_region_insert(struct droppable_region *region,
			    struct droppable_slot *slot, pgoff_t index,
			    unsigned int flags, gfp_t gfp)
{
	struct folio *folio = slot->folio;
	int err;

	slot->region = region;
	slot->index = index;
	slot->flags = flags;
	folio_clear_dirty(folio);
	err = xa_insert(&region->folios, index, folio, gfp);
	if (err)
		return err;
	droppable_lru_add(slot);
	droppable_slot_reclaimable(slot, 1);
	atomic_long_inc(&region->resident);
	droppable_count(region->file, DROPPABLE_FAULTS, 1);
	droppable_refault_resident(region, index);
	note_recent(region, index);
	return 0;
}

/**
 * droppable_region_removed - account for a slot that has left region->folios
 * @slot:	in no list
 */
void droppable_region_removed(struct droppable_slot *slot)
{
	struct droppable_region *region = slot->region;

	if (!slot->pins)
		droppable_slot_reclaimable(slot, -1);
	atomic_long_dec(&region->resident);
	droppable_count(region->file, DROPPABLE_REMOVED, 1);
}

/**
 * droppable_region_populate - make a zeroed folio resident
 * @region:	of @vma
 * @vma:	locked for a fault
 * @address:	in @vma
 * @flags:	DROPPABLE_SLOT_* to begin with
 * @gfp:	DROPPABLE_GFP or DROPPABLE_GFP_FREE
 *
 * Returns the folio locked, with a reference for the caller; ERR_PTR(-EBUSY)
 * if another thread populated the page meanwhile; ERR_PTR(-ENOMEM).
 */
struct folio *droppable_region_populate(struct droppable_region *region,
					struct vm_area_struct *vma,
					unsigned long address,
					unsigned int flags, gfp_t gfp)
{
	pgoff_t index = droppable_region_index(region, vma, address);
	struct droppable_slot *slot;
	struct folio *folio;
	int err;

	droppable_refault_ready(region, index, gfp);
	slot = droppable_slot_alloc(vma, address, gfp);
	if (!slot)
		return ERR_PTR(-ENOMEM);
	folio = slot->folio;
	folio_get(folio);
	err = droppable_region_insert(region, slot, index, flags, gfp);
	if (err) {
		droppable_slot_unmake(slot);
		folio_put(folio);
		return ERR_PTR(err);
	}
	return folio;
}

/**
 * droppable_region_take_out - take a folio out of the store if nobody has it
 * @slot:	its folio locked
 * @own:	references of the caller's
 * @zero:	zero it
 *
 * False if it is mapped or held: then nothing has changed.  It is zeroed before
 * anybody can get a reference: a lookup without locks (GUP-fast) may be late, and
 * would be the one to free the folio, with what is in it.
 */
bool droppable_region_take_out(struct droppable_slot *slot, int own, bool zero)
{
	const int refs = 1 + DROPPABLE_CHARGE_REFS + own;
	struct droppable_region *region = slot->region;
	struct folio *folio = slot->folio;

	VM_WARN_ON_ONCE(!folio_test_locked(folio));
	xa_lock(&region->folios);
	if (folio_mapped(folio) || !folio_ref_freeze(folio, refs)) {
		xa_unlock(&region->folios);
		return false;
	}
	__xa_erase(&region->folios, slot->index);
	xa_unlock(&region->folios);
	if (zero)
		clear_highpage(folio_page(folio, 0));
	/* Found nowhere any more: whoever looked it up before finds out. */
	folio_ref_unfreeze(folio, refs);
	return true;
}

/* @slot has left region->folios, and its folio comes back unlocked. */
static void free_slot(struct droppable_slot *slot)
{
	droppable_lru_del(slot);
	droppable_region_removed(slot);
	droppable_slot_free(slot);
}

/**
 * droppable_region_remove - take a folio out of the store, held or not
 * @folio:	locked, mapped by nobody, with a reference of the caller's: both
 *		are given up here
 *
 * What others hold is theirs, and not zeroed.  Who only looked it up zeroes it
 * if his reference is the last (droppable_slot_put()), as we do.
 */
void droppable_region_remove(struct folio *folio)
{
	struct droppable_slot *slot = droppable_slot_of(folio);

	if (droppable_region_remove_if_unused(folio)) {
		folio_put(folio);
		return;
	}
	xa_erase(&slot->region->folios, slot->index);
	free_slot(slot);
	droppable_slot_put(folio);
}

/**
 * droppable_region_remove_if_unused - the same, if nobody maps or pins it
 * @folio:	locked, with a reference of the caller's, which he keeps; unlocked
 *		if true
 */
bool droppable_region_remove_if_unused(struct folio *folio)
{
	struct droppable_slot *slot = droppable_slot_of(folio);

	if (!droppable_region_take_out(slot, 1, droppable_slot_scrubs()))
		return false;
	free_slot(slot);
	return true;
}
