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
 * RLIMIT_MEMLOCK, and a fault on it ends in no signal.  droppable(4) has the
 * whole contract, and in LIMITS what can still start the OOM killer.
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
#define DROPPABLE_ABI		2

/* droppable_info.features: what this module on this kernel gives. */
#define DROPPABLE_FEATURE_DROP		(1ULL << 0)	/* DROPPABLE_IOC_DROP */
#define DROPPABLE_FEATURE_COUNTER	(1ULL << 1)	/* the counter page */
#define DROPPABLE_FEATURE_POLL		(1ULL << 2)	/* poll(2), read(2) */
#define DROPPABLE_FEATURE_SCRUB		(1ULL << 3)	/* freed pages are zeroed */
#define DROPPABLE_FEATURE_PIN		(1ULL << 4)	/* DROPPABLE_IOC_PIN, _UNPIN */

/**
 * struct droppable_counter - the start of the counter page (contract line 40)
 * @drops:	grows when pages of this open file are dropped, by about their
 *		number, before one of them can be read as zero; never shrinks
 *
 *	c = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd,
 *		 DROPPABLE_COUNTER_OFFSET);
 *
 * Data that was read between two equal readings of @drops was whole, or zero if it
 * had gone before the first: let data begin with something that is never zero and
 * is stored first.  @drops may grow without a drop, if the pages turn out to be
 * held by somebody.  One for all processes that share the open file.  fork(2) is no
 * drop: a reading from before says nothing in the child.  The rest of the page is
 * zero.
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

/* droppable_pin.flags */
#define DROPPABLE_PIN_WHOLE	(1U << 0)	/* all pages or none */

/**
 * struct droppable_pin - keep pages from being dropped (contract line 43)
 * @addr:	in: first byte, a multiple of the page size
 * @len:	in: bytes, a nonzero multiple of the page size; all of it within
 *		what one mmap() of this open file gave
 * @flags:	in: 0, or DROPPABLE_PIN_WHOLE: if a page isn't there, pin none
 * @reserved0:	in: 0, or EINVAL
 * @vec:	in: 0, or the address of len / page size bytes; out: there, 1
 *		for each page that was there, 0 for each that wasn't
 * @id:		out: for DROPPABLE_IOC_UNPIN, never 0, and not that of an earlier
 *		pin of this open file for some four thousand million pins; with
 *		DROPPABLE_PIN_WHOLE 0 if nothing was pinned
 * @dropped:	out: pages that weren't there: dropped, discarded, never touched
 *		or only read.  Without DROPPABLE_PIN_WHOLE they are now, and zero
 * @reserved:	in: 0, or EINVAL
 *
 * A page that was dropped and stored to again is there: what else was in it
 * before is for the program to know, by a tag in the page or by the drop counter.
 * Pinned pages are neither dropped nor swapped; MADV_DONTNEED and munmap() take
 * them out of the mapping all the same.  A page may be pinned several times.
 *
 * A pin ends by DROPPABLE_IOC_UNPIN, when the process that made it exits, execs
 * or unmaps the whole mapping, and when it closes a descriptor of the open file,
 * any of them (as with fcntl(2) locks).  A child has no part in it; one that still
 * shares its parent's memory (vfork(2)) is that process here, but for its
 * descriptors.  VmPin in /proc/PID/status and "locked" in fdinfo count the pages.
 * They don't count in KReclaimable and MemAvailable.
 */
struct droppable_pin {
	__u64 addr;
	__u64 len;
	__u32 flags;
	__u32 reserved0;
	__u64 vec;
	__u64 id;
	__u64 dropped;
	__u64 reserved[2];
};

/**
 * struct droppable_unpin - end a pin
 * @id:		in: droppable_pin.id
 * @flags:	in: 0, or EINVAL
 * @reserved0:	in: 0, or EINVAL
 * @reserved:	in: 0, or EINVAL
 */
struct droppable_unpin {
	__u64 id;
	__u32 flags;
	__u32 reserved0;
	__u64 reserved[2];
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
 */
#define DROPPABLE_IOC_DROP	_IOWR(DROPPABLE_IOC_MAGIC, 1, struct droppable_drop)

/*
 * DROPPABLE_IOC_PIN
 *	EBADF	the process closed its last descriptor of the open file meanwhile
 *	EINVAL	an unknown flag; a nonzero reserved field; addr or len not a
 *		multiple of the page size; len 0; addr + len beyond the address
 *		space
 *	ENXIO	not all of the range is one mapping of this open file (one that
 *		mprotect() split before it was touched counts as several)
 *	EPERM	more than RLIMIT_MEMLOCK, without CAP_IPC_LOCK
 *	ENOMEM	no memory for the pages that weren't there, or for the pin itself
 *	EINTR	a fatal signal came
 *	EFAULT	the structure or vec can't be read or written
 * With any error nothing is pinned; pages that weren't there may be now.
 */
#define DROPPABLE_IOC_PIN	_IOWR(DROPPABLE_IOC_MAGIC, 2, struct droppable_pin)

/*
 * DROPPABLE_IOC_UNPIN
 *	EINVAL	a nonzero flag or reserved field
 *	ENOENT	this process has no such pin through this open file
 *	EFAULT	the structure can't be read
 *
 * Any other ioctl on the device is ENOTTY.
 */
#define DROPPABLE_IOC_UNPIN	_IOW(DROPPABLE_IOC_MAGIC, 3, struct droppable_unpin)

#endif /* _UAPI_LINUX_DROPPABLE_H */
