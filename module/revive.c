// SPDX-License-Identifier: GPL-2.0
/*
 * Folios that faults are about to map again, because a drop unmapped them and
 * found them held.
 *
 * Between the fault's question to the reaper's notes and the core's mapping of
 * the folio, a discard by another thread could come and go: after it, the old
 * data would be back (contract line 21).  Nobody calls the module after the
 * mapping; but the core lets go of the folio's lock then.  So the fault lists
 * what it brings back, and a discard that begins waits for that lock before
 * anything is unmapped.
 */

#include <linux/mm.h>
#include <linux/pagemap.h>

#include "region.h"
#include "revive.h"
#include "slot.h"

/*
 * The folio of an entry while it is locked, with a reference, or NULL.  Unlocked,
 * frozen, or gone from the store, it is through with the mapping.
 */
static struct folio *get_locked(struct droppable_revivals *revivals,
				unsigned int i)
{
	struct xarray *folios = &revivals->at[i].region->folios;
	struct folio *folio;

	rcu_read_lock();
	folio = xa_load(folios, revivals->at[i].index);
	if (folio && !folio_try_get(folio))
		folio = NULL;
	/* As in droppable_region_lock_folio(): it might be another's by now. */
	if (folio && (xa_load(folios, revivals->at[i].index) != folio ||
		      !folio_test_locked(folio))) {
		droppable_slot_put(folio);
		folio = NULL;
	}
	rcu_read_unlock();
	return folio;
}

static void take_off(struct droppable_revivals *revivals, unsigned int i)
{
	revivals->at[i] = revivals->at[--revivals->nr];
}

static void take_off_mapped(struct droppable_revivals *revivals)
{
	unsigned int i = 0;

	while (i < revivals->nr) {
		struct folio *folio = get_locked(revivals, i);

		if (!folio) {
			take_off(revivals, i);
			continue;
		}
		droppable_slot_put(folio);
		i++;
	}
}

/* Where it is listed already, from an earlier mapping, or would be. */
static unsigned int find(const struct droppable_revivals *revivals,
			 const struct droppable_region *region, pgoff_t index)
{
	unsigned int i;

	for (i = 0; i < revivals->nr; i++)
		if (revivals->at[i].region == region &&
		    revivals->at[i].index == index)
			break;
	return i;
}

/**
 * droppable_revive_begin - list a folio
 * @revivals:	the mm's, whose reaper's lock is held
 * @region:	of the folio
 * @index:	of the folio, which is locked until it is mapped
 * @address:	where that will be
 *
 * False if there is no place: then it must not be mapped.
 */
bool droppable_revive_begin(struct droppable_revivals *revivals,
			    struct droppable_region *region, pgoff_t index,
			    unsigned long address)
{
	unsigned int i = find(revivals, region, index);

	if (i == DROPPABLE_REVIVALS)
		take_off_mapped(revivals);
	i = min(i, revivals->nr);
	if (i == DROPPABLE_REVIVALS)
		return false;
	revivals->at[i].address = address;
	revivals->at[i].region = region;
	revivals->at[i].index = index;
	revivals->nr = max(revivals->nr, i + 1);
	return true;
}

/**
 * droppable_revive_get - a folio that is about to be mapped in a range
 * @revivals:	the mm's, whose reaper's lock is held
 * @start:	first address
 * @end:	behind the last
 *
 * Returns it with a reference, to wait for its lock and ask again: it stays
 * listed, for others that have to wait.  NULL if there is none.
 */
struct folio *droppable_revive_get(struct droppable_revivals *revivals,
				   unsigned long start, unsigned long end)
{
	unsigned int i = 0;

	while (i < revivals->nr) {
		unsigned long address = revivals->at[i].address;
		struct folio *folio;

		if (address < start || address >= end) {
			i++;
			continue;
		}
		folio = get_locked(revivals, i);
		if (folio)
			return folio;
		take_off(revivals, i);
	}
	return NULL;
}

/**
 * droppable_revive_forget - take a region's entries off the list
 * @revivals:	the mm's, whose reaper's lock is held
 * @region:	that is about to die: no fault is in it
 */
void droppable_revive_forget(struct droppable_revivals *revivals,
			     struct droppable_region *region)
{
	unsigned int i = 0;

	while (i < revivals->nr)
		if (revivals->at[i].region == region)
			take_off(revivals, i);
		else
			i++;
}
