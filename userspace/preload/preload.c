// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libdroppable-preload.so: mmap() with MAP_DROPPABLE, served from
 * /dev/droppable.
 *
 * MAP_DROPPABLE is a value of MAP_TYPE.  What native refuses, every kernel
 * refuses in the same order and with the same errno, so only what native
 * accepts is served here and everything else goes on to the next mmap():
 * nothing of the table of errors has to be written down a second time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "area.h"
#include "device.h"

#if __SIZEOF_POINTER__ < 8
#error "MAP_DROPPABLE is for 64 bit programs, natively and here"
#endif

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MAP_TYPE
#define MAP_TYPE 0x0f
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define EXPORT __attribute__((visibility("default")))
#define unlikely(x) __builtin_expect(!!(x), 0)
/* Out of line, so that what passes through is a test and a jump. */
#define SLOW static __attribute__((noinline, cold))

typedef void *mmap_fn(void *, size_t, int, int, int, off_t);
typedef int munmap_fn(void *, size_t);
typedef int madvise_fn(void *, size_t, int);
typedef void *mremap_fn(void *, size_t, size_t, int, ...);

/* --- what is called before the next library's functions are known ---------- */

static void *call_mmap(void *addr, size_t len, int prot, int flags, int fd,
		       off_t off)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

static int call_munmap(void *addr, size_t len)
{
	return (int)syscall(SYS_munmap, addr, len);
}

static int call_madvise(void *addr, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, addr, len, advice);
}

static void *call_mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
	va_list args;
	void *addr;

	va_start(args, flags);
	addr = va_arg(args, void *);
	va_end(args);
	return (void *)syscall(SYS_mremap, old, old_len, len, flags, addr);
}

static _Atomic(mmap_fn *) next_mmap = call_mmap;
static _Atomic(munmap_fn *) next_munmap = call_munmap;
static _Atomic(madvise_fn *) next_madvise = call_madvise;
static _Atomic(mremap_fn *) next_mremap = call_mremap;

#define NEXT(name) atomic_load_explicit(&next_##name, memory_order_relaxed)

#define FIND(name) \
	do { \
		name##_fn *found_ = (name##_fn *)dlsym(RTLD_NEXT, #name); \
		if (found_) \
			atomic_store(&next_##name, found_); \
	} while (0)

/* dlsym() may call malloc(), and that us: then the system call has to do. */
static void __attribute__((constructor)) start(void)
{
	FIND(mmap);
	FIND(munmap);
	FIND(madvise);
	FIND(mremap);
	device_start();
}

/* --- mmap, mmap64 --------------------------------------------------------- */

/* What native accepts beside MAP_DROPPABLE, it ignores or the device knows. */
static bool native_accepts(int flags, off_t off)
{
	const int refused = MAP_LOCKED | MAP_HUGETLB | MAP_GROWSDOWN;

	return (flags & MAP_ANONYMOUS) && !(flags & refused) &&
	       !(off & (getpagesize() - 1));
}

/* The length in whole pages; 0 if it is none. */
static size_t whole_pages(size_t len)
{
	size_t mask = (size_t)getpagesize() - 1;

	return (len + mask) & ~mask;
}

/*
 * Whatever was there is there no more if this succeeds: by MAP_FIXED, or because
 * somebody has unmapped it by the system call, which nobody sees.
 */
SLOW void *map_over(void *addr, size_t len, int prot, int flags, int fd,
		    off_t off)
{
	void *p = NEXT(mmap)(addr, len, prot, flags, fd, off);

	if (p != MAP_FAILED)
		area_remove((uintptr_t)p, (uintptr_t)p + whole_pages(len));
	return p;
}

SLOW void *serve(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	const int kept = flags & ~(MAP_TYPE | MAP_ANONYMOUS);
	uintptr_t start;
	void *p;

	if (!native_accepts(flags, off) ||
	    !device_map(addr, len, prot, kept | MAP_SHARED, &p))
		return map_over(addr, len, prot, flags, fd, off);
	if (p == MAP_FAILED)
		return p;
	start = (uintptr_t)p;
	if (!area_add(start, start + whole_pages(len))) {
		area_remove(start, start + whole_pages(len));
		call_munmap(p, len);
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return p;
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	if (unlikely((flags & MAP_TYPE) == MAP_DROPPABLE))
		return serve(addr, len, prot, flags, fd, off);
	if (unlikely(area_any()))
		return map_over(addr, len, prot, flags, fd, off);
	return NEXT(mmap)(addr, len, prot, flags, fd, off);
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t off) __attribute__((alias("mmap")));

/* --- munmap, mremap: only to know what is mapped where -------------------- */

struct stretch {
	uintptr_t start, end;
};

/* What is ours of one munmap(): more make it several, so that none is lost. */
#define STRETCHES 16

/* Those from @at to @end, or to what it returns if there are too many. */
static uintptr_t find_ours(uintptr_t at, uintptr_t end, struct stretch *ours,
			   size_t *nr)
{
	for (*nr = 0; at < end && *nr < STRETCHES;) {
		bool is_ours;
		uintptr_t next = area_run(at, end, &is_ours);

		if (is_ours)
			ours[(*nr)++] = (struct stretch){ at, next };
		at = next;
	}
	return at;
}

/*
 * Forgets it before the call: once that is done, another thread may get the same
 * addresses.  A call that fails has unmapped nothing.
 */
static int forget_and_unmap(uintptr_t start, uintptr_t end,
			    const struct stretch *ours, size_t nr)
{
	int err;

	for (size_t i = 0; i < nr; i++)
		area_remove(ours[i].start, ours[i].end);
	err = NEXT(munmap)((void *)start, end - start);
	for (size_t i = 0; err && i < nr; i++)
		area_add(ours[i].start, ours[i].end);
	return err;
}

SLOW int unmap(void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr, end = start + whole_pages(len);
	int err = 0;

	if ((start & (getpagesize() - 1)) || end <= start)
		return NEXT(munmap)(addr, len);
	while (!err && start < end) {
		struct stretch ours[STRETCHES];
		size_t nr;
		uintptr_t next = find_ours(start, end, ours, &nr);

		err = forget_and_unmap(start, next, ours, nr);
		start = next;
	}
	return err;
}

EXPORT int munmap(void *addr, size_t len)
{
	if (unlikely(area_any()))
		return unmap(addr, len);
	return NEXT(munmap)(addr, len);
}

SLOW void *move(void *old, size_t old_len, size_t len, int flags, void *addr)
{
	uintptr_t start = (uintptr_t)old, end = start + whole_pages(old_len);
	bool ours = area_covers(start, end);
	void *p;

	if (ours)
		area_remove(start, end);
	p = NEXT(mremap)(old, old_len, len, flags, addr);
	if (p == MAP_FAILED) {
		if (ours)
			area_add(start, end);
		return p;
	}
	/* What stays where it was stays what it was. */
	if (p != old)
		end = (uintptr_t)p;
	start = (uintptr_t)p;
	if (ours)
		area_add(start, start + whole_pages(len));
	else if (end < start + whole_pages(len))
		area_remove(end, start + whole_pages(len));
	return p;
}

EXPORT void *mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
	void *addr = NULL;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list args;

		va_start(args, flags);
		addr = va_arg(args, void *);
		va_end(args);
	}
	if (unlikely(area_any()))
		return move(old, old_len, len, flags, addr);
	return NEXT(mremap)(old, old_len, len, flags, addr);
}

/* --- madvise -------------------------------------------------------------- */

static int fail(int err)
{
	errno = err;
	return -1;
}

/* All of the range is the device's, as far as we know. */
static int advise_ours(void *addr, size_t len, int advice)
{
	int err;

	switch (advice) {
	case MADV_PAGEOUT:
		err = device_drop(addr, len);
		if (!err)
			return 0;
		/*
		 * ENOMEM: unmapped behind our back.  Else a sandbox is in the
		 * way of ioctl(), or the descriptor is gone.  DONTNEED drops
		 * as well, also what somebody holds.
		 */
		return NEXT(madvise)(addr, len,
				     err == ENOMEM ? advice : MADV_DONTNEED);
	case MADV_FREE: /* which every page of it is anyway */
	case MADV_WIPEONFORK:
		return 0;
	case MADV_KEEPONFORK:
	case MADV_REMOVE:
		return fail(EINVAL);
	default:
		return NEXT(madvise)(addr, len, advice);
	}
}

/* On over holes, as in the kernel: they make it ENOMEM at the end. */
SLOW int advise(void *addr, size_t len, int advice)
{
	uintptr_t at = (uintptr_t)addr, end = at + whole_pages(len);
	int result = 0;

	if ((at & (getpagesize() - 1)) || end <= at)
		return NEXT(madvise)(addr, len, advice);
	while (at < end) {
		bool ours;
		uintptr_t next = area_run(at, end, &ours);
		int err;

		if (ours)
			err = advise_ours((void *)at, next - at, advice);
		else
			err = NEXT(madvise)((void *)at, next - at, advice);
		if (err && errno != ENOMEM)
			return err;
		result |= err;
		at = next;
	}
	return result ? fail(ENOMEM) : 0;
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	if (unlikely(area_any()))
		return advise(addr, len, advice);
	return NEXT(madvise)(addr, len, advice);
}
