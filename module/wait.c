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
 * that the task may not use, or what can be reclaimed is pinned.  Each try then
 * has the core look at all there is, for milliseconds to seconds.  Who comes back
 * from such a try waits until they say more, or for so long that trying is SHARE
 * of its time.
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

/* Free or easily freed, in pages, below which a fault needn't be retried. */
#define AVAILABLE_MIN	64

static DECLARE_WAIT_QUEUE_HEAD(waiters);

static bool memory_back(struct mem_cgroup *memcg, long least)
{
	return si_mem_available() > least && droppable_ration_margin(memcg);
}

/*
 * The cgroup that a fault of this task is charged to, which need not be that of
 * its mm's owner.  NULL if it is going away.
 */
static struct mem_cgroup *get_charged_cgroup(void)
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
 * droppable_wait - wait until memory may be had, a signal comes, or a second
 * @cost:	jiffies that the caller's try took
 * @again:	whether the caller has waited here before that
 *
 * Called with no lock held.  The caller tries its allocation again and sees
 * for itself.
 */
void droppable_wait(unsigned long cost, bool again)
{
	struct mem_cgroup *memcg = get_charged_cgroup();
	unsigned long end = jiffies + clamp(SHARE * cost, RETRY, RETRY_MAX);
	long least = AVAILABLE_MIN;
	DEFINE_WAIT(wait);

	if (again && memory_back(memcg, least))
		least += si_mem_available();
	prepare_to_wait(&waiters, &wait, TASK_INTERRUPTIBLE);
	do {
		if (signal_pending(current))
			break;
		schedule_timeout(POLL);
		/* A wakeup takes the entry off the queue. */
		if (list_empty_careful(&wait.entry))
			break;
		set_current_state(TASK_INTERRUPTIBLE);
	} while (!memory_back(memcg, least) && time_before(jiffies, end));
	finish_wait(&waiters, &wait);
	mem_cgroup_put(memcg);
}

/**
 * droppable_wait_wake - some of our memory has been freed
 *
 * Cheap when nobody waits; safe in reclaim.  A waiter that was about to sleep
 * when this looked is woken by its own POLL.
 */
void droppable_wait_wake(void)
{
	if (waitqueue_active(&waiters))
		wake_up_interruptible(&waiters);
}
