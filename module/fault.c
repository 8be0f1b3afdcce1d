// SPDX-License-Identifier: GPL-2.0
/*
 * The vm_operations of a mapping: the nonfatal fault path.
 *
 * Lack of memory is never fatal here: the mapping gives up its own oldest
 * pages, and when it has none the task waits outside mmap_lock (line 24).
 */

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "drop.h"
#include "fault.h"
#include "region.h"
#include "slot.h"

/* How often a fault drops its own pages and tries again before it waits. */
#define RECYCLE_TRIES	4

/*
 * The folio is in the store but not mapped.  Either a drop unmapped it and
 * found it pinned: then it still is the page's content.  Or its owner did
 * (MADV_DONTNEED): then the page reads zero from now on, and whoever pins the
 * old folio keeps that.  The folio is unlocked and out of the store if false.
 */
static bool revive(struct folio *folio)
{
	struct droppable_slot *slot = droppable_slot_of(folio);

	if (!droppable_slot_pinned(folio, 1)) {
		clear_highpage(folio_page(folio, 0));
		slot->flags &= ~DROPPABLE_SLOT_HELD;
		return true;
	}
	if (slot->flags & DROPPABLE_SLOT_HELD) {
		slot->flags &= ~DROPPABLE_SLOT_HELD;
		return true;
	}
	droppable_region_remove(folio);
	return false;
}

/* The page's folio, locked and with a reference, or ERR_PTR(-ENOMEM). */
static struct folio *get_folio(struct droppable_region *region,
			       struct vm_fault *vmf)
{
	unsigned long address = vmf->address & PAGE_MASK;
	gfp_t extra = vmf->flags & FAULT_FLAG_TRIED ? __GFP_NORETRY : 0;
	pgoff_t index = droppable_region_index(region, vmf->vma, address);
	struct folio *folio;

	for (;;) {
		folio = droppable_region_lock_folio(region, index);
		if (folio) {
			if (folio_mapped(folio) || revive(folio))
				return folio;
			folio_put(folio);
		}
		folio = droppable_region_populate(region, vmf->vma, address,
						  extra);
		if (PTR_ERR_OR_ZERO(folio) != -EBUSY)
			return folio;
	}
}

/*
 * Waits for memory without mmap_lock, so that the process's other threads go
 * on, and comes back by way of a retried fault, which delivers signals.
 *
 * The kernel's own access (read(2) into the area) can't deliver one: it fails
 * with EFAULT or a short count instead (line 26).  So does an access that
 * can't drop mmap_lock: VM_FAULT_OOM would be retried without end.
 */
static vm_fault_t wait_for_memory(struct vm_fault *vmf)
{
	bool again = vmf->flags & FAULT_FLAG_TRIED;

	if (!(vmf->flags & FAULT_FLAG_USER) && signal_pending(current))
		return VM_FAULT_SIGBUS;
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	mmap_read_unlock(vmf->vma->vm_mm);
	schedule_timeout_interruptible(again ? msecs_to_jiffies(50) : 1);
	return VM_FAULT_RETRY;
}

static vm_fault_t droppable_fault(struct vm_fault *vmf)
{
	struct droppable_region *region;
	int tries;

	mmap_assert_locked(vmf->vma->vm_mm);
	region = droppable_region_of(vmf->vma);
	if (!region)
		return wait_for_memory(vmf);

	for (tries = 0; tries < RECYCLE_TRIES; tries++) {
		struct folio *folio = get_folio(region, vmf);

		if (!IS_ERR(folio)) {
			vmf->page = folio_page(folio, 0);
			return VM_FAULT_LOCKED;
		}
		if (fatal_signal_pending(current) ||
		    !droppable_drop_oldest(region,
					   droppable_region_index(region,
								  vmf->vma,
								  vmf->address)))
			break;
	}
	return wait_for_memory(vmf);
}

const struct vm_operations_struct droppable_vm_ops = {
	.open = droppable_region_open,
	.close = droppable_region_close,
	.fault = droppable_fault,
};
