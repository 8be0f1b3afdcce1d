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
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "drop.h"
#include "fault.h"
#include "notes.h"
#include "reap.h"
#include "region.h"
#include "revive.h"
#include "slot.h"

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

/* How often a discard that finds no room lets drops get on, for 24 ms at most. */
#define ROOM_TRIES	4U

/**
 * struct reaper - one mm's notes
 * @notifier:	owns this: mm/mmu_notifier.c counts one user per region of the
 *		mm and calls free_notifier() after the last.  It holds the
 *		mm_struct, not the address space
 * @mm:		the same mm_struct, held until @end is through (invariant)
 * @looking:	protects @held and what @busy is; under mmap_lock, for reading
 *		if the holder waits for nothing
 * @lock:	protects all else that follows but the work; nests inside
 *		everything
 * @ours:	where VMAs of ours are, or were: what happens elsewhere is of no
 *		interest
 * @now:	unmappings under way: they may be through with a page or not
 * @revivals:	folios that faults are about to map: an unmapping waits for them
 * @new:	unmapped and not looked at yet
 * @busy:	being looked at; empty whenever nobody is @looking
 * @held:	looked at: nothing in it is DROPPABLE_SLOT_HELD from before its
 *		time any more.  What is left is to free what nothing maps, once
 *		nobody holds it; so it does no harm that these grow together
 * @clock:	ticks at the end of an unmapping, if it was asked for since the
 *		last tick: no drop can tell apart what it doesn't lie between
 * @asked:	the time was asked for since then
 * @looks:	how often @work had to leave what was discarded, in a row
 * @delay:	until the next look, in microseconds
 * @work:	the look
 * @end:	frees this, where sleeping is allowed
 */
struct reaper {
	struct mmu_notifier notifier;
	struct mm_struct *mm;
	struct mutex looking;
	spinlock_t lock;
	struct droppable_notes ours;
	struct droppable_unmappings now;
	struct droppable_revivals revivals;
	struct droppable_notes new;
	struct droppable_notes busy;
	struct droppable_notes held;
	u32 clock;
	bool asked;
	unsigned int looks;
	unsigned int delay;
	struct delayed_work work;
	struct work_struct end;
};

static struct workqueue_struct *queue;

/* Reapers that end() hasn't freed yet. */
static atomic_t live;

/*
 * Notes a range, now, if some of it is ours; else false.  All of it, as one: was
 * it cut at what @ours tells, of which much overlaps, there would soon be no room
 * for others.
 */
static bool note_ours(struct reaper *reaper, unsigned long start,
		      unsigned long end)
{
	struct droppable_note note = { .start = start, .end = end };

	lockdep_assert_held(&reaper->lock);
	if (!droppable_notes_touch(&reaper->ours, start, end))
		return false;
	if (reaper->asked)
		reaper->clock++;
	reaper->asked = false;
	note.time = reaper->clock;
	droppable_notes_add(&reaper->new, &note);
	return true;
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
		droppable_slot_put(folio);
	}
}

static unsigned int reap_vma(struct vm_area_struct *vma,
			     const struct droppable_note *note,
			     unsigned int how)
{
	struct droppable_region *region = droppable_region_of(vma);
	pgoff_t first, last;

	if (!region)
		return 0;
	first = droppable_region_index(region, vma,
				       max(note->start, vma->vm_start));
	last = droppable_region_index(region, vma,
				      min(note->end, vma->vm_end) - 1);
	/* One that watches nothing has no time to compare with. */
	if (!region->reaper)
		how &= ~DROPPABLE_REAP_DISCARDED;
	return droppable_region_reap(region, first, last, how, note->time);
}

/* Looks at all VMAs there but @moved.  Returns what droppable_region_reap() does. */
static unsigned int reap_note(struct mm_struct *mm,
			      const struct droppable_note *note,
			      unsigned int how,
			      const struct vm_area_struct *moved)
{
	unsigned long start = note->start;
	unsigned int left = 0;

	mmap_assert_locked(mm);
	while (start < note->end) {
		struct vm_area_struct *vma = find_vma(mm, start);

		if (!vma || vma->vm_start >= note->end)
			break;
		if (vma->vm_ops == &droppable_vm_ops && vma != moved)
			left |= reap_vma(vma, note, how);
		start = vma->vm_end;
	}
	return left;
}

/* Returns what is left of all of them. */
static unsigned int reap_notes(struct mm_struct *mm,
			       struct droppable_notes *notes, unsigned int how,
			       const struct vm_area_struct *moved)
{
	unsigned int all = 0, i;

	for (i = 0; i < notes->nr; i++) {
		notes->note[i].left = reap_note(mm, &notes->note[i], how,
						moved);
		all |= notes->note[i].left;
	}
	return all;
}

/* What may yet be left to come back by whoever has it locked stays new. */
static void note_left(struct reaper *reaper, const struct droppable_notes *from,
		      bool forget_held)
{
	unsigned int i;

	lockdep_assert_held(&reaper->lock);
	for (i = 0; i < from->nr; i++) {
		const struct droppable_note *note = &from->note[i];

		if (note->left & DROPPABLE_REAP_LEFT_LOCKED)
			droppable_notes_add(&reaper->new, note);
		else if (note->left && !forget_held)
			droppable_notes_add(&reaper->held, note);
	}
}

/*
 * Looks at what is new, under mmap_lock.  Its notes are @busy's meanwhile, or
 * they would be gone for those who ask.  Returns what is left.
 */
static unsigned int look_at_new(struct reaper *reaper, unsigned int how,
				bool forget_held,
				const struct vm_area_struct *moved)
{
	unsigned int left;

	mmap_assert_locked(reaper->mm);
	mutex_lock(&reaper->looking);
	spin_lock(&reaper->lock);
	reaper->busy = reaper->new;
	reaper->new.nr = 0;
	spin_unlock(&reaper->lock);
	left = reap_notes(reaper->mm, &reaper->busy,
			  how | DROPPABLE_REAP_DISCARDED, moved);
	spin_lock(&reaper->lock);
	note_left(reaper, &reaper->busy, forget_held);
	reaper->busy.nr = 0;
	spin_unlock(&reaper->lock);
	mutex_unlock(&reaper->looking);
	return forget_held ? left & DROPPABLE_REAP_LEFT_LOCKED : left;
}

static bool is_full(struct reaper *reaper)
{
	bool full;

	spin_lock(&reaper->lock);
	full = reaper->new.nr > DROPPABLE_NOTES / 2;
	spin_unlock(&reaper->lock);
	return full;
}

/*
 * Who discards faster than the worker looks does some of the looking, before
 * notes have to grow together.  If somebody waits to change mappings, it can't be
 * done here: the lock that the discard holds needn't be mmap_lock.
 *
 * What a drop has locked stays new, so a drop that gets no processor is given
 * some time.  Its locks aren't waited for: one may be the caller's own, who
 * unmaps a page that the machine's memory failed for.
 */
static void make_room(struct reaper *reaper)
{
	unsigned int tries = ROOM_TRIES;

	if (!is_full(reaper) || !mmap_read_trylock(reaper->mm))
		return;
	look_at_new(reaper, 0, false, NULL);
	while (is_full(reaper) && tries-- && !fatal_signal_pending(current)) {
		droppable_drop_settle();
		look_at_new(reaper, 0, false, NULL);
	}
	mmap_read_unlock(reaper->mm);
}

static int range_start(struct mmu_notifier *notifier,
		       const struct mmu_notifier_range *range)
{
	struct reaper *reaper = container_of(notifier, struct reaper, notifier);
	/* If not, nobody is left to look: that is the OOM killer's reaper. */
	bool may_wait = mmu_notifier_range_blockable(range);

	if (!is_discard(range))
		return 0;
	if (may_wait)
		make_room(reaper);
	spin_lock(&reaper->lock);
	droppable_unmappings_begin(&reaper->now, range->start, range->end);
	spin_unlock(&reaper->lock);
	if (may_wait)
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
	droppable_unmappings_end(&reaper->now, range->start, range->end);
	any = note_ours(reaper, range->start, range->end);
	reaper->looks = 0;
	delay = reaper->delay;
	spin_unlock(&reaper->lock);
	if (any)
		queue_delayed_work(queue, &reaper->work,
				   usecs_to_jiffies(delay));
}

/* Looks again at what was held.  Returns what is left. */
static unsigned int look_at_held(struct reaper *reaper, bool forget_held)
{
	unsigned int keep = DROPPABLE_REAP_LEFT_LOCKED, left, i = 0;
	struct droppable_notes *held = &reaper->held;

	if (!forget_held)
		keep |= DROPPABLE_REAP_LEFT_HELD;
	mutex_lock(&reaper->looking);
	left = reap_notes(reaper->mm, held, 0, NULL);
	while (i < held->nr) {
		if (held->note[i].left & keep)
			i++;
		else
			held->note[i] = held->note[--held->nr];
	}
	mutex_unlock(&reaper->looking);
	return left & keep;
}

/* Under mmap_lock.  What is only held isn't looked at for ever. */
static void look(struct reaper *reaper)
{
	ktime_t start = ktime_get();
	unsigned int left;
	bool forget_held;
	s64 took;

	spin_lock(&reaper->lock);
	forget_held = reaper->looks + 1 >= LOOKS;
	spin_unlock(&reaper->lock);
	/* In this order, or what is new and held would be looked at twice. */
	left = look_at_held(reaper, forget_held);
	left |= look_at_new(reaper, 0, forget_held, NULL);
	took = ktime_us_delta(ktime_get(), start);

	spin_lock(&reaper->lock);
	reaper->delay = clamp_t(s64, took * DELAY_PER_WORK, DELAY_MIN,
				DELAY_MAX);
	if (left) {
		reaper->looks = min(reaper->looks + 1, LOOKS);
		queue_delayed_work(queue, &reaper->work,
				   usecs_to_jiffies(DELAY_MIN << reaper->looks));
	}
	spin_unlock(&reaper->lock);
}

static void reap(struct work_struct *work)
{
	struct reaper *reaper = container_of(to_delayed_work(work),
					     struct reaper, work);
	struct mm_struct *mm = reaper->mm;

	/* An exiting mm frees everything itself. */
	if (!mmget_not_zero(mm))
		return;
	mmap_read_lock(mm);
	look(reaper);
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
	mutex_init(&reaper->looking);
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
	struct droppable_note note = {
		.start = vma->vm_start,
		.end = vma->vm_end,
	};

	spin_lock(&reaper->lock);
	droppable_notes_add(&reaper->ours, &note);
	spin_unlock(&reaper->lock);
}

/**
 * droppable_reap_moved - hear of a VMA at its new place too
 * @notifier:	from droppable_reap_watch(), or NULL
 * @vma:	of ours, new beside the old one; mmap_lock held for writing
 *
 * What is noted is looked at before, while the old place is still there.  At the
 * new one it is about what was there before, and is forgotten.
 */
void droppable_reap_moved(struct mmu_notifier *notifier,
			  struct vm_area_struct *vma)
{
	struct reaper *reaper;

	if (!notifier)
		return;
	reaper = container_of(notifier, struct reaper, notifier);
	look_at_new(reaper, DROPPABLE_REAP_WAIT, false, vma);
	watch(reaper, vma);
}

/*
 * For this the core takes the locks of all the mm's VMAs, and gives up if a signal
 * comes, whatever the program would do about it: so they wait.  What it allocates
 * for the mm's first notifier could start the OOM killer, on behalf of a fault;
 * under PF_MEMALLOC it fails first.
 */
static struct mmu_notifier *get_notifier(struct mm_struct *mm)
{
	struct mmu_notifier *notifier;
	sigset_t others, old;
	unsigned int flags;

	siginitsetinv(&others, sigmask(SIGKILL) | sigmask(SIGSTOP));
	sigprocmask(SIG_BLOCK, &others, &old);
	flags = memalloc_noreclaim_save();
	notifier = mmu_notifier_get_locked(&ops, mm);
	memalloc_noreclaim_restore(flags);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return notifier;
}

/* All VMAs of a region that came to have several before it was watched. */
static void watch_all(struct reaper *reaper, struct droppable_region *region)
{
	struct vm_area_struct *vma;

	for (vma = find_vma(reaper->mm, 0); vma;
	     vma = find_vma(reaper->mm, vma->vm_end))
		if (vma->vm_ops == &droppable_vm_ops &&
		    droppable_region_of(vma) == region)
			watch(reaper, vma);
}

/**
 * droppable_reap_watch - hear of what is unmapped in a region
 * @region:	which
 * @vma:	one of its VMAs; mmap_lock held for writing
 *
 * ERR_PTR(-ENOMEM); ERR_PTR(-EINTR) if something is pending that can't wait: the
 * task is to die, to stop or to freeze, or to do what was queued for it.
 */
struct mmu_notifier *droppable_reap_watch(struct droppable_region *region,
					  struct vm_area_struct *vma)
{
	struct mmu_notifier *notifier = get_notifier(vma->vm_mm);
	struct reaper *reaper;

	if (IS_ERR(notifier))
		return notifier;
	reaper = container_of(notifier, struct reaper, notifier);
	if (refcount_read(&region->vmas) == 1)
		watch(reaper, vma);
	else
		watch_all(reaper, region);
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
	reaper->asked = true;
	time = reaper->clock;
	spin_unlock(&reaper->lock);
	return time;
}

static bool is_noted(struct reaper *reaper, unsigned long address, u32 since)
{
	lockdep_assert_held(&reaper->lock);
	return droppable_unmappings_cover(&reaper->now, address) ||
	       droppable_notes_tell(&reaper->new, address, since) ||
	       droppable_notes_tell(&reaper->busy, address, since);
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
