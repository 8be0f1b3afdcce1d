// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libdroppable against a device and a kernel that say what each test wants:
 * TAP on stdout.  Linked with --wrap for the calls below.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/droppable.h>

#include "droppable.h"

/* What the next calls answer: an errno, or 0 for success. */
static struct {
	int open, info, drop, native, keeponfork;
	const char *path; /* what stands for the device */
	unsigned long long features, dropped, pinned;
	struct droppable_drop seen;
	const char *fdinfo;
	int counter; /* mmap() of the counter page */
	int mmap_flags, madvise, madvise_err;
} fake;

/* Not at a page boundary, so that no munmap(2) can take it. */
static _Alignas(16) uint64_t counter_mem[2];
#define counter_page (counter_mem + 1)

static int test_nr, failed;

int __wrap_open(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
int __wrap_madvise(void *addr, size_t len, int advice);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_open(const char *path, int flags, ...);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);

/* This thread gets SIGUSR1 when it is about to give up a lock next. */
static _Thread_local int interrupted;

static int answer(int err)
{
	errno = err;
	return err ? -1 : 0;
}

static int pipe_of(const char *text)
{
	int fds[2];

	if (pipe(fds))
		return -1;
	if (write(fds[1], text, strlen(text)) < 0)
		return -1;
	close(fds[1]);
	return fds[0];
}

int __wrap_open(const char *path, int flags, ...)
{
	if (!strncmp(path, "/proc/thread-self/fdinfo/", 25)) {
		if (!fake.fdinfo)
			return answer(ENOENT);
		return pipe_of(fake.fdinfo);
	}
	if (strcmp(path, DROPPABLE_DEVICE))
		return __real_open(path, flags);
	return fake.open ? answer(fake.open) : __real_open(fake.path, flags);
}

int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	struct droppable_drop *drop;
	struct droppable_info *info;
	struct droppable_pin *pin;
	va_list ap;

	(void)fd;
	va_start(ap, cmd);
	if (cmd == DROPPABLE_IOC_INFO) {
		info = va_arg(ap, struct droppable_info *);
		va_end(ap);
		info->abi = DROPPABLE_ABI;
		info->features = fake.features;
		info->page_size = 4096;
		return answer(fake.info);
	}
	if (cmd == DROPPABLE_IOC_PIN || cmd == DROPPABLE_IOC_UNPIN) {
		pin = va_arg(ap, struct droppable_pin *);
		va_end(ap);
		if (cmd == DROPPABLE_IOC_PIN)
			pin->id = 1;
		return answer(0);
	}
	drop = va_arg(ap, struct droppable_drop *);
	va_end(ap);
	fake.seen = *drop;
	drop->dropped = fake.dropped;
	drop->pinned = fake.pinned;
	return answer(cmd == DROPPABLE_IOC_DROP ? fake.drop : ENOTTY);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	if (off == (off_t)DROPPABLE_COUNTER_OFFSET) {
		errno = fake.counter;
		return fake.counter ? MAP_FAILED : counter_page;
	}
	fake.mmap_flags = flags;
	if (fd < 0 && fake.native) {
		errno = fake.native;
		return MAP_FAILED;
	}
	return __real_mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   off);
}

int __wrap_madvise(void *addr, size_t len, int advice)
{
	(void)addr;
	(void)len;
	if (advice == 19)
		return answer(fake.keeponfork);
	if (fake.madvise_err && fake.madvise != advice) {
		fake.madvise = advice;
		return answer(fake.madvise_err);
	}
	fake.madvise = advice;
	return answer(0);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (interrupted) {
		interrupted = 0;
		raise(SIGUSR1);
	}
	return __real_pthread_mutex_unlock(mutex);
}

static void reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.path = "/dev/null";
	fake.features = DROPPABLE_FEATURE_DROP;
	fake.keeponfork = EINVAL;
}

static void is(long got, long want, const char *what)
{
	printf("%sok %d - %s", got == want ? "" : "not ", ++test_nr, what);
	if (got != want) {
		printf(" (got %ld, want %ld)", got, want);
		failed = 1;
	}
	printf("\n");
}

/* The backend that droppable_open() chose, or its error. */
static int choice(unsigned int flags)
{
	struct droppable *ctx;
	int err = droppable_open(&ctx, flags);

	if (err)
		return err;
	err = droppable_backend(ctx);
	droppable_close(ctx);
	return err;
}

static void test_device_errors(void)
{
	/* The first three mean that there is no device. */
	static const int errs[] = { ENOENT, ENODEV, ENXIO,  EACCES,
				    EPERM,  EMFILE, ENFILE, ENOMEM };
	char what[80];
	size_t i;

	for (i = 0; i < sizeof(errs) / sizeof(*errs); i++) {
		reset();
		fake.open = errs[i];
		snprintf(what, sizeof(what), "open() says %s: any",
			 strerror(errs[i]));
		is(choice(0), i < 3 ? DROPPABLE_BACKEND_NATIVE : -errs[i],
		   what);
		snprintf(what, sizeof(what), "open() says %s: device only",
			 strerror(errs[i]));
		is(choice(DROPPABLE_DEVICE_ONLY), i < 3 ? -ENODEV : -errs[i],
		   what);
	}
	reset();
	fake.info = ENOTTY;
	is(choice(0), -ENOTTY, "something else at the device's place: any");
	is(choice(DROPPABLE_DEVICE_ONLY), -ENOTTY,
	   "something else at the device's place: device only");
	is(choice(DROPPABLE_NATIVE_ONLY), DROPPABLE_BACKEND_NATIVE,
	   "something else at the device's place: native only");
	reset();
	is(choice(0), DROPPABLE_BACKEND_DEVICE, "a device: any");
	is(choice(DROPPABLE_NATIVE_ONLY), DROPPABLE_BACKEND_NATIVE,
	   "a device: native only");
}

static void test_native_errors(void)
{
	/* The first four mean that the kernel hasn't got it. */
	static const int errs[] = { EINVAL, EOPNOTSUPP, 524,
				    ENOSYS, EPERM,	ENOMEM };
	char what[80];
	size_t i;

	for (i = 0; i < sizeof(errs) / sizeof(*errs); i++) {
		reset();
		fake.open = ENOENT;
		fake.native = errs[i];
		snprintf(what, sizeof(what), "mmap() says %d: any", errs[i]);
		is(choice(0), i < 4 ? -ENOTSUP : -errs[i], what);
		snprintf(what, sizeof(what), "mmap() says %d: native only",
			 errs[i]);
		is(choice(DROPPABLE_NATIVE_ONLY),
		   i < 4 ? -ENOTSUP : -errs[i], what);
	}
	reset();
	fake.open = ENOENT;
	fake.keeponfork = 0;
	is(choice(0), -ENOTSUP, "mmap() ignores the flag: ordinary memory");
	is(choice(DROPPABLE_OR_FALLBACK), DROPPABLE_BACKEND_FALLBACK,
	   "nothing there: the fallback, for who asks for it");
	reset();
	fake.open = EACCES;
	is(choice(DROPPABLE_OR_FALLBACK), -EACCES,
	   "a device that can't be opened: no fallback either");
	reset();
	fake.open = ENOENT;
	fake.native = EPERM;
	is(choice(DROPPABLE_OR_FALLBACK), -EPERM,
	   "a sandbox that refuses native: no fallback either");
}

static void test_device(void)
{
	struct droppable *ctx;
	size_t n = 77;
	void *p;

	reset();
	is(droppable_open(&ctx, 0), 0, "device: open");
	is((long)(droppable_guarantees(ctx) & DROPPABLE_G_DROP_COUNT),
	   (long)DROPPABLE_G_DROP_COUNT, "device: counts");
	is(droppable_map(ctx, 8192, &p), 0, "device: map");
	is(fake.mmap_flags, MAP_SHARED, "device: mapped shared");
	fake.dropped = 2;
	is(droppable_drop(ctx, p, 4097, &n), 0, "device: drop");
	is((long)n, 8192, "device: the amount is in bytes");
	is((long)fake.seen.len, 8192, "device: length in whole pages");
	is((long)(fake.seen.addr - (__u64)(unsigned long)p), 0,
	   "device: address");
	fake.dropped = 1;
	fake.pinned = 1;
	is(droppable_drop(ctx, p, 8192, &n), -EBUSY, "device: a held page");
	is((long)n, 4096, "device: what went beside a held page");
	n = 77;
	fake.drop = ENOMEM;
	is(droppable_drop(ctx, p, 8192, &n), -ENOMEM, "device: another's");
	is((long)n, 77, "device: failure stores nothing");
	is(droppable_unmap(ctx, p, 8192), 0, "device: unmap");
	droppable_close(ctx);

	reset();
	fake.features = 0;
	is(droppable_open(&ctx, 0), 0, "device without drop: open");
	is((long)(droppable_guarantees(ctx) &
		  (DROPPABLE_G_DROP_NOW | DROPPABLE_G_DROP_COUNT)),
	   0, "device without drop: says so");
	is(droppable_map(ctx, 4096, &p), 0, "device without drop: map");
	is(droppable_drop(ctx, p, 4096, NULL), -ENOTSUP,
	   "device without drop: drop");
	is(droppable_unmap(ctx, p, 4096), 0, "device without drop: unmap");
	droppable_close(ctx);
}

static void test_native(void)
{
	struct droppable *ctx;
	void *p;

	reset();
	is(droppable_open(&ctx, DROPPABLE_NATIVE_ONLY), 0, "native: open");
	is((long)(droppable_guarantees(ctx) &
		  (DROPPABLE_G_DROP_BEFORE_OOM | DROPPABLE_G_DROP_IN_CGROUP |
		   DROPPABLE_G_FAULT_NO_OOM | DROPPABLE_G_NEVER_LOCKED |
		   DROPPABLE_G_DROP_COUNT)),
	   0, "native: promises less than the device");
	is(droppable_map(ctx, 4096, &p), 0, "native: map");
	is(fake.mmap_flags, MAP_ANONYMOUS | 0x08, "native: mapped droppable");
	is(droppable_drop(ctx, p, 4096, NULL), 0, "native: drop");
	is(fake.madvise, 24, "native: drops by MADV_DONTNEED_LOCKED");
	is(droppable_unmap(ctx, p, 4096), 0, "native: unmap");
	droppable_close(ctx);
}

static void test_counter(void)
{
	struct droppable *ctx;
	uint64_t n = 77;

	reset();
	fake.features |= DROPPABLE_FEATURE_COUNTER | DROPPABLE_FEATURE_POLL |
			 DROPPABLE_FEATURE_SCRUB;
	is(droppable_open(&ctx, 0), 0, "counter: open");
	is(!(~droppable_guarantees(ctx) &
	     (DROPPABLE_G_DROP_DETECT | DROPPABLE_G_DROP_EVENT |
	      DROPPABLE_G_SCRUBBED)), 1, "counter: the module's features");
	counter_page[0] = 5;
	is(droppable_drops(ctx, &n), 0, "counter: read");
	is((long)n, 5, "counter: the value");
	is(droppable_event_fd(ctx) >= 0, 1, "counter: a descriptor to poll");
	droppable_close(ctx);

	fake.counter = ENOMEM;
	n = 77;
	is(droppable_open(&ctx, 0), 0, "counter refused: open");
	is((long)(droppable_guarantees(ctx) & DROPPABLE_G_DROP_DETECT), 0,
	   "counter refused: says so");
	is(droppable_drops(ctx, &n), -ENOTSUP, "counter refused: read");
	is((long)n, 77, "counter refused: stores nothing");
	droppable_close(ctx);

	reset();
	is(droppable_open(&ctx, 0), 0, "an older module: open");
	is((long)(droppable_guarantees(ctx) &
		  (DROPPABLE_G_DROP_DETECT | DROPPABLE_G_DROP_EVENT |
		   DROPPABLE_G_SCRUBBED)), 0, "an older module: says so");
	is(droppable_event_fd(ctx), -ENOTSUP, "an older module: no event");
	droppable_close(ctx);
}

static void test_stats(void)
{
	struct droppable_stats st;
	struct droppable *ctx;

	reset();
	is(droppable_open(&ctx, 0), 0, "stats: open");
	is(droppable_stats(ctx, &st, sizeof(st)), -ENOENT, "stats: no /proc");
	fake.fdinfo = "pos:\t0\nflags:\t02\nresident:\t3\nfaults:\t7\n"
		      "dropped:\t4\nrecycled:\t1\nwaits:\t2\n";
	is(droppable_stats(ctx, &st, sizeof(st)), 0, "stats: read");
	is((long)st.resident, 3 * 4096, "stats: resident, in bytes");
	is((long)st.faults, 7, "stats: faults");
	is((long)st.dropped, 4, "stats: dropped");
	is((long)st.recycled, 1, "stats: recycled");
	is((long)st.waits, 2, "stats: waits");
	is(st.pinned == DROPPABLE_STAT_UNKNOWN, 1, "stats: a missing line");
	st.faults = 99;
	is(droppable_stats(ctx, &st, 8), 0, "stats: for an older program");
	is((long)st.faults, 99, "stats: writes no more than asked for");
	droppable_close(ctx);
}

static void test_fallback(void)
{
	struct droppable *ctx;
	void *p = NULL;

	reset();
	is(droppable_open(&ctx, DROPPABLE_FALLBACK_ONLY), 0, "fallback: open");
	fake.madvise_err = EINVAL;
	is(droppable_map(ctx, 4096, &p), -EINVAL,
	   "fallback: no memory that isn't protected");
	is(p == NULL, 1, "fallback: stores nothing then");
	fake.madvise_err = 0;
	is(droppable_map(ctx, 4096, &p), 0, "fallback: map");
	fake.madvise_err = EINVAL; /* to the first one only */
	is(droppable_drop(ctx, p, 4096, NULL), -EINVAL,
	   "fallback: drop fails as madvise() does");
	is(fake.madvise, MADV_DONTNEED, "fallback: the advice of 5.10");
	is(droppable_unmap(ctx, p, 4096), 0, "fallback: unmap");
	droppable_close(ctx);
}

/* A device whose pin finds all pages, of which one was filled after a drop. */
static void test_pin_parts(void)
{
	struct droppable_pool_pin pin;
	struct iovec part[3], was[3];
	struct droppable_pool *p;
	struct droppable_ref ref;
	struct droppable *ctx;
	char data[12000] = "";
	size_t nr = 3;

	reset();
	fake.features |= DROPPABLE_FEATURE_PIN;
	is(droppable_open(&ctx, 0), 0, "pin: open");
	is(droppable_pool_open(ctx, 16 * 4096, 0, &p), 0, "pin: a pool");
	is(droppable_pool_put(p, data, sizeof(data), &ref), 0, "pin: put");
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), 0, "pin: pin");
	is((long)nr, 3, "pin: three pages");
	is(droppable_pool_unpin(p, &pin), 0, "pin: unpin");
	memset((char *)part[2].iov_base - 8, 0, 8); /* its generation */
	memset(part, 'p', sizeof(part));
	memcpy(was, part, sizeof(part));
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), -ENODATA,
	   "pin: the third is gone");
	is(memcmp(part, was, sizeof(part)), 0, "pin: failure stores nothing");
	droppable_pool_close(p);
	droppable_close(ctx);
}

static struct droppable_states *states;
static int handler_said;

static void on_signal(int sig)
{
	struct droppable_state *mine;

	(void)sig;
	handler_said = droppable_state_mine(states, &mine);
}

/* Ends with a signal, while the library has its lock to take the state back. */
static void *ender(void *unused)
{
	struct droppable_state *mine;

	if (droppable_state_mine(states, &mine))
		abort();
	interrupted = 1;
	return unused;
}

static void test_thread_end(void)
{
	struct droppable *ctx;
	pthread_t th;

	reset();
	handler_said = 77;
	is(droppable_open(&ctx, DROPPABLE_FALLBACK_ONLY), 0, "end: open");
	is(droppable_states_open(ctx, 8, 0, &states), 0, "end: states");
	signal(SIGUSR1, on_signal);
	alarm(60); /* rather than for ever */
	if (pthread_create(&th, NULL, ender, NULL))
		abort();
	pthread_join(th, NULL);
	alarm(0);
	signal(SIGUSR1, SIG_DFL);
	is(handler_said, 0, "end: a signal doesn't find the lock taken");
	droppable_states_close(states);
	droppable_close(ctx);
}

int main(void)
{
	test_device_errors();
	test_native_errors();
	test_device();
	test_native();
	test_counter();
	test_stats();
	test_fallback();
	test_pin_parts();
	test_thread_end();
	printf("1..%d\n", test_nr);
	return failed;
}
