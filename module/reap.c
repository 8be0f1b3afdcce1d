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
#include "revive.h"

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

/*
 * Ranges kept apart; with more, the nearest grow together, and then what lies
 * between counts as discarded as well.
 */
#define NOTES	24

/**
 * struct note - a range of addresses
 * @start:	first
 * @end:	behind the last
 * @time:	of the unmapping, by the reaper's clock
 * @settled:	nothing in it is DROPPABLE_SLOT_HELD from before @time any more:
 *		what is left is to free what nothing maps
 */
struct note {
	unsigned long start;
	unsigned long end;
	u32 time;
	bool settled;
};

/* Address ranges in which something was unmapped; they may overlap. */
struct notes {
	unsigned int nr;
	struct note note[NOTES];
};

/**
 * struct unmappings - those between their start and end, of the whole mm
 * @nr:		how many are listed
 * @unlisted:	how many more there are: any address may be theirs
 * @at:		their ranges
 */
struct unmappings {
	unsigned int nr;
	unsigned int unlisted;
	struct {
		unsigned long start;
		unsigned long end;
	} at[NOTES];
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
 * @now:	unmappings under way: they may be through with a page or not
 * @revivals:	folios that faults are about to map: an unmapping waits for them
 * @new:	unmapped and not looked at yet
 * @busy:	being looked at by @work; empty whenever nobody has mmap_lock for
 *		reading
 * @clock:	ticks at every end of an unmapping
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
	struct unmappings now;
	struct droppable_revivals revivals;
	struct notes new;
	struct notes busy;
	u32 clock;
	unsigned int looks;
	unsigned int delay;
	struct delayed_work work;
	struct work_struct end;
};

static struct workqueue_struct *queue;

/* Reapers that end() hasn't freed yet. */
static atomic_t live;

static unsigned long distance(const struct note *a, const struct note *b)
{
	if (a->end < b->start)
		return b->start - a->end;
	return b->end < a->start ? a->start - b->end : 0;
}

/* Whether @note says all that @other does. */
static bool says(const struct note *note, const struct note *other)
{
	return note->start <= other->start && note->end >= other->end &&
	       note->settled == other->settled &&
	       !droppable_reap_after(other->time, note->time);
}

/* There is no room for another: the nearest says more than it should. */
static void widen_nearest(struct notes *notes, const struct note *new)
{
	struct note *nearest = &notes->note[0];
	unsigned int i;

	for (i = 1; i < notes->nr; i++)
		if (distance(&notes->note[i], new) < distance(nearest, new))
			nearest = &notes->note[i];
	nearest->start = min(nearest->start, new->start);
	nearest->end = max(nearest->end, new->end);
	if (droppable_reap_after(new->time, nearest->time))
		nearest->time = new->time;
	nearest->settled &= new->settled;
}

static void add_note(struct notes *notes, const struct note *new)
{
	unsigned int i = 0;

	while (i < notes->nr) {
		if (says(&notes->note[i], new))
			return;
		if (says(new, &notes->note[i]))
			notes->note[i] = notes->note[--notes->nr];
		else
			i++;
	}
	if (notes->nr < NOTES)
		notes->note[notes->nr++] = *new;
	else
		widen_nearest(notes, new);
}

static bool noted(const struct notes *notes, unsigned long address, u32 since)
{
	const struct note *note;

	for (note = notes->note; note < notes->note + notes->nr; note++)
		if (address >= note->start && address < note->end &&
		    !note->settled && droppable_reap_after(note->time, since))
			return true;
	return false;
}

static void begin(struct unmappings *now, unsigned long start,
		  unsigned long end)
{
	if (now->nr == ARRAY_SIZE(now->at)) {
		now->unlisted++;
		return;
	}
	now->at[now->nr].start = start;
	now->at[now->nr++].end = end;
}

/* The reaper may have come after the start: then that wasn't heard. */
static void finish(struct unmappings *now, unsigned long start,
		   unsigned long end)
{
	unsigned int i;

	for (i = 0; i < now->nr; i++) {
		if (now->at[i].start != start || now->at[i].end != end)
			continue;
		now->at[i] = now->at[--now->nr];
		return;
	}
	if (now->unlisted)
		now->unlisted--;
}

static bool under_way(const struct unmappings *now, unsigned long address)
{
	unsigned int i;

	for (i = 0; i < now->nr; i++)
		if (address >= now->at[i].start && address < now->at[i].end)
			return true;
	return now->unlisted;
}

/*
 * Notes a range, now, if some of it is ours; else false.  All of it, as one: was
 * it cut at what @ours tells, of which much overlaps, there would soon be no room
 * for others.
 */
static bool note_ours(struct reaper *reaper, unsigned long start,
		      unsigned long end)
{
	const struct note *ours = reaper->ours.note;
	struct note note = { start, end, ++reaper->clock };
	unsigned int i;

	lockdep_assert_held(&reaper->lock);
	for (i = 0; i < reaper->ours.nr; i++) {
		if (start >= ours[i].end || end <= ours[i].start)
			continue;
		add_note(&reaper->new, &note);
		return true;
	}
	return false;
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

/*
 * Until no fault is about to map what the notes, before @reaper->now had this
 * range, called the page's content.  Those that come now find it there.
 */
static void wait_for_revivals(struct reaper *reaper, unsigned long start,
			      unsigned long end)
{
	struct folio *folio;
	bool killed = false;

	while (!killed) {
		spin_lock(&reaper->lock);
		folio = droppable_revive_get(&reaper->revivals, start, end);
		spin_unlock(&reaper->lock);
		if (!folio)
			return;
		killed = folio_lock_killable(folio);
		if (!killed)
			folio_unlock(folio);
		folio_put(folio);
	}
}

static int range_start(struct mmu_notifier *notifier,
		       const struct mmu_notifier_range *range)
{
	struct reaper *reaper = container_of(notifier, struct reaper, notifier);

	if (!is_discard(range))
		return 0;
	spin_lock(&reaper->lock);
	begin(&reaper->now, range->start, range->end);
	spin_unlock(&reaper->lock);
	/* If not, nobody is left to look: that is the OOM killer's reaper. */
	if (mmu_notifier_range_blockable(range))
		wait_for_revivals(reaper, range->start, range->end);
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
	finish(&reaper->now, range->start, range->end);
	any = note_ours(reaper, range->start, range->end);
	reaper->looks = 0;
	delay = reaper->delay;
	spin_unlock(&reaper->lock);
	if (any)
		queue_delayed_work(queue, &reaper->work,
				   usecs_to_jiffies(delay));
}

static unsigned int reap_vma(struct vm_area_struct *vma,
			     const struct note *note, unsigned int how)
{
	struct droppable_region *region = READ_ONCE(vma->vm_private_data);
	pgoff_t first, last;

	if (!region)
		return 0;
	first = droppable_region_index(region, vma,
				       max(note->start, vma->vm_start));
	last = droppable_region_index(region, vma,
				      min(note->end, vma->vm_end) - 1);
	/* One that watches nothing has no time to compare with. */
	if (!note->settled && region->reaper)
		how |= DROPPABLE_REAP_DISCARDED;
	return droppable_region_reap(region, first, last, how, note->time);
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
			left |= reap_vma(vma, note, how);
		start = vma->vm_end;
	}
	return left;
}

static void note_again(struct notes *to, const struct notes *from,
		       const unsigned int *left)
{
	struct note note;
	unsigned int i;

	for (i = 0; i < from->nr; i++) {
		if (!left[i])
			continue;
		note = from->note[i];
		note.settled |= !(left[i] & DROPPABLE_REAP_LEFT_LOCKED);
		add_note(to, &note);
	}
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
	note_again(&reaper->new, &reaper->busy, left);
	queue_delayed_work(queue, &reaper->work,
			   usecs_to_jiffies(DELAY_MIN << reaper->looks));
}

static void reap(struct work_struct *work)
{
	struct reaper *reaper = container_of(to_delayed_work(work),
					     struct reaper, work);
	struct mm_struct *mm = reaper->mm;
	ktime_t start = ktime_get();
	unsigned int left[NOTES] = { 0 }, i;
	s64 took;

	/* An exiting mm frees everything itself. */
	if (!mmget_not_zero(mm))
		return;
	mmap_read_lock(mm);
	spin_lock(&reaper->lock);
	reaper->busy = reaper->new;
	reaper->new.nr = 0;
	spin_unlock(&reaper->lock);

	for (i = 0; i < reaper->busy.nr; i++)
		left[i] = reap_note(mm, &reaper->busy.note[i], 0);

	took = ktime_us_delta(ktime_get(), start);
	spin_lock(&reaper->lock);
	note_left(reaper, left);
	reaper->busy.nr = 0;
	reaper->delay = clamp_t(s64, took * DELAY_PER_WORK, DELAY_MIN,
				DELAY_MAX);
	spin_unlock(&reaper->lock);
	mmap_read_unlock(mm);
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
 * What is noted is looked at before: at the old place while that is still there,
 * and at the new one, where it isn't about this VMA.
 */
void droppable_reap_moved(struct mmu_notifier *notifier,
			  struct vm_area_struct *vma)
{
	unsigned int left[NOTES] = { 0 }, i;
	struct reaper *reaper;
	struct notes notes;

	if (!notifier)
		return;
	reaper = container_of(notifier, struct reaper, notifier);
	spin_lock(&reaper->lock);
	VM_WARN_ON_ONCE(reaper->busy.nr);
	notes = reaper->new;
	reaper->new.nr = 0;
	spin_unlock(&reaper->lock);
	for (i = 0; i < notes.nr; i++)
		left[i] = reap_note(vma->vm_mm, &notes.note[i],
				    DROPPABLE_REAP_WAIT);
	spin_lock(&reaper->lock);
	note_again(&reaper->new, &notes, left);
	spin_unlock(&reaper->lock);
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
 * @region:	that it was for, and is about to die
 */
void droppable_reap_unwatch(struct mmu_notifier *notifier,
			    struct droppable_region *region)
{
	struct reaper *reaper;

	if (!notifier)
		return;
	reaper = container_of(notifier, struct reaper, notifier);
	spin_lock(&reaper->lock);
	droppable_revive_forget(&reaper->revivals, region);
	spin_unlock(&reaper->lock);
	mmu_notifier_put(notifier);
}

/**
 * droppable_reap_clock - the time, to ask droppable_reap_noted() with
 * @notifier:	from droppable_reap_watch(), or NULL
 */
u32 droppable_reap_clock(struct mmu_notifier *notifier)
{
	struct reaper *reaper;
	u32 time;

	if (!notifier)
		return 0;
	reaper = container_of(notifier, struct reaper, notifier);
	spin_lock(&reaper->lock);
	time = reaper->clock;
	spin_unlock(&reaper->lock);
	return time;
}

static bool is_noted(struct reaper *reaper, unsigned long address, u32 since)
{
	lockdep_assert_held(&reaper->lock);
	return under_way(&reaper->now, address) ||
	       noted(&reaper->new, address, since) ||
	       noted(&reaper->busy, address, since);
}

/**
 * droppable_reap_noted - whether a page was discarded
 * @notifier:	from droppable_reap_watch(), or NULL
 * @address:	of the page
 * @since:	by droppable_reap_clock(); the folio has not been mapped since
 *
 * An unmapping that is under way may have met the page before the drop did, and
 * counts.  Of what was noted and looked at already this knows nothing: there
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
	yes = is_noted(reaper, address, since);
	spin_unlock(&reaper->lock);
	return yes;
}

/**
 * droppable_reap_revive - the same, by a fault that will map the folio if not
 * @region:	of the folio, with a reaper
 * @index:	of the folio, which is locked until it is mapped
 * @address:	of the page
 * @since:	by droppable_reap_clock(); the folio has not been mapped since
 *
 * Returns 1 if it wasn't discarded: discards that begin from now on wait until
 * it is unlocked.  0 if it was.  -EAGAIN if neither can be said now.
 */
int droppable_reap_revive(struct droppable_region *region, pgoff_t index,
			  unsigned long address, u32 since)
{
	struct reaper *reaper = container_of(region->reaper, struct reaper,
					     notifier);
	int ret = 0;

	spin_lock(&reaper->lock);
	if (!is_noted(reaper, address, since))
		ret = droppable_revive_begin(&reaper->revivals, region, index,
					     address) ? 1 : -EAGAIN;
	spin_unlock(&reaper->lock);
	return ret;
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
