// SPDX-License-Identifier: GPL-2.0
/*
 * What page table entries tell of pages: touched since the last look (contract
 * line 16), written (lines 42, 43).
 *
 * The core's walkers aren't exported, or allocate page tables that are missing,
 * which reclaim must not; so this is a walk of its own, over page tables that
 * i_mmap_rwsem keeps: only a page table page itself may go (where the kernel
 * frees empty ones), which the page table lock and RCU guard against, as in
 * the core's pte_offset_map_lock().
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>

#include "ptes.h"

/* What to ask of an entry, which may be changed under the page table lock. */
typedef bool (*pte_test)(struct mm_struct *mm, unsigned long address,
			 pte_t *ptep);

/*
 * Another thread's fault may be adding a level just now.  One that is there
 * stays: the core takes page tables away after the VMA has left the i_mmap.
 */
static pmd_t *find_pmd(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(READ_ONCE(*pgd)))
		return NULL;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(READ_ONCE(*p4d)))
		return NULL;
	pud = pud_offset(p4d, address);
	if (pud_none(READ_ONCE(*pud)))
		return NULL;
	return pmd_offset(pud, address);
}

static bool test_and_clear_young(struct mm_struct *mm, unsigned long address,
				 pte_t *ptep)
{
	pte_t pte = ptep_get(ptep);

	if (!pte_present(pte) || !pte_young(pte))
		return false;
#ifdef CONFIG_X86
	/* Atomic: the processor may be setting the dirty bit just now. */
	clear_bit(_PAGE_BIT_ACCESSED, (unsigned long *)&ptep->pte);
#else
	set_pte_at(mm, address, ptep, pte_mkold(pte));
#endif
	return true;
}

static bool test_dirty(struct mm_struct *mm, unsigned long address,
		       pte_t *ptep)
{
	pte_t pte = ptep_get(ptep);

	return pte_present(pte) && pte_dirty(pte);
}

/* Up to the end of one page table page. */
static void scan_table(struct mm_struct *mm, pmd_t *pmd, unsigned long address,
		       unsigned long nr, pte_test test, unsigned long bit,
		       unsigned long *found)
{
	spinlock_t *ptl;
	pmd_t pmdval;
	pte_t *ptep;

	rcu_read_lock();
	pmdval = READ_ONCE(*pmd);
	if (pmd_none(pmdval) || pmd_bad(pmdval))
		goto unlock_rcu;
	ptl = pte_lockptr(mm, &pmdval);
	spin_lock(ptl);
	if (!pmd_same(pmdval, READ_ONCE(*pmd)))
		goto unlock_pte;	/* empty, and freed: nothing to find */
	ptep = pte_offset_kernel(&pmdval, address);
	for (; nr; nr--, ptep++, address += PAGE_SIZE, bit++)
		if (test(mm, address, ptep))
			__set_bit(bit, found);
unlock_pte:
	spin_unlock(ptl);
unlock_rcu:
	rcu_read_unlock();
}

static void scan(struct vm_area_struct *vma, unsigned long start,
		 unsigned long nr, pte_test test, unsigned long *found)
{
	unsigned long bit = 0;

	i_mmap_assert_locked(vma->vm_file->f_mapping);
	while (nr) {
		unsigned long here = min(nr, (PMD_SIZE - (start & ~PMD_MASK)) >>
					     PAGE_SHIFT);
		pmd_t *pmd = find_pmd(vma->vm_mm, start);

		if (pmd)
			scan_table(vma->vm_mm, pmd, start, here, test, bit,
				   found);
		start += here << PAGE_SHIFT;
		bit += here;
		nr -= here;
	}
}

/**
 * droppable_ptes_young - find and clear accessed bits
 * @vma:	held by i_mmap_rwsem of its file
 * @start:	address in @vma
 * @nr:		pages from there, all in @vma
 * @young:	bit n is set if page n was touched
 *
 * The TLB isn't flushed, as in the core: a page whose translation stays cached
 * for the whole time between two looks may seem untouched.
 */
void droppable_ptes_young(struct vm_area_struct *vma, unsigned long start,
			  unsigned long nr, unsigned long *young)
{
	scan(vma, start, nr, test_and_clear_young, young);
}

/**
 * droppable_ptes_dirty - find dirty bits
 * @vma:	held by i_mmap_rwsem of its file
 * @start:	address in @vma
 * @nr:		pages from there, all in @vma
 * @dirty:	bit n is set if page n was written through this mapping
 */
void droppable_ptes_dirty(struct vm_area_struct *vma, unsigned long start,
			  unsigned long nr, unsigned long *dirty)
{
	scan(vma, start, nr, test_dirty, dirty);
}
