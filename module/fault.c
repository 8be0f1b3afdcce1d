// SPDX-License-Identifier: GPL-2.0
/*
 * The vm_operations of a mapping: the nonfatal fault path.
 *
 * Lack of memory is never fatal here: the mapping gives up its own oldest
 * pages, and when it has none the task waits outside mmap_lock (line 24).
 */

#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "fault.h"
#include "file.h"
#include "reap.h"
#include "recycle.h"
#include "region.h"
#include "slot.h"
#include "wait.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Whether it is known, or must be believed, without asking the notes. */
static bool is_content(struct droppable_region *region, struct folio *folio)
{
	struct droppable_slot *slot = droppable_slot_of(folio);

	if (slot->flags & DROPPABLE_SLOT_FRESH)
		return true;
	return !region->reaper && slot->flags & DROPPABLE_SLOT_HELD &&
	       droppable_slot_pinned(folio, 1);
}

/**
 * droppable_fault_revives - whether an unmapped folio is the page's content
 * @region:	of the folio
 * @folio:	in the store but not mapped; locked, with a reference of the
 *		caller's
 * @address:	of the page
 *
 * Either a drop unmapped it, and found it pinned or just written: then it still
 * is the page's content.  Or its owner did (MADV_DONTNEED): then the page reads
 * zero from now on, and whoever pins the old folio keeps that.  A region that has
 * no reaper yet can't always tell, and believes the first only while there is a pin.
 * What was never mapped is zero in either case, and the pin's.
 */
bool droppable_fault_revives(struct droppable_region *region,
			     struct folio *folio, unsigned long address)
{
	struct droppable_slot *slot = droppable_slot_of(folio);

	if (is_content(region, folio))
		return true;
	return region->reaper && slot->flags & DROPPABLE_SLOT_HELD &&
	       !droppable_reap_noted(region->reaper, address, slot->held_at);
}

/*
 * Makes it the page's content, as 1 or a zeroed one, as 0; -ENOENT: it is out of
 * the store, unlocked and put.  -EAGAIN: it must not be mapped just now.
 */
static int revive(struct droppable_region *region, struct folio *folio,
		  pgoff_t index, unsigned long address)
{
	struct droppable_slot *slot = droppable_slot_of(folio);
	int content = is_content(region, folio);

	if (!content && region->reaper && slot->flags & DROPPABLE_SLOT_HELD)
		content = droppable_reap_revive(region, index, address,
						slot->held_at);
	if (content < 0)
		return content;
	slot->flags &= ~(DROPPABLE_SLOT_HELD | DROPPABLE_SLOT_FRESH);
	if (content)
		return 1;
	if (!droppable_slot_pinned(folio, 1)) {
		clear_highpage(folio_page(folio, 0));
		folio_clear_dirty(folio);
		slot->flags |= DROPPABLE_SLOT_CLEAN;
		return 0;
	}
	droppable_region_remove(folio);
	return -ENOENT;
}

/*
 * The page's folio if it is resident and not mapped, locked and with a
 * reference; ERR_PTR(-EEXIST) if it is mapped, which another thread has just
 * done, or must wait.  Mapping that again would be wrong: MADV_DONTNEED, which
 * takes no folio lock, may have unmapped it in between, and the old data would
 * be back.
 */
static struct folio *find_folio(struct droppable_region *region,
				pgoff_t index, unsigned long address)
{
	struct folio *folio = droppable_region_lock_folio(region, index);
	int err = -EEXIST;

	if (!folio)
		return NULL;
	if (!folio_mapped(folio))
		err = revive(region, folio, index, address);
	if (err >= 0)
		return folio;
	if (err == -ENOENT)
		return NULL;
	folio_unlock(folio);
	droppable_slot_put(folio);
	return ERR_PTR(-EEXIST);
}

/*
 * Makes one of region->zeros the caller's, if it says @old still; he has to say
 * what it is then.
 */
static bool claim_zero(pgoff_t *zero, pgoff_t old)
{
	return READ_ONCE(*zero) == old &&
	       cmpxchg(zero, old, DROPPABLE_ZERO_CLAIMED) == old;
}

/* Takes the place of one of the region's zeros, the oldest first. */
static struct folio *reuse_zero(struct droppable_region *region, pgoff_t index)
{
	unsigned int first = READ_ONCE(region->zeros_at), i;

	for (i = 0; i < DROPPABLE_ZEROS; i++) {
		pgoff_t *zero = &region->zeros[(first + i) % DROPPABLE_ZEROS];
		pgoff_t old = READ_ONCE(*zero);
		struct folio *folio;
		int err;

		/* The instruction that faulted may need it too (line 27). */
		if (old >= DROPPABLE_ZERO_CLAIMED ||
		    droppable_region_spares(region, old) ||
		    !claim_zero(zero, old))
			continue;
		folio = droppable_recycle_zero(region, old, index);
		err = PTR_ERR_OR_ZERO(folio);
		if (!err)
			WRITE_ONCE(region->zeros_at, first + i + 1);
		WRITE_ONCE(*zero, !err ? index :
			   err == -ENOMEM ? old : DROPPABLE_ZERO_NONE);
		if (err != -ENOMEM && err != -ENOENT)
			return folio;
	}
	return ERR_PTR(-ENOMEM);
}

/* Makes one more, if there is room for it and memory to be had for nothing. */
static struct folio *new_zero(struct droppable_region *region,
			      struct vm_fault *vmf, pgoff_t index)
{
	struct folio *folio;
	int i;

	for (i = 0; i < DROPPABLE_ZEROS; i++)
		if (claim_zero(&region->zeros[i], DROPPABLE_ZERO_NONE))
			break;
	if (i == DROPPABLE_ZEROS)
		return ERR_PTR(-ENOMEM);
	folio = droppable_region_populate(region, vmf->vma,
					  vmf->address & PAGE_MASK,
					  DROPPABLE_SLOT_CLEAN,
					  DROPPABLE_GFP_FREE);
	WRITE_ONCE(region->zeros[i],
		   IS_ERR(folio) ? DROPPABLE_ZERO_NONE : index);
	return folio;
}

/*
 * For a read of an absent page: free memory that nobody has to give up
 * something for, up to a few pages, and then one of those again (line 42).
 */
static struct folio *get_zero(struct droppable_region *region,
			      struct vm_fault *vmf, pgoff_t index)
{
	struct folio *folio = new_zero(region, vmf, index);

	if (PTR_ERR_OR_ZERO(folio) == -ENOMEM)
		folio = reuse_zero(region, index);
	return folio;
}

static struct folio *get_new(struct droppable_region *region,
			     struct vm_fault *vmf, pgoff_t index)
{
	bool store = vmf->flags & FAULT_FLAG_WRITE;
	unsigned int flags = store ? 0 : DROPPABLE_SLOT_CLEAN;
	struct folio *folio = ERR_PTR(-ENOMEM);

	if (!store)
		folio = get_zero(region, vmf, index);
	if (PTR_ERR_OR_ZERO(folio) == -ENOMEM)
		folio = droppable_region_populate(region, vmf->vma,
						  vmf->address & PAGE_MASK,
						  flags, DROPPABLE_GFP);
	if (PTR_ERR_OR_ZERO(folio) == -ENOMEM)
		folio = droppable_recycle_oldest(region, index, flags);
	return folio;
}

/*
 * The page's folio, locked and with a reference: the resident one, a new one,
 * or the mapping's own oldest; else ERR_PTR(-ENOMEM).  ERR_PTR(-EEXIST) if
 * there is nothing to do any more.
 */
static struct folio *get_folio(struct droppable_region *region,
			       struct vm_fault *vmf)
{
	unsigned long address = vmf->address & PAGE_MASK;
	pgoff_t index = droppable_region_index(region, vmf->vma, address);
	struct folio *folio;
	long err;

	do {
		folio = find_folio(region, index, address);
		if (folio)
			return folio;
		folio = get_new(region, vmf, index);
		err = PTR_ERR_OR_ZERO(folio);
	} while ((err == -EBUSY || err == -EAGAIN) &&
		 !fatal_signal_pending(current));
	return folio;
}

/*
 * The kernel's own access (read(2) into the area) can't deliver a signal: it
 * fails with EFAULT or a short count instead of waiting on (line 26).  So does
 * an access that can't drop mmap_lock: VM_FAULT_OOM would be retried without
 * end.
 */
static bool may_wait(struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return false;
	return vmf->flags & FAULT_FLAG_USER || !signal_pending(current);
}

/*
 * Waits for memory without mmap_lock, so that the process's other threads go
 * on, and comes back by way of a retried fault, which delivers signals.
 */
static vm_fault_t wait_for_memory(struct vm_fault *vmf,
				  const struct droppable_try *try)
{
	unsigned long address = vmf->address;
	ktime_t start;

	if (!may_wait(vmf))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	droppable_count(vmf->vma->vm_file->private_data, DROPPABLE_WAITS, 1);
	mmap_read_unlock(vmf->vma->vm_mm);
	start = ktime_get();
	droppable_wait(try);
	trace_droppable_wait(address, ktime_us_delta(ktime_get(), start));
	return VM_FAULT_RETRY;
}

/*
 * Once per access, and whatever signals are pending, for it waits for nothing that
 * a signal should end.
 */
static bool may_let_go(struct vm_fault *vmf)
{
	return (vmf->flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT |
			      FAULT_FLAG_TRIED)) == FAULT_FLAG_ALLOW_RETRY;
}

/*
 * A fault in a VMA without a region, or with one that isn't watched: makes that, or
 * else has to do with @region.  NULL means that *@ret is the fault's result.
 */
static struct droppable_region *make_region(struct vm_fault *vmf,
					    struct droppable_region *region,
					    const struct droppable_try *try,
					    vm_fault_t *ret)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	unsigned long address = vmf->address;

	if (may_let_go(vmf)) {
		mmap_read_unlock(mm);
		droppable_region_make(mm, address);
		*ret = VM_FAULT_RETRY;
		return NULL;
	}
	if (!region)
		region = droppable_region_make_here(vmf->vma);
	if (!region)
		*ret = wait_for_memory(vmf, try);
	return region;
}

static vm_fault_t fault(struct vm_fault *vmf, const struct droppable_try *try)
{
	struct droppable_region *region;
	struct folio *folio;
	vm_fault_t ret;

	mmap_assert_locked(vmf->vma->vm_mm);
	region = droppable_region_of(vmf->vma);
	if (unlikely(!region || droppable_region_unwatched(region))) {
		region = make_region(vmf, region, try, &ret);
		if (!region)
			return ret;
	}
	folio = get_folio(region, vmf);
	if (PTR_ERR_OR_ZERO(folio) == -EEXIST)
		return VM_FAULT_NOPAGE;
	if (IS_ERR(folio))
		return wait_for_memory(vmf, try);
	trace_droppable_fault(region, vmf->address,
			      droppable_slot_of(folio)->index,
			      vmf->flags & FAULT_FLAG_WRITE);
	if (vmf->flags & FAULT_FLAG_WRITE)
		droppable_slot_of(folio)->flags &= ~DROPPABLE_SLOT_CLEAN;
	vmf->page = folio_page(folio, 0);
	return VM_FAULT_LOCKED;
}

static vm_fault_t droppable_fault(struct vm_fault *vmf)
{
	struct droppable_try try;
	vm_fault_t ret;

	droppable_try_start(&try, vmf->flags & FAULT_FLAG_TRIED);
	ret = fault(vmf, &try);
	droppable_try_end(&try);
	return ret;
}

const struct vm_operations_struct droppable_vm_ops = {
	.open = droppable_region_open,
	.close = droppable_region_close,
	.mremap = droppable_region_moved,
	.fault = droppable_fault,
};
