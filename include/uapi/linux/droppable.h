/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * /dev/droppable: memory that the kernel may take back at any time.
 *
 *	fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);
 *	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
 *
 * Every mmap() call gives memory of its own that reads zero.  A page of it
 * reads zero again once the kernel has dropped it.  It is never swapped,
 * dumped or inherited by a child with its contents, counts against no
 * RLIMIT_MEMLOCK, and a fault on it never kills.  droppable(4) has the whole
 * contract.
 *
 * What mmap() refuses:
 *	EINVAL	MAP_PRIVATE, MAP_LOCKED, MAP_HUGETLB, an offset other than 0
 *		and DROPPABLE_COUNTER_OFFSET
 *	EPERM	PROT_EXEC (and mprotect(PROT_EXEC) later: EACCES); PROT_WRITE
 *		with the counter page
 *	EACCES	a descriptor that was not opened O_RDWR
 */
#ifndef _UAPI_LINUX_DROPPABLE_H
#define _UAPI_LINUX_DROPPABLE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DROPPABLE_DEVICE	"/dev/droppable"

/* Grows by one whenever something is added below; nothing is ever taken out. */
#define DROPPABLE_ABI		1

/* droppable_info.features: what this module on this kernel gives. */
#define DROPPABLE_FEATURE_DROP		(1ULL << 0)	/* DROPPABLE_IOC_DROP */
#define DROPPABLE_FEATURE_COUNTER	(1ULL << 1)	/* the counter page */
#define DROPPABLE_FEATURE_POLL		(1ULL << 2)	/* poll(2), read(2) */
#define DROPPABLE_FEATURE_SCRUB		(1ULL << 3)	/* freed pages are zeroed */

/**
 * struct droppable_counter - the start of the counter page (contract line 40)
 * @drops:	grows when pages of this open file are dropped, by about their
 *		number, before one of them can be read as zero; never shrinks
 *
 *	c = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd,
 *		 DROPPABLE_COUNTER_OFFSET);
 *
 * Data that was read between two equal readings of @drops was whole.  It may
 * grow without a drop, if the pages turn out to be held by somebody.  One for
 * all processes that share the open file.  The rest of the page is zero.
 */
struct droppable_counter {
	__u64 drops;
};

/* mmap() offset of the counter page; only PROT_READ, one page. */
#define DROPPABLE_COUNTER_OFFSET	(1ULL << 32)

/**
 * struct droppable_info - what the module is and gives
 * @flags:	in: 0; anything else is EINVAL
 * @abi:	out: DROPPABLE_ABI that the module was built with
 * @features:	out: mask of DROPPABLE_FEATURE_*
 * @page_size:	out: bytes per page, the unit of dropping
 * @reserved0:	in: 0, or EINVAL; out: 0
 * @reserved:	in: 0, or EINVAL; out: 0
 */
struct droppable_info {
	__u32 flags;
	__u32 abi;
	__u64 features;
	__u32 page_size;
	__u32 reserved0;
	__u64 reserved[5];
};

/* droppable_drop.flags: what to drop instead of a range; at most one. */
#define DROPPABLE_DROP_MAPPING	(1U << 0)	/* what one mmap() gave, whole */
#define DROPPABLE_DROP_FILE	(1U << 1)	/* all mappings of this file */

/**
 * struct droppable_drop - drop now (contract line 22)
 * @addr:	in: first byte, a multiple of the page size; with
 *		DROPPABLE_DROP_MAPPING any address in it; with
 *		DROPPABLE_DROP_FILE 0
 * @len:	in: bytes, a nonzero multiple of the page size; with a flag 0
 * @flags:	in: 0 or one of DROPPABLE_DROP_*; anything else is EINVAL
 * @reserved0:	in: 0, or EINVAL
 * @dropped:	out: pages that were resident and now read zero
 * @pinned:	out: pages left alone because somebody holds them (line 18)
 * @reserved:	in: 0, or EINVAL
 *
 * It is the caller's address space that is meant: nobody else's pages go.  A
 * range may span several mappings of the device, made from any descriptor.
 */
struct droppable_drop {
	__u64 addr;
	__u64 len;
	__u32 flags;
	__u32 reserved0;
	__u64 dropped;
	__u64 pinned;
	__u64 reserved[3];
};

#define DROPPABLE_IOC_MAGIC	0xD7

/*
 * DROPPABLE_IOC_INFO
 *	EINVAL	a nonzero flag or reserved field
 *	EFAULT	the structure can't be read or written
 */
#define DROPPABLE_IOC_INFO	_IOWR(DROPPABLE_IOC_MAGIC, 0, struct droppable_info)

/*
 * DROPPABLE_IOC_DROP
 *	EINVAL	an unknown flag or two of them; a nonzero reserved field; addr
 *		or len not a multiple of the page size; len 0; addr + len
 *		beyond the address space; with a flag, addr or len not 0 where
 *		it says so
 *	ENOMEM	some of the range is not a mapping of this device; nothing
 *		was dropped
 *	EINTR	a fatal signal came while waiting for the address space
 *	EFAULT	the structure can't be read or written
 *
 * Any other ioctl on the device is ENOTTY.
 */
#define DROPPABLE_IOC_DROP	_IOWR(DROPPABLE_IOC_MAGIC, 1, struct droppable_drop)

#endif /* _UAPI_LINUX_DROPPABLE_H */
