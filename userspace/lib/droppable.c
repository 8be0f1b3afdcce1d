// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libdroppable, see droppable.h for the contract of every function.
 * Mappings don't refer to the handle they were made with.
 */
#include "internal.h"
#include "order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/droppable.h>

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
	 DROPPABLE_G_HELD_PAGES_STAY | DROPPABLE_G_DROPPABLE |      \
	 DROPPABLE_G_STATS | DROPPABLE_G_NOT_HIBERNATED |           \
	 DROPPABLE_G_NO_USERFAULTFD | DROPPABLE_G_CHARGED)

/*
 * Kept by every kernel that has MAP_DROPPABLE, with every setting.  Missing:
 *	NEVER_LOCKED	mlockall(MCL_FUTURE) locked it before d239462787b0
 *	FAULT_NO_OOM	a store without memory starts the OOM killer (7.3)
 *	DROPPABLE, DROP_BEFORE_OOM, DROP_IN_CGROUP
 *			not with the multi-gen LRU of 6.12, which never gets
 *			round to droppable pages; and a running kernel can be
 *			switched over to that LRU at any time
 *	NOT_HIBERNATED	it is in the image
 *	NO_USERFAULTFD	6.12 lets it be registered
 *	SCRUBBED	unless the kernel was started with init_on_free=1
 */
#define NATIVE_GUARANTEES                                          \
	(DROPPABLE_G_NEVER_SWAPPED | DROPPABLE_G_NOT_DUMPED |      \
	 DROPPABLE_G_WIPED_ON_FORK | DROPPABLE_G_WIPE_STICKS |     \
	 DROPPABLE_G_NO_MLOCK_CHARGE | DROPPABLE_G_NO_RESERVE |    \
	 DROPPABLE_G_NONFATAL_FAULT | DROPPABLE_G_FAULT_KILLABLE | \
	 DROPPABLE_G_HELD_PAGES_STAY | DROPPABLE_G_DROP_NOW |      \
	 DROPPABLE_G_CHARGED)

/* Ordinary memory, with MADV_DONTDUMP and MADV_WIPEONFORK. */
#define FALLBACK_GUARANTEES                                           \
	(DROPPABLE_G_NOT_DUMPED | DROPPABLE_G_WIPED_ON_FORK |         \
	 DROPPABLE_G_NO_MLOCK_CHARGE | DROPPABLE_G_HELD_PAGES_STAY |  \
	 DROPPABLE_G_DROP_NOW | DROPPABLE_G_CHARGED)

/*
 * Programs that turn into daemons close every descriptor they find, and the
 * next file opened gets the number.  Mapping that file in place of the device
 * would give memory that is neither private nor droppable.
 */
int droppable_check_fd(const struct droppable *ctx)
{
	struct stat st;

	if (fstat(ctx->fd, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_dev != ctx->dev || st.st_ino != ctx->ino)
		return -EBADF;
	return 0;
}

/* Stores the range's length in whole pages, as munmap(2) would round it. */
int droppable_check_range(const struct droppable *ctx, const void *addr,
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

/* Cut off it would be 0, and what is mapped there is no counter. */
typedef char counter_offset_fits[sizeof(off_t) == 8 ? 1 : -1];

/*
 * Without the counter page there is just no DROP_DETECT, which says so: a
 * program that needs it finds out, another isn't kept from its memory.
 */
static void map_counter(struct droppable *ctx)
{
	void *p = mmap(NULL, ctx->page_size, PROT_READ, MAP_SHARED, ctx->fd,
		       (off_t)DROPPABLE_COUNTER_OFFSET);

	if (p == MAP_FAILED)
		return;
	ctx->counter = p;
	ctx->guarantees |= DROPPABLE_G_DROP_DETECT;
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
	if (info.features & DROPPABLE_FEATURE_POLL)
		ctx->guarantees |= DROPPABLE_G_DROP_EVENT;
	if (info.features & DROPPABLE_FEATURE_SCRUB)
		ctx->guarantees |= DROPPABLE_G_SCRUBBED;
	if (info.features & DROPPABLE_FEATURE_PIN)
		ctx->guarantees |= DROPPABLE_G_PIN;
	ctx->page_size = info.page_size;
	ctx->fd = fd;
	ctx->dev = st.st_dev;
	ctx->ino = st.st_ino;
	if (info.features & DROPPABLE_FEATURE_COUNTER)
		map_counter(ctx);
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

/* What makes it better than malloc(), or there is no point in it. */
static int protect_fallback(void *p, size_t len)
{
	if (madvise(p, len, MADV_DONTDUMP) < 0 ||
	    madvise(p, len, MADV_WIPEONFORK) < 0)
		return -errno;
	return 0;
}

static int open_fallback(struct droppable *ctx)
{
	ctx->backend = DROPPABLE_BACKEND_FALLBACK;
	ctx->guarantees = FALLBACK_GUARANTEES;
	ctx->page_size = (size_t)sysconf(_SC_PAGESIZE);
	ctx->fd = -1;
	return 0;
}

static int open_best(struct droppable *ctx, unsigned int flags)
{
	int err;

	switch (flags) {
	case DROPPABLE_DEVICE_ONLY:
		return open_device(ctx);
	case DROPPABLE_NATIVE_ONLY:
		return open_native(ctx);
	case DROPPABLE_FALLBACK_ONLY:
		return open_fallback(ctx);
	case 0:
	case DROPPABLE_OR_FALLBACK:
		err = open_device(ctx);
		if (err == -ENODEV)
			err = open_native(ctx);
		if (err == -ENOTSUP && flags)
			err = open_fallback(ctx);
		return err;
	default:
		return -EINVAL;
	}
}

int droppable_open(struct droppable **ctx, unsigned int flags)
{
	struct droppable *new;
	int err;

	if (!ctx)
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	err = open_best(new, flags);
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
	if (ctx->fd >= 0 && !droppable_check_fd(ctx))
		close(ctx->fd);
	if (ctx->counter)
		munmap((void *)(uintptr_t)ctx->counter, ctx->page_size);
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
		err = droppable_check_fd(ctx);
		if (err)
			return err;
		flags = MAP_SHARED;
	} else if (ctx->backend == DROPPABLE_BACKEND_FALLBACK) {
		flags = MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE;
	}
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, ctx->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	if (ctx->backend == DROPPABLE_BACKEND_FALLBACK) {
		err = protect_fallback(p, len);
		if (err) {
			munmap(p, len);
			return err;
		}
	}
	*addr = p;
	return 0;
}

int droppable_unmap(struct droppable *ctx, void *addr, size_t len)
{
	int err;

	if (!ctx)
		return -EINVAL;
	err = droppable_check_range(ctx, addr, &len);
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
	int err = droppable_check_fd(ctx);

	if (err)
		return err;
	if (ioctl(ctx->fd, DROPPABLE_IOC_DROP, &arg) < 0)
		return -errno;
	if (dropped)
		*dropped = (size_t)arg.dropped * ctx->page_size;
	return arg.pinned ? -EBUSY : 0;
}

static int drop_native(const struct droppable *ctx, void *addr, size_t len,
		       size_t *dropped)
{
	int err;

	/*
	 * Not MADV_PAGEOUT: that drops as well, but leaves what it can't get
	 * at.  _LOCKED, because MCL_FUTURE locks it on some kernels.
	 */
	err = madvise(addr, len, MADV_DONTNEED_LOCKED);
	/* Before 5.18 there was no such thing, nor native memory. */
	if (err < 0 && errno == EINVAL &&
	    ctx->backend == DROPPABLE_BACKEND_FALLBACK)
		err = madvise(addr, len, MADV_DONTNEED);
	if (err < 0)
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
	err = droppable_check_range(ctx, addr, &len);
	if (err)
		return err;
	if (!(ctx->guarantees & DROPPABLE_G_DROP_NOW))
		return -ENOTSUP;
	if (ctx->backend == DROPPABLE_BACKEND_DEVICE)
		return drop_device(ctx, addr, len, dropped);
	return drop_native(ctx, addr, len, dropped);
}

enum droppable_backend droppable_backend(const struct droppable *ctx)
{
	return ctx ? ctx->backend : DROPPABLE_BACKEND_NONE;
}

uint64_t droppable_guarantees(const struct droppable *ctx)
{
	return ctx ? ctx->guarantees : 0;
}

int droppable_copy_stats(void *to, size_t size, const void *from, size_t known)
{
	uint64_t *word = to;
	size_t i;

	if (!to || !size || size % sizeof(*word))
		return -EINVAL;
	for (i = known / sizeof(*word); i < size / sizeof(*word); i++)
		word[i] = DROPPABLE_STAT_UNKNOWN;
	memcpy(to, from, size < known ? size : known);
	return 0;
}

/* "name:\tnumber" lines, of which fdinfo has more than ours. */
static void parse_stats(const struct droppable *ctx, const char *text,
			struct droppable_stats *st)
{
	const struct {
		const char *name;
		uint64_t *value;
	} fields[] = {
		{ "resident:", &st->resident }, { "faults:", &st->faults },
		{ "dropped:", &st->dropped },	{ "recycled:", &st->recycled },
		{ "waits:", &st->waits },	{ "pinned:", &st->pinned },
		{ "refaulted:", &st->refaulted },
		{ "locked:", &st->locked },
	};
	const char *line;
	size_t i, len;

	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
			len = strlen(fields[i].name);
			if (!strncmp(line, fields[i].name, len))
				*fields[i].value =
					strtoull(line + len, NULL, 10);
		}
	}
	if (st->resident != DROPPABLE_STAT_UNKNOWN)
		st->resident *= ctx->page_size;
	if (st->locked != DROPPABLE_STAT_UNKNOWN)
		st->locked *= ctx->page_size;
}

int droppable_stats(const struct droppable *ctx, struct droppable_stats *stats,
		    size_t size)
{
	struct droppable_stats st;
	char path[64], text[2048];
	ssize_t n;
	int fd, err;

	if (!ctx || !stats || !size || size % sizeof(uint64_t))
		return -EINVAL;
	if (!(ctx->guarantees & DROPPABLE_G_STATS))
		return -ENOTSUP;
	err = droppable_check_fd(ctx);
	if (err)
		return err;
	/* Of the thread: it needn't share its descriptors with the others. */
	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", ctx->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1); /* whole: it is a seq_file */
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	text[n] = '\0';
	memset(&st, 0xff, sizeof(st)); /* all unknown */
	parse_stats(ctx, text, &st);
	return droppable_copy_stats(stats, size, &st, sizeof(st));
}

int droppable_resident(const struct droppable *ctx, const void *addr,
		       size_t len, size_t *resident)
{
	unsigned char vec[1024];
	uintptr_t at = (uintptr_t)addr;
	size_t i, n, pages = 0;
	int err;

	if (!ctx || !resident)
		return -EINVAL;
	err = droppable_check_range(ctx, addr, &len);
	if (err)
		return err;
	for (len /= ctx->page_size; len; len -= n, at += n * ctx->page_size) {
		n = len < sizeof(vec) ? len : sizeof(vec);
		if (mincore((void *)at, n * ctx->page_size, vec) < 0)
			return -errno;
		for (i = 0; i < n; i++)
			pages += vec[i] & 1;
	}
	*resident = pages * ctx->page_size;
	return 0;
}

int droppable_drops(const struct droppable *ctx, uint64_t *drops)
{
	if (!ctx || !drops)
		return -EINVAL;
	if (!ctx->counter)
		return -ENOTSUP;
	/*
	 * The fence keeps the loads before the call in front of this one, the
	 * acquire those after the call behind it: so it works on either side
	 * of a copy.
	 */
	load_fence();
	*drops = __atomic_load_n(&ctx->counter->drops, __ATOMIC_ACQUIRE);
	return 0;
}

int droppable_event_fd(const struct droppable *ctx)
{
	int err;

	if (!ctx)
		return -EINVAL;
	if (!(ctx->guarantees & DROPPABLE_G_DROP_EVENT))
		return -ENOTSUP;
	err = droppable_check_fd(ctx);
	return err ? err : ctx->fd;
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
	case DROPPABLE_BACKEND_FALLBACK:
		return "fallback";
	}
	return NULL;
}

/* By bit number.  The texts follow "has" or "LACKS".  No pointers: read-only. */
static const struct {
	char name[18], text[54];
} guarantees[] = {
	{ "never-swapped", "never written to swap" },
	{ "not-dumped", "left out of core dumps" },
	{ "wiped-on-fork", "a child made by fork(2) reads zeros" },
	{ "wipe-sticks", "no madvise(2) can undo that a child reads zeros" },
	{ "no-mlock-charge", "needs no RLIMIT_MEMLOCK and no capability" },
	{ "never-locked", "mlock(2) and mlockall(2) can't keep it in memory" },
	{ "no-reserve", "nothing is reserved against overcommit limits" },
	{ "nonfatal-fault", "no signal for a load or store without memory" },
	{ "fault-no-oom", "a fault starts no OOM killer, page tables excepted" },
	{ "fault-killable", "signals work while a load or store waits" },
	{ "drop-before-oom", "dropped before the OOM killer is started" },
	{ "drop-in-cgroup", "the same at the limit of a cgroup" },
	{ "held-pages-stay", "pages held for I/O aren't dropped meanwhile" },
	{ "drop-now", "can be dropped at will" },
	{ "drop-count", "an explicit drop tells how much went" },
	{ "droppable", "the kernel takes it when it needs memory" },
	{ "drop-detect", "a plain load tells that something was dropped" },
	{ "drop-event", "poll(2) tells that something was dropped" },
	{ "stats", "counts of pages resident, dropped and waited for" },
	{ "not-hibernated", "not in a hibernation image" },
	{ "no-userfaultfd", "not to be had by userfaultfd(2)" },
	{ "scrubbed", "pages are zeroed when they are freed" },
	{ "charged", "charged to the cgroup of whoever touches it" },
	{ "pin", "a range can be kept from being dropped" },
};

#define NR_GUARANTEES (sizeof(guarantees) / sizeof(*guarantees))

/* The number of the only bit set in @bit, or one that no guarantee has. */
static size_t bit_number(uint64_t bit)
{
	size_t nr;

	for (nr = 0; nr < NR_GUARANTEES; nr++)
		if (bit == UINT64_C(1) << nr)
			break;
	return nr;
}

const char *droppable_guarantee_name(uint64_t bit)
{
	size_t nr = bit_number(bit);

	return nr < NR_GUARANTEES ? guarantees[nr].name : NULL;
}

const char *droppable_guarantee_text(uint64_t bit)
{
	size_t nr = bit_number(bit);

	return nr < NR_GUARANTEES ? guarantees[nr].text : NULL;
}

/* Appends at *len as far as there is room, and counts all of it. */
static void append(char *buf, size_t size, size_t *len, const char *a,
		   const char *b, const char *c)
{
	int n = snprintf(*len < size ? buf + *len : NULL,
			 *len < size ? size - *len : 0, "%s%s%s\n", a, b, c);

	*len += (size_t)n; /* of short constants: can't fail */
}

int droppable_describe(const struct droppable *ctx, char *buf, size_t size)
{
	size_t nr, len = 0;
	int has;

	if (!ctx || (!buf && size))
		return -EINVAL;
	if (ctx->backend == DROPPABLE_BACKEND_FALLBACK)
		append(buf, size, &len, "WARNING: this memory is NOT DROPPABLE",
		       ": a fallback for development machines", "");
	append(buf, size, &len, "backend: ",
	       droppable_backend_name(ctx->backend), "");
	for (nr = 0; nr < NR_GUARANTEES; nr++) {
		has = !!(ctx->guarantees & (UINT64_C(1) << nr));
		append(buf, size, &len, has ? "has    " : "LACKS  ",
		       guarantees[nr].text, "");
	}
	return (int)len;
}

const char *droppable_version(void)
{
	return DROPPABLE_VERSION;
}
