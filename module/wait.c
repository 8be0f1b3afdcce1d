// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for memory to return (contract lines 24 to 26).
 *
 * Memory that this module frees wakes the waiters at once.  For the rest (a
 * limit raised, another program's memory freed) the kernel tells nobody, so a
 * waiter looks at a few counters every POLL, which costs next to nothing, and
 * tries its fault again when they say that memory may be had, or after a second
 * in case they don't tell.
 *
 * They may be wrong for as long as nothing changes: what is free is in a node
 * that the task may not use, or what counts as reclaimable is held.  Each try then
 * has the core look at all there is, for milliseconds to seconds.  So who tries
 * again notes what they say before it does.  If they said yes and the try fails,
 * it waits until they say more, until something of ours is freed, or for so long
 * that trying is no more than one SHARE of its time.
 */

#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "ration.h"
#include "wait.h"

#define POLL		msecs_to_jiffies(10)
#define RETRY		((unsigned long)HZ)
#define RETRY_MAX	(60UL * HZ)

/* One in so many: the 2 % of line 24. */
#define SHARE		50

static DECLARE_WAIT_QUEUE_HEAD(waiters);

/*
 * Who has waited and tries again, or waits again; and, while there are any, how
 * often something of ours was freed.  What is freed during such a try wakes
 * nobody, and the counters needn't show it.
 */
static atomic_t retrying = ATOMIC_INIT(0);
static atomic_t freed = ATOMIC_INIT(0);

static bool memory_back(struct mem_cgroup *memcg, long least)
{
	return si_mem_available() > least && droppable_ration_margin(memcg);
}

/**
 * droppable_charged_cgroup - the cgroup that a fault of this task is charged to
 *
 * It need not be that of its mm's owner.  With a reference for the caller; NULL
 * if it is going away, or there are none.
 */
struct mem_cgroup *droppable_charged_cgroup(void)
{
	struct mem_cgroup *memcg;

	rcu_read_lock();
	memcg = mem_cgroup_from_task(current);
	if (memcg && !css_tryget(&memcg->css))
		memcg = NULL;
	rcu_read_unlock();
	return memcg;
}

/**
 * droppable_try_again - the part of droppable_try_start() for who has waited
 * @try:	the caller's
 */
void droppable_try_again(struct droppable_try *try)
{
	struct mem_cgroup *memcg = droppable_charged_cgroup();

	atomic_inc(&retrying);
	/* A free that isn't counted any more is seen by the try. */
	smp_mb__after_atomic();
	try->freed = atomic_read(&freed);
	if (memory_back(memcg, try->least))
		try->least += si_mem_available();
	mem_cgroup_put(memcg);
}

/**
 * droppable_try_tried - the part of droppable_try_end() for who has waited
 */
void droppable_try_tried(void)
{
	atomic_dec(&retrying);
}

static bool worth_trying(const struct droppable_try *try,
			 struct mem_cgroup *memcg)
{
	return memory_back(memcg, try->least) ||
	       (try->again && atomic_read(&freed) != try->freed);
}

/**
 * droppable_wait - wait until memory may be had, or a signal comes
 * @try:	the one that failed
 *
 * Or for a second; who has waited before, SHARE times what the try took, at most
 * RETRY_MAX.  Called with no lock held.  The caller tries its allocation again and
 * sees for itself.
 */
void droppable_wait(const struct droppable_try *try)
{
	struct mem_cgroup *memcg = droppable_charged_cgroup();
	unsigned long end = jiffies + RETRY;
	DEFINE_WAIT(wait);

	if (try->again)
		end = jiffies + clamp(SHARE * (jiffies - try->began), RETRY,
				      RETRY_MAX);
	prepare_to_wait(&waiters, &wait, TASK_INTERRUPTIBLE);
	do {
		if (signal_pending(current))
			break;
		schedule_timeout(POLL);
		/* A wakeup takes the entry off the queue. */
		if (list_empty_careful(&wait.entry))
			break;
		set_current_state(TASK_INTERRUPTIBLE);
	} while (!worth_trying(try, memcg) && time_before(jiffies, end));
	finish_wait(&waiters, &wait);
	mem_cgroup_put(memcg);
}

/**
 * droppable_wait_wake - some of our memory has been freed
 *
 * Not for what a try that failed gives back, see droppable_slot_unmake().
 * Cheap when nobody waits; safe in reclaim.  A waiter that was about to sleep
 * when this looked is woken by its own POLL.
 */
void droppable_wait_wake(void)
{
	if (unlikely(atomic_read(&retrying)))
		atomic_inc(&freed);
	if (waitqueue_active(&waiters))
		wake_up_interruptible(&waiters);
}
