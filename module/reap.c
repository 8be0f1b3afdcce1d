// SPDX-License-Identifier: GPL-2.0
/*
 * Giving back what MADV_DONTNEED unmapped (contract line 21).
 *
 * The store holds a reference of its own, so the core's unmapping frees
 * nothing.  Each mm with a region has one mmu_notifier, which hears of every
 * unmapping before it happens and can do nothing there but take a note; a
 * little later a worker looks, in the ranges noted, for folios that nothing
 * maps.  Until then a fault that meets such a folio asks the notes whether it
 * was discarded.
 */

#include <linux/cpu.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "fault.h"
#include "reap.h"
#include "region.h"

/*
 * How long after the unmapping: long enough to gather a loop's calls, and to
 * keep the worker's share of a processor small, but within the second that the
 * contract gives.
 */
#define DELAY_MIN	20000U	/* microseconds */
#define DELAY_MAX	500000U
#define DELAY_PER_WORK	10

/*
 * What is held can't be freed, and the core itself holds what it unmaps until
 * the TLB is flushed, which is after it told us.  So the worker looks again,
 * each time after twice as long: 1.3 s in all.  After what was locked, whose
 * owner may yet find it held and leave it to come back, it looks until it isn't.
 */
#define LOOKS		6U

/* Ranges kept apart; with more, the nearest grow together. */
#define NOTES	8

/**
 * struct note - a range of addresses
 * @start:	first
 * @end:	behind the last
 * @time:	of the latest unmapping in it, by the reaper's clock
 */
struct note {
	unsigned long start;
	unsigned long end;
	u32 time;
};

/* Address ranges in which something was unmapped. */
struct notes {
	unsigned int nr;
	struct note note[NOTES];
};

/**
 * struct reaper - one mm's notes
 * @notifier:	owns this: mm/mmu_notifier.c counts one user per region of the
 *		mm and calls free_notifier() after the last.  It holds the
 *		mm_struct, not the address space
 * @mm:		the same mm_struct, held until @end is through (invariant)
 * @lock:	protects all that follows but the work; nests inside everything
 * @ours:	where VMAs of ours are, or were: what happens elsewhere is of no
 *		interest
 * @new:	unmapped and not looked at yet
 * @busy:	being looked at by @work
 * @clock:	ticks at every start and end of an unmapping
 * @unmapping:	unmappings between their start and end: while there is one,
 *		the notes stay, since what is mapped yet may not be soon
 * @began:	@clock before the first of those
 * @looks:	how often @work had to leave what was discarded, in a row
 * @delay:	until the next look, in microseconds
 * @work:	the look
 * @end:	frees this, where sleeping is allowed
 */
struct reaper {
	struct mmu_notifier notifier;
	struct mm_struct *mm;
	spinlock_t lock;
	struct notes ours;
	struct notes new;
	struct notes busy;
	u32 clock;
	unsigned int unmapping;
	u32 began;
	unsigned int looks;
	unsigned int delay;
	struct delayed_work work;
	struct work_struct end;
};

static struct workqueue_struct *queue;

/* Reapers that end() hasn't freed yet. */
static atomic_t live;

/* Notes don't live for half of the clock's range. */
static bool after(u32 time, u32 other)
{
	return (s32)(time - other) > 0;
}

static unsigned long distance(const struct note *a, const struct note *b)
{
	if (a->end < b->start)
		return b->start - a->end;
	return b->end < a->start ? a->start - b->end : 0;
}

static void add_note(struct notes *notes, const struct note *new)
{
	struct note *note, *nearest = NULL;

	for (note = notes->note; note < notes->note + notes->nr; note++)
		if (!nearest || distance(note, new) < distance(nearest, new))
			nearest = note;
	if (notes->nr < NOTES && (!nearest || distance(nearest, new))) {
		notes->note[notes->nr++] = *new;
		return;
	}
	nearest->start = min(nearest->start, new->start);
	nearest->end = max(nearest->end, new->end);
	if (after(new->time, nearest->time))
		nearest->time = new->time;
}

static bool noted(const struct notes *notes, unsigned long address, u32 since)
{
	const struct note *note;

	for (note = notes->note; note < notes->note + notes->nr; note++)
		if (address >= note->start && address < note->end &&
		    after(note->time, since))
			return true;
	return false;
}

/* Notes the parts of a range that are ours, now.  False if there are none. */
static bool note_ours(struct reaper *reaper, unsigned long start,
		      unsigned long end)
{
	const struct note *ours = reaper->ours.note;
	bool any = false;
	unsigned int i;

	lockdep_assert_held(&reaper->lock);
	reaper->clock++;
	for (i = 0; i < reaper->ours.nr; i++) {
		struct note part = { max(start, ours[i].start),
				     min(end, ours[i].end), reaper->clock };

		if (part.start >= part.end)
			continue;
		add_note(&reaper->new, &part);
		any = true;
	}
	return any;
}

/*
 * With PF_MEMALLOC it is one of our own drops, which frees what it can.
 * munmap() ends in ->close, which knows its range.  And what splits a VMA says
 * that it clears the 2 MiB around the cut, whether they are a huge page or not;
 * that, unlike discarding, takes mmap_lock for writing.
 */
static bool is_discard(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_CLEAR &&
	       !(current->flags & PF_MEMALLOC) &&
	       !droppable_mmap_write_locked_here(range->mm);
}

static int range_start(struct mmu_notifier *notifier,
		       const struct mmu_notifier_range *range)
{
	struct reaper *reaper = container_of(notifier, struct reaper, notifier);

	if (!is_discard(range))
		return 0;
	spin_lock(&reaper->lock);
	if (!reaper->unmapping++)
		reaper->began = reaper->clock;
	note_ours(reaper, range->start, range->end);
	spin_unlock(&reaper->lock);
	return 0;
}

static void range_end(struct mmu_notifier *notifier,
		      const struct mmu_notifier_range *range)
{
	struct reaper *reaper = container_of(notifier, struct reaper, notifier);
	unsigned int delay;
	bool any;

	if (!is_discard(range))
		return;
	spin_lock(&reaper->lock);
	/* The reaper may have come between: then the start wasn't heard. */
	if (reaper->unmapping)
		reaper->unmapping--;
	any = note_ours(reaper, range->start, range->end);
	reaper->looks = 0;
	delay = reaper->delay;
	spin_unlock(&reaper->lock);
	if (any)
		queue_delayed_work(queue, &reaper->work,
				   usecs_to_jiffies(delay));
}

static unsigned int reap_vma(struct vm_area_struct *vma, unsigned long start,
			     unsigned long end, unsigned int how)
{
	struct droppable_region *region = READ_ONCE(vma->vm_private_data);
	pgoff_t first, last;

	if (!region)
		return 0;
	first = droppable_region_index(region, vma, max(start, vma->vm_start));
	last = droppable_region_index(region, vma, min(end, vma->vm_end) - 1);
	return droppable_region_reap(region, first, last,
				     DROPPABLE_REAP_DISCARDED | how);
}

/* Returns what droppable_region_reap() does. */
static unsigned int reap_note(struct mm_struct *mm, const struct note *note,
			      unsigned int how)
{
	unsigned long start = note->start;
	unsigned int left = 0;

	mmap_assert_locked(mm);
	while (start < note->end) {
		struct vm_area_struct *vma = find_vma(mm, start);

		if (!vma || vma->vm_start >= note->end)
			break;
		if (vma->vm_ops == &droppable_vm_ops)
			left |= reap_vma(vma, start, note->end, how);
		start = vma->vm_end;
	}
	return left;
}

/* Notes again what is left; if it is only held, not for ever. */
static void note_left(struct reaper *reaper, const unsigned int *left)
{
	unsigned int all = 0, i;

	lockdep_assert_held(&reaper->lock);
	for (i = 0; i < reaper->busy.nr; i++)
		all |= left[i];
	if (!all)
		return;
	reaper->looks = min(reaper->looks + 1, LOOKS);
	if (reaper->looks == LOOKS && !(all & DROPPABLE_REAP_LEFT_LOCKED))
		return;
	for (i = 0; i < reaper->busy.nr; i++)
		if (left[i])
			add_note(&reaper->new, &reaper->busy.note[i]);
	queue_delayed_work(queue, &reaper->work,
			   usecs_to_jiffies(DELAY_MIN << reaper->looks));
}

static void reap(struct work_struct *work)
{
	struct reaper *reaper = container_of(to_delayed_work(work),
					     struct reaper, work);
	struct mm_struct *mm = reaper->mm;
	ktime_t start = ktime_get();
	unsigned int left[NOTES], i;
	s64 took;

	/* An exiting mm frees everything itself. */
	if (!mmget_not_zero(mm))
		return;
	spin_lock(&reaper->lock);
	reaper->busy = reaper->new;
	if (!reaper->unmapping)
		reaper->new.nr = 0;
	spin_unlock(&reaper->lock);

	mmap_read_lock(mm);
	for (i = 0; i < reaper->busy.nr; i++)
		left[i] = reap_note(mm, &reaper->busy.note[i], 0);
	mmap_read_unlock(mm);

	took = ktime_us_delta(ktime_get(), start);
	spin_lock(&reaper->lock);
	note_left(reaper, left);
	reaper->busy.nr = 0;
	reaper->delay = clamp_t(s64, took * DELAY_PER_WORK, DELAY_MIN,
				DELAY_MAX);
	spin_unlock(&reaper->lock);
	/* If it is the last, the unmapping must not wait for this worker. */
	mmput_async(mm);
}

static void end(struct work_struct *work)
{
	struct reaper *reaper = container_of(work, struct reaper, end);

	cancel_delayed_work_sync(&reaper->work);
	mmdrop(reaper->mm);
	kfree(reaper);
	if (atomic_dec_and_test(&live))
		wake_up_var(&live);
}

static struct mmu_notifier *alloc_notifier(struct mm_struct *mm)
{
	struct reaper *reaper;

	reaper = kzalloc(sizeof(*reaper), GFP_KERNEL_ACCOUNT |
			 __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (!reaper)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&live);
	mmgrab(mm);
	reaper->mm = mm;
	reaper->delay = DELAY_MIN;
	spin_lock_init(&reaper->lock);
	INIT_DELAYED_WORK(&reaper->work, reap);
	INIT_WORK(&reaper->end, end);
	return &reaper->notifier;
}

/* After a grace period, in its callback: nobody is in range_start() here. */
static void free_notifier(struct mmu_notifier *notifier)
{
	queue_work(queue, &container_of(notifier, struct reaper, notifier)->end);
}

static const struct mmu_notifier_ops ops = {
	.invalidate_range_start = range_start,
	.invalidate_range_end = range_end,
	.alloc_notifier = alloc_notifier,
	.free_notifier = free_notifier,
};

static void watch(struct reaper *reaper, struct vm_area_struct *vma)
{
	struct note note = { vma->vm_start, vma->vm_end };

	spin_lock(&reaper->lock);
	add_note(&reaper->ours, &note);
	spin_unlock(&reaper->lock);
}

/**
 * droppable_reap_moved - hear of a VMA at its new place too
 * @notifier:	from droppable_reap_watch(), or NULL
 * @vma:	of ours, new beside the old one; mmap_lock held for writing
 *
 * What is noted at the old place is looked at while that is still there.
 */
void droppable_reap_moved(struct mmu_notifier *notifier,
			  struct vm_area_struct *vma)
{
	struct reaper *reaper;
	struct notes notes;
	unsigned int i;

	if (!notifier)
		return;
	reaper = container_of(notifier, struct reaper, notifier);
	spin_lock(&reaper->lock);
	notes = reaper->new;
	spin_unlock(&reaper->lock);
	for (i = 0; i < notes.nr; i++)
		reap_note(vma->vm_mm, &notes.note[i], DROPPABLE_REAP_WAIT);
	watch(reaper, vma);
}

/**
 * droppable_reap_watch - hear of what is unmapped in a VMA
 * @vma:	mmap_lock held for writing
 *
 * NULL if there is no memory for it: then discarded pages stay until they are
 * touched or memory is short.
 */
struct mmu_notifier *droppable_reap_watch(struct vm_area_struct *vma)
{
	struct mmu_notifier *notifier;
	unsigned int flags;

	/*
	 * What the core allocates for the mm's first notifier could start the
	 * OOM killer, on behalf of a fault.  Under PF_MEMALLOC it fails first.
	 */
	flags = memalloc_noreclaim_save();
	notifier = mmu_notifier_get_locked(&ops, vma->vm_mm);
	memalloc_noreclaim_restore(flags);
	if (IS_ERR(notifier))
		return NULL;
	watch(container_of(notifier, struct reaper, notifier), vma);
	return notifier;
}

/**
 * droppable_reap_unwatch - end one droppable_reap_watch()
 * @notifier:	from there, or NULL
 */
void droppable_reap_unwatch(struct mmu_notifier *notifier)
{
	if (notifier)
		mmu_notifier_put(notifier);
}

/**
 * droppable_reap_clock - the time, to ask droppable_reap_noted() with
 * @notifier:	from droppable_reap_watch(), or NULL
 *
 * An unmapping that is under way counts as one that is to come.
 */
u32 droppable_reap_clock(struct mmu_notifier *notifier)
{
	struct reaper *reaper;
	u32 time;

	if (!notifier)
		return 0;
	reaper = container_of(notifier, struct reaper, notifier);
	spin_lock(&reaper->lock);
	time = reaper->unmapping ? reaper->began : reaper->clock;
	spin_unlock(&reaper->lock);
	return time;
}

/**
 * droppable_reap_noted - whether a page was discarded
 * @notifier:	from droppable_reap_watch(), or NULL
 * @address:	of the page
 * @since:	by droppable_reap_clock(); the folio has not been mapped since
 *
 * Of what was noted and looked at already this knows nothing: there
 * DROPPABLE_SLOT_HELD is gone.
 */
bool droppable_reap_noted(struct mmu_notifier *notifier, unsigned long address,
			  u32 since)
{
	struct reaper *reaper;
	bool yes;

	if (!notifier)
		return false;
	reaper = container_of(notifier, struct reaper, notifier);
	spin_lock(&reaper->lock);
	yes = noted(&reaper->new, address, since) ||
	      noted(&reaper->busy, address, since);
	spin_unlock(&reaper->lock);
	return yes;
}

int droppable_reap_init(void)
{
	queue = alloc_workqueue("droppable", WQ_UNBOUND, 0);
	return queue ? 0 : -ENOMEM;
}

static long pass_callbacks(void *unused)
{
	mmu_notifier_synchronize();
	return 0;
}

/*
 * mmu_notifier_synchronize() says that no ops are called after it, but waits
 * for a grace period only, not for the callbacks that follow (all kernels up to
 * 7.3).  So the reapers are counted.  The last free_notifier() may still have
 * to return from our code then: a processor's callbacks are called one after
 * the other, and that function waits for one of its own.
 */
void droppable_reap_exit(void)
{
	int cpu;

	wait_var_event(&live, !atomic_read(&live));
	cpus_read_lock();
	for_each_online_cpu(cpu)
		work_on_cpu(cpu, pass_callbacks, NULL);
	cpus_read_unlock();
	destroy_workqueue(queue);
}
