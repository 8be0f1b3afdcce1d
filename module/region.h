/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_REGION_H
#define _DROPPABLE_REGION_H

/*
 * LOCK ORDER, outermost first:
 *
 *	mmap_lock (or the VMA lock) of the mm
 *	  mutex of the mm's reaper; whoever waits for a folio lock under it has
 *	  mmap_lock for writing
 *	  folio lock of a resident folio
 *	    i_mmap_rwsem of the region's mapping, for reading; for writing, by who
 *	    has no folio lock, to wait until drops that began before are through
 *	      page table lock
 *	    xa_lock of region->folios, region->lost, file->pins or a pin's folios
 *	    lock of the list_lru
 *	    lock of the mm's reaper
 *	      lock of ration.c's sessions, of a wait or work queue
 *
 * Several folio locks are held together by a drop only: a waiting drop takes
 * those of one region in ascending index order, the shrinker trylocks them
 * and so may hold any set.  xa_lock, the list_lru's lock and the page table
 * lock never nest in each other, except that the list_lru calls the shrinker's
 * isolate callback with its lock held: that callback trylocks the folio.
 *
 * In reclaim, folio lock and i_mmap_rwsem are only ever tried.  Under these two
 * nothing is allocated but the nodes of region->folios (and of 5.10's page cache),
 * with the lock of a folio that nobody else can see yet; reclaim entered from there
 * skips that folio because its trylock fails.  (An xa_lock is let go of meanwhile.)
 */

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/refcount.h>
#include <linux/xarray.h>

struct droppable_file;
struct droppable_slot;
struct folio;
struct mmu_notifier;

/* How droppable_region_reap() looks... */
#define DROPPABLE_REAP_DISCARDED	(1U << 0)
#define DROPPABLE_REAP_GONE		(1U << 1)
#define DROPPABLE_REAP_WAIT		(1U << 2)
/* ...and what it leaves. */
#define DROPPABLE_REAP_LEFT_HELD	(1U << 0)
#define DROPPABLE_REAP_LEFT_LOCKED	(1U << 1)

/*
 * For folios and metadata alike: reclaim as hard as it gets, but fail where
 * the OOM killer, global or the cgroup's, would come next (line 24)...
 */
#define DROPPABLE_GFP		(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)
/* ...or take only what lies there, at nobody's cost (line 42). */
#define DROPPABLE_GFP_FREE	__GFP_NOWARN

/* How many pages that were only read, and are zero, a region keeps mapped. */
#define DROPPABLE_ZEROS		16

/* What stands in place of an index: nothing, or somebody is at it. */
#define DROPPABLE_ZERO_NONE	ULONG_MAX
#define DROPPABLE_ZERO_CLAIMED	(ULONG_MAX - 1)

/*
 * Pages of ours that one instruction can need at once: an unaligned string move
 * touches two at either end.  (A gather may need more, but keeps what it has
 * got so far.)
 */
#define DROPPABLE_RECENT	4

/**
 * struct droppable_region - the memory of one mmap() call in one mm
 * @vmas:	VMAs whose vm_private_data is this region; the last close
 *		empties and frees it
 * @drops:	slots of this region that some drop has isolated, and pins of it
 *		being put; freeing the region waits for 0, and neither waits for
 *		the region
 * @mm:		identity only, never dereferenced: tells fork from split. Valid
 *		while a VMA points here, since that VMA belongs to it
 *		(invariant)
 * @file:	whose counters count, and whose inode's i_mmap holds the VMAs;
 *		the VMAs' vm_file keeps it until after the last close
 *		(invariant)
 * @base:	vm_pgoff of index 0 (invariant)
 * @moved:	vm_pgoff of a VMA that mremap() is moving
 * @moved_nr:	its pages, or 0: the old place of both is yet to be closed.
 *		Protected by mmap_lock, held for writing
 * @resident:	folios in @folios
 * @hand:	index where recycling looks next
 * @recent:	the indices populated last, round robin: recycling spares them,
 *		so that an instruction that needs several pages at once gets
 *		them (line 27)
 * @recent_at:	where in @recent the next one goes.  Races on these three only
 *		cost order
 * @zeros:	the indices of pages that were only read, round robin.  Who puts
 *		DROPPABLE_ZERO_CLAIMED in place of one alone changes it next
 * @zeros_at:	where in @zeros the next one goes; races only cost order
 * @reaper:	watches the mm for MADV_DONTNEED, or NULL if it can't yet.  Set once,
 *		under mmap_lock, held for writing; drops read it under i_mmap_rwsem
 *		alone
 * @watch_at:	in jiffies: when to try to get one again; races only cost time
 * @folios:	index -> resident folio, holding the store's reference to it.
 *		Changed under its xa_lock and the folio's lock; read under RCU
 *		by droppable_region_lock_folio()
 * @pins:	that its pages are held by; under the lock of @file's pins
 * @lost:	which pages were dropped, see refault.c.  Only grows; bits are
 *		atomic
 *
 * Made by the first fault in a VMA that has none, under mmap_lock (mmap and
 * fork allocate nothing).  A split VMA shares its region, a
 * forked child's VMA starts without one, so no child can find its parent's
 * pages.
 */
struct droppable_region {
	refcount_t vmas;
	atomic_t drops;
	struct mm_struct *mm;
	struct droppable_file *file;
	pgoff_t base;
	pgoff_t moved;
	unsigned long moved_nr;
	atomic_long_t resident;
	pgoff_t hand;
	pgoff_t recent[DROPPABLE_RECENT];
	unsigned int recent_at;
	pgoff_t zeros[DROPPABLE_ZEROS];
	unsigned int zeros_at;
	struct mmu_notifier *reaper;
	unsigned long watch_at;
	struct xarray folios;
	struct xarray lost;
	struct list_head pins;
};

int droppable_region_init(void);
void droppable_region_exit(void);

void droppable_region_make(struct mm_struct *mm, unsigned long address);
struct droppable_region *droppable_region_make_here(struct vm_area_struct *vma);
void droppable_region_open(struct vm_area_struct *vma);
void droppable_region_close(struct vm_area_struct *vma);
int droppable_region_moved(struct vm_area_struct *vma);

struct folio *droppable_region_lock_folio(struct droppable_region *region,
					  pgoff_t index);
struct folio *droppable_region_trylock_folio(struct droppable_region *region,
					     pgoff_t index);
struct folio *droppable_region_populate(struct droppable_region *region,
					struct vm_area_struct *vma,
					unsigned long address,
					unsigned int flags, gfp_t gfp);
int droppable_region_insert(struct droppable_region *region,
			    struct droppable_slot *slot, pgoff_t index,
			    unsigned int flags, gfp_t gfp);
bool droppable_region_spares(struct droppable_region *region, pgoff_t index);
void droppable_region_removed(struct droppable_slot *slot);
unsigned int droppable_region_reap(struct droppable_region *region,
				   pgoff_t first, pgoff_t last,
				   unsigned int how, u32 time);
bool droppable_region_take_out(struct droppable_slot *slot, int own, bool zero);
void droppable_region_remove(struct folio *folio);
bool droppable_region_remove_if_unused(struct folio *folio);

/* The region of a VMA of ours, or NULL, under mmap_lock. */
static inline struct droppable_region *
droppable_region_of(struct vm_area_struct *vma)
{
	/*
	 * Pairs with the cmpxchg of another thread's first fault, which holds
	 * that lock for reading too.
	 */
	return smp_load_acquire(&vma->vm_private_data);
}

/* Whether it does without a reaper, and it is time to try to get one. */
static inline bool droppable_region_unwatched(struct droppable_region *region)
{
	return !region->reaper &&
	       time_after_eq(jiffies, READ_ONCE(region->watch_at));
}

static inline pgoff_t droppable_region_index(struct droppable_region *region,
					     struct vm_area_struct *vma,
					     unsigned long address)
{
	return vma->vm_pgoff - region->base +
	       ((address - vma->vm_start) >> PAGE_SHIFT);
}

#endif
