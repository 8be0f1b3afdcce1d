// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What libdroppable does that needs no module: TAP on stdout.  Where the
 * kernel has MAP_DROPPABLE that backend is tested too; where there is a device
 * (in a VM), so is that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "points.h"

#define ALL_BITS ((DROPPABLE_G_PIN << 1) - 1)

/* What mmap(2) says to it; valgrind says something else. */
#ifdef QUIET
#define TOO_MUCH -EINVAL
#else
#define TOO_MUCH -ENOMEM
#endif

int test_nr, failed;
size_t page;

void ok(int good, const char *what, int got)
{
	printf("%sok %d - %s", good ? "" : "not ", ++test_nr, what);
	if (!good) {
		printf(" (got %d)", got);
		failed = 1;
	}
	printf("\n");
	fflush(stdout);
}

void is(int got, int want, const char *what)
{
	ok(got == want, what, got);
}

void skip(const char *what, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++test_nr, what, why);
}

static int all_zero(const char *p, size_t len)
{
	while (len--)
		if (*p++)
			return 0;
	return 1;
}

size_t stress(void)
{
	const char *more = getenv("STRESS");

	return more ? strtoul(more, NULL, 10) : 1;
}

static void test_bad_open(void)
{
	struct droppable *ctx = (struct droppable *)&page;
	unsigned int i, j;
	int bad = 0;

	is(droppable_open(NULL, 0), -EINVAL, "open: no place for the handle");
	for (i = 0; i < 4; i++)
		for (j = 0; j < i; j++)
			bad += droppable_open(&ctx, 1u << i | 1u << j) !=
			       -EINVAL;
	is(bad, 0, "open: each two flags");
	for (i = 4; i < 32; i++)
		bad += droppable_open(&ctx, 1u << i) != -EINVAL;
	is(bad, 0, "open: each unknown flag");
	ok(ctx == (struct droppable *)&page, "open: failure stores nothing", 0);
}

static void test_null(void)
{
	struct droppable_stats st;
	void *p = &page;
	uint64_t drops;
	char text[8];
	size_t n;

	is(droppable_map(NULL, page, &p), -EINVAL, "map: no handle");
	ok(p == &page, "map: failure stores nothing", 0);
	is(droppable_unmap(NULL, p, page), -EINVAL, "unmap: no handle");
	is(droppable_drop(NULL, p, page, NULL), -EINVAL, "drop: no handle");
	is(droppable_backend(NULL), DROPPABLE_BACKEND_NONE,
	   "backend: no handle");
	ok(droppable_guarantees(NULL) == 0, "guarantees: no handle", 1);
	is(droppable_stats(NULL, &st, sizeof(st)), -EINVAL,
	   "stats: no handle");
	is(droppable_resident(NULL, p, page, &n), -EINVAL,
	   "resident: no handle");
	is(droppable_drops(NULL, &drops), -EINVAL, "drops: no handle");
	is(droppable_event_fd(NULL), -EINVAL, "event_fd: no handle");
	is(droppable_describe(NULL, text, sizeof(text)), -EINVAL,
	   "describe: no handle");
	droppable_close(NULL);
	ok(1, "close: no handle", 0);
}

static void test_names(void)
{
	int i, j, bad = 0, same = 0;

	for (i = 0; i < 64; i++) {
		const char *a = droppable_guarantee_name(UINT64_C(1) << i);

		bad += !a != !(ALL_BITS & (UINT64_C(1) << i));
		for (j = 0; a && j < i; j++)
			same += !strcmp(a, droppable_guarantee_name(
						   UINT64_C(1) << j));
	}
	is(bad, 0, "guarantee_name: one for each bit that exists");
	is(same, 0, "guarantee_name: all different");
	ok(!droppable_guarantee_name(0), "guarantee_name: no bit", 0);
	ok(!droppable_guarantee_name(3), "guarantee_name: two bits", 0);
	for (i = 0; i < 64; i++)
		bad += !droppable_guarantee_text(UINT64_C(1) << i) !=
		       !droppable_guarantee_name(UINT64_C(1) << i);
	is(bad, 0, "guarantee_text: one for each name");
	ok(!droppable_guarantee_text(0), "guarantee_text: no bit", 0);
	ok(!droppable_guarantee_text(3), "guarantee_text: two bits", 0);
	ok(!strcmp(droppable_backend_name(DROPPABLE_BACKEND_DEVICE), "device") &&
		   !strcmp(droppable_backend_name(DROPPABLE_BACKEND_NATIVE),
			   "native") &&
		   !strcmp(droppable_backend_name(DROPPABLE_BACKEND_NONE),
			   "none") &&
		   !strcmp(droppable_backend_name(DROPPABLE_BACKEND_FALLBACK),
			   "fallback"),
	   "backend_name", 0);
	ok(!droppable_backend_name((enum droppable_backend)99),
	   "backend_name: unknown", 0);
	ok(!strcmp(droppable_version(), DROPPABLE_VERSION),
	   "version is dkms.conf's", 0);
}

/* What each way of opening says must fit together. */
static void test_choice(int device, int native)
{
	struct droppable *ctx;
	int err = droppable_open(&ctx, 0), want;

	ok(!device || device == -ENODEV || device == -EACCES,
	   "open: device only", device);
	ok(!native || native == -ENOTSUP, "open: native only", native);
	if (device != -ENODEV)
		is(err, device, "open: a device that is there decides");
	else
		is(err, native, "open: without a device as native");
	if (!err) {
		is(droppable_backend(ctx),
		   device ? DROPPABLE_BACKEND_NATIVE : DROPPABLE_BACKEND_DEVICE,
		   "open: the device comes first");
		droppable_close(ctx);
	} else {
		skip("open: the device comes first", "there is neither");
	}
	/* Only where 0 says ENOTSUP may it be the fallback. */
	want = err == -ENOTSUP ? (int)DROPPABLE_BACKEND_FALLBACK : err;
	if (!err)
		want = device ? DROPPABLE_BACKEND_NATIVE :
				DROPPABLE_BACKEND_DEVICE;
	err = droppable_open(&ctx, DROPPABLE_OR_FALLBACK);
	is(err ? err : (int)droppable_backend(ctx), want,
	   "open: the fallback comes last");
	if (!err)
		droppable_close(ctx);
}

static void test_bad_ranges(struct droppable *ctx, char *p)
{
	size_t n = 77;
	void *q = p;

	is(droppable_map(ctx, page, NULL), -EINVAL, "map: no place for addr");
	is(droppable_map(ctx, 0, &q), -EINVAL, "map: length 0");
	is(droppable_map(ctx, SIZE_MAX, &q), TOO_MUCH, "map: length SIZE_MAX");
	is(droppable_map(ctx, SIZE_MAX / 2, &q), TOO_MUCH,
	   "map: more than there are addresses");
	ok(q == p, "map: failure stores nothing", 0);

	is(droppable_unmap(ctx, NULL, page), -EINVAL, "unmap: NULL");
	is(droppable_unmap(ctx, p + 1, page), -EINVAL, "unmap: odd address");
	is(droppable_unmap(ctx, p, 0), -EINVAL, "unmap: length 0");
	is(droppable_unmap(ctx, p, SIZE_MAX), -EINVAL,
	   "unmap: length SIZE_MAX");
	is(droppable_unmap(ctx, p, SIZE_MAX - 2 * page), -EINVAL,
	   "unmap: beyond the address space");

	is(droppable_drop(ctx, NULL, page, &n), -EINVAL, "drop: NULL");
	is(droppable_drop(ctx, p + 1, page, &n), -EINVAL, "drop: odd address");
	is(droppable_drop(ctx, p, 0, &n), -EINVAL, "drop: length 0");
	is(droppable_drop(ctx, p, SIZE_MAX, &n), -EINVAL,
	   "drop: length SIZE_MAX");
	ok(n == 77, "drop: failure stores nothing", (int)n);
}

static void test_use(struct droppable *ctx)
{
	int counts = !!(droppable_guarantees(ctx) & DROPPABLE_G_DROP_COUNT);
	size_t n, len = 16 * page;
	char *p, *other;
	void *q;
	pid_t pid;
	int st;

	is(droppable_map(ctx, len - 5, &q), 0, "map");
	p = q;
	ok(((uintptr_t)p & (page - 1)) == 0, "map: at a page boundary", 0);
	ok(all_zero(p, len), "map: reads zero, rounded up to a page", 0);
	is(droppable_map(ctx, len, &q), 0, "map: a second one");
	other = q;
	memset(p, 'x', len);
	ok(all_zero(other, len), "map: shares nothing with the first", 0);

	test_bad_ranges(ctx, p);
	ok(p[0] == 'x' && p[len - 1] == 'x', "bad ranges change nothing", 0);

	is(droppable_drop(ctx, p, 4 * page - 5, &n), 0, "drop");
	ok(all_zero(p, 4 * page), "drop: the range reads zero", 0);
	ok(p[4 * page] == 'x', "drop: what is behind it stays", 0);
	/* Somebody else may need memory just now: then it is less. */
	if (counts)
		ok(n <= 4 * page && n % page == 0, "drop: the amount", (int)n);
	else
		ok(n == DROPPABLE_UNKNOWN, "drop: the amount is unknown",
		   (int)n);
	is(droppable_drop(ctx, p, page, NULL), 0, "drop: nobody counts");
	p[0] = 'y';
	ok(p[0] == 'y', "drop: can be written again", 0);

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		/* The handle works in the child as well. */
		if (!all_zero(p, len) || droppable_map(ctx, page, &q))
			_exit(1);
		*(char *)q = 1;
		memset(p, 'c', len);
		_exit(droppable_unmap(ctx, q, page) != 0);
	}
	waitpid(pid, &st, 0);
	is(st, 0, "fork: the child reads zeros and can map");
	ok(p[0] == 'y' && p[len - 1] == 'x', "fork: the parent's stays", 0);

	is(droppable_unmap(ctx, p + page, page), 0, "unmap: a piece");
	is(droppable_resident(ctx, p + page, page, &n), -ENOMEM,
	   "unmap: it is gone");
	is(droppable_unmap(ctx, p, len), 0, "unmap: the rest");
	is(droppable_unmap(ctx, other, len), 0, "unmap: the second one");
}

static void test_pin(struct droppable *ctx)
{
	unsigned char vec[8];
	uint64_t pin = 0, first;
	size_t n = 99, len = 8 * page;
	char *p;
	void *q;

	is(droppable_pin(NULL, vec, page, 0, &pin, NULL, NULL), -EINVAL,
	   "pin: no handle");
	is(droppable_unpin(NULL, 1), -EINVAL, "unpin: no handle");
	is(droppable_map(ctx, len, &q), 0, "map: to pin");
	p = q;
	memset(p, 'p', len);
	is(droppable_pin(ctx, p, len, 0, NULL, NULL, NULL), -EINVAL,
	   "pin: nowhere to store it");
	is(droppable_pin(ctx, p, len, 2, &pin, NULL, NULL), -EINVAL,
	   "pin: unknown flag");
	is(droppable_pin(ctx, p + 1, len, 0, &pin, NULL, NULL), -EINVAL,
	   "pin: not at a page boundary");
	if (!(droppable_guarantees(ctx) & DROPPABLE_G_PIN)) {
		is(droppable_pin(ctx, p, len, 0, &pin, &n, vec), -ENOTSUP,
		   "pin: not supported");
		is(droppable_unpin(ctx, 1), -ENOTSUP, "unpin: not supported");
		goto unmap;
	}
	is(droppable_drop(ctx, p + page, page, NULL), 0, "drop: before a pin");
	is(droppable_pin(ctx, p, len, DROPPABLE_PIN_INTACT, &pin, &n, vec),
	   -ENODATA, "pin: only if all is there, and it isn't");
	ok(pin == 0 && n >= page && vec[1] == 0, "pin: says what is missing",
	   (int)n);
	is(droppable_pin(ctx, p, len - 5, 0, &pin, &n, vec), 0, "pin");
	ok(pin != 0 && n >= page && vec[1] == 0, "pin: says what was missing",
	   (int)n);
	first = pin;
	memset(p, 'q', len);
	is(droppable_drop(ctx, p, len, &n), -EBUSY, "pin: drop leaves it");
	ok(n == 0 && p[0] == 'q' && p[len - 1] == 'q', "pin: all of it",
	   (int)n);
	is(droppable_pin(ctx, p, len, DROPPABLE_PIN_INTACT, &pin, &n, NULL), 0,
	   "pin: twice, and all is there");
	is((int)n, 0, "pin: nothing was missing");
	is(droppable_unpin(ctx, pin), 0, "unpin");
	is(droppable_unpin(ctx, pin), -ENOENT, "unpin: it is over");
	is(droppable_drop(ctx, p, len, NULL), -EBUSY, "unpin: the other holds");
	is(droppable_unpin(ctx, first), 0, "unpin: the other");
	is(droppable_drop(ctx, p, len, NULL), 0, "unpin: can be dropped");
	ok(all_zero(p, len), "unpin: was dropped", 0);
unmap:
	is(droppable_unmap(ctx, p, len), 0, "unmap: what was pinned");
}

/* Each guarantee is on a line of its own that says whether it is given. */
static void test_describe(struct droppable *ctx)
{
	uint64_t has = droppable_guarantees(ctx);
	char text[4096], word[128], cut[10];
	int i, bad = 0, len;

	len = droppable_describe(ctx, text, sizeof(text));
	is((int)strlen(text), len, "describe: the length");
	is(droppable_describe(ctx, NULL, 0), len, "describe: only the length");
	is(droppable_describe(ctx, cut, sizeof(cut)), len,
	   "describe: the length of what doesn't fit");
	ok(!memcmp(cut, text, 9) && !cut[9], "describe: cut short", 0);
	is(droppable_describe(ctx, NULL, 5), -EINVAL, "describe: no room");
	snprintf(word, sizeof(word), "backend: %s\n",
		 droppable_backend_name(droppable_backend(ctx)));
	ok(!!strstr(text, word), "describe: the backend", 0);
	for (i = 0; ALL_BITS >> i; i++) {
		snprintf(word, sizeof(word), "%s  %s\n",
			 has & (UINT64_C(1) << i) ? "\nhas  " : "\nLACKS",
			 droppable_guarantee_text(UINT64_C(1) << i));
		bad += !strstr(text, word);
	}
	is(bad, 0, "describe: each guarantee, had or lacking");
	is(!strncmp(text, "WARNING", 7),
	   droppable_backend(ctx) == DROPPABLE_BACKEND_FALLBACK,
	   "describe: warns of the fallback");
}

/* What can be asked about memory: residency, counts, and a counter. */
static void test_asking(struct droppable *ctx)
{
	uint64_t has = droppable_guarantees(ctx), before = 0, after = 0;
	struct {
		struct droppable_stats st;
		uint64_t later;
	} more;
	struct droppable_stats st;
	size_t n = 77, len = 8 * page;
	int err, want;
	char *p;
	void *q;

	is(droppable_map(ctx, len, &q), 0, "asking: map");
	p = q;
	is(droppable_resident(ctx, p, len, &n), 0, "resident: untouched");
	is((int)n, 0, "resident: nothing");
	memset(p, 'x', 3 * page);
	is(droppable_resident(ctx, p, len - 1, &n), 0, "resident: written");
	is((int)n, (int)(3 * page), "resident: what was written");
	is(droppable_resident(ctx, p, len, NULL), -EINVAL, "resident: no place");
	is(droppable_resident(ctx, p + 1, page, &n), -EINVAL,
	   "resident: odd address");

	want = has & DROPPABLE_G_DROP_DETECT ? 0 : -ENOTSUP;
	is(droppable_drops(ctx, &before), want, "drops: as promised");
	is(droppable_drops(ctx, NULL), -EINVAL, "drops: no place");
	is(droppable_drop(ctx, p, len, NULL), 0, "asking: drop");
	droppable_drops(ctx, &after);
	ok(want ? before == after : after - before >= 3,
	   "drops: grows by what is dropped", (int)(after - before));
	is(droppable_resident(ctx, p, len, &n), 0, "resident: dropped");
	is((int)n, 0, "resident: nothing again");

	err = droppable_event_fd(ctx);
	ok(has & DROPPABLE_G_DROP_EVENT ? err >= 0 : err == -ENOTSUP,
	   "event_fd: as promised", err);

	want = has & DROPPABLE_G_STATS ? 0 : -ENOTSUP;
	memset(&st, 1, sizeof(st));
	is(droppable_stats(ctx, &st, sizeof(st)), want, "stats: as promised");
	ok(want || (st.resident == 0 && st.faults >= 3 && st.dropped >= 3 &&
		    st.dropped != DROPPABLE_STAT_UNKNOWN),
	   "stats: count", (int)st.dropped);
	memset(&more, 1, sizeof(more));
	is(droppable_stats(ctx, &more.st, sizeof(more)), want,
	   "stats: for a newer program");
	ok(want || more.later == DROPPABLE_STAT_UNKNOWN,
	   "stats: what is not known yet", 0);
	is(droppable_stats(ctx, &st, 0), -EINVAL, "stats: size 0");
	is(droppable_stats(ctx, &st, 12), -EINVAL, "stats: odd size");
	is(droppable_stats(ctx, NULL, sizeof(st)), -EINVAL, "stats: no place");
	is(droppable_unmap(ctx, p, len), 0, "asking: unmap");
}

/* The fallback lacks what it says; these it must keep all the same. */
static void test_fallback(struct droppable *ctx)
{
	uint64_t has = droppable_guarantees(ctx);
	char line[256];
	int dd = 0, wf = 0, at = 0;
	void *p;
	FILE *f;

	ok(!(has & (DROPPABLE_G_DROPPABLE | DROPPABLE_G_NEVER_SWAPPED |
		    DROPPABLE_G_WIPE_STICKS | DROPPABLE_G_DROP_BEFORE_OOM |
		    DROPPABLE_G_NO_RESERVE)),
	   "fallback: promises none of what it can't do", 0);
	is(droppable_map(ctx, page, &p), 0, "fallback: map");
	f = fopen("/proc/self/smaps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strtoul(line, NULL, 16))
			at = (uintptr_t)p >= strtoul(line, NULL, 16) &&
			     (uintptr_t)p < strtoul(strchr(line, '-') + 1,
						    NULL, 16);
		if (at && !strncmp(line, "VmFlags", 7)) {
			dd = !!strstr(line, " dd");
			wf = !!strstr(line, " wf");
		}
	}
	ok(f && dd, "fallback: not dumped", 0);
	ok(f && wf, "fallback: wiped on fork", 0);
	if (f)
		fclose(f);
	is(droppable_unmap(ctx, p, page), 0, "fallback: unmap");
}

struct crowd {
	struct droppable *ctx;
	int bad;
};

static void *crowd(void *arg)
{
	struct crowd *c = arg;
	void *p;
	int i;

	for (i = 0; i < 200; i++) {
		if (droppable_map(c->ctx, 4 * page, &p)) {
			c->bad++;
			continue;
		}
		memset(p, i | 1, 4 * page);
		c->bad += droppable_drop(c->ctx, p, 4 * page, NULL) != 0;
		c->bad += !all_zero(p, 4 * page);
		c->bad += droppable_unmap(c->ctx, p, 4 * page) != 0;
	}
	return NULL;
}

static void test_threads(struct droppable *ctx)
{
	struct crowd c[4];
	pthread_t t[4];
	int i, bad = 0;

	for (i = 0; i < 4; i++) {
		c[i] = (struct crowd){ .ctx = ctx };
		if (pthread_create(&t[i], NULL, crowd, &c[i]))
			abort();
	}
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		bad += c[i].bad;
	}
	is(bad, 0, "four threads on one handle");
}

/* Descriptors the handle has; the tests' own three are open all the time. */
static int count_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_device_fd(void)
{
	struct droppable *ctx;
	int before = count_fds(), fd = dup(0), other;
	void *p;

	/* The next one opened gets the lowest number, which is fd again. */
	close(fd);
	if (droppable_open(&ctx, DROPPABLE_DEVICE_ONLY))
		return;
	ok(fcntl(fd, F_GETFD) == FD_CLOEXEC, "device: close-on-exec", 0);
	close(fd);
	is(droppable_map(ctx, page, &p), -EBADF, "device: descriptor closed");
	other = open("/dev/zero", O_RDWR);
	is(other, fd, "device: descriptor taken by another file");
	is(droppable_map(ctx, page, &p), -EBADF, "device: another file's");
	droppable_close(ctx);
	ok(fcntl(other, F_GETFD) >= 0, "close: leaves another's alone", 0);
	close(other);
	is(count_fds(), before, "close: no descriptor is left");
}

static void test_backend(unsigned int flag, enum droppable_backend want,
			 int err, const char *name)
{
	struct droppable *ctx;
	void *p;

	if (err) {
		skip(name, strerror(-err));
		return;
	}
	printf("# %s\n", name);
	is(droppable_open(&ctx, flag), 0, "open");
	is(droppable_backend(ctx), want, "backend");
	ok(droppable_guarantees(ctx) &&
		   !(droppable_guarantees(ctx) & ~ALL_BITS),
	   "guarantees: only known ones", 0);
	test_use(ctx);
	test_threads(ctx);
	test_describe(ctx);
	test_asking(ctx);
	test_pin(ctx);
	test_pool(ctx);
	test_cache(ctx);
	test_state(ctx);
	if (want == DROPPABLE_BACKEND_FALLBACK)
		test_fallback(ctx);
	is(droppable_map(ctx, page, &p), 0, "map");
	*(char *)p = 1;
	droppable_close(ctx);
	ok(*(char *)p == 1, "close: the mapping stays", 0);
	is(munmap(p, page), 0, "close: munmap(2) takes it away");
	if (want == DROPPABLE_BACKEND_DEVICE)
		test_device_fd();
}

int main(void)
{
	struct droppable *ctx;
	int device, native;

	page = (size_t)sysconf(_SC_PAGESIZE);
	test_bad_open();
	test_null();
	test_names();

	device = droppable_open(&ctx, DROPPABLE_DEVICE_ONLY);
	if (!device)
		droppable_close(ctx);
	native = droppable_open(&ctx, DROPPABLE_NATIVE_ONLY);
	if (!native)
		droppable_close(ctx);
	test_choice(device, native);
	test_backend(DROPPABLE_DEVICE_ONLY, DROPPABLE_BACKEND_DEVICE, device,
		     "device");
	test_backend(DROPPABLE_NATIVE_ONLY, DROPPABLE_BACKEND_NATIVE, native,
		     "native");
	test_backend(DROPPABLE_FALLBACK_ONLY, DROPPABLE_BACKEND_FALLBACK, 0,
		     "fallback");
	printf("1..%d\n", test_nr);
	return failed;
}
