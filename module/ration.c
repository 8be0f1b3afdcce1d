// SPDX-License-Identifier: GPL-2.0
/*
 * How much a reclaim may take (contract line 15).
 *
 * Reclaim for a cgroup doesn't count what shrinkers free (since 6.4), so it
 * never believes itself successful, raises its priority to the top, and would
 * take everything where a part is needed.  Whoever is asked so without need
 * has to say no.  Four cases:
 *
 *  - Not reclaim at all, but a command (drop_caches).  No ration.
 *  - All nodes are short of free memory: global reclaim, which counts what we
 *    free and stops by itself.  But it asks for large pieces when it didn't
 *    succeed at once, so it gets nothing more from when some node isn't short.
 *  - A limit above the cgroup is near: the distance to it tells how much has
 *    been achieved.  Enough is MARGIN_ENOUGH.
 *  - Neither: somebody reclaims ahead of need (memory.reclaim).  How much they
 *    want can't be seen from a shrinker.  Where a cgroup's reclaim counts what
 *    we free, and so stops by itself, it gets PORTION at each priority; else
 *    one such call, with all its retries, gets a third of what was resident
 *    when it began.
 *
 * Where these rules say no, whoever goes on asking gets a little all the same;
 * but not kswapd, which never ends asking where it can't get large pieces.
 */

#include <linux/cpuset.h>
#include <linux/jiffies.h>
#include <linux/list_lru.h>
#include <linux/memcontrol.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/swap.h>

#include "ration.h"
#include "shrink.h"

/* In pages.  Enough for the batch that a charge takes, on a few CPUs... */
#define MARGIN_ENOUGH	128UL
/* ...and beyond this the limit isn't what the reclaim is about. */
#define MARGIN_FAR	1024UL
/* Less than what a reclaim that had any success leaves. */
#define MARGIN_NONE	8UL

/*
 * In pages.  What is young is only looked at until reclaim has come down to a
 * priority at which it would take all at once.
 */
#define PORTION		512UL

/*
 * A reclaimer that was refused so often in a row and comes again has a need that
 * these rules don't see: it gets MARGIN_ENOUGH.
 */
#define REFUSALS	256U

/* A reclaimer that wasn't heard of for so long has finished its call. */
#define SESSION_IDLE	(HZ / 2)

/**
 * struct session - one task reclaiming in one cgroup
 * @task:	its number.  Not its address, nor the cgroup's: one that is freed is
 *		another's soon, who would find nothing left
 * @memcg:	the cgroup's number
 * @last:	when it last asked, in jiffies
 * @left:	pages that it may still take, or LEFT_OPEN
 * @refused:	how often it got nothing since it last got something
 * @vain:	pages looked at since it last dropped one, or the limit was
 *		further than MARGIN_NONE
 *
 * A few of them, the least recently used one is taken over; protected by
 * sessions_lock, which nests inside everything.
 */
struct session {
	pid_t task;
	u64 memcg;
	unsigned long last;
	unsigned long left;
	unsigned int refused;
	unsigned long vain;
};

/* Not asked for yet. */
#define LEFT_OPEN	ULONG_MAX

static struct session sessions[32];
static DEFINE_SPINLOCK(sessions_lock);

/* Pages of a node that the kernel itself can use, as ours are. */
static unsigned long node_pages(pg_data_t *pgdat)
{
	unsigned long pages = 0;
	int i;

	for (i = 0; i < ZONE_MOVABLE; i++)
		pages += zone_managed_pages(&pgdat->node_zones[i]);
	return pages;
}

/*
 * Whether a zone of the node has fewer free pages than a watermark: WMARK_LOW
 * for direct reclaim, which begins at min, WMARK_HIGH for kswapd.  Small zones
 * are often full without anybody being short.  Pages reserved for atomic
 * allocations are free, but not for everybody; and the counter is approximate.
 * A node without any such zone has nothing that could help.
 *
 * Not wmark_pages(): what that adds for a while, after an allocation had to split
 * up a large piece, is there to get large pieces back, and ours are small.
 */
static bool node_below(int nid, enum zone_watermarks mark)
{
	pg_data_t *pgdat = NODE_DATA(nid);
	unsigned long pages = node_pages(pgdat);
	int i;

	for (i = 0; i < ZONE_MOVABLE; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		if (zone_managed_pages(zone) < pages / 4)
			continue;
		if (zone_page_state(zone, NR_FREE_PAGES) <
		    READ_ONCE(zone->_watermark[mark]) + MARGIN_ENOUGH +
		    READ_ONCE(zone->nr_reserved_highatomic))
			return true;
	}
	return !pages;
}

/*
 * Whether this reclaim is for the machine: no node will do that this task may
 * use.  That one of them is full is the normal state of several; its kswapd is
 * woken all the same, and would trade our pages for a neighbour's free ones.
 * Who has bound an area to one full node has insistence and, before the OOM
 * killer, our last look.
 */
static bool machine_needs(void)
{
	enum zone_watermarks mark = current_is_kswapd() ? WMARK_HIGH : WMARK_LOW;
	int nid;

	for_each_node_state(nid, N_MEMORY)
		if (node_isset(nid, cpuset_current_mems_allowed) &&
		    !node_below(nid, mark))
			return false;
	return true;
}

#ifdef CONFIG_MEMCG
/* Pages until the nearest limit above @memcg; memory.high too if @high. */
static unsigned long margin(struct mem_cgroup *memcg, bool high)
{
	unsigned long least = ULONG_MAX;

	/* Not past the root, which has no limit; it isn't exported by name. */
	for (; memcg; memcg = parent_mem_cgroup(memcg)) {
		unsigned long used = page_counter_read(&memcg->memory);
		unsigned long limit = READ_ONCE(memcg->memory.max);

		if (high)
			limit = min(limit, READ_ONCE(memcg->memory.high));
		least = min(least, limit > used ? limit - used : 0);
	}
	return least;
}

/* Never another's, on a machine's whole run. */
static u64 memcg_number(struct mem_cgroup *memcg)
{
	return memcg->css.serial_nr;
}
#else
static unsigned long margin(struct mem_cgroup *memcg, bool high)
{
	return ULONG_MAX;
}

static u64 memcg_number(struct mem_cgroup *memcg)
{
	return 0;
}
#endif

static struct session *find_session(struct mem_cgroup *memcg)
{
	struct session *session;

	lockdep_assert_held(&sessions_lock);
	for (session = sessions; session < sessions + ARRAY_SIZE(sessions);
	     session++)
		if (session->task == current->pid &&
		    session->memcg == memcg_number(memcg) &&
		    time_before(jiffies, session->last + SESSION_IDLE))
			return session;
	return NULL;
}

static struct session *get_session(struct mem_cgroup *memcg)
{
	struct session *session = find_session(memcg), *oldest = sessions;

	if (session)
		goto found;
	for (session = sessions; session < sessions + ARRAY_SIZE(sessions);
	     session++)
		if (time_before(session->last, oldest->last))
			oldest = session;
	session = oldest;
	session->task = current->pid;
	session->memcg = memcg_number(memcg);
	session->left = LEFT_OPEN;
	session->refused = 0;
	session->vain = 0;
found:
	session->last = jiffies;
	return session;
}

/* On all nodes, however few of them this reclaim asks for at a time. */
static unsigned long resident_in(struct mem_cgroup *memcg)
{
	unsigned long resident = 0;
	int nid;

	for_each_node_state(nid, N_MEMORY)
		resident += list_lru_count_one(droppable_lru(), nid, memcg);
	return resident;
}

/*
 * What is left of a session, which begins with a third if it is ahead of need;
 * or what insistence gets.
 */
static unsigned long session_left(struct mem_cgroup *memcg, bool ahead)
{
	struct session *session;
	unsigned long left;

	spin_lock(&sessions_lock);
	session = get_session(memcg);
	if (session->left == LEFT_OPEN)
		session->left = ahead ? max(resident_in(memcg) / 3,
					    MARGIN_ENOUGH) : 0;
	if (!session->left && ++session->refused == REFUSALS) {
		session->refused = 0;
		session->left = MARGIN_ENOUGH;
	}
	left = session->left;
	spin_unlock(&sessions_lock);
	return left;
}

/* This much from now on; with 0 nothing more, unless the session insists. */
static void session_set(struct mem_cgroup *memcg, unsigned long left)
{
	struct session *session;

	spin_lock(&sessions_lock);
	session = get_session(memcg);
	session->left = left;
	session->refused = 0;
	spin_unlock(&sessions_lock);
}

/**
 * droppable_ration_is_reclaim - whether the shrinker was called for need
 *
 * And not by a command that wants everything gone.
 */
bool droppable_ration_is_reclaim(void)
{
	return current->flags & PF_MEMALLOC;
}

/**
 * droppable_ration - how many pages this reclaim may still take
 * @sc:		what the shrinker was asked
 * @resident:	pages that it could take
 * @begins:	it only asks how many there are, before it looks at some
 */
unsigned long droppable_ration(struct shrink_control *sc,
			       unsigned long resident, bool begins)
{
	unsigned long left;

	if (!sc->memcg || !droppable_ration_is_reclaim())
		return resident;
	/* The machine's need; who reclaims for it has enough when that ends. */
	if (machine_needs()) {
		session_set(sc->memcg, 0);
		return resident;
	}
	if (current_is_kswapd())
		return 0;
	left = margin(sc->memcg, true);
	if (left < MARGIN_ENOUGH)
		return resident;
	if (left < MARGIN_FAR)
		return min(resident, session_left(sc->memcg, false));
	if (droppable_cgroup_counts_us() && begins) {
		session_set(sc->memcg, PORTION);
		return resident;
	}
	return min(resident, session_left(sc->memcg, true));
}

/* Somebody at a cgroup's limit, where its OOM killer comes after reclaim. */
static bool in_cgroup(struct shrink_control *sc)
{
	return sc->memcg && droppable_ration_is_reclaim() &&
	       !current_is_kswapd();
}

/**
 * droppable_ration_desperate - whether a cgroup's OOM killer may come next
 * @sc:		what the shrinker was asked
 * @resident:	pages that it could take
 *
 * All of them were looked at twice in vain, because they are touched all the
 * time or somebody has them locked, and nobody else freed anything.  A cgroup's
 * OOM killer, unlike the global one, doesn't ask us before it strikes.
 */
bool droppable_ration_desperate(struct shrink_control *sc,
				unsigned long resident)
{
	struct session *session;
	bool yes = false;

	if (!in_cgroup(sc))
		return false;
	spin_lock(&sessions_lock);
	session = find_session(sc->memcg);
	if (session) {
		if (margin(sc->memcg, false) >= MARGIN_NONE)
			session->vain = 0;
		yes = session->vain > 2 * resident;
	}
	spin_unlock(&sessions_lock);
	return yes;
}

/**
 * droppable_ration_used - what came of a scan
 * @sc:		what the shrinker was asked
 * @looked:	pages looked at
 * @dropped:	pages dropped
 */
void droppable_ration_used(struct shrink_control *sc, unsigned long looked,
			   unsigned long dropped)
{
	struct session *session;

	if (!in_cgroup(sc))
		return;
	spin_lock(&sessions_lock);
	session = get_session(sc->memcg);
	if (session->left != LEFT_OPEN)
		session->left -= min(session->left, dropped);
	/* A list that others have emptied for a moment counts too. */
	session->vain = dropped ? 0 : session->vain + max(looked, 1UL);
	spin_unlock(&sessions_lock);
}

/**
 * droppable_ration_margin - whether a cgroup could charge a page just now
 * @memcg:	cgroup
 */
bool droppable_ration_margin(struct mem_cgroup *memcg)
{
	return margin(memcg, false) > 0;
}
