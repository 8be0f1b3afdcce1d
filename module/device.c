// SPDX-License-Identifier: GPL-2.0
/* /dev/droppable: open, mmap and ioctl. */

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <uapi/linux/droppable.h>

#include "device.h"
#include "drop.h"
#include "fault.h"
#include "region.h"

/* What mmap() sets: see droppable(4) for what each does for the promises. */
#define DROPPABLE_VM_FLAGS	(VM_DONTEXPAND | VM_DONTDUMP | VM_WIPEONFORK | \
				 VM_NORESERVE | VM_DROPPABLE)

/* vm_pgoff stays below this; DROPPABLE_CHARGE_INDEX is above. */
#define DROPPABLE_PGOFF_MAX	(1UL << (BITS_PER_LONG - 15))

/**
 * struct droppable_file - one open of the device
 * @inode:	whose i_mapping is the file's f_mapping, so that the VMAs of
 *		one open hang in an i_mmap of their own
 * @next:	vm_pgoff for the next mmap()
 *
 * Owned by the file, which every VMA of it keeps: it outlives close(2) and dies
 * with the last mapping.
 */
struct droppable_file {
	struct inode *inode;
	atomic_long_t next;
};

static struct vfsmount *mount;

static int init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, 0x64726f70) ? 0 : -ENOMEM;
}

/* Without an owner: a kernel mount would pin the module for good. */
static struct file_system_type fs_type = {
	.name = "droppable",
	.init_fs_context = init_fs_context,
	.kill_sb = kill_anon_super,
};

/* A write fault would update the node's mtime: a lock, and an activity log. */
static void set_nocmtime(struct file *file)
{
	struct inode *inode = file_inode(file);

	file->f_mode |= FMODE_NOCMTIME;
	if (inode->i_flags & S_NOCMTIME)
		return;
	inode_lock(inode);
	inode->i_flags |= S_NOCMTIME;
	inode_unlock(inode);
}

static int droppable_open(struct inode *node, struct file *file)
{
	struct droppable_file *df;
	int err;

	df = kzalloc(sizeof(*df), GFP_KERNEL_ACCOUNT);
	if (!df)
		return -ENOMEM;
	df->inode = alloc_anon_inode(mount->mnt_sb);
	if (IS_ERR(df->inode)) {
		err = PTR_ERR(df->inode);
		goto free_df;
	}
	df->inode->i_size = MAX_LFS_FILESIZE;
	file->f_mapping = df->inode->i_mapping;
	file->private_data = df;
	set_nocmtime(file);
	return nonseekable_open(node, file);

free_df:
	kfree(df);
	return err;
}

static int droppable_release(struct inode *node, struct file *file)
{
	struct droppable_file *df = file->private_data;

	iput(df->inode);
	kfree(df);
	return 0;
}

/*
 * Offsets of their own for each mmap(), so that a drop finds its VMAs without
 * meeting others.  When they run out they start again, which costs time in
 * that search and nothing else: every VMA found is asked for its region.
 */
static pgoff_t next_pgoff(struct droppable_file *df, unsigned long pages)
{
	unsigned long end = atomic_long_add_return(pages, &df->next);

	if (likely(end < DROPPABLE_PGOFF_MAX))
		return end - pages;
	atomic_long_set(&df->next, pages);
	return 0;
}

static int droppable_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff)
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
	vma->vm_pgoff = next_pgoff(file->private_data, vma_pages(vma));
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
	info.features = DROPPABLE_FEATURE_DROP;
	info.page_size = PAGE_SIZE;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static bool drop_args_valid(const struct droppable_drop *drop)
{
	u64 end = drop->addr + drop->len;

	return !drop->flags && !drop->reserved0 &&
	       !memchr_inv(drop->reserved, 0, sizeof(drop->reserved)) &&
	       PAGE_ALIGNED(drop->addr) && PAGE_ALIGNED(drop->len) &&
	       drop->len && end > drop->addr && end <= TASK_SIZE;
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

/* mmap_lock is held, and range_is_ours(). */
static int drop_mapped(struct droppable_drop *drop)
{
	unsigned long start = drop->addr, end = start + drop->len;
	int err = 0;

	while (start < end && !err) {
		struct vm_area_struct *vma = find_mapping(start);
		struct droppable_region *region = vma->vm_private_data;
		unsigned long stop = min(end, vma->vm_end);

		if (region)
			err = droppable_drop_range(region,
				droppable_region_index(region, vma, start),
				droppable_region_index(region, vma, stop - 1),
				&drop->dropped, &drop->pinned);
		start = stop;
	}
	return err;
}

static int ioctl_drop(struct droppable_drop __user *arg)
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
	if (range_is_ours(drop.addr, drop.addr + drop.len))
		err = drop_mapped(&drop);
	else
		err = -ENOMEM;
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
		return ioctl_drop((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = droppable_open,
	.release = droppable_release,
	.mmap = droppable_mmap,
	.unlocked_ioctl = droppable_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "droppable",
	.fops = &fops,
	.mode = 0666,
};

int droppable_device_init(void)
{
	int err;

	mount = kern_mount(&fs_type);
	if (IS_ERR(mount))
		return PTR_ERR(mount);
	err = misc_register(&misc);
	if (err)
		kern_unmount(mount);
	return err;
}

void droppable_device_exit(void)
{
	misc_deregister(&misc);
	kern_unmount(mount);
}
