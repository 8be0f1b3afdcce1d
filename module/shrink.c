// SPDX-License-Identifier: GPL-2.0
/*
 * Memory pressure: the list of resident folios per cgroup and node, the
 * shrinker that drops from its old end, and the last look before the global
 * OOM killer.  All of it runs in reclaim: it tries locks and never waits for
 * one, and allocates nothing.  Only where an OOM killer may come next it lets
 * others get on, for 24 ms at most (droppable_drop_settle()).
 */

#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/oom.h>
#include <linux/shrinker.h>
#include <linux/swap.h>

#include "drop.h"
#include "ration.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"
#include "stats.h"

/*
 * What the OOM killer's last look drops at a time: enough for the allocation
 * that failed and its neighbours, far from everything (line 15).
 */
#define OOM_DROP	1024UL

static struct list_lru lru;
static struct shrinker *shrinker;

struct list_lru *droppable_lru(void)
{
	return &lru;
}

/**
 * droppable_lru_add - put a slot at the young end
 * @slot:	in no list, its folio locked
 */
void droppable_lru_add(struct droppable_slot *slot)
{
	VM_WARN_ON_ONCE(!folio_test_locked(slot->folio));
	VM_WARN_ON_ONCE(slot->pins);
	list_lru_add_obj(&lru, &slot->lru);
}

/**
 * droppable_lru_del - take a slot off
 * @slot:	on the list: it has no DROPPABLE_IOC_PIN, and whoever has its folio
 *		locked has not isolated it yet
 */
void droppable_lru_del(struct droppable_slot *slot)
{
	VM_WARN_ON_ONCE(!folio_test_locked(slot->folio));
	list_lru_del_obj(&lru, &slot->lru);
}

/**
 * struct walk - what a walk along the list gathers
 * @batch:	isolated slots
 * @looked:	slots looked at
 * @busy:	some of them were locked
 */
struct walk {
	struct list_head batch;
	unsigned long looked;
	bool busy;
};

#define WALK(name) struct walk name = { .batch = LIST_HEAD_INIT(name.batch) }

static enum lru_status isolate(struct list_head *item,
			       struct list_lru_one *list, void *arg)
{
	struct droppable_slot *slot;
	struct walk *walk = arg;

	slot = container_of(item, struct droppable_slot, lru);
	/* A slot on the list has its folio's store reference: no get needed. */
	walk->looked++;
	if (!folio_trylock(slot->folio)) {
		walk->busy = true;
		return LRU_SKIP;
	}
	if (droppable_slot_pinned(slot->folio, 0)) {
		droppable_count(slot->region->file, DROPPABLE_PINNED, 1);
		folio_unlock(slot->folio);
		return LRU_ROTATE;
	}
	list_lru_isolate(list, item);
	droppable_drop_isolated(slot, &walk->batch);
	return LRU_REMOVED;
}

/*
 * 0 where the ration is used up, and not SHRINK_STOP from the scan: work that
 * was counted and not done is deferred, and would come back in one go.
 */
static unsigned long count_objects(struct shrinker *s,
				   struct shrink_control *sc)
{
	unsigned long resident = list_lru_shrink_count(&lru, sc);

	if (resident)
		return droppable_ration(sc, resident, true);
	/* What others have isolated may be free in a moment, or back. */
	return droppable_drop_under_way() ? 1 : SHRINK_EMPTY;
}

/* Up to sc->nr_to_scan from the old end; touched or not, if desperate. */
static unsigned long shrink(struct shrink_control *sc, bool desperate)
{
	bool spare = droppable_ration_is_reclaim() && !desperate;
	unsigned long dropped;
	WALK(walk);

	list_lru_shrink_walk(&lru, sc, isolate, &walk);
	dropped = droppable_drop(&walk.batch, spare ? DROPPABLE_DROP_OLD : 0,
				 &walk.busy, NULL);
	droppable_ration_used(sc, walk.looked, dropped);
	if (!dropped && desperate &&
	    (walk.busy || droppable_drop_under_way()))
		droppable_drop_settle();
	mm_account_reclaimed_pages(dropped);
	return dropped;
}

static unsigned long scan_objects(struct shrinker *s,
				  struct shrink_control *sc)
{
	unsigned long resident = list_lru_shrink_count(&lru, sc);
	bool desperate = droppable_ration_desperate(sc, resident);
	unsigned long ration = 0, dropped;

	if (resident)
		ration = droppable_ration(sc, resident, false);
	sc->nr_to_scan = min3(sc->nr_to_scan, ration,
			      (unsigned long)DROPPABLE_DROP_BATCH);
	sc->nr_scanned = sc->nr_to_scan;
	if (resident && !ration)
		return SHRINK_STOP;
	dropped = shrink(sc, desperate);
	/* A list that is empty for the moment isn't worth another call. */
	return resident ? dropped : SHRINK_STOP;
}

static unsigned long drop_from_node(int nid, unsigned long nr)
{
	WALK(walk);

	list_lru_walk_node(&lru, nid, isolate, &walk, &nr);
	return droppable_drop(&walk.batch, 0, NULL, NULL);
}

/**
 * droppable_shrink_all - drop everything that nobody holds
 *
 * Touched or not; one pass over what is there now.  For root's command, and
 * before hibernation.  Returns how many pages were dropped.
 */
unsigned long droppable_shrink_all(void)
{
	unsigned long dropped = 0;
	int nid;

	for_each_node_state(nid, N_MEMORY) {
		unsigned long nr = list_lru_count_node(&lru, nid);

		while (nr) {
			unsigned long some = min_t(unsigned long, nr,
						   DROPPABLE_DROP_BATCH);

			dropped += drop_from_node(nid, some);
			nr -= some;
			cond_resched();
		}
	}
	return dropped;
}

/*
 * Called before the global OOM killer picks a victim; it doesn't if we have
 * freed something (line 9).  A cgroup's OOM killer has no such call; for that
 * see droppable_ration_desperate().
 */
static int oom_notify(struct notifier_block *nb, unsigned long unused,
		      void *freed)
{
	unsigned long dropped = 0;
	int nid;

	if (droppable_drop_under_way())
		droppable_drop_settle();
	for_each_node_state(nid, N_MEMORY) {
		unsigned long nr;

		for (nr = 0; nr < OOM_DROP && dropped < OOM_DROP;
		     nr += DROPPABLE_DROP_BATCH)
			dropped += drop_from_node(nid, DROPPABLE_DROP_BATCH);
	}
	*(unsigned long *)freed += dropped;
	return NOTIFY_OK;
}

static struct notifier_block oom_notifier = {
	.notifier_call = oom_notify,
};

int droppable_shrink_init(void)
{
	int err = -ENOMEM;

	shrinker = shrinker_alloc(SHRINKER_MEMCG_AWARE | SHRINKER_NUMA_AWARE,
				  "droppable");
	if (!shrinker)
		return err;
	err = list_lru_init_memcg(&lru, shrinker);
	if (err)
		goto free_shrinker;
	err = register_oom_notifier(&oom_notifier);
	if (err)
		goto destroy_lru;
	shrinker->scan_objects = scan_objects;
	shrinker->count_objects = count_objects;
	shrinker_register(shrinker);
	return 0;

destroy_lru:
	list_lru_destroy(&lru);
free_shrinker:
	shrinker_free(shrinker);
	return err;
}

void droppable_shrink_exit(void)
{
	unregister_oom_notifier(&oom_notifier);
	shrinker_free(shrinker);
	list_lru_destroy(&lru);
}
