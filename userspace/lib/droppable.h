/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libdroppable: memory that the kernel may take back at any time.
 *
 * WARNING.  Checking a page and then using it is not safe here: it can read
 * zero from one instruction to the next.  Copy the data out, then check that
 * it was still there (libdroppable(3), "Reading safely").  Never keep in this
 * memory what can't be made again, nor a pointer, a lock or a length that is
 * acted on before it has been checked.
 *
 * Conventions
 *  - Functions return 0, or a negative errno value.  errno itself means
 *    nothing after a call.  On failure no output argument has been written,
 *    except where said.
 *  - All sizes are in bytes.
 *  - The library has no globals, prints nothing, starts no threads, installs
 *    no signal handlers.
 *  - A handle doesn't change between droppable_open() and droppable_close():
 *    every other function may be called on the same handle by any number of
 *    threads at once, also after fork(2), in the parent and in the child.
 *
 * "Line N" names a line of the device's contract, droppable(4).
 */
#ifndef LIBDROPPABLE_H
#define LIBDROPPABLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DROPPABLE_MUST_CHECK __attribute__((__warn_unused_result__))
#else
#define DROPPABLE_MUST_CHECK
#endif

/* A source of droppable memory. */
struct droppable;

/* Flags of droppable_open(), one at most. */
#define DROPPABLE_DEVICE_ONLY	0x1u	/* /dev/droppable, or fail */
#define DROPPABLE_NATIVE_ONLY	0x2u	/* MAP_DROPPABLE of Linux 6.11, or fail */
/* Device, native, and if there is neither: the fallback.  Since: 0.2 */
#define DROPPABLE_OR_FALLBACK	0x4u
/* The fallback even where there is something better.  Since: 0.2 */
#define DROPPABLE_FALLBACK_ONLY	0x8u

/* Where a handle's memory comes from.  Values are never reused. */
enum droppable_backend {
	DROPPABLE_BACKEND_NONE = 0,	/* only for a NULL handle */
	DROPPABLE_BACKEND_DEVICE = 1,	/* /dev/droppable */
	DROPPABLE_BACKEND_NATIVE = 2,	/* mmap(2) with MAP_DROPPABLE */
	/*
	 * Ordinary anonymous memory, for developing on a machine that has
	 * nothing better.  NOT DROPPABLE: the kernel swaps it, and kills
	 * somebody when it runs out.  Only a program's own droppable_drop()
	 * empties it, and it is wiped in children and left out of core dumps
	 * as long as nobody calls madvise(2) on it.  droppable_describe()
	 * names all that it lacks.  Since: 0.2
	 */
	DROPPABLE_BACKEND_FALLBACK = 3
};

/*
 * What memory from a handle is guaranteed to be: bits of
 * droppable_guarantees().  A bit that is clear means "not promised".  Bits are
 * never reused and never weakened.
 */

/* Its contents are never swapped out (line 14). */
#define DROPPABLE_G_NEVER_SWAPPED	(UINT64_C(1) << 0)
/* Core dumps hold none of it, whatever coredump_filter says (line 30). */
#define DROPPABLE_G_NOT_DUMPED		(UINT64_C(1) << 1)
/* A child made by fork(2) has the mapping and reads zeros (line 28). */
#define DROPPABLE_G_WIPED_ON_FORK	(UINT64_C(1) << 2)
/* And no madvise(2) can change that (line 29). */
#define DROPPABLE_G_WIPE_STICKS		(UINT64_C(1) << 3)
/* Usable with RLIMIT_MEMLOCK 0 and no capability (line 31). */
#define DROPPABLE_G_NO_MLOCK_CHARGE	(UINT64_C(1) << 4)
/* mlock(2), mlockall(2) can't keep it from being dropped (lines 6, 31). */
#define DROPPABLE_G_NEVER_LOCKED	(UINT64_C(1) << 5)
/* Nothing is reserved against overcommit limits (line 7). */
#define DROPPABLE_G_NO_RESERVE		(UINT64_C(1) << 6)
/* A load or store never gets SIGBUS or SIGSEGV for lack of memory (24). */
#define DROPPABLE_G_NONFATAL_FAULT	(UINT64_C(1) << 7)
/* Nor starts the OOM killer (24); for page tables see droppable(4), LIMITS. */
#define DROPPABLE_G_FAULT_NO_OOM	(UINT64_C(1) << 8)
/* While a load or store waits for memory, signals still work (line 25). */
#define DROPPABLE_G_FAULT_KILLABLE	(UINT64_C(1) << 9)
/* Dropped when the machine is short of memory, before the OOM killer (9). */
#define DROPPABLE_G_DROP_BEFORE_OOM	(UINT64_C(1) << 10)
/* The same when a cgroup reaches its limit, in that cgroup (10, 11). */
#define DROPPABLE_G_DROP_IN_CGROUP	(UINT64_C(1) << 11)
/*
 * A page the kernel holds for I/O isn't dropped meanwhile (line 18).  But by
 * droppable_drop() it is, on all but the device, and its holder keeps the old one.
 */
#define DROPPABLE_G_HELD_PAGES_STAY	(UINT64_C(1) << 12)
/* droppable_drop() works (lines 21, 22). */
#define DROPPABLE_G_DROP_NOW		(UINT64_C(1) << 13)
/* And it tells how much it dropped. */
#define DROPPABLE_G_DROP_COUNT		(UINT64_C(1) << 14)
/*
 * The kernel drops it when it needs memory (line 9).  Not given for MAP_DROPPABLE:
 * some kernels of 6.12 kill somebody instead.  Since: 0.2
 */
#define DROPPABLE_G_DROPPABLE		(UINT64_C(1) << 15)
/* droppable_drops() works: a plain load tells of drops (line 40). */
#define DROPPABLE_G_DROP_DETECT		(UINT64_C(1) << 16)
/* droppable_event_fd() works: poll(2) tells of drops (line 40). */
#define DROPPABLE_G_DROP_EVENT		(UINT64_C(1) << 17)
/* droppable_stats() works (line 39). */
#define DROPPABLE_G_STATS		(UINT64_C(1) << 18)
/* Dropped before hibernation: only what is held then is in the image (23). */
#define DROPPABLE_G_NOT_HIBERNATED	(UINT64_C(1) << 19)
/* Never seen by userfaultfd(2), never merged with other pages (line 32). */
#define DROPPABLE_G_NO_USERFAULTFD	(UINT64_C(1) << 20)
/* Freed pages are zeroed, as of droppable_open(); root may change it. */
#define DROPPABLE_G_SCRUBBED		(UINT64_C(1) << 21)
/* Charged to the cgroup of whoever touches it (line 20). */
#define DROPPABLE_G_CHARGED		(UINT64_C(1) << 22)
/* droppable_pin() works (line 43). */
#define DROPPABLE_G_PIN			(UINT64_C(1) << 23)

/* What droppable_drop() stores where the amount can't be known. */
#define DROPPABLE_UNKNOWN	((size_t)-1)

/**
 * droppable_open() - get a source of droppable memory
 * @ctx:	out: the handle; end it with droppable_close()
 * @flags:	0, or one of DROPPABLE_DEVICE_ONLY, DROPPABLE_NATIVE_ONLY,
 *		DROPPABLE_OR_FALLBACK, DROPPABLE_FALLBACK_ONLY
 *
 * With 0 that is the device, and the kernel's own MAP_DROPPABLE only where
 * there is no device at all.  A device that is there and can't be used is an
 * error, not a reason to fall back: MAP_DROPPABLE promises less, and whoever
 * wants it then has to ask for it.  Nothing weaker is ever substituted, unless
 * DROPPABLE_OR_FALLBACK asks for it; even that doesn't cover up a device that
 * is there and can't be used.
 *
 * Returns 0, or
 *	-EINVAL		ctx is NULL; unknown flags, or several
 *	-ENODEV		DROPPABLE_DEVICE_ONLY, and there is no device
 *	-ENOTSUP	neither device nor MAP_DROPPABLE (0); this kernel, or
 *			this architecture, has no MAP_DROPPABLE
 *			(DROPPABLE_NATIVE_ONLY)
 *	-EACCES, -EPERM	the device is there, but permissions or a sandbox don't
 *			let this process open it; or a sandbox refuses
 *			MAP_DROPPABLE
 *	-ENOTTY		something at /dev/droppable is not this device
 *	-EMFILE, -ENFILE, -ENOMEM, or what else open(2), mmap(2) said
 *
 * Thread-safe.  Since: 0.1
 */
int droppable_open(struct droppable **ctx, unsigned int flags)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_close() - end a handle
 * @ctx:	the handle; NULL does nothing
 *
 * Memory that was mapped through it stays (line 3): unmap it before with
 * droppable_unmap(), or at any time with munmap(2).
 *
 * No other call on this handle may be under way or follow.  Since: 0.1
 */
void droppable_close(struct droppable *ctx);

/**
 * droppable_map() - map droppable memory
 * @ctx:	the handle
 * @len:	bytes, not 0; rounded up to whole pages
 * @addr:	out: first byte, at a page boundary; readable and writable
 *
 * Reads zero, and is shared with nobody but threads (lines 1, 2).
 *
 * Returns 0, or
 *	-EINVAL		ctx or addr is NULL; len is 0
 *	-ENOMEM		no such stretch of address space, or too many mappings
 *	-EBADF		somebody closed the handle's file descriptor, and
 *			perhaps has opened something else in its place
 *	or what else mmap(2) said
 *
 * Thread-safe.  Since: 0.1
 */
int droppable_map(struct droppable *ctx, size_t len, void **addr)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_unmap() - take a mapping, or a part of it, away
 * @ctx:	the handle
 * @addr:	first byte, at a page boundary
 * @len:	bytes, not 0; rounded up to whole pages
 *
 * As with munmap(2), whatever is mapped in the range goes (line 33).
 *
 * Returns 0, or
 *	-EINVAL		ctx or addr is NULL; addr is not at a page boundary;
 *			len is 0, or reaches beyond the address space
 *	-ENOMEM		taking out the middle would make too many mappings
 *
 * Thread-safe.  Since: 0.1
 */
int droppable_unmap(struct droppable *ctx, void *addr, size_t len);

/**
 * droppable_drop() - drop a range now
 * @ctx:	the handle
 * @addr:	first byte, at a page boundary
 * @len:	bytes, not 0; rounded up to whole pages
 * @dropped:	out: bytes that were in memory and now read zero, or
 *		DROPPABLE_UNKNOWN; may be NULL; also written with -EBUSY
 *
 * After 0 every page of the range reads zero until it is written again (lines
 * 13, 22).  The range has to be droppable memory, and nothing but that, and of
 * the handle's own backend: with MAP_DROPPABLE ordinary memory in it is zeroed
 * too, because the kernel offers no way to tell.  The amount is unknown there as
 * well.
 *
 * Returns 0, or
 *	-EINVAL		as droppable_unmap(); the fallback: locked by mlockall(2),
 *			on Linux older than 5.18
 *	-ENOMEM		some of the range isn't mapped from the device, and
 *			nothing was dropped; with MAP_DROPPABLE: isn't mapped
 *			at all, and the rest was dropped
 *	-EBUSY		the kernel holds some of the pages, for I/O; these were
 *			left alone, the others were dropped.  Device only: else
 *			they are dropped too, and their holder keeps the old ones
 *	-ENOTSUP	DROPPABLE_G_DROP_NOW is not given
 *	-EINTR		a fatal signal came; the process is about to end
 *	-EBADF		as droppable_map()
 *
 * Thread-safe.  Since: 0.1
 */
int droppable_drop(struct droppable *ctx, void *addr, size_t len,
		   size_t *dropped);

/**
 * struct droppable_stats - what became of a handle's memory (line 39)
 * @resident:	bytes in memory now, in this process and all that share the
 *		open file (children that use the handle)
 * @faults:	pages made resident so far
 * @dropped:	pages dropped so far, for whatever reason
 * @recycled:	of those, pages taken to serve a fault that found no memory
 * @waits:	times a load or store waited for memory
 * @pinned:	times a page was passed over because somebody held it
 * @refaulted:	of the faults, those on a page that had been dropped
 * @locked:	bytes that droppable_pin() holds now, each as often as it is
 *		pinned
 *
 * DROPPABLE_STAT_UNKNOWN stands for what the module doesn't tell.
 */
struct droppable_stats {
	uint64_t resident;
	uint64_t faults;
	uint64_t dropped;
	uint64_t recycled;
	uint64_t waits;
	uint64_t pinned;
	uint64_t refaulted;
	uint64_t locked;
};

#define DROPPABLE_STAT_UNKNOWN	UINT64_MAX

/**
 * droppable_stats() - what became of a handle's memory
 * @ctx:	the handle
 * @stats:	out
 * @size:	sizeof(*stats); what a newer caller knows beyond this version
 *		is stored as DROPPABLE_STAT_UNKNOWN
 *
 * Reads /proc: not for a fast path.
 *
 * Returns 0, or
 *	-EINVAL		ctx or stats is NULL; size is 0, or no multiple of 8
 *	-ENOTSUP	DROPPABLE_G_STATS is not given; droppable_resident()
 *			still works
 *	-EBADF		as droppable_map()
 *	-ENOENT		no /proc here
 *	or what else open(2), read(2) said
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_stats(const struct droppable *ctx, struct droppable_stats *stats,
		    size_t size);

/* Flags of droppable_pin(). */
#define DROPPABLE_PIN_INTACT	0x1u	/* only if all of it is there */

/**
 * droppable_pin() - keep a range from being dropped
 * @ctx:	the handle
 * @addr:	first byte, at a page boundary
 * @len:	bytes, not 0; rounded up to whole pages, all within what one
 *		droppable_map() gave
 * @flags:	0, or DROPPABLE_PIN_INTACT
 * @pin:	out: for droppable_unpin()
 * @dropped:	out: bytes in pages that weren't there; may be NULL; also
 *		written with -ENODATA
 * @vec:	out: a byte per page, 1 if it was there, else 0; may be NULL; also
 *		written with -ENODATA, and perhaps with other errors
 *
 * The way to hand a pointer to code that can't copy (line 43).  Pages that
 * weren't there (dropped, never stored to) are zero and pinned then, unless with
 * DROPPABLE_PIN_INTACT.  A page that was dropped and stored to again counts as
 * there: what else was in it before, only something in the page itself can tell.
 *
 * It ends by droppable_unpin(), droppable_close(), exec and exit, and unmapping
 * the whole mapping; also when the process closes any descriptor of the handle's
 * open file, such as a dup(2) of droppable_event_fd()'s.  A child has no part in
 * it.  This is the one thing here that locks memory: RLIMIT_MEMLOCK limits it.
 *
 * Returns 0, or
 *	-EINVAL		ctx or pin is NULL; unknown flags; else as
 *			droppable_unmap()
 *	-ENODATA	DROPPABLE_PIN_INTACT, and something wasn't there; nothing
 *			is pinned
 *	-ENXIO		not all of it is one mapping from this handle
 *	-EPERM		more than RLIMIT_MEMLOCK allows
 *	-ENOMEM		no memory for the pages that weren't there
 *	-ENOTSUP	DROPPABLE_G_PIN is not given
 *	-EINTR		a fatal signal came; the process is about to end
 *	-EFAULT		vec can't be written
 *	-EBADF		as droppable_map(); or a descriptor of the open file was
 *			closed meanwhile
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pin(struct droppable *ctx, void *addr, size_t len,
		  unsigned int flags, uint64_t *pin, size_t *dropped,
		  unsigned char *vec) DROPPABLE_MUST_CHECK;

/**
 * droppable_unpin() - end a pin
 * @ctx:	the handle that it was made with
 * @pin:	from droppable_pin()
 *
 * Returns 0, or
 *	-EINVAL		ctx is NULL
 *	-ENOENT		this process has no such pin
 *	-ENOTSUP	DROPPABLE_G_PIN is not given
 *	-EBADF		as droppable_map()
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_unpin(struct droppable *ctx, uint64_t pin);

/**
 * droppable_resident() - how much of a range is in memory
 * @ctx:	the handle
 * @addr:	first byte, at a page boundary
 * @len:	bytes, not 0; rounded up to whole pages
 * @resident:	out: bytes
 *
 * Already out of date when it returns: for statistics, never to decide whether
 * something may be read.  Touches no page (line 35).  mincore(2) says that all is
 * resident to a process that may not write the device (any more).
 *
 * Returns 0, or
 *	-EINVAL		as droppable_unmap(), or resident is NULL
 *	-ENOMEM		some of the range isn't mapped
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_resident(const struct droppable *ctx, const void *addr,
		       size_t len, size_t *resident);

/**
 * droppable_drops() - a counter that grows with each drop
 * @ctx:	the handle
 * @drops:	out: about the number of pages dropped; only differences mean
 *		something
 *
 * It has grown before a dropped page of this handle can be read as zero (line
 * 40).  So what was read between two equal readings of it was whole, or zero if it
 * had gone before the first; if they differ, something was dropped, not
 * necessarily what was read.  One load, no system call, and ordered against the
 * loads before and after it.
 *
 * fork(2) is no drop: a child shares the counter, and reads zeros all the same.  A
 * reading from before says nothing there.
 *
 * Returns 0, or
 *	-EINVAL		ctx or drops is NULL
 *	-ENOTSUP	DROPPABLE_G_DROP_DETECT is not given
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_drops(const struct droppable *ctx, uint64_t *drops);

/**
 * droppable_event_fd() - a descriptor to wait on for drops
 * @ctx:	the handle
 *
 * For poll(2), which reports POLLIN when something was dropped since the last
 * read(2) of 8 bytes (droppable(4), "Seeing drops").  A hint when to refill;
 * it says nothing about what was read meanwhile (line 40).  It stays the
 * handle's: don't close it.
 *
 * Returns the descriptor, or
 *	-EINVAL		ctx is NULL
 *	-ENOTSUP	DROPPABLE_G_DROP_EVENT is not given
 *	-EBADF		as droppable_map()
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_event_fd(const struct droppable *ctx);

/**
 * droppable_backend() - where a handle's memory comes from
 * @ctx:	the handle
 *
 * Returns DROPPABLE_BACKEND_*; _NONE for NULL.  Thread-safe.  Since: 0.1
 */
enum droppable_backend droppable_backend(const struct droppable *ctx);

/**
 * droppable_guarantees() - what a handle's memory is guaranteed to be
 * @ctx:	the handle
 *
 * A program that needs something says so:
 *	if ((droppable_guarantees(ctx) & need) != need)
 *		...
 *
 * For MAP_DROPPABLE the mask holds what every kernel that has it keeps, so
 * some kernels do better than it says; droppable(7) has the details.
 *
 * Returns a mask of DROPPABLE_G_*; 0 for NULL.  Thread-safe.  Since: 0.1
 */
uint64_t droppable_guarantees(const struct droppable *ctx);

/**
 * droppable_backend_name() - a backend's name, for people and logs
 * @backend:	DROPPABLE_BACKEND_*
 *
 * Returns a constant such as "device"; NULL for a value unknown to this
 * version.  Thread-safe.  Since: 0.1
 */
const char *droppable_backend_name(enum droppable_backend backend);

/**
 * droppable_guarantee_name() - a guarantee's name, for people and logs
 * @bit:	one DROPPABLE_G_*
 *
 * Returns a constant such as "never-swapped"; NULL for no bit, several bits
 * or a bit unknown to this version.  Thread-safe.  Since: 0.1
 */
const char *droppable_guarantee_name(uint64_t bit);

/**
 * droppable_guarantee_text() - what a guarantee means, in a sentence
 * @bit:	one DROPPABLE_G_*
 *
 * Returns a constant such as "never written to swap"; NULL as
 * droppable_guarantee_name().  Thread-safe.  Since: 0.2
 */
const char *droppable_guarantee_text(uint64_t bit);

/**
 * droppable_describe() - backend, guarantees and what is lacking, as text
 * @ctx:	the handle
 * @buf:	out: lines of text, ended by a NUL
 * @size:	bytes of buf, or 0, and then buf may be NULL
 *
 * A line for the backend, beginning with "backend:"; then one for each
 * guarantee that is known to this version, "has" or "LACKS" first.  For the
 * fallback it begins with a WARNING.  A program that was started with a
 * fallback ought to show it to whoever started it: the library prints nothing.
 *
 * Returns the length that it has, as snprintf(3) does: it was cut short if
 * that is not less than size.  Or
 *	-EINVAL		ctx is NULL; buf is NULL and size is not 0
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_describe(const struct droppable *ctx, char *buf, size_t size);

/**
 * droppable_version() - the library's version
 *
 * Returns a constant such as "0.2.0".  Thread-safe.  Since: 0.1
 */
const char *droppable_version(void);

/*
 * Objects.  A pool keeps objects of any size in droppable memory: written once,
 * and read by copying them out, whole or not at all.  What is read safely here
 * needs no system call and no lock.  The kernel drops pages of the pool as it
 * needs them; a pool that is full drops what was not read for longest itself.
 * So any object may be gone at any time, and has to be made again then.
 *
 * An object shares its fate with those on the same page, if it fits into one:
 * it never straddles two.  A larger one is gone when one of its pages is.
 */
struct droppable_pool;

/**
 * struct droppable_ref - names an object in a pool
 *
 * A value to be copied and kept in ordinary memory, by the caller; the fields
 * are the library's.  All zero names no object.  What it names is gone for good
 * once it is gone: a reference never comes to name another object.
 */
struct droppable_ref {
	uint64_t gen;
	uint64_t at;
	uint64_t len;	/* bytes; may be read */
};

/**
 * droppable_pool_open() - make a pool
 * @ctx:	where its memory comes from; has to outlive the pool
 * @size:	bytes of droppable memory at most, rounded up; 0: as much as the
 *		machine has, so that only the kernel's needs are a limit
 * @flags:	0
 * @pool:	out: end it with droppable_pool_close()
 *
 * Maps nothing yet: 16 MiB at a time when needed, and 25 bytes of ordinary
 * memory for each page of that.
 *
 * The kernel is a limit only where it takes the memory back.  Ordinary memory
 * (DROPPABLE_BACKEND_FALLBACK) it doesn't: with 0 the pool grows there until
 * the machine swaps, or somebody is killed.  Where DROPPABLE_G_DROPPABLE isn't
 * given, say how much.
 *
 * A child made by fork(2) may use it, apart from its parent, and finds it
 * empty (line 28).
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL; flags isn't 0; size is absurd
 *	-ENOMEM		for the ordinary memory it needs
 *	or what else mmap(2), madvise(2) said
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pool_open(struct droppable *ctx, size_t size, unsigned int flags,
			struct droppable_pool **pool) DROPPABLE_MUST_CHECK;

/**
 * droppable_pool_close() - end a pool and all that is in it
 * @pool:	NULL does nothing
 *
 * No other call on this pool may be under way or follow.  Since: 0.2
 */
void droppable_pool_close(struct droppable_pool *pool);

/**
 * droppable_pool_put() - put an object into a pool
 * @pool:	the pool
 * @data:	its contents, in ordinary memory
 * @len:	bytes, not 0; droppable_pool_stats() tells the most that is
 *		possible: a little less than 16 MiB, or than the pool
 * @ref:	out: names it
 *
 * A full pool is no failure: something older goes, but not for an object that
 * finds no room all the same.  May wait for memory, as any store to droppable
 * memory may (lines 24, 25), but without holding up the pool's readers.
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL; len is 0
 *	-EFBIG		longer than possible
 *	-ENOMEM		no address space, or no ordinary memory for the index
 *	-EAGAIN		it takes more pages in a row than are left between those
 *			that are pinned, or that other threads are writing to
 *	or as droppable_map()
 *
 * Thread-safe: writers are serialized by the library, but for the copying.
 * Since: 0.2
 */
int droppable_pool_put(struct droppable_pool *pool, const void *data,
		       size_t len, struct droppable_ref *ref)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_pool_read() - copy an object, or a part of it, out
 * @pool:	the pool
 * @ref:	names it
 * @off:	first byte
 * @buf:	out: ordinary memory, never in the pool
 * @len:	bytes, not 0
 *
 * With 0 these are the bytes that were put, each of them (line 12).  With
 * -ENODATA buf is all zero.  What was a secret is ordinary memory now: it can
 * be swapped and dumped until it is overwritten.
 *
 * Returns 0, or
 *	-ENODATA	dropped, forgotten, or the reference names nothing: make
 *			it again
 *	-EINVAL		a pointer is NULL; len is 0; the object is shorter; the
 *			reference is of no pool like this
 *
 * Thread-safe, without lock and system call unless it returns -ENODATA.
 * Since: 0.2
 */
int droppable_pool_read(struct droppable_pool *pool,
			const struct droppable_ref *ref, size_t off, void *buf,
			size_t len) DROPPABLE_MUST_CHECK;

struct iovec; /* <sys/uio.h> */

/**
 * struct droppable_pool_pin - a pinned object
 *
 * The fields are the library's.  All zero pins nothing.  Not to be copied: whoever
 * ends the copy as well ends what another has of the same page.  Since: 0.2
 */
struct droppable_pool_pin {
	uint64_t id;
	struct droppable_ref ref;
};

/**
 * droppable_pool_pin() - keep an object where it is, and tell where
 * @pool:	the pool
 * @ref:	names it
 * @parts:	out: where it is, in order; NULL only if *nr is 0
 * @nr:		in: room in parts; out: parts used.  With -ENOBUFS: parts that it
 *		would take, and nothing is pinned
 * @pin:	out: for droppable_pool_unpin()
 *
 * For code that must have a pointer and can't copy, such as writev(2).  With 0
 * the bytes are those that were put, and stay so until droppable_pool_unpin();
 * they are there to be read only (line 43).  An object of up to a page less 8 is
 * one part, a larger one has a part in each of its pages, which don't join.
 *
 * What else is on the pages stays too, and whole pages count against
 * RLIMIT_MEMLOCK.  droppable_pool_drop() says -EBUSY for them, the pool passes
 * them over, droppable_pool_forget() takes effect when they are unpinned.  It
 * ends too by droppable_pool_close(), exec and exit; a child has no part in it.
 *
 * Returns 0, or
 *	-ENODATA	as droppable_pool_read()
 *	-EINVAL		a pointer is NULL; the reference is of no pool like this
 *	-ENOBUFS	*nr is too small
 *	-EPERM		more than RLIMIT_MEMLOCK allows
 *	-ENOTSUP	DROPPABLE_G_PIN is not given: droppable_pool_read() does
 *			without
 *	or as droppable_pin()
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pool_pin(struct droppable_pool *pool,
		       const struct droppable_ref *ref, struct iovec *parts,
		       size_t *nr, struct droppable_pool_pin *pin)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_pool_unpin() - end a pin
 * @pool:	the pool
 * @pin:	from droppable_pool_pin(); all zero afterwards, and if it is already
 *		nothing happens
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL; the pin is of no pool like this
 *	-ENOENT		it had ended: this is a child, or a descriptor of the
 *			handle's open file was closed
 *	or as droppable_unpin()
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pool_unpin(struct droppable_pool *pool,
			 struct droppable_pool_pin *pin);

/**
 * droppable_pool_forget() - the object isn't wanted any more
 * @pool:	the pool
 * @ref:	names it; once for each object
 *
 * Its page can be used again when nothing else is wanted on it; until then the
 * bytes stay where they are, and may even be read.
 *
 * Returns 0, or
 *	-ENODATA	it was gone already
 *	-EINVAL		a pointer is NULL; the reference is of no pool like this
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pool_forget(struct droppable_pool *pool,
			  const struct droppable_ref *ref);

/**
 * droppable_pool_drop() - drop an object now, or all of them
 * @pool:	the pool
 * @ref:	names it, what shares its page goes too; NULL: the whole pool
 *
 * Afterwards none of what was put before can be read any more, unless there is
 * an error (line 22).  What was forgotten is dropped too, where its bytes still
 * are.
 *
 * Returns 0, or
 *	-ENODATA	the reference names nothing, or others have its place
 *	-EINVAL		pool is NULL; the reference is of no pool like this
 *	-EBUSY		some of the pages are held, by the kernel or by a pin; the
 *			others went
 *	-ENOTSUP	DROPPABLE_G_DROP_NOW is not given
 *	or as droppable_drop()
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pool_drop(struct droppable_pool *pool,
			const struct droppable_ref *ref);

/**
 * struct droppable_pool_stats - what became of a pool
 * @capacity:	bytes of droppable memory that it may use
 * @mapped:	of those, mapped so far
 * @used:	of those, in pages with something on them, as far as is known:
 *		what the kernel dropped counts until it is looked for
 * @largest:	bytes of the largest object possible
 * @puts:	objects put so far
 * @lost:	reads that found the object gone
 * @swept:	pages that were found dropped when pages were wanted
 * @recycled:	pages dropped by the pool because it was full
 */
struct droppable_pool_stats {
	uint64_t capacity;
	uint64_t mapped;
	uint64_t used;
	uint64_t largest;
	uint64_t puts;
	uint64_t lost;
	uint64_t swept;
	uint64_t recycled;
};

/**
 * droppable_pool_stats() - what became of a pool
 * @pool:	the pool
 * @stats:	out
 * @size:	sizeof(*stats), as for droppable_stats()
 *
 * Returns 0, or
 *	-EINVAL		pool or stats is NULL; size is 0, or no multiple of 8
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_pool_stats(struct droppable_pool *pool,
			 struct droppable_pool_stats *stats, size_t size);

/*
 * Cache.  What was built for a key is kept in droppable memory until the kernel
 * needs that, and built again when it is asked for next: eviction is the
 * kernel's, the normal case, and never seen but in the counts.  Keys, sizes and
 * validity are in ordinary memory, 40 bytes for each value, of which a table
 * has up to four times as many as it needs.
 */
struct droppable_cache;

/**
 * droppable_build_fn - builds the value for a key
 * @key, @key_len:	the key
 * @buf, @size:		out: where to store the value, in ordinary memory
 * @len:		out: bytes stored; may be 0.  With -ENOBUFS: bytes that
 *			it would take
 * @arg:		as given to droppable_cache_get_or_build()
 *
 * Called without any lock, by one thread at a time for each key, or by several if
 * they are in another build() already, or if the key was put or forgotten since
 * the others began.  It may use the cache for other keys.  It has to return: no
 * longjmp(3), no exception.
 *
 * Returns 0; -ENOBUFS if @size is too small; anything else is passed on.
 */
typedef int droppable_build_fn(const void *key, size_t key_len, void *buf,
			       size_t size, size_t *len, void *arg);

/**
 * droppable_cache_open() - make a cache
 * @ctx:	where its memory comes from; has to outlive the cache
 * @capacity:	bytes of droppable memory at most, rounded up; 0: as much as the
 *		machine has, so that only the kernel's needs are a limit
 * @flags:	0
 * @cache:	out: end it with droppable_cache_close()
 *
 * Where DROPPABLE_G_DROPPABLE isn't given, say how much, for the reason that
 * droppable_pool_open() tells.
 *
 * A child made by fork(2) may use it, apart from its parent, and finds it
 * empty (line 28).
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL; flags isn't 0; capacity is absurd
 *	-ENOMEM		for the ordinary memory it needs
 *	or what else getrandom(2), mmap(2), madvise(2) said
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_open(struct droppable *ctx, size_t capacity,
			 unsigned int flags, struct droppable_cache **cache)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_cache_close() - end a cache and all that is in it
 * @cache:	NULL does nothing
 *
 * No other call on this cache may be under way or follow.  Since: 0.2
 */
void droppable_cache_close(struct droppable_cache *cache);

/**
 * droppable_cache_get_or_build() - a value from the cache, or built
 * @cache:	the cache
 * @key:	any bytes; NULL only if key_len is 0
 * @key_len:	bytes
 * @build:	called if the value isn't there, or not there any more
 * @arg:	for build
 * @buf:	out: the value, in ordinary memory; on failure it may hold
 *		zeros, or what build() left there
 * @size:	bytes of buf
 * @len:	out: bytes of the value; written with 0 and -ENOBUFS
 *
 * The value is whole, from the cache or not (line 12).  If another thread is
 * building the value for the same key, waits for that; but builds it too when
 * called by a build() of the same cache, so that no two of them wait for each
 * other.  A value that can't be kept, because it is too large for the cache or
 * there is no memory for the index, is returned all the same.
 *
 * Whoever calls this when droppable_cache_put() or droppable_cache_forget() has
 * returned gets no value of that key whose build() began before.  Such a
 * build() isn't waited for, and its value is returned to its own caller but not
 * kept.
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL
 *	-ENOBUFS	the value takes *len bytes
 *	-EDEADLK	build() asked for the key it is building
 *	-EOVERFLOW	build() says that it stored more than size
 *	or what build() returned
 *
 * Thread-safe, but a thread must not be cancelled in it.  Since: 0.2
 */
int droppable_cache_get_or_build(struct droppable_cache *cache,
				 const void *key, size_t key_len,
				 droppable_build_fn *build, void *arg,
				 void *buf, size_t size, size_t *len)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_cache_get() - a value from the cache, if it is there
 *
 * As droppable_cache_get_or_build(), but instead of building returns
 *	-ENODATA	it isn't there, or not any more: as many bytes of buf as
 *			it had may be zero then
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_get(struct droppable_cache *cache, const void *key,
			size_t key_len, void *buf, size_t size, size_t *len)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_cache_pin() - keep a value where it is, and tell where
 * @cache:	the cache
 * @key:	any bytes; NULL only if key_len is 0
 * @key_len:	bytes
 * @parts, @nr, @pin:	as for droppable_pool_pin(); a value without bytes has
 *			no parts
 *
 * For values that are handed on as they are, to writev(2) say (line 43).  It
 * takes a system call, which a copy doesn't.  The value stays readable for
 * whoever pinned it when another takes its place, or droppable_cache_forget()
 * takes it out.
 *
 * Returns 0, or
 *	-ENODATA	it isn't there, or not any more
 *	-EINVAL		a pointer is NULL
 *	or as droppable_pool_pin()
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_pin(struct droppable_cache *cache, const void *key,
			size_t key_len, struct iovec *parts, size_t *nr,
			struct droppable_pool_pin *pin) DROPPABLE_MUST_CHECK;

/**
 * droppable_cache_unpin() - end a pin
 * @cache:	the cache
 * @pin:	from droppable_cache_pin()
 *
 * Returns as droppable_pool_unpin().
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_unpin(struct droppable_cache *cache,
			  struct droppable_pool_pin *pin);

/**
 * droppable_cache_put() - put a value into the cache
 * @cache:	the cache
 * @key:	any bytes; NULL only if key_len is 0
 * @key_len:	bytes
 * @data:	the value; NULL only if len is 0
 * @len:	bytes
 *
 * Takes the place of what was there for this key, and of what a build() that is
 * under way for it is going to return.
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL
 *	or as droppable_pool_put(); then what was there stays
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_put(struct droppable_cache *cache, const void *key,
			size_t key_len, const void *data, size_t len);

/**
 * droppable_cache_forget() - take a value out
 * @cache:	the cache
 * @key:	any bytes; NULL only if key_len is 0
 * @key_len:	bytes
 *
 * When what a value is built from changes: change that first, then call this.
 * A build() that is under way for the key isn't stopped, but what it returns
 * isn't kept, also if this returns -ENODATA.
 *
 * Returns 0, or
 *	-ENODATA	it wasn't there; or not any more, as far as is known
 *	-EINVAL		a pointer is NULL
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_forget(struct droppable_cache *cache, const void *key,
			   size_t key_len);

/**
 * droppable_cache_drop() - drop all values now
 * @cache:	the cache
 *
 * As if the kernel had (line 22): each is built again when it is asked for,
 * but for those without bytes, which take no droppable memory, and stay.  That
 * doesn't make a value out of date: what a build() that is under way returns is
 * kept.  For that there is droppable_cache_forget().
 *
 * Returns 0, or -EINVAL if cache is NULL, or as droppable_pool_drop().
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_drop(struct droppable_cache *cache);

/**
 * struct droppable_cache_stats - what became of a cache
 * @hits:	values that were there
 * @misses:	asked for and never there, or gone for so long that the index
 *		has forgotten them
 * @dropped:	values found to be gone; for whatever reason
 * @rebuilt:	values built because they were gone
 * @failed:	builds that returned an error
 * @unstored:	values that were built and not kept: they couldn't be, or their
 *		key was put or forgotten meanwhile
 * @waits:	times that a thread waited for another one to build
 * @entries:	values in the index, some of them gone by now
 * @index:	bytes of ordinary memory of the index
 * @capacity:	bytes of droppable memory that may be used
 * @used:	bytes in pages with values on them, as far as is known
 * @recycled:	pages dropped by the cache because it was full
 *
 * Each call of droppable_cache_get_or_build() is one of hits, misses, rebuilt,
 * unless it returned -ENOBUFS without building, -EDEADLK or -EINVAL.
 */
struct droppable_cache_stats {
	uint64_t hits;
	uint64_t misses;
	uint64_t dropped;
	uint64_t rebuilt;
	uint64_t failed;
	uint64_t unstored;
	uint64_t waits;
	uint64_t entries;
	uint64_t index;
	uint64_t capacity;
	uint64_t used;
	uint64_t recycled;
};

/**
 * droppable_cache_stats() - what became of a cache
 * @cache:	the cache
 * @stats:	out
 * @size:	sizeof(*stats), as for droppable_stats()
 *
 * Returns 0, or
 *	-EINVAL		cache or stats is NULL; size is 0, or no multiple of 8
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_cache_stats(struct droppable_cache *cache,
			  struct droppable_cache_stats *stats, size_t size);

/*
 * State of threads: a few bytes for each thread, such as the key of a random
 * number generator, in droppable memory, with detection of drops and of
 * fork(2), which look the same: in a child every state is gone.  That is what
 * the kernel's own getrandom() in the vDSO needs.  No system call, no lock.
 *
 * A state begins at a cache line and lies within one page.  It belongs to the
 * thread that asked for it, from its first droppable_state_mine() until it
 * ends; then its bytes are zeroed and another thread can have the place.
 */
struct droppable_states;
struct droppable_state;

/**
 * droppable_states_open() - a kind of state, for any number of threads
 * @ctx:	where the memory comes from; has to outlive this
 * @size:	bytes of each state; at most a page less 8
 * @flags:	0
 * @states:	out: end it with droppable_states_close()
 *
 * In a child every state is gone (line 28).  Takes one of the process's keys of
 * pthread_key_create(3).
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL; flags isn't 0; size is 0 or too large
 *	-EAGAIN		no key left
 *	-ENOMEM, or what else mmap(2), madvise(2) said
 *
 * Thread-safe.  Since: 0.2
 */
int droppable_states_open(struct droppable *ctx, size_t size,
			  unsigned int flags, struct droppable_states **states)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_states_close() - end all states of a kind
 * @states:	NULL does nothing
 *
 * No other call on them may be under way or follow, and no thread that has one
 * of them may just be ending.  Since: 0.2
 */
void droppable_states_close(struct droppable_states *states);

/**
 * droppable_state_mine() - the calling thread's state
 * @states:	of which kind
 * @state:	out: the same at each call by this thread; not for others
 *
 * Empty at first: droppable_state_begin() says -ENODATA.
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL
 *	-ENOMEM, or as droppable_map()
 *
 * Thread-safe.  Not in a signal handler, before the thread's first call has
 * returned, nor while the thread ends: a handler that interrupts destructors of
 * thread-specific data finds the state taken away.  Since: 0.2
 */
int droppable_state_mine(struct droppable_states *states,
			 struct droppable_state **state) DROPPABLE_MUST_CHECK;

/**
 * droppable_state_write() - set a state
 * @state:	the calling thread's
 * @buf:	as many bytes as droppable_states_open() was told
 *
 * May wait for memory (lines 24, 25).
 *
 * Returns 0, or
 *	-EINVAL		a pointer is NULL
 *	-EBUSY		this thread is between droppable_state_begin() and
 *			_end(), or in the middle of another call: so this is a
 *			signal handler, and has to do without
 *
 * For the state's own thread, also in a signal handler.  Since: 0.2
 */
int droppable_state_write(struct droppable_state *state, const void *buf)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_state_read() - copy a state out
 * @state:	the calling thread's
 * @buf:	out: as many bytes as droppable_states_open() was told; zeros
 *		if it turns out to be dropped on the way
 *
 * Whole or not at all (line 12).  What was a secret is ordinary memory now, that
 * can be swapped and dumped.  droppable_state_begin() avoids the copy.
 *
 * Returns 0, or
 *	-ENODATA	dropped, or this is a child, or nothing was written yet
 *	-EINVAL		a pointer is NULL
 *	-EBUSY		as droppable_state_write()
 *
 * For the state's own thread, also in a signal handler.  Since: 0.2
 */
int droppable_state_read(struct droppable_state *state, void *buf)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_state_begin() - use a state where it is
 * @state:	the calling thread's
 * @data:	out: its bytes, at a cache line, to read and to change
 *
 * WARNING.  They can turn to zero at any time before droppable_state_end() as
 * well (line 12).  What is computed from them is worth nothing before that has
 * returned 0: keep it to yourself, and don't use them as a length, an index or a
 * pointer without looking first at what it would do as zero.
 *
 * Returns 0, and then droppable_state_end() has to follow; or
 *	-ENODATA	dropped, or this is a child, or nothing was written yet
 *	-EINVAL		a pointer is NULL
 *	-EBUSY		as droppable_state_write()
 *
 * For the state's own thread, also in a signal handler.  Since: 0.2
 */
int droppable_state_begin(struct droppable_state *state, void **data)
	DROPPABLE_MUST_CHECK;

/**
 * droppable_state_end() - was it there all the time?
 * @state:	the calling thread's
 *
 * Returns 0, or
 *	-ENODATA	it was dropped meanwhile: throw away what was computed
 *			from it, and write it anew
 *	-EINVAL		state is NULL, or there was no droppable_state_begin()
 *
 * For the state's own thread, also in a signal handler.  Since: 0.2
 */
int droppable_state_end(struct droppable_state *state) DROPPABLE_MUST_CHECK;

/**
 * droppable_state_forget() - zero a state
 * @state:	the calling thread's
 *
 * Returns 0, or
 *	-EINVAL		state is NULL
 *	-EBUSY		as droppable_state_write()
 *
 * For the state's own thread, also in a signal handler.  Since: 0.2
 */
int droppable_state_forget(struct droppable_state *state);

#ifdef __cplusplus
}
#endif

#endif /* LIBDROPPABLE_H */
