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
 *	EINVAL	MAP_PRIVATE, MAP_LOCKED, MAP_HUGETLB, a nonzero offset
 *	EPERM	PROT_EXEC (and mprotect(PROT_EXEC) later: EACCES)
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
#define DROPPABLE_FEATURE_DROP	(1ULL << 0)	/* DROPPABLE_IOC_DROP */

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

/**
 * struct droppable_drop - drop a range now (contract line 22)
 * @addr:	in: first byte, a multiple of the page size
 * @len:	in: bytes, a nonzero multiple of the page size
 * @flags:	in: 0; anything else is EINVAL
 * @reserved0:	in: 0, or EINVAL
 * @dropped:	out: pages that were resident and now read zero
 * @pinned:	out: pages left alone because somebody holds them (line 18)
 * @reserved:	in: 0, or EINVAL
 *
 * The range lies in the caller's address space and may span several mappings
 * of the device, made from any descriptor.
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
 *	EINVAL	a nonzero flag or reserved field; addr or len not a multiple
 *		of the page size; len 0; addr + len beyond the address space
 *	ENOMEM	some of the range is not a mapping of this device; nothing
 *		was dropped
 *	EINTR	a fatal signal came while waiting for the address space
 *	EFAULT	the structure can't be read or written
 *
 * Any other ioctl on the device is ENOTTY.
 */
#define DROPPABLE_IOC_DROP	_IOWR(DROPPABLE_IOC_MAGIC, 1, struct droppable_drop)

#endif /* _UAPI_LINUX_DROPPABLE_H */
