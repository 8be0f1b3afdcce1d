/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_SLOT_H
#define _DROPPABLE_SLOT_H

#include <linux/list.h>
#include <linux/mm.h>

struct droppable_region;
struct address_space;

/* A drop unmapped this folio, which is still the page's content. */
#define DROPPABLE_SLOT_HELD	(1U << 0)
/*
 * It came by a read or a pin, and was zero then; its bytes tell whether it still
 * is.  (Dirty bits don't: some who fill pages that they hold set none.  That zeros
 * were stored, only they tell.)
 */
#define DROPPABLE_SLOT_CLEAN	(1U << 1)
/* A pin made it and nothing has mapped it yet: zero, discarded or not. */
#define DROPPABLE_SLOT_FRESH	(1U << 2)

/* In a word with the number of pins: a slot's size is a cost of each page. */
#define DROPPABLE_SLOT_FLAG_BITS	3
#define DROPPABLE_SLOT_PINS_MAX	((1U << (32 - DROPPABLE_SLOT_FLAG_BITS)) - 1)

/**
 * struct droppable_slot - what the module knows of one resident folio
 * @lru:	on the shrinker's list_lru, or on the list of the drop that
 *		isolated it, or in none while it is pinned
 * @region:	owner (invariant)
 * @folio:	the folio, whose ->private points back (invariant)
 * @index:	its place in region->folios (invariant)
 * @flags:	DROPPABLE_SLOT_*
 * @pins:	DROPPABLE_IOC_PINs that have it; 0 in what a drop has isolated,
 *		since a pin's reference, which outlasts this, keeps it from being
 * @held_at:	by droppable_reap_clock(), from before DROPPABLE_SLOT_HELD
 *
 * Born and freed with the folio's place in region->folios.  Everything in it
 * is protected by the folio lock; the list_lru's callback may look at a slot
 * on its list because a slot leaves the list before it is freed.
 *
 * It is a slab object of its own, not page->lru, because the list_lru tells
 * cgroup and node by the slab page that an item lies in.
 */
struct droppable_slot {
	struct list_head lru;
	struct droppable_region *region;
	struct folio *folio;
	pgoff_t index;
	u32 flags : DROPPABLE_SLOT_FLAG_BITS;
	u32 pins : 32 - DROPPABLE_SLOT_FLAG_BITS;
	u32 held_at;
};

int droppable_slot_init(void);
void droppable_slot_exit(void);

struct droppable_slot *droppable_slot_alloc(struct vm_area_struct *vma,
					    unsigned long address, gfp_t gfp);
void droppable_slot_unmake(struct droppable_slot *slot);
void droppable_slot_free(struct droppable_slot *slot);
void droppable_slot_put(struct folio *folio);
bool droppable_slot_scrubs(void);

static inline struct droppable_slot *droppable_slot_of(struct folio *folio)
{
	VM_WARN_ON_ONCE(!folio_test_locked(folio));
	return folio_get_private(folio);
}

/*
 * "Pinned" here is whatever has a reference more than these, a look for a moment or
 * O_DIRECT; what DROPPABLE_IOC_PIN holds is "locked" where it is counted.
 *
 * References of a folio in the store that nobody pins: the store's and one per
 * page table entry.  Exact under the folio lock; a pin can still appear while
 * the folio is mapped, so a drop asks again after unmapping it.
 */
static inline int droppable_slot_refs(struct folio *folio)
{
	return 1 + DROPPABLE_CHARGE_REFS + (folio_mapped(folio) ? 1 : 0);
}

static inline bool droppable_slot_pinned(struct folio *folio, int own)
{
	int refs = folio_ref_count(folio);

	/*
	 * Before folio_mapped(): when MADV_DONTNEED unmaps it in between, a pin
	 * would otherwise be taken for the page table entry.  Pairs with the full
	 * barrier of whoever drops a reference: what he stored before that is seen
	 * by who looks at the bytes next.
	 */
	smp_rmb();
	return refs > droppable_slot_refs(folio) + own;
}

/* Counts its page in MemAvailable (line 19), as all are but those with pins. */
static inline void droppable_slot_reclaimable(struct droppable_slot *slot,
					      int nr)
{
	mod_node_page_state(folio_pgdat(slot->folio),
			    NR_KERNEL_MISC_RECLAIMABLE, nr);
}

bool droppable_slot_is_zero(struct folio *folio);

#endif
