// SPDX-License-Identifier: GPL-2.0
/* /dev/droppable: open, mmap and ioctl. */

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include <uapi/linux/droppable.h>

#include "control.h"
#include "device.h"
#include "drop.h"
#include "fault.h"
#include "file.h"
#include "pin.h"
#include "region.h"
#include "slot.h"

/* What mmap() sets: see droppable(4) for what each does for the promises. */
#define DROPPABLE_VM_FLAGS	(VM_DONTEXPAND | VM_DONTDUMP | VM_WIPEONFORK | \
				 VM_NORESERVE | VM_DROPPABLE)

/* A write fault would update the node's mtime: a lock, and an activity log. */
static void set_nocmtime(struct file *file)
{
	struct inode *inode = file_inode(file);

	file->f_mode |= FMODE_NOCMTIME;
	if (READ_ONCE(inode->i_flags) & S_NOCMTIME)
		return;
	inode_lock(inode);
	inode_set_flags(inode, S_NOCMTIME, S_NOCMTIME);
	inode_unlock(inode);
}

static int droppable_open(struct inode *node, struct file *file)
{
	struct droppable_file *df = droppable_file_alloc();

	if (IS_ERR(df))
		return PTR_ERR(df);
	file->f_mapping = df->inode->i_mapping;
	file->private_data = df;
	set_nocmtime(file);
	return nonseekable_open(node, file);
}

static int droppable_flush(struct file *file, fl_owner_t owner)
{
	droppable_pin_flush(file->private_data, owner);
	return 0;
}

static int droppable_release(struct inode *node, struct file *file)
{
	droppable_file_free(file->private_data);
	return 0;
}

static vm_fault_t counter_fault(struct vm_fault *vmf)
{
	struct droppable_file *df = vmf->vma->vm_file->private_data;

	folio_get(df->counter);
	vmf->page = folio_page(df->counter, 0);
	return 0;
}

static const struct vm_operations_struct counter_vm_ops = {
	.fault = counter_fault,
};

static int mmap_counter(struct file *file, struct vm_area_struct *vma)
{
	if (vma_pages(vma) != 1)
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EPERM;
	if (!droppable_file_counter(file->private_data))
		return -ENOMEM;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_pgoff = DROPPABLE_COUNTER_PGOFF;
	vma->vm_ops = &counter_vm_ops;
	return 0;
}

static int droppable_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_pgoff == DROPPABLE_COUNTER_OFFSET >> PAGE_SHIFT)
		return mmap_counter(file, vma);
	if (vma->vm_pgoff)
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED))	/* not opened for writing */
		return -EACCES;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	/* mlockall(MCL_FUTURE) sets it too, and then it is dropped in silence */
	if ((vma->vm_flags & VM_LOCKED) &&
	    !(vma->vm_mm->def_flags & VM_LOCKED))
		return -EINVAL;

	vm_flags_mod(vma, DROPPABLE_VM_FLAGS, VM_MAYEXEC);
	vma->vm_pgoff = droppable_file_next_pgoff(file->private_data,
						  vma_pages(vma));
	vma->vm_private_data = NULL;
	vma->vm_ops = &droppable_vm_ops;
	return 0;
}

static int ioctl_info(struct droppable_info __user *arg)
{
	struct droppable_info info;

	if (copy_from_user(&info, arg, sizeof(info)))
		return -EFAULT;
	if (info.flags || info.reserved0 ||
	    memchr_inv(info.reserved, 0, sizeof(info.reserved)))
		return -EINVAL;
	info.abi = DROPPABLE_ABI;
	info.features = DROPPABLE_FEATURE_DROP | DROPPABLE_FEATURE_COUNTER |
			DROPPABLE_FEATURE_POLL | DROPPABLE_FEATURE_PIN;
	if (droppable_slot_scrubs())
		info.features |= DROPPABLE_FEATURE_SCRUB;
	info.page_size = PAGE_SIZE;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static bool drop_range_valid(const struct droppable_drop *drop)
{
	u64 end = drop->addr + drop->len;

	return PAGE_ALIGNED(drop->addr) && PAGE_ALIGNED(drop->len) &&
	       drop->len && end > drop->addr && end <= TASK_SIZE;
}

static bool drop_args_valid(const struct droppable_drop *drop)
{
	if (drop->reserved0 ||
	    memchr_inv(drop->reserved, 0, sizeof(drop->reserved)))
		return false;
	switch (drop->flags) {
	case 0:
		return drop_range_valid(drop);
	case DROPPABLE_DROP_MAPPING:
		return drop->addr < TASK_SIZE && !drop->len;
	case DROPPABLE_DROP_FILE:
		return !drop->addr && !drop->len;
	default:
		return false;
	}
}

/* The device's mapping that covers @address, or NULL. */
static struct vm_area_struct *find_mapping(unsigned long address)
{
	struct vm_area_struct *vma = find_vma(current->mm, address);

	if (!vma || vma->vm_start > address ||
	    vma->vm_ops != &droppable_vm_ops)
		return NULL;
	return vma;
}

static bool range_is_ours(unsigned long start, unsigned long end)
{
	while (start < end) {
		struct vm_area_struct *vma = find_mapping(start);

		if (!vma)
			return false;
		start = vma->vm_end;
	}
	return true;
}

static int drop_part(struct droppable_region *region,
		     struct vm_area_struct *vma, unsigned long start,
		     unsigned long end, struct droppable_drop *drop)
{
	pgoff_t first = droppable_region_index(region, vma, start);
	pgoff_t last = droppable_region_index(region, vma, end - 1);

	return droppable_drop_range(region, first, last, &drop->dropped,
				    &drop->pinned);
}

static int drop_range(struct file *file, struct droppable_drop *drop)
{
	unsigned long start = drop->addr, end = start + drop->len;
	int err = 0;

	if (!range_is_ours(start, end))
		return -ENOMEM;
	while (start < end && !err) {
		struct vm_area_struct *vma = find_mapping(start);
		struct droppable_region *region = droppable_region_of(vma);
		unsigned long stop = min(end, vma->vm_end);

		if (region)
			err = drop_part(region, vma, start, stop, drop);
		start = stop;
	}
	return err;
}

/* All of the region, also what other VMAs of a split mapping show. */
static int drop_mapping(struct file *file, struct droppable_drop *drop)
{
	struct vm_area_struct *vma = find_mapping(drop->addr);
	struct droppable_region *region;

	if (!vma)
		return -ENOMEM;
	region = droppable_region_of(vma);
	if (!region)
		return 0;
	return droppable_drop_range(region, 0, ULONG_MAX, &drop->dropped,
				    &drop->pinned);
}

/* What @file has mapped in @mm, or with NULL what any file of ours has. */
static int drop_file(struct mm_struct *mm, const struct file *file,
		     struct droppable_drop *drop)
{
	struct vm_area_struct *vma;
	unsigned long at = 0;
	int err = 0;

	mmap_assert_locked(mm);
	while (!err && (vma = find_vma(mm, at))) {
		struct droppable_region *region = NULL;

		if (vma->vm_ops == &droppable_vm_ops &&
		    (!file || vma->vm_file == file))
			region = droppable_region_of(vma);
		if (region)
			err = drop_part(region, vma, vma->vm_start, vma->vm_end,
					drop);
		at = vma->vm_end;
	}
	return err;
}

/**
 * droppable_device_drop_mm - drop all that a process has mapped
 * @mm:		its address space, referenced by the caller
 *
 * Returns 0, or -EINTR if a fatal signal came.
 */
int droppable_device_drop_mm(struct mm_struct *mm)
{
	struct droppable_drop drop = { 0 };
	int err;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	err = drop_file(mm, NULL, &drop);
	mmap_read_unlock(mm);
	return err;
}

static int ioctl_drop(struct file *file, struct droppable_drop __user *arg)
{
	struct droppable_drop drop;
	int err;

	if (copy_from_user(&drop, arg, sizeof(drop)))
		return -EFAULT;
	if (!drop_args_valid(&drop))
		return -EINVAL;
	drop.dropped = 0;
	drop.pinned = 0;

	if (mmap_read_lock_killable(current->mm))
		return -EINTR;
	if (drop.flags & DROPPABLE_DROP_FILE)
		err = drop_file(current->mm, file, &drop);
	else if (drop.flags & DROPPABLE_DROP_MAPPING)
		err = drop_mapping(file, &drop);
	else
		err = drop_range(file, &drop);
	mmap_read_unlock(current->mm);
	if (err)
		return err;
	return copy_to_user(arg, &drop, sizeof(drop)) ? -EFAULT : 0;
}

static long droppable_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg)
{
	switch (cmd) {
	case DROPPABLE_IOC_INFO:
		return ioctl_info((void __user *)arg);
	case DROPPABLE_IOC_DROP:
		return ioctl_drop(file, (void __user *)arg);
	case DROPPABLE_IOC_PIN:
		return droppable_pin_ioctl(file, (void __user *)arg);
	case DROPPABLE_IOC_UNPIN:
		return droppable_unpin_ioctl(file, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static bool has_news(struct droppable_file *df)
{
	return atomic64_read(&df->drops) != atomic64_read(&df->seen);
}

/*
 * Drops since the last read(2): poll(2) says that there are some, read(2) how
 * many, and starts anew.
 */
static __poll_t droppable_poll(struct file *file, poll_table *wait)
{
	struct droppable_file *df = file->private_data;

	poll_wait(file, &df->readers, wait);
	return has_news(df) ? EPOLLIN | EPOLLRDNORM : 0;
}

static ssize_t droppable_read(struct file *file, char __user *buf, size_t len,
			      loff_t *pos)
{
	struct droppable_file *df = file->private_data;
	u64 seen, news;

	if (len < sizeof(news))
		return -EINVAL;
	/* Again if another reader took the same news first. */
	do {
		if (!(file->f_flags & O_NONBLOCK) &&
		    wait_event_interruptible(df->readers, has_news(df)))
			return -ERESTARTSYS;
		seen = atomic64_read(&df->seen);
		news = atomic64_read(&df->drops) - seen;
		if (!news)
			return -EAGAIN;
		if (copy_to_user(buf, &news, sizeof(news)))
			return -EFAULT;
	} while (atomic64_cmpxchg(&df->seen, seen, seen + news) != seen);
	return sizeof(news);
}

static void droppable_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct droppable_file *df = file->private_data;
	atomic_long_t *events = df->events;

	seq_printf(m, "resident:\t%lu\nfaults:\t%lu\ndropped:\t%lu\n",
		   droppable_file_resident(df),
		   atomic_long_read(&events[DROPPABLE_FAULTS]),
		   atomic_long_read(&events[DROPPABLE_DROPPED]));
	seq_printf(m, "refaulted:\t%lu\nrecycled:\t%lu\nwaits:\t%lu\n",
		   atomic_long_read(&events[DROPPABLE_REFAULTED]),
		   atomic_long_read(&events[DROPPABLE_RECYCLED]),
		   atomic_long_read(&events[DROPPABLE_WAITS]));
	seq_printf(m, "pinned:\t%lu\nlocked:\t%lu\n",
		   atomic_long_read(&events[DROPPABLE_PINNED]),
		   READ_ONCE(df->locked));
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = droppable_open,
	.flush = droppable_flush,
	.release = droppable_release,
	.mmap = droppable_mmap,
	.poll = droppable_poll,
	.read = droppable_read,
	.show_fdinfo = droppable_show_fdinfo,
	.unlocked_ioctl = droppable_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "droppable",
	.fops = &fops,
	.mode = 0666,
	.groups = droppable_control_groups,
};

int droppable_device_init(void)
{
	return misc_register(&misc);
}

void droppable_device_exit(void)
{
	misc_deregister(&misc);
}
