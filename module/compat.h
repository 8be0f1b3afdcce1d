/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes every kernel from 5.10 on look like the newest one.  Kbuild puts it in
 * front of every file.  HAVE_* come from Kbuild's probes; this is the only file
 * that tests a kernel version, and only for what has no name to look for.
 */
#ifndef _DROPPABLE_COMPAT_H
#define _DROPPABLE_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "droppable needs Linux 5.10 or newer"
#endif

#include <linux/fs.h>
#include <linux/list_lru.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/swap.h>

/* 6.11 added the flag, where the architecture has a bit for it. */
#ifndef VM_DROPPABLE
#define VM_DROPPABLE	0
#endif

/* 6.3: flags through helpers. */
#ifndef HAVE_VM_FLAGS_MOD
static inline void vm_flags_mod(struct vm_area_struct *vma,
				unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* 5.16: folios.  All of ours have one page, so a page stands in for one. */
#ifndef HAVE_FOLIO
#define folio			page
#define page_folio(p)		(p)
#define folio_page(f, n)	(f)
#define folio_alloc(gfp, order)	alloc_pages(gfp, order)
#define folio_trylock(f)	trylock_page(f)
#define folio_lock(f)		lock_page(f)
#define folio_lock_killable(f)	lock_page_killable(f)
#define folio_unlock(f)		unlock_page(f)
#define folio_get(f)		get_page(f)
#define folio_put(f)		put_page(f)
#define folio_try_get(f)	get_page_unless_zero(f)
#define folio_ref_count(f)	page_ref_count(f)
#define folio_ref_freeze(f, n)	page_ref_freeze(f, n)
#define folio_ref_unfreeze(f, n) page_ref_unfreeze(f, n)
#define folio_mapped(f)		page_mapped(f)
#define folio_pgdat(f)		page_pgdat(f)
#define folio_test_dirty(f)	PageDirty(f)
#define folio_clear_dirty(f)	ClearPageDirty(f)
#define folio_test_locked(f)	PageLocked(f)
/* folio->private is a pointer, page->private a number. */
static inline void *folio_get_private(struct page *page)
{
	return (void *)page_private(page);
}

static inline void droppable_set_private(struct page *page, void *data)
{
	set_page_private(page, (unsigned long)data);
}
#else
static inline void droppable_set_private(struct folio *folio, void *data)
{
	folio->private = data;
}
#endif

/* 5.18 at the latest: other names of what was there before. */
#ifndef HAVE_FOLIO_PUT_TESTZERO
#define folio_put_testzero(f)	put_page_testzero(folio_page(f, 0))
#endif
#ifndef HAVE___FOLIO_PUT
#define __folio_put(f)		__put_page(folio_page(f, 0))
#endif

/* 5.11 */
#ifndef HAVE_KMAP_LOCAL_PAGE
#define kmap_local_page(page)	kmap(page)
#define kunmap_local(address)	kunmap(kmap_to_page(address))
#endif

/*
 * Whether the current task holds mmap_lock for writing.  Real-time kernels
 * before 5.15 keep the owner elsewhere, and are never sure.
 */
#ifndef CONFIG_PREEMPT_RT
static inline bool droppable_mmap_write_locked_here(struct mm_struct *mm)
{
	return atomic_long_read(&mm->mmap_lock.owner) == (long)current;
}
#elif defined(HAVE_RWBASE_RT)
static inline bool droppable_mmap_write_locked_here(struct mm_struct *mm)
{
	const unsigned long has_waiters = 1;
	void *owner = READ_ONCE(mm->mmap_lock.rwbase.rtmutex.owner);

	return ((unsigned long)owner & ~has_waiters) == (unsigned long)current;
}
#else
static inline bool droppable_mmap_write_locked_here(struct mm_struct *mm)
{
	return false;
}
#endif

/* 5.17 */
#ifndef HAVE_I_MMAP_TRYLOCK_READ
static inline int i_mmap_trylock_read(struct address_space *mapping)
{
	return down_read_trylock(&mapping->i_mmap_rwsem);
}
#endif

/*
 * 7.1 has zap_vma_range().  Before 6.3 there is only zap_page_range(), which
 * goes on to the next VMA if the range reaches so far; ours never does.  Before
 * 6.1 it looks at vma->vm_next to find that out, which i_mmap_rwsem doesn't
 * keep from being freed: it gets a copy that has no next.
 */
#ifndef HAVE_ZAP_VMA_RANGE
static inline void zap_vma_range(struct vm_area_struct *vma,
				 unsigned long address, unsigned long size)
{
#ifndef HAVE_ZAP_PAGE_RANGE
	zap_page_range_single(vma, address, size, NULL);
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)
	zap_page_range(vma, address, size);
#else
	struct vm_area_struct copy = *vma;

	copy.vm_next = NULL;
	zap_page_range(&copy, address, size);
#endif
}
#endif

/* 6.7: allocated shrinkers. */
#ifndef HAVE_SHRINKER_ALLOC
static inline unsigned long compat_count_nothing(struct shrinker *shrinker,
						 struct shrink_control *sc)
{
	return SHRINK_EMPTY;
}

/*
 * list_lru_init_memcg() needs the id that only registering gives, so the
 * shrinker is registered here and counts nothing until shrinker_register().
 */
static inline struct shrinker *shrinker_alloc(unsigned int flags,
					      const char *name)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
	int err;

	if (!shrinker)
		return NULL;
	shrinker->flags = flags;
	shrinker->seeks = DEFAULT_SEEKS;
	shrinker->count_objects = compat_count_nothing;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 0, 0)
	err = register_shrinker(shrinker, "%s", name);
#else
	err = register_shrinker(shrinker);
#endif
	if (!err)
		return shrinker;
	kfree(shrinker);
	return NULL;
}

static inline void shrinker_register(struct shrinker *shrinker)
{
}

static inline void shrinker_free(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}
#endif

/* 6.8: node and cgroup of an item as arguments, or taken from the object. */
#ifndef HAVE_LIST_LRU_ADD_OBJ
#define list_lru_add_obj(lru, item)	list_lru_add(lru, item)
#define list_lru_del_obj(lru, item)	list_lru_del(lru, item)
#endif

/* 6.3 exports dump_mm(), which these call under CONFIG_DEBUG_VM. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define mmap_assert_locked(mm)	     lockdep_assert_held(&(mm)->mmap_lock)
#define mmap_assert_write_locked(mm) lockdep_assert_held_write(&(mm)->mmap_lock)
#endif

/* 6.13: the walk's callback no longer gets the lock, which it may not drop. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
typedef enum lru_status (*compat_lru_walk_cb)(struct list_head *item,
					      struct list_lru_one *list,
					      void *cb_arg);

struct compat_lru_walk {
	compat_lru_walk_cb isolate;
	void *cb_arg;
};

static inline enum lru_status
compat_lru_isolate(struct list_head *item, struct list_lru_one *list,
		   spinlock_t *lock, void *cb_arg)
{
	struct compat_lru_walk *walk = cb_arg;

	return walk->isolate(item, list, walk->cb_arg);
}

static inline unsigned long
compat_lru_shrink_walk(struct list_lru *lru, struct shrink_control *sc,
		       compat_lru_walk_cb isolate, void *cb_arg)
{
	struct compat_lru_walk walk = { isolate, cb_arg };

	return list_lru_shrink_walk(lru, sc, compat_lru_isolate, &walk);
}

static inline unsigned long
compat_lru_walk_node(struct list_lru *lru, int nid,
		     compat_lru_walk_cb isolate, void *cb_arg,
		     unsigned long *nr)
{
	struct compat_lru_walk walk = { isolate, cb_arg };

	return list_lru_walk_node(lru, nid, compat_lru_isolate, &walk, nr);
}

#define list_lru_shrink_walk	compat_lru_shrink_walk
#define list_lru_walk_node	compat_lru_walk_node
#endif

/* 5.18: before, a cgroup's lists were all there from its start. */
#ifndef HAVE_KMEM_CACHE_ALLOC_LRU
#define kmem_cache_alloc_lru(cache, lru, gfp)	kmem_cache_alloc(cache, gfp)
#endif

/*
 * 6.4; before it, the counter is written directly.  It came with the change by
 * which a cgroup's reclaim no longer looks at that counter.
 */
#ifdef HAVE_MM_ACCOUNT_RECLAIMED_PAGES
static inline bool droppable_cgroup_counts_us(void)
{
	return false;
}
#else
static inline bool droppable_cgroup_counts_us(void)
{
	return true;
}

static inline void mm_account_reclaimed_pages(unsigned long pages)
{
	if (current->reclaim_state)
		current->reclaim_state->reclaimed_slab += pages;
}
#endif

/* 5.11: before, int_active_memcg isn't exported, and faults need it not. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
static inline struct mem_cgroup *compat_set_active_memcg(struct mem_cgroup *to)
{
#ifdef CONFIG_MEMCG
	struct mem_cgroup *old = current->active_memcg;

	current->active_memcg = to;
	return old;
#else
	return NULL;
#endif
}
#define set_active_memcg	compat_set_active_memcg
#endif

/* Of the object that a folio is charged with, at least, in bytes. */
#define DROPPABLE_CHARGE_SIZE	32

/*
 * Charging a folio to the cgroup.  5.11 and later: __GFP_ACCOUNT does it.
 *
 * 5.10 marks such pages by a page type, which shares its word with the mapcount
 * and so can't be mapped.  What it can charge is the page cache: the folio goes
 * into the cache of the inode that its VMAs hang in, below the offsets where
 * anything is mapped, and has one more reference for it.  memory.stat shows it
 * as "file" then.
 *
 * The cache's nodes are charged too.  By the slab object that each folio has,
 * neighbours share their nodes; by the folio's own address they would not.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
#define DROPPABLE_GFP_CHARGE	((__force gfp_t)0)
#define DROPPABLE_CHARGE_REFS	1
#define DROPPABLE_CHARGE_END	(1UL << (BITS_PER_LONG - 17))

static inline int droppable_charge_folio(struct page *page,
					 struct address_space *mapping,
					 const void *object, gfp_t gfp)
{
	return add_to_page_cache_locked(page, mapping,
			virt_to_phys((void *)object) / DROPPABLE_CHARGE_SIZE,
			gfp);
}

static inline void droppable_uncharge_folio(struct page *page)
{
	ClearPageDirty(page);
	delete_from_page_cache(page);
}

/* The dirty bit as pages without a mapping have it: set, and nothing else. */
static inline int compat_set_page_dirty(struct page *page)
{
	return !TestSetPageDirty(page);
}

static const struct address_space_operations __maybe_unused compat_aops = {
	.set_page_dirty = compat_set_page_dirty,
};

static inline void droppable_charge_init(struct address_space *mapping)
{
	mapping->a_ops = &compat_aops;
}
#else
#define DROPPABLE_GFP_CHARGE	__GFP_ACCOUNT
#define DROPPABLE_CHARGE_REFS	0
#define DROPPABLE_CHARGE_END	0UL

static inline int droppable_charge_folio(struct folio *folio,
					 struct address_space *mapping,
					 const void *object, gfp_t gfp)
{
	return 0;
}

static inline void droppable_uncharge_folio(struct folio *folio)
{
}

static inline void droppable_charge_init(struct address_space *mapping)
{
}
#endif

#endif
