// SPDX-License-Identifier: GPL-2.0
/* One resident folio: allocated, charged, and given back. */

#include <linux/highmem.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "region.h"
#include "shrink.h"
#include "slot.h"
#include "wait.h"

/* What user space left in memory isn't left lying about in free memory. */
static bool scrub = true;
module_param(scrub, bool, 0644);
MODULE_PARM_DESC(scrub, "zero a page when it is dropped or freed (default Y)");

static struct kmem_cache *slot_cache;

int droppable_slot_init(void)
{
	BUILD_BUG_ON(sizeof(struct droppable_slot) < DROPPABLE_CHARGE_SIZE);
	slot_cache = KMEM_CACHE(droppable_slot, SLAB_ACCOUNT);
	return slot_cache ? 0 : -ENOMEM;
}

void droppable_slot_exit(void)
{
	kmem_cache_destroy(slot_cache);
}

/*
 * A kernel thread that borrows an mm (vhost, aio) has no cgroup of its own to
 * charge: without this, whoever can make one touch the area escapes its limit.
 */
static struct mem_cgroup *charge_begin(struct vm_area_struct *vma)
{
	if (likely(!(current->flags & PF_KTHREAD)))
		return NULL;
	return set_active_memcg(get_mem_cgroup_from_mm(vma->vm_mm));
}

static void charge_end(struct mem_cgroup *old)
{
	if (likely(!(current->flags & PF_KTHREAD)))
		return;
	mem_cgroup_put(set_active_memcg(old));
}

/*
 * One on a node.  Only an allocation that takes no node readies the cgroup's
 * list, so there are two, charged alike even if somebody moves the task to
 * another cgroup just now.
 */
static struct droppable_slot *alloc_on_node(int nid, gfp_t gfp)
{
	struct mem_cgroup *memcg = NULL, *old = NULL;
	struct droppable_slot *slot, *found = NULL;

	/* For a kernel thread charge_begin() has done it. */
	if (!(current->flags & PF_KTHREAD) && !mem_cgroup_disabled()) {
		memcg = droppable_charged_cgroup();
		if (!memcg)
			return NULL;
		old = set_active_memcg(memcg);
	}
	slot = kmem_cache_alloc_lru(slot_cache, droppable_lru(), gfp);
	if (slot) {
		found = kmem_cache_alloc_node(slot_cache, gfp, nid);
		kmem_cache_free(slot_cache, slot);
	}
	if (memcg) {
		set_active_memcg(old);
		mem_cgroup_put(memcg);
	}
	return found;
}

/*
 * The list_lru goes by the node that the slot lies on: where it isn't the
 * folio's, reclaim of one node would take pages of another and still be short.
 */
static struct droppable_slot *on_node(struct droppable_slot *slot, int nid,
				      gfp_t gfp)
{
	struct droppable_slot *other;

	if (likely(page_to_nid(virt_to_page(slot)) == nid))
		return slot;
	other = alloc_on_node(nid, gfp);
	if (!other)
		return slot;
	kmem_cache_free(slot_cache, slot);
	return other;
}

/**
 * droppable_slot_alloc - a new zeroed folio with its slot
 * @vma:	where it will be mapped: its mempolicy applies
 * @address:	likewise
 * @gfp:	must not start the OOM killer
 *
 * Both are charged to the current task's cgroup (contract line 20).  The folio
 * comes locked, with the store's reference.  NULL if there is no memory.
 */
struct droppable_slot *droppable_slot_alloc(struct vm_area_struct *vma,
					    unsigned long address, gfp_t gfp)
{
	struct mem_cgroup *old = charge_begin(vma);
	struct droppable_slot *slot;
	struct page *page;

	/* The slot first: its lru argument readies the cgroup's list. */
	slot = kmem_cache_alloc_lru(slot_cache, droppable_lru(), gfp);
	if (!slot)
		goto no_slot;
	page = alloc_page_vma(gfp | __GFP_HIGHMEM | __GFP_ZERO |
			      DROPPABLE_GFP_CHARGE, vma, address);
	if (!page)
		goto free_slot;
	slot = on_node(slot, page_to_nid(page), gfp);
	INIT_LIST_HEAD(&slot->lru);
	slot->flags = 0;
	slot->pins = 0;
	slot->folio = page_folio(page);
	folio_lock(slot->folio);	/* nobody else knows it: no wait */
	if (droppable_charge_folio(slot->folio, vma->vm_file->f_mapping, slot,
				   gfp))
		goto free_folio;
	droppable_set_private(slot->folio, slot);
	charge_end(old);
	return slot;

free_folio:
	folio_unlock(slot->folio);
	folio_put(slot->folio);
free_slot:
	kmem_cache_free(slot_cache, slot);
no_slot:
	charge_end(old);
	return NULL;
}

/**
 * droppable_slot_put - let go of a folio that was looked up in the store
 * @folio:	with a reference of the caller's
 *
 * It may have left the store meanwhile, with its content, since this reference
 * looked like a holder's.  If it is the last, nobody needs that any more.
 */
void droppable_slot_put(struct folio *folio)
{
	if (!folio_put_testzero(folio))
		return;
	if (READ_ONCE(scrub))
		clear_highpage(folio_page(folio, 0));
	__folio_put(folio);
}

/**
 * droppable_slot_unmake - undo droppable_slot_alloc()
 * @slot:	in no list and no xarray; its folio is locked, and unlocked here
 *
 * Wakes nobody: what was free before this try isn't news.  Two that each find a
 * page and then no memory for the store would wake one another without end.
 */
void droppable_slot_unmake(struct droppable_slot *slot)
{
	struct folio *folio = slot->folio;

	VM_WARN_ON_ONCE(!folio_test_locked(folio));
	droppable_set_private(folio, NULL);
	droppable_uncharge_folio(folio);
	kmem_cache_free(slot_cache, slot);
	folio_unlock(folio);
	folio_put(folio);
}

/**
 * droppable_slot_free - give up the store's reference and the slot
 * @slot:	as there, and has been in a store
 *
 * The folio itself goes when its last holder lets go.
 */
void droppable_slot_free(struct droppable_slot *slot)
{
	droppable_slot_unmake(slot);
	droppable_wait_wake();
}

/* A cache line at a time: memchr_inv() takes three times the instructions. */
static bool is_zero(const unsigned long *word)
{
	const unsigned long *end = word + PAGE_SIZE / sizeof(*word);

	for (; word < end; word += 8)
		if (word[0] | word[1] | word[2] | word[3] |
		    word[4] | word[5] | word[6] | word[7])
			return false;
	return true;
}

/**
 * droppable_slot_is_zero - whether it came by a read or a pin, and is zero still
 * @folio:	in the store, locked
 *
 * Its mapping is writable: its bytes tell.  That zeros were stored, only dirty bits
 * do.
 */
bool droppable_slot_is_zero(struct folio *folio)
{
	void *bytes;
	bool zero;

	if (!(droppable_slot_of(folio)->flags & DROPPABLE_SLOT_CLEAN))
		return false;
	bytes = kmap_local_page(folio_page(folio, 0));
	zero = is_zero(bytes);
	kunmap_local(bytes);
	return zero;
}

/**
 * droppable_slot_scrubs - whether freed pages are zeroed just now
 */
bool droppable_slot_scrubs(void)
{
	return READ_ONCE(scrub);
}
