// SPDX-License-Identifier: GPL-2.0
/*
 * Pins: a program keeps pages of its own from being dropped, to hand a pointer
 * to code that can't copy.  This is the one thing on the device that locks
 * memory, and so the one that RLIMIT_MEMLOCK limits.
 *
 * A pin is a reference to each of its folios; what that does to a drop, a
 * discard and a fault is what anybody's pin does (contract line 18).  Besides, they
 * are off the list_lru until the last pin ends: reclaim that can't have them
 * needn't look at them, however many they are.
 */

#include <linux/capability.h>
#include <linux/fdtable.h>
#include <linux/mm.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait_bit.h>
#include <linux/xarray.h>

#include <uapi/linux/droppable.h>

#include "fault.h"
#include "file.h"
#include "pin.h"
#include "ptes.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"
#include "wait.h"

/**
 * struct pin - what one DROPPABLE_IOC_PIN holds
 * @users:	whoever has found or made it; the last frees it
 * @region:	of its folios; not freed while one that was taken out is put
 * @in_region:	on region->pins
 * @id:		see give_id(); the lower half is its place in df->pins
 * @mm:		whose pinned_vm counts the pages; its mm_struct is held
 * @owner:	the table of descriptors that it was made through
 * @nr:		pages
 * @folios:	of the pages, by their place in the range; those that weren't there
 *		before marked WAS_ABSENT.  No array: for a large one the core
 *		reclaims neighbouring pages, or allocates page tables, for which it
 *		would start the OOM killer
 *
 * In df->pins and on region->pins, both protected by df->pins' lock.
 * Who takes it out of there under that lock (an unpin, a close, the end of the
 * region) ends it.  The rest is invariant.
 */
struct pin {
	refcount_t users;
	struct droppable_region *region;
	struct list_head in_region;
	u64 id;
	struct mm_struct *mm;
	fl_owner_t owner;
	unsigned long nr;
	struct xarray folios;
};

#define WAS_ABSENT	XA_MARK_0

/* How many of others' pins a close looks at before it lets others have the lock. */
#define FLUSH_BATCH	128
/* How many folios the end of a pin forgets likewise: those of 64 nodes. */
#define FORGET_BATCH	4096

static struct pin *alloc_pin(unsigned long nr)
{
	struct pin *pin = kzalloc(sizeof(*pin), DROPPABLE_GFP | __GFP_ACCOUNT);

	if (!pin)
		return NULL;
	refcount_set(&pin->users, 1);
	pin->mm = current->mm;
	mmgrab(pin->mm);
	pin->owner = current->files;
	pin->nr = nr;
	xa_init_flags(&pin->folios, XA_FLAGS_ACCOUNT);
	return pin;
}

/* In batches: xa_destroy() would free all nodes at once, with interrupts off. */
static void forget_folios(struct pin *pin)
{
	XA_STATE(xas, &pin->folios, 0);
	unsigned int forgotten = 0;
	struct folio *folio;

	xas_lock(&xas);
	xas_for_each(&xas, folio, ULONG_MAX) {
		unsigned long next = xas.xa_index + 1;

		xas_store(&xas, NULL);
		if (++forgotten % FORGET_BATCH)
			continue;
		/* Its node may have gone. */
		xas_set(&xas, next);
		xas_unlock(&xas);
		cond_resched();
		xas_lock(&xas);
	}
	xas_unlock(&xas);
}

static void put_pin(struct pin *pin)
{
	if (!refcount_dec_and_test(&pin->users))
		return;
	if (pin->nr > FORGET_BATCH)
		forget_folios(pin);
	xa_destroy(&pin->folios);
	mmdrop(pin->mm);
	kfree(pin);
}

static int account(struct mm_struct *mm, unsigned long nr)
{
	u64 limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	s64 pinned = atomic64_read(&mm->pinned_vm);

	/* Never too many, not for a moment: another thread's may fit. */
	do {
		if (pinned + nr > limit && !capable(CAP_IPC_LOCK))
			return -EPERM;
	} while (!atomic64_try_cmpxchg(&mm->pinned_vm, &pinned, pinned + nr));
	return 0;
}

/* The first of its pins takes a slot off the list; reclaim can't have it. */
static int add_pin(struct droppable_slot *slot)
{
	if (slot->pins == DROPPABLE_SLOT_PINS_MAX)
		return -ENOMEM;
	if (slot->pins++)
		return 0;
	droppable_lru_del(slot);
	droppable_slot_reclaimable(slot, -1);
	return 0;
}

/* The last puts it back. */
static void remove_pin(struct droppable_slot *slot)
{
	if (--slot->pins)
		return;
	droppable_lru_add(slot);
	droppable_slot_reclaimable(slot, 1);
}

/* Out of the store if nothing but the pin was left of it. */
static void put_folio(struct folio *folio)
{
	struct droppable_slot *slot;

	folio_lock(folio);
	slot = droppable_slot_of(folio);
	if (!slot) {
		/* Discarded while it was pinned. */
		folio_unlock(folio);
		droppable_slot_put(folio);
		return;
	}
	if (slot->flags & DROPPABLE_SLOT_HELD ||
	    !droppable_region_remove_if_unused(folio)) {
		remove_pin(slot);
		folio_unlock(folio);
		droppable_slot_put(folio);
	} else {
		folio_put(folio);
	}
}

/* From here on the folios only say that there were some. */
static void put_folios(struct pin *pin)
{
	struct folio *folio;
	bool any = false;
	unsigned long i;

	xa_for_each(&pin->folios, i, folio) {
		put_folio(folio);
		any = true;
		cond_resched();
	}
	/* A drop may get them now. */
	if (any)
		droppable_wait_wake();
}

/* One that was unlinked. */
static void end_pin(struct pin *pin)
{
	struct droppable_region *region = pin->region;

	put_folios(pin);
	atomic64_sub(pin->nr, &pin->mm->pinned_vm);
	put_pin(pin);
	/* The last touch: region_free() may be waiting for it. */
	if (atomic_dec_and_test(&region->drops))
		wake_up_var(&region->drops);
}

/*
 * Takes a pin out of where others could find it.  From here on it keeps the
 * region as a drop does: the last munmap() may come before end_pin() is through.
 */
static void unlink_pin(struct droppable_file *df, struct pin *pin)
{
	lockdep_assert_held(&df->pins.xa_lock);
	atomic_inc(&pin->region->drops);
	__xa_erase(&df->pins, lower_32_bits(pin->id));
	list_del(&pin->in_region);
	WRITE_ONCE(df->locked, df->locked - pin->nr);
}

/*
 * An id doesn't come again, for four billion pins.  The end of a region ends pins
 * whose ids are still with somebody, and what that then unpins must not be
 * another's.  The place in df->pins does come again, the lowest first: one that
 * grew would take more nodes than one for each pin, and free them as often.
 */
static int give_id(struct droppable_file *df, struct pin *pin)
{
	u32 place;
	int err;

	err = __xa_alloc(&df->pins, &place, pin, XA_LIMIT(0, INT_MAX),
			 DROPPABLE_GFP);
	if (err)
		return err;
	/* 0 is no id. */
	if (!++df->pins_made)
		df->pins_made = 1;
	pin->id = (u64)df->pins_made << 32 | place;
	return 0;
}

/*
 * From the unlock on @pin can be ended by who guesses the next id, before its maker
 * has been told of it; he has a reference of his own.
 */
static int link_pin(struct droppable_region *region, struct pin *pin)
{
	struct droppable_file *df = region->file;
	int err;

	pin->region = region;
	xa_lock(&df->pins);
	err = give_id(df, pin);
	if (!err) {
		refcount_inc(&pin->users);
		list_add(&pin->in_region, &region->pins);
		WRITE_ONCE(df->locked, df->locked + pin->nr);
	}
	xa_unlock(&df->pins);
	return err;
}

static int unpin(struct droppable_file *df, u64 id)
{
	struct pin *pin;

	xa_lock(&df->pins);
	pin = xa_load(&df->pins, lower_32_bits(id));
	/* The file may be shared with a child: its pages aren't these. */
	if (pin && pin->id == id && pin->mm == current->mm)
		unlink_pin(df, pin);
	else
		pin = NULL;
	xa_unlock(&df->pins);
	if (!pin)
		return -ENOENT;
	end_pin(pin);
	return 0;
}

/*
 * Maps a folio that a drop unmapped and then found held: by us, waiting for its
 * lock.  From then on only its owner unmaps it, since a drop looks for pins
 * first; unmapped it would have to rely on the reaper's notes, which can say
 * more than was discarded.  Comes and goes with the folio locked.
 */
static int map_again(struct vm_area_struct *vma, unsigned long address,
		     struct folio *folio)
{
	unsigned int how = vma->vm_flags & VM_READ ? 0 : FAULT_FLAG_WRITE;
	int err;

	folio_unlock(folio);
	err = fixup_user_fault(vma->vm_mm, address, how, NULL);
	folio_lock(folio);
	if (!droppable_slot_of(folio))
		return -EAGAIN;
	/* Where the program may not touch it, it stays as it is. */
	if (err)
		return err == -EFAULT ? 0 : err;
	return folio_mapped(folio) ? 0 : -EAGAIN;
}

/* Whether something has been stored in a folio, be it zeros. */
static bool is_stored(struct vm_area_struct *vma, unsigned long address,
		      struct folio *folio)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	DECLARE_BITMAP(dirty, 1) = { 0 };

	if (!droppable_slot_is_zero(folio) || folio_test_dirty(folio))
		return true;
	i_mmap_lock_read(mapping);
	droppable_ptes_dirty(vma, address, 1, dirty);
	i_mmap_unlock_read(mapping);
	return test_bit(0, dirty);
}

/*
 * The page's folio, locked and with a reference, mapped if it may be; NULL if
 * there is none; ERR_PTR(-EAGAIN) if it has gone meanwhile, or can't be mapped yet;
 * ERR_PTR(-ENOMEM).  *@stored is from before it is mapped: to map it where the
 * program may only store looks like a store.
 */
static struct folio *lock_resident(struct droppable_region *region,
				   struct vm_area_struct *vma,
				   unsigned long address, bool *stored)
{
	pgoff_t index = droppable_region_index(region, vma, address);
	struct folio *folio = droppable_region_lock_folio(region, index);
	bool mapped;
	int err;

	*stored = false;
	if (!folio)
		return NULL;
	/* Asked once: a discard may unmap it meanwhile. */
	mapped = folio_mapped(folio);
	if (!mapped && !droppable_fault_revives(region, folio, address)) {
		/* Discarded.  Not in its place: somebody may look at it. */
		droppable_region_remove(folio);
		return NULL;
	}
	*stored = is_stored(vma, address, folio);
	if (mapped || droppable_slot_of(folio)->flags & DROPPABLE_SLOT_FRESH)
		return folio;
	err = map_again(vma, address, folio);
	if (!err)
		return folio;
	folio_unlock(folio);
	droppable_slot_put(folio);
	return ERR_PTR(err);
}

/*
 * The folio of a page, unlocked and with a reference for the pin, and whether it was
 * there.  An absent one is made, or NULL.  ERR_PTR(-ENOMEM), or -EAGAIN if another
 * thread came between.
 */
static struct folio *pin_folio(struct droppable_region *region,
			       struct vm_area_struct *vma,
			       unsigned long address, bool make,
			       bool *was_there)
{
	struct folio *folio = lock_resident(region, vma, address, was_there);
	int err;

	if (IS_ERR(folio))
		return folio;
	if (folio)
		goto add;
	if (!make)
		return NULL;
	folio = droppable_region_populate(region, vma, address,
					  DROPPABLE_SLOT_FRESH |
					  DROPPABLE_SLOT_CLEAN, DROPPABLE_GFP);
	if (IS_ERR(folio))
		return PTR_ERR(folio) == -EBUSY ? ERR_PTR(-EAGAIN) : folio;
add:
	err = add_pin(droppable_slot_of(folio));
	folio_unlock(folio);
	if (!err)
		return folio;
	droppable_slot_put(folio);
	return ERR_PTR(err);
}

static int add_folio(struct pin *pin, unsigned long i, struct folio *folio,
		     bool was_there)
{
	int err = xa_insert(&pin->folios, i, folio, DROPPABLE_GFP);

	if (err)
		put_folio(folio);
	else if (!was_there)
		xa_set_mark(&pin->folios, i, WAS_ABSENT);
	return err;
}

/*
 * Fills @pin->folios, but for those that aren't there and mustn't be made, and
 * counts in @arg what wasn't there.
 */
static int get_folios(struct droppable_region *region,
		      struct vm_area_struct *vma,
		      struct droppable_pin *arg, struct pin *pin)
{
	bool make = !(arg->flags & DROPPABLE_PIN_WHOLE), was_there;
	unsigned long address = arg->addr, i = 0;
	int err = 0;

	while (!err && i < pin->nr) {
		struct folio *folio;

		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		while (address >= vma->vm_end)
			vma = find_vma(vma->vm_mm, vma->vm_end);
		folio = pin_folio(region, vma, address, make, &was_there);
		if (PTR_ERR_OR_ZERO(folio) == -EAGAIN)
			continue;
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		if (folio)
			err = add_folio(pin, i, folio, was_there);
		if (!was_there)
			arg->dropped++;
		i++;
		address += PAGE_SIZE;
	}
	return err;
}

/* The file's mapping that covers @address, or NULL. */
static struct vm_area_struct *find_own_mapping(struct file *file,
					       unsigned long address)
{
	struct vm_area_struct *vma = find_vma(current->mm, address);

	if (!vma || vma->vm_start > address || vma->vm_file != file ||
	    vma->vm_ops != &droppable_vm_ops)
		return NULL;
	return vma;
}

/*
 * The region that all of a range belongs to, which begins in *@first;
 * ERR_PTR(-EAGAIN) if there is none yet.
 */
static struct droppable_region *find_region(struct file *file,
					    unsigned long start,
					    unsigned long end,
					    struct vm_area_struct **first)
{
	struct vm_area_struct *vma = find_own_mapping(file, start);
	struct droppable_region *region;

	if (!vma)
		return ERR_PTR(-ENXIO);
	*first = vma;
	region = droppable_region_of(vma);
	if (!region)
		return ERR_PTR(-EAGAIN);
	while (vma->vm_end < end) {
		vma = find_own_mapping(file, vma->vm_end);
		if (!vma || droppable_region_of(vma) != region)
			return ERR_PTR(-ENXIO);
	}
	return region;
}

/*
 * With 0 @pin is linked, or what arg->dropped says was missing and it holds
 * nothing.
 */
static int pin_range(struct file *file, struct droppable_pin *arg,
		     struct pin *pin)
{
	struct droppable_region *region;
	struct vm_area_struct *vma;
	int err;

	mmap_assert_locked(current->mm);
	region = find_region(file, arg->addr, arg->addr + arg->len, &vma);
	if (IS_ERR(region))
		return PTR_ERR(region);
	err = get_folios(region, vma, arg, pin);
	if (err)
		goto put_folios;
	if (arg->dropped && arg->flags & DROPPABLE_PIN_WHOLE)
		goto put_folios;
	err = link_pin(region, pin);
	if (!err)
		return 0;
put_folios:
	put_folios(pin);
	return err;
}

static int lock_and_pin(struct file *file, struct droppable_pin *arg,
			struct pin *pin)
{
	struct mm_struct *mm = current->mm;
	bool made = false;
	int err;

	for (;;) {
		if (mmap_read_lock_killable(mm))
			return -EINTR;
		err = pin_range(file, arg, pin);
		mmap_read_unlock(mm);
		if (err != -EAGAIN)
			return err;
		if (made)
			return -ENOMEM;
		/* Never touched: it has no region yet. */
		droppable_region_make(mm, arg->addr);
		made = true;
	}
}

/* A byte per page, as mincore(2) does. */
static int tell(u64 vec, struct pin *pin)
{
	u8 __user *to = u64_to_user_ptr(vec);
	unsigned long i;

	for (i = 0; vec && i < pin->nr; i++) {
		bool was_there = xa_load(&pin->folios, i) &&
				 !xa_get_mark(&pin->folios, i, WAS_ABSENT);

		if (put_user((u8)was_there, to + i))
			return -EFAULT;
		cond_resched();
	}
	return 0;
}

static int is_file(const void *wanted, struct file *file, unsigned int fd)
{
	return wanted == file;
}

/*
 * Whether the process, which has just made a pin, has a descriptor of the file.  It
 * had one when it called; another thread may have closed that.  If the close came to
 * droppable_pin_flush() before the pin was to be found there, this sees it.
 */
static bool is_open(struct file *file)
{
	struct droppable_file *df = file->private_data;

	return !READ_ONCE(df->flushed) ||
	       iterate_fd(current->files, 0, is_file, file);
}

static int make_pin(struct file *file, struct droppable_pin *arg)
{
	struct droppable_file *df = file->private_data;
	unsigned long nr = arg->len >> PAGE_SHIFT;
	struct mm_struct *mm = current->mm;
	struct pin *pin;
	int err;

	err = account(mm, nr);
	if (err)
		return err;
	pin = alloc_pin(nr);
	err = -ENOMEM;
	if (!pin)
		goto unaccount;
	err = lock_and_pin(file, arg, pin);
	arg->id = pin->id;
	if (arg->id && !is_open(file))
		err = -EBADF;
	if (!err)
		err = tell(arg->vec, pin);
	put_pin(pin);
	if (arg->id) {
		if (err)
			unpin(df, arg->id);
		return err;	/* its end takes them off the account */
	}
unaccount:
	atomic64_sub(nr, &mm->pinned_vm);
	return err;
}

static bool pin_args_valid(const struct droppable_pin *arg)
{
	u64 end = arg->addr + arg->len;

	return !arg->reserved0 && !(arg->flags & ~DROPPABLE_PIN_WHOLE) &&
	       !memchr_inv(arg->reserved, 0, sizeof(arg->reserved)) &&
	       PAGE_ALIGNED(arg->addr) && PAGE_ALIGNED(arg->len) && arg->len &&
	       end > arg->addr && end <= TASK_SIZE;
}

/**
 * droppable_pin_ioctl - DROPPABLE_IOC_PIN
 * @file:	of the mapping too
 * @arg:	see there, for the errors as well
 */
long droppable_pin_ioctl(struct file *file, struct droppable_pin __user *arg)
{
	struct droppable_pin copy;
	int err;

	if (copy_from_user(&copy, arg, sizeof(copy)))
		return -EFAULT;
	if (!pin_args_valid(&copy))
		return -EINVAL;
	copy.id = 0;
	copy.dropped = 0;
	err = make_pin(file, &copy);
	if (err)
		return err;
	if (!copy_to_user(arg, &copy, sizeof(copy)))
		return 0;
	if (copy.id)
		unpin(file->private_data, copy.id);
	return -EFAULT;
}

/**
 * droppable_unpin_ioctl - DROPPABLE_IOC_UNPIN
 * @file:	that the pin was made through
 * @arg:	see there
 */
long droppable_unpin_ioctl(struct file *file,
			   struct droppable_unpin __user *arg)
{
	struct droppable_unpin copy;

	if (copy_from_user(&copy, arg, sizeof(copy)))
		return -EFAULT;
	if (copy.flags || copy.reserved0 ||
	    memchr_inv(copy.reserved, 0, sizeof(copy.reserved)))
		return -EINVAL;
	return unpin(file->private_data, copy.id);
}

/**
 * droppable_pin_flush - a process closes a descriptor of the file
 * @df:		the file
 * @owner:	the process's table of descriptors
 *
 * It looks at the pins of all who have the file open, however many.
 */
void droppable_pin_flush(struct droppable_file *df, fl_owner_t owner)
{
	unsigned long place, seen = 0;
	struct pin *pin;

	xa_lock(&df->pins);
	WRITE_ONCE(df->flushed, true);
	xa_for_each(&df->pins, place, pin) {
		bool own = pin->owner == owner;

		if (own)
			unlink_pin(df, pin);
		else if (++seen % FLUSH_BATCH)
			continue;
		xa_unlock(&df->pins);
		if (own)
			end_pin(pin);
		cond_resched();
		xa_lock(&df->pins);
	}
	xa_unlock(&df->pins);
}

/**
 * droppable_pin_release - a region ends: its process exits, execs or unmaps it
 * @region:	the region, still with its folios
 */
void droppable_pin_release(struct droppable_region *region)
{
	struct droppable_file *df = region->file;
	struct pin *pin;

	xa_lock(&df->pins);
	while ((pin = list_first_entry_or_null(&region->pins, struct pin,
					       in_region))) {
		unlink_pin(df, pin);
		xa_unlock(&df->pins);
		end_pin(pin);
		xa_lock(&df->pins);
	}
	xa_unlock(&df->pins);
}
