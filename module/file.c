// SPDX-License-Identifier: GPL-2.0
/* One open of the device: its inode, its offsets, and its drop counter. */

#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>

#include <uapi/linux/droppable.h>

#include "file.h"
#include "region.h"

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

int droppable_file_init(void)
{
	mount = kern_mount(&fs_type);
	return PTR_ERR_OR_ZERO(mount);
}

void droppable_file_exit(void)
{
	kern_unmount(mount);
}

static struct folio *alloc_counter(struct droppable_file *df)
{
	struct folio *folio = folio_alloc(DROPPABLE_GFP | __GFP_ZERO |
					  DROPPABLE_GFP_CHARGE, 0);
	int err;

	if (!folio)
		return NULL;
	folio_lock(folio);
	err = droppable_charge_folio(folio, df->inode->i_mapping, df,
				     DROPPABLE_GFP);
	folio_unlock(folio);
	if (!err)
		return folio;
	folio_put(folio);
	return NULL;
}

static void free_counter(struct folio *folio)
{
	folio_lock(folio);
	droppable_uncharge_folio(folio);
	folio_unlock(folio);
	folio_put(folio);
}

struct droppable_file *droppable_file_alloc(void)
{
	struct droppable_file *df;
	struct inode *inode;

	df = kzalloc(sizeof(*df), DROPPABLE_GFP | __GFP_ACCOUNT);
	if (!df)
		return ERR_PTR(-ENOMEM);
	inode = alloc_anon_inode(mount->mnt_sb);
	if (IS_ERR(inode)) {
		kfree(df);
		return ERR_CAST(inode);
	}
	inode->i_size = MAX_LFS_FILESIZE;
	droppable_charge_init(inode->i_mapping);
	df->inode = inode;
	atomic_long_set(&df->next, DROPPABLE_CHARGE_END);
	init_waitqueue_head(&df->readers);
	xa_init_flags(&df->pins, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	return df;
}

void droppable_file_free(struct droppable_file *df)
{
	if (df->counter)
		free_counter(df->counter);
	/* No pin is left; a failed insertion may have left nodes. */
	xa_destroy(&df->pins);
	iput(df->inode);
	kfree(df);
}

/**
 * droppable_file_next_pgoff - offsets of their own for an mmap()
 * @df:		the file
 * @pages:	how many
 *
 * So that a drop finds its VMAs without meeting others.  When they run out they
 * start again, which costs time in that search and nothing else: every VMA
 * found is asked for its region.
 */
pgoff_t droppable_file_next_pgoff(struct droppable_file *df,
				  unsigned long pages)
{
	unsigned long end = atomic_long_add_return(pages, &df->next);

	if (likely(end < DROPPABLE_PGOFF_MAX))
		return end - pages;
	atomic_long_set(&df->next, DROPPABLE_CHARGE_END + pages);
	return DROPPABLE_CHARGE_END;
}

/**
 * droppable_file_counter - make the page with the drop counter, if need be
 * @df:		the file
 *
 * It lives as long as @df.  False if there is no memory.
 */
bool droppable_file_counter(struct droppable_file *df)
{
	if (!READ_ONCE(df->counter)) {
		struct folio *folio = alloc_counter(df);

		if (!folio)
			return false;
		if (cmpxchg(&df->counter, NULL, folio))
			free_counter(folio);
	}
	/*
	 * A drop that found no page to count in is over after this: it looks
	 * and unmaps under the same lock.
	 */
	i_mmap_lock_write(df->inode->i_mapping);
	i_mmap_unlock_write(df->inode->i_mapping);
	return true;
}

/**
 * droppable_file_bump - count drops, before anybody can see them
 * @df:		the file; its i_mmap_rwsem is held, for who makes a counter page
 * @nr:		pages, unmapped; their folios are still locked and in the store
 *
 * Whoever reads data, and the same number in the counter before and after, has
 * read data that was whole (line 40).
 */
void droppable_file_bump(struct droppable_file *df, unsigned long nr)
{
	struct folio *folio = READ_ONCE(df->counter);

	i_mmap_assert_locked(df->inode->i_mapping);
	atomic64_add(nr, &df->drops);
	if (folio) {
		struct droppable_counter *counter =
			page_address(folio_page(folio, 0));

		atomic64_add(nr, (atomic64_t *)&counter->drops);
	}
}

/**
 * droppable_file_wake - tell poll(2) and read(2) that drops have happened
 * @df:		the file
 */
void droppable_file_wake(struct droppable_file *df)
{
	if (wq_has_sleeper(&df->readers))
		wake_up_interruptible_poll(&df->readers,
					   EPOLLIN | EPOLLRDNORM);
}
