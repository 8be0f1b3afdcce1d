/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_REGION_H
#define _DROPPABLE_REGION_H

/*
 * LOCK ORDER, outermost first:
 *
 *	mmap_lock (or the VMA lock) of the mm
 *	  folio lock of a resident folio
 *	    i_mmap_rwsem of the region's mapping, for reading
 *	      page table lock
 *	    xa_lock of region->folios
 *	    lock of the list_lru
 *
 * Several folio locks are held together by a drop only: a waiting drop takes
 * those of one region in ascending index order, the shrinker trylocks them
 * and so may hold any set.  xa_lock, the list_lru's lock and the page table
 * lock never nest in each other, except that the list_lru calls the shrinker's
 * isolate callback with its lock held: that callback trylocks the folio.
 *
 * In reclaim, folio lock and i_mmap_rwsem are only ever tried.  Nothing is
 * allocated under any of them but the nodes of region->folios, under the lock
 * of a folio that nobody else can see yet; reclaim entered from there skips
 * that folio because its trylock fails.
 */

#include <linux/atomic.h>
#include <linux/mm_types.h>
#include <linux/refcount.h>
#include <linux/xarray.h>

struct address_space;
struct folio;

/**
 * struct droppable_region - the memory of one mmap() call in one mm
 * @vmas:	VMAs whose vm_private_data is this region; the last close
 *		empties and frees it
 * @drops:	slots of this region that some drop has isolated; freeing the
 *		region waits for 0, and a drop never waits for the region
 * @mm:		identity only, never dereferenced: tells fork from split. Valid
 *		while a VMA points here, since that VMA belongs to it
 *		(invariant)
 * @mapping:	whose i_mmap holds the VMAs; the VMAs' vm_file keeps it alive
 *		until after the last close (invariant)
 * @base:	vm_pgoff of index 0 (invariant)
 * @hand:	index where recycling looks next; a hint, so races on it only
 *		cost order
 * @folios:	index -> resident folio, holding the store's reference to it.
 *		Changed under its xa_lock and the folio's lock; read under RCU
 *		by droppable_region_lock_folio()
 *
 * Made by the first fault in a VMA that has none, under mmap_lock or the VMA
 * lock (mmap and fork allocate nothing).  A split VMA shares its region, a
 * forked child's VMA starts without one, so no child can find its parent's
 * pages.
 */
struct droppable_region {
	refcount_t vmas;
	atomic_t drops;
	struct mm_struct *mm;
	struct address_space *mapping;
	pgoff_t base;
	pgoff_t hand;
	struct xarray folios;
};

int droppable_region_init(void);
void droppable_region_exit(void);

struct droppable_region *droppable_region_of(struct vm_area_struct *vma);
void droppable_region_open(struct vm_area_struct *vma);
void droppable_region_close(struct vm_area_struct *vma);

struct folio *droppable_region_lock_folio(struct droppable_region *region,
					  pgoff_t index);
struct folio *droppable_region_trylock_folio(struct droppable_region *region,
					     pgoff_t index);
struct folio *droppable_region_populate(struct droppable_region *region,
					struct vm_area_struct *vma,
					unsigned long address, gfp_t extra);
void droppable_region_remove(struct folio *folio);
bool droppable_region_remove_if_unused(struct folio *folio);

static inline pgoff_t droppable_region_index(struct droppable_region *region,
					     struct vm_area_struct *vma,
					     unsigned long address)
{
	return vma->vm_pgoff - region->base +
	       ((address - vma->vm_start) >> PAGE_SHIFT);
}

#endif
