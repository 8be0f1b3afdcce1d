// SPDX-License-Identifier: GPL-2.0
/*
 * Which pages of a region were dropped and have not come back: a bit for each,
 * so that it can be told how much of what reclaim takes is wanted again
 * (contract line 39).
 *
 * The bits lie in pieces for 4 MiB each.  A piece is made when the first of its
 * pages becomes resident, since a drop can't allocate, and stays as long as the
 * region: 1/32768 of the memory that was ever touched.  Where there is no memory
 * for one, its pages' refaults aren't counted.
 */

#include <linux/bitops.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "refault.h"
#include "region.h"
#include "stats.h"

#define PIECE_PAGES	1024

/* In region->lost, by page index / PIECE_PAGES. */
struct piece {
	unsigned long dropped[BITS_TO_LONGS(PIECE_PAGES)];
};

void droppable_refault_init(struct droppable_region *region)
{
	xa_init_flags(&region->lost, XA_FLAGS_ACCOUNT);
}

void droppable_refault_exit(struct droppable_region *region)
{
	struct piece *piece;
	unsigned long at;

	xa_for_each(&region->lost, at, piece)
		kfree(piece);
	xa_destroy(&region->lost);
}

/**
 * droppable_refault_ready - make room for what may happen to a page
 * @region:	of the page
 * @index:	of the page, which is about to become resident
 * @gfp:	with which, if need be
 */
void droppable_refault_ready(struct droppable_region *region, pgoff_t index,
			     gfp_t gfp)
{
	struct piece *piece;

	if (likely(xa_load(&region->lost, index / PIECE_PAGES)))
		return;
	piece = kzalloc(sizeof(*piece), gfp | __GFP_ACCOUNT);
	if (piece && xa_insert(&region->lost, index / PIECE_PAGES, piece, gfp))
		kfree(piece);	/* no memory, or another fault was faster */
}

/**
 * droppable_refault_dropped - a page was dropped
 * @region:	of the page
 * @index:	of the page
 */
void droppable_refault_dropped(struct droppable_region *region, pgoff_t index)
{
	struct piece *piece = xa_load(&region->lost, index / PIECE_PAGES);

	if (piece)
		set_bit(index % PIECE_PAGES, piece->dropped);
}

/**
 * droppable_refault_resident - a page became resident: again?
 * @region:	of the page
 * @index:	of the page
 */
void droppable_refault_resident(struct droppable_region *region,
				pgoff_t index)
{
	struct piece *piece = xa_load(&region->lost, index / PIECE_PAGES);

	if (piece && test_bit(index % PIECE_PAGES, piece->dropped) &&
	    test_and_clear_bit(index % PIECE_PAGES, piece->dropped))
		droppable_count(region->file, DROPPABLE_REFAULTED, 1);
}
