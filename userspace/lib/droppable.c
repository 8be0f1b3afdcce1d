// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libdroppable, see droppable.h for the contract of every function.
 *
 * struct droppable is owned by whoever called droppable_open() and dies in
 * droppable_close().  It is constant in between, which is all the locking
 * there is.  Mappings don't refer to it.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS, O_CLOEXEC, madvise() under -std=c99 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/droppable.h>

/* The rest is built with -fvisibility=hidden. */
#pragma GCC visibility push(default)
#include "droppable.h"
#pragma GCC visibility pop

/* Newer than the libc headers that this has to build with. */
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MADV_KEEPONFORK
#define MADV_KEEPONFORK 19
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* The kernel's own ENOTSUPP, which MAP_DROPPABLE leaked until 6.12. */
#define KERNEL_ENOTSUPP 524

/* Kept by the module on every kernel it loads on. */
#define DEVICE_GUARANTEES                                           \
	(DROPPABLE_G_NEVER_SWAPPED | DROPPABLE_G_NOT_DUMPED |       \
	 DROPPABLE_G_WIPED_ON_FORK | DROPPABLE_G_WIPE_STICKS |      \
	 DROPPABLE_G_NO_MLOCK_CHARGE | DROPPABLE_G_NEVER_LOCKED |   \
	 DROPPABLE_G_NO_RESERVE | DROPPABLE_G_NONFATAL_FAULT |      \
	 DROPPABLE_G_FAULT_NO_OOM | DROPPABLE_G_FAULT_KILLABLE |    \
	 DROPPABLE_G_DROP_BEFORE_OOM | DROPPABLE_G_DROP_IN_CGROUP | \
	 DROPPABLE_G_HELD_PAGES_STAY)

/*
 * Kept by every kernel that has MAP_DROPPABLE, with every setting.  Missing:
 *	NEVER_LOCKED	mlockall(MCL_FUTURE) locked it before d239462787b0
 *	FAULT_NO_OOM	a store without memory starts the OOM killer (7.3)
 *	DROP_BEFORE_OOM, DROP_IN_CGROUP
 *			not with the multi-gen LRU of 6.12, which never gets
 *			round to droppable pages; and a running kernel can be
 *			switched over to that LRU at any time
 */
#define NATIVE_GUARANTEES                                          \
	(DROPPABLE_G_NEVER_SWAPPED | DROPPABLE_G_NOT_DUMPED |      \
	 DROPPABLE_G_WIPED_ON_FORK | DROPPABLE_G_WIPE_STICKS |     \
	 DROPPABLE_G_NO_MLOCK_CHARGE | DROPPABLE_G_NO_RESERVE |    \
	 DROPPABLE_G_NONFATAL_FAULT | DROPPABLE_G_FAULT_KILLABLE | \
	 DROPPABLE_G_HELD_PAGES_STAY | DROPPABLE_G_DROP_NOW)

struct droppable {
	enum droppable_backend backend;
	uint64_t guarantees;
	size_t page_size;
	int fd; /* of the device, else -1 */
	dev_t dev; /* which file fd has to be, see check_fd() */
	ino_t ino;
};

/*
 * Programs that turn into daemons close every descriptor they find, and the
 * next file opened gets the number.  Mapping that file in place of the device
 * would give memory that is neither private nor droppable.
 */
static int check_fd(const struct droppable *ctx)
{
	struct stat st;

	if (fstat(ctx->fd, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_dev != ctx->dev || st.st_ino != ctx->ino)
		return -EBADF;
	return 0;
}

/* Stores the range's length in whole pages, as munmap(2) would round it. */
static int check_range(const struct droppable *ctx, const void *addr,
		       size_t *len)
{
	size_t mask = ctx->page_size - 1;
	uintptr_t start = (uintptr_t)addr;

	if (!addr || (start & mask) || !*len || *len > SIZE_MAX - mask)
		return -EINVAL;
	*len = (*len + mask) & ~mask;
	if (*len > UINTPTR_MAX - start)
		return -EINVAL;
	return 0;
}

static int open_device(struct droppable *ctx)
{
	struct droppable_info info = { 0 };
	struct stat st;
	int fd, err;

	fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		/* The last two: a node left behind, and no driver for it. */
		if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
			return -ENODEV;
		return -errno;
	}
	if (ioctl(fd, DROPPABLE_IOC_INFO, &info) < 0 || fstat(fd, &st) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	ctx->backend = DROPPABLE_BACKEND_DEVICE;
	ctx->guarantees = DEVICE_GUARANTEES;
	if (info.features & DROPPABLE_FEATURE_DROP)
		ctx->guarantees |= DROPPABLE_G_DROP_NOW |
				   DROPPABLE_G_DROP_COUNT;
	ctx->page_size = info.page_size;
	ctx->fd = fd;
	ctx->dev = st.st_dev;
	ctx->ino = st.st_ino;
	return 0;
}

static int open_native(struct droppable *ctx)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int refused;
	void *p;

	p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		 MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);
	if (p == MAP_FAILED) {
		/*
		 * 0x08 is a value of MAP_TYPE, not a flag, so a kernel that
		 * doesn't know it fails rather than ignores it: EINVAL.  One
		 * that does but has no room for VM_DROPPABLE (32 bit) says
		 * EOPNOTSUPP, or 524 before that was mended.
		 */
		if (errno == EINVAL || errno == EOPNOTSUPP ||
		    errno == KERNEL_ENOTSUPP || errno == ENOSYS)
			return -ENOTSUP;
		return -errno;
	}
	/*
	 * What emulates Linux may ignore mmap flags it doesn't know.  Only
	 * droppable memory refuses this.
	 */
	refused = madvise(p, page, MADV_KEEPONFORK) < 0 && errno == EINVAL;
	munmap(p, page);
	if (!refused)
		return -ENOTSUP;

	ctx->backend = DROPPABLE_BACKEND_NATIVE;
	ctx->guarantees = NATIVE_GUARANTEES;
	ctx->page_size = page;
	ctx->fd = -1;
	return 0;
}

int droppable_open(struct droppable **ctx, unsigned int flags)
{
	const unsigned int known = DROPPABLE_DEVICE_ONLY |
				   DROPPABLE_NATIVE_ONLY;
	struct droppable *new;
	int err = -ENODEV;

	if (!ctx || (flags & ~known) || flags == known)
		return -EINVAL;

	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;

	if (!(flags & DROPPABLE_NATIVE_ONLY))
		err = open_device(new);
	if (err == -ENODEV && !(flags & DROPPABLE_DEVICE_ONLY))
		err = open_native(new);
	if (err) {
		free(new);
		return err;
	}
	*ctx = new;
	return 0;
}

void droppable_close(struct droppable *ctx)
{
	if (!ctx)
		return;
	/* The number may be somebody else's by now. */
	if (ctx->fd >= 0 && !check_fd(ctx))
		close(ctx->fd);
	free(ctx);
}

int droppable_map(struct droppable *ctx, size_t len, void **addr)
{
	int flags = MAP_ANONYMOUS | MAP_DROPPABLE;
	int err;
	void *p;

	if (!ctx || !addr || !len)
		return -EINVAL;
	if (ctx->backend == DROPPABLE_BACKEND_DEVICE) {
		err = check_fd(ctx);
		if (err)
			return err;
		flags = MAP_SHARED;
	}
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, ctx->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*addr = p;
	return 0;
}

int droppable_unmap(struct droppable *ctx, void *addr, size_t len)
{
	int err;

	if (!ctx)
		return -EINVAL;
	err = check_range(ctx, addr, &len);
	if (err)
		return err;
	return munmap(addr, len) < 0 ? -errno : 0;
}

static int drop_device(const struct droppable *ctx, void *addr, size_t len,
		       size_t *dropped)
{
	struct droppable_drop arg = {
		.addr = (uintptr_t)addr,
		.len = len,
	};
	int err = check_fd(ctx);

	if (err)
		return err;
	if (ioctl(ctx->fd, DROPPABLE_IOC_DROP, &arg) < 0)
		return -errno;
	if (dropped)
		*dropped = (size_t)arg.dropped * ctx->page_size;
	return arg.pinned ? -EBUSY : 0;
}

static int drop_native(void *addr, size_t len, size_t *dropped)
{
	/*
	 * Not MADV_PAGEOUT: that drops as well, but leaves what it can't get
	 * at.  _LOCKED, because MCL_FUTURE locks it on some kernels.
	 */
	if (madvise(addr, len, MADV_DONTNEED_LOCKED) < 0)
		return -errno;
	if (dropped)
		*dropped = DROPPABLE_UNKNOWN;
	return 0;
}

int droppable_drop(struct droppable *ctx, void *addr, size_t len,
		   size_t *dropped)
{
	int err;

	if (!ctx)
		return -EINVAL;
	err = check_range(ctx, addr, &len);
	if (err)
		return err;
	if (!(ctx->guarantees & DROPPABLE_G_DROP_NOW))
		return -ENOTSUP;
	if (ctx->backend == DROPPABLE_BACKEND_DEVICE)
		return drop_device(ctx, addr, len, dropped);
	return drop_native(addr, len, dropped);
}

enum droppable_backend droppable_backend(const struct droppable *ctx)
{
	return ctx ? ctx->backend : DROPPABLE_BACKEND_NONE;
}

uint64_t droppable_guarantees(const struct droppable *ctx)
{
	return ctx ? ctx->guarantees : 0;
}

const char *droppable_backend_name(enum droppable_backend backend)
{
	switch (backend) {
	case DROPPABLE_BACKEND_NONE:
		return "none";
	case DROPPABLE_BACKEND_DEVICE:
		return "device";
	case DROPPABLE_BACKEND_NATIVE:
		return "native";
	}
	return NULL;
}

const char *droppable_guarantee_name(uint64_t bit)
{
	switch (bit) {
	case DROPPABLE_G_NEVER_SWAPPED:
		return "never-swapped";
	case DROPPABLE_G_NOT_DUMPED:
		return "not-dumped";
	case DROPPABLE_G_WIPED_ON_FORK:
		return "wiped-on-fork";
	case DROPPABLE_G_WIPE_STICKS:
		return "wipe-sticks";
	case DROPPABLE_G_NO_MLOCK_CHARGE:
		return "no-mlock-charge";
	case DROPPABLE_G_NEVER_LOCKED:
		return "never-locked";
	case DROPPABLE_G_NO_RESERVE:
		return "no-reserve";
	case DROPPABLE_G_NONFATAL_FAULT:
		return "nonfatal-fault";
	case DROPPABLE_G_FAULT_NO_OOM:
		return "fault-no-oom";
	case DROPPABLE_G_FAULT_KILLABLE:
		return "fault-killable";
	case DROPPABLE_G_DROP_BEFORE_OOM:
		return "drop-before-oom";
	case DROPPABLE_G_DROP_IN_CGROUP:
		return "drop-in-cgroup";
	case DROPPABLE_G_HELD_PAGES_STAY:
		return "held-pages-stay";
	case DROPPABLE_G_DROP_NOW:
		return "drop-now";
	case DROPPABLE_G_DROP_COUNT:
		return "drop-count";
	}
	return NULL;
}

const char *droppable_version(void)
{
	return DROPPABLE_VERSION;
}
