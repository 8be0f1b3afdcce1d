// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The cache: what each call does, and that no byte of a value is ever wrong. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "points.h"
#include "siphash.h"

#define LOOKERS	3
#define KEYS	300
#if defined(QUIET) /* no threads at once there: see tests/run */
#define LOOKS	0
#elif defined(__SANITIZE_THREAD__)
#define LOOKS	500
#else
#define LOOKS	4000
#endif

static unsigned char byte(uint32_t key, size_t i)
{
	uint32_t x = key * 2654435761u + (uint32_t)(i >> 2) * 40503u;

	x ^= x >> 15;
	return (unsigned char)((x * 2246822519u >> 13) + i) | 1;
}

/* From nothing to several pages. */
static size_t length(uint32_t key)
{
	static const size_t len[] = { 0, 1, 50, 500, 2500, 4088, 10000, 333 };

	return len[key % 8] + (len[key % 8] ? key % 40 : 0);
}

static size_t wrong(const unsigned char *p, uint32_t key, size_t len)
{
	size_t i, bad = len != length(key);

	for (i = 0; i < len; i++)
		bad += p[i] != byte(key, i);
	return bad;
}

struct how {
	int err; /* what build() is to return */
	int calls; /* atomic */
	struct droppable_cache *again; /* ask it for the same key */
	pthread_barrier_t *slow; /* wait for the others */
};

static int build(const void *key, size_t key_len, void *buf, size_t size,
		 size_t *len, void *arg)
{
	struct how *how = arg;
	unsigned char *to = buf;
	uint32_t nr;
	size_t i, n;

	__atomic_fetch_add(&how->calls, 1, __ATOMIC_RELAXED);
	if (key_len != sizeof(nr))
		return -EBADMSG;
	memcpy(&nr, key, sizeof(nr));
	*len = length(nr);
	if (how->err)
		return how->err;
	if (how->again)
		return droppable_cache_get_or_build(how->again, key, key_len,
						    build, arg, buf, size, &n);
	if (how->slow) {
		pthread_barrier_wait(how->slow);
		usleep(100000); /* the others come to wait, or come later */
	}
	if (*len > size)
		return -ENOBUFS;
	for (i = 0; i < *len; i++)
		to[i] = byte(nr, i);
	return 0;
}

static int look(struct droppable_cache *c, uint32_t key, void *buf, size_t size,
		size_t *len, struct how *how)
{
	return droppable_cache_get_or_build(c, &key, sizeof(key), build, how,
					    buf, size, len);
}

static struct droppable_cache_stats counts(struct droppable_cache *c)
{
	struct droppable_cache_stats st = { 0 };

	droppable_cache_stats(c, &st, sizeof(st));
	return st;
}

/* The vectors published with SipHash: key 00 01 02..., input 00 01 02... */
static void test_siphash(void)
{
	static const struct {
		size_t len;
		uint64_t hash[2];
	} known[] = {
		{ 0, { 0xe6a825ba047f81a3, 0x930255c71472f66d } },
		{ 1, { 0x44af996bd8c187da, 0x45fc229b11597634 } },
		{ 2, { 0xc75da4a48d227781, 0xe4ff0af6de8ba3fc } },
		{ 15, { 0x11a8b03399e99354, 0xd9c3cf970fec087e } },
	};
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	unsigned char in[16];
	uint64_t hash[2];
	size_t i, bad = 0;

	for (i = 0; i < 16; i++)
		in[i] = (unsigned char)i;
	for (i = 0; i < 4; i++) {
		siphash128(key, in, known[i].len, hash);
		bad += memcmp(hash, known[i].hash, sizeof(hash)) != 0;
	}
	is((int)bad, 0, "siphash: the published vectors");
}

static void test_bad_arguments(struct droppable *ctx)
{
	struct droppable_cache_stats st;
	struct droppable_cache *c = NULL;
	struct how how = { 0 };
	size_t n = 77;
	char b[8];

	is(droppable_cache_open(NULL, 0, 0, &c), -EINVAL, "cache_open: no handle");
	is(droppable_cache_open(ctx, 0, 0, NULL), -EINVAL, "cache_open: no place");
	is(droppable_cache_open(ctx, 0, 2, &c), -EINVAL, "cache_open: a flag");
	is(droppable_cache_open(ctx, SIZE_MAX, 0, &c), -EINVAL,
	   "cache_open: capacity SIZE_MAX");
	ok(!c, "cache_open: failure stores nothing", 0);
	is(droppable_cache_open(ctx, 0, 0, &c), 0, "cache_open");
	is(droppable_cache_get_or_build(NULL, "k", 1, build, &how, b, 8, &n),
	   -EINVAL, "get_or_build: no cache");
	is(droppable_cache_get_or_build(c, NULL, 1, build, &how, b, 8, &n),
	   -EINVAL, "get_or_build: no key");
	is(droppable_cache_get_or_build(c, "k", 1, NULL, &how, b, 8, &n),
	   -EINVAL, "get_or_build: nothing to build with");
	is(droppable_cache_get_or_build(c, "k", 1, build, &how, NULL, 8, &n),
	   -EINVAL, "get_or_build: no buffer");
	is(droppable_cache_get_or_build(c, "k", 1, build, &how, b, 8, NULL),
	   -EINVAL, "get_or_build: no place for the length");
	is(droppable_cache_get(NULL, "k", 1, b, 8, &n), -EINVAL, "get: no cache");
	is(droppable_cache_get(c, "k", 1, b, 8, NULL), -EINVAL, "get: no length");
	is(droppable_cache_put(NULL, "k", 1, b, 8), -EINVAL, "put: no cache");
	is(droppable_cache_put(c, NULL, 1, b, 8), -EINVAL, "put: no key");
	is(droppable_cache_put(c, "k", 1, NULL, 8), -EINVAL, "put: no value");
	is(droppable_cache_put(c, "k", 1, b, 17 << 20), -EFBIG, "put: too long");
	is(droppable_cache_forget(NULL, "k", 1), -EINVAL, "forget: no cache");
	is(droppable_cache_forget(c, NULL, 1), -EINVAL, "forget: no key");
	is(droppable_cache_drop(NULL), -EINVAL, "cache_drop: no cache");
	is(droppable_cache_stats(NULL, &st, sizeof(st)), -EINVAL,
	   "cache_stats: no cache");
	is(droppable_cache_stats(c, NULL, sizeof(st)), -EINVAL,
	   "cache_stats: no place");
	is(droppable_cache_stats(c, &st, 9), -EINVAL, "cache_stats: odd size");
	is(droppable_cache_get(c, "k", 1, b, 8, &n), -ENODATA, "get: not there");
	is((int)n, 77, "get: failure stores nothing");
	is(how.calls, 0, "get_or_build: builds nothing for bad arguments");
	droppable_cache_close(c);
	droppable_cache_close(NULL);
}

static void test_building(struct droppable *ctx)
{
	unsigned char *buf = malloc(1 << 20);
	struct droppable_cache_stats st;
	struct how how = { 0 };
	struct droppable_cache *c;
	size_t n, bad = 0;
	uint32_t k;

	is(droppable_cache_open(ctx, 0, 0, &c), 0, "building: open");
	for (k = 0; k < 64; k++)
		bad += look(c, k, buf, 1 << 20, &n, &how) || wrong(buf, k, n);
	is((int)bad, 0, "building: 64 values, some empty, some large");
	is(how.calls, 64, "building: each was built");
	for (k = 0; k < 64; k++) {
		memset(buf, 0, 11000);
		bad += look(c, k, buf, 1 << 20, &n, &how) || wrong(buf, k, n);
	}
	is((int)bad, 0, "building: the same again");
	st = counts(c);
	ok(st.hits == 64u + 64u - (unsigned int)how.calls && st.misses == 64 &&
		   st.rebuilt == (unsigned int)how.calls - 64u,
	   "building: counts", (int)st.hits);
	is((int)st.entries, 64, "building: entries");

	is(look(c, 3, buf, 10, &n, &how), -ENOBUFS, "building: a small buffer");
	is((int)n, (int)length(3), "building: tells what it takes");
	how.calls = 0;
	is(look(c, 67, buf, 10, &n, &how), -ENOBUFS,
	   "building: a small buffer for what isn't there");
	is((int)n, (int)length(67), "building: build() tells what it takes");
	how.err = -EILSEQ;
	is(look(c, 99, buf, 100, &n, &how), -EILSEQ, "building: fails");
	how.err = 42;
	is(look(c, 99, buf, 100, &n, &how), 42, "building: says 42");
	how.err = 0;
	how.again = c;
	is(look(c, 99, buf, 100, &n, &how), -EDEADLK,
	   "building: asks for what it is building");
	how.again = NULL;
	is(look(c, 99, buf, 1000, &n, &how), 0, "building: after all that");
	st = counts(c);
	is((int)st.failed, 4, "building: failures are counted");

	is(droppable_cache_drop(c), 0, "building: drop all");
	how.calls = 0;
	for (k = 0; k < 64; k++)
		bad += look(c, k, buf, 1 << 20, &n, &how) || wrong(buf, k, n);
	is((int)bad, 0, "building: all the same after a drop");
	is(how.calls, 56, "building: rebuilt, but the empty ones");
	ok(counts(c).rebuilt >= 56 && counts(c).dropped >= 56,
	   "building: counts them", (int)counts(c).rebuilt);
	droppable_cache_close(c);
	free(buf);
}

/* As large as the buffer, and larger than the cache. */
static int huge(const void *key, size_t key_len, void *buf, size_t size,
		size_t *len, void *arg)
{
	(void)key;
	(void)key_len;
	memset(buf, 'h', size);
	*len = size + *(size_t *)arg;
	return 0;
}

static void test_odd_values(struct droppable *ctx)
{
	struct droppable_cache *c;
	static char buf[40000];
	size_t n = 0, more = 0;

	is(droppable_cache_open(ctx, 4 * page, 0, &c), 0, "odd values: open");
	is(droppable_cache_get_or_build(c, "h", 1, huge, &more, buf,
					sizeof(buf), &n),
	   0, "odd values: too large to be kept");
	ok(n == sizeof(buf) && buf[n - 1] == 'h', "odd values: but returned", 0);
	is((int)counts(c).unstored, 1, "odd values: and counted");
	more = 1;
	is(droppable_cache_get_or_build(c, "h", 1, huge, &more, buf, 100, &n),
	   -EOVERFLOW, "odd values: longer than its buffer");
	is(droppable_cache_put(c, NULL, 0, "empty", 5), 0,
	   "odd values: a key of no bytes");
	is(droppable_cache_get(c, "", 0, buf, 100, &n), 0,
	   "odd values: is a key like others");
	is(memcmp(buf, "empty", n), 0, "odd values: with a value");
	droppable_cache_close(c);
}

/* Against a table of what there ought to be. */
static void test_index(struct droppable *ctx)
{
	static unsigned short version[5000];
	struct droppable_cache *c;
	size_t n, i, ghosts = 0, lost = 0, stale = 0;
	uint32_t seed = 1, key;
	unsigned short v;
	int err;

	memset(version, 0, sizeof(version));
	is(droppable_cache_open(ctx, 0, 0, &c), 0, "index: open");
	for (i = 0; i < 60000; i++) {
		seed = seed * 1664525u + 1013904223u;
		key = (seed >> 9) % 5000;
		switch (seed >> 30) {
		case 0:
			err = droppable_cache_forget(c, &key, sizeof(key));
			ghosts += !version[key] && !err;
			lost += version[key] && err;
			version[key] = 0;
			break;
		case 1:
			err = droppable_cache_get(c, &key, sizeof(key), &v,
						  sizeof(v), &n);
			ghosts += !version[key] && !err;
			lost += version[key] && err;
			stale += version[key] && !err && v != version[key];
			break;
		default:
			v = (unsigned short)(i % 60000 + 1);
			err = droppable_cache_put(c, &key, sizeof(key), &v,
						  sizeof(v));
			lost += err != 0;
			version[key] = v;
		}
	}
	is((int)ghosts, 0, "index: nothing that was forgotten");
	is((int)stale, 0, "index: nothing that was replaced");
	ok(lost < 600, "index: nothing lost, or not much", (int)lost);
	droppable_cache_close(c);

	is(droppable_cache_open(ctx, 64 * page, 0, &c), 0, "index: small cache");
	for (i = 0; i < 2000; i++)
		if (droppable_cache_put(c, &i, 0, version, 1000))
			break;
	is((int)i, 2000, "index: one key, 2000 values");
	is((int)counts(c).recycled, 0, "index: what is replaced takes no room");
	/* More and more keys in a cache that stays as it is. */
	for (i = 0; i < 50000; i++) {
		key = (uint32_t)i;
		if (droppable_cache_put(c, &key, sizeof(key), version, 200))
			break;
	}
	is((int)i, 50000, "index: put 50000 where 1260 fit");
	ok(counts(c).index <= 40 * 4 * 2 * (64 * page / 200) + 16 * 3000,
	   "index: doesn't outgrow them", (int)counts(c).index);
	ok(counts(c).used <= 64 * page, "index: nor does the cache",
	   (int)counts(c).used);
	is(droppable_cache_get(c, &key, sizeof(key), version, 200, &n), 0,
	   "index: the youngest is there");
	droppable_cache_close(c);
}

static void test_child(struct droppable *ctx)
{
	struct how how = { 0 };
	static unsigned char buf[11000];
	struct droppable_cache *c;
	uint32_t k;
	size_t n;
	pid_t pid;
	int st;

	is(droppable_cache_open(ctx, 0, 0, &c), 0, "cache, fork: open");
	for (k = 0; k < 100; k++)
		if (look(c, k, buf, sizeof(buf), &n, &how))
			break;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		how.calls = 0;
		for (k = 0; k < 100; k++)
			if (look(c, k, buf, sizeof(buf), &n, &how) ||
			    wrong(buf, k, n))
				_exit(1);
		if (how.calls != 100 || counts(c).entries != 100)
			_exit(2);
		droppable_cache_close(c);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	is(st, 0, "cache, fork: the child's is empty, and works");
	how.calls = 0;
	for (k = 0; k < 100; k++)
		if (look(c, k, buf, sizeof(buf), &n, &how) || wrong(buf, k, n))
			break;
	is((int)k, 100, "cache, fork: the parent's works");
	ok(how.calls < 50, "cache, fork: and is as it was", how.calls);
	droppable_cache_close(c);
}

struct looker {
	struct droppable_cache *c;
	struct how *how;
	uint32_t key; /* or KEYS: any */
	uint32_t seed;
	size_t bad, calls;
	size_t *drops; /* atomic, by the dropper */
	int *over; /* atomic */
};

/* On a busy machine the dropper may not have had its turn: some more then. */
static int more(const struct looker *l, size_t i, size_t times)
{
	return i < times ||
	       (l->key == KEYS && i < 1000 * times &&
		__atomic_load_n(l->drops, __ATOMIC_RELAXED) < 20);
}

static void *lookers(void *arg)
{
	struct looker *l = arg;
	unsigned char buf[11000];
	size_t i, n, times = l->key == KEYS ? LOOKS * stress() : 1;
	uint32_t k = l->key;

	for (i = 0; more(l, i, times); i++) {
		l->seed = l->seed * 1664525u + 1013904223u;
		if (l->key == KEYS)
			k = (l->seed >> 9) % KEYS;
		l->bad += look(l->c, k, buf, sizeof(buf), &n, l->how) ||
			  wrong(buf, k, n);
		l->calls++;
		/* Somebody who throws values away, too. */
		if (l->key == KEYS && i % 64 == 0)
			droppable_cache_forget(l->c, &k, sizeof(k));
	}
	return NULL;
}

/* Many want it at once: one builds it. */
static void test_together(struct droppable *ctx)
{
	struct looker l[LOOKERS];
	pthread_t th[LOOKERS];
	pthread_barrier_t started;
	struct how how = { .slow = &started };
	struct droppable_cache *c;
	size_t i, bad = 0;

	/* Held by the builder until this thread has started all. */
	pthread_barrier_init(&started, NULL, 2);
	is(droppable_cache_open(ctx, 0, 0, &c), 0, "together: open");
	for (i = 0; i < LOOKERS; i++) {
		l[i] = (struct looker){ .c = c, .how = &how, .key = 3 };
		if (pthread_create(&th[i], NULL, lookers, &l[i]))
			abort();
	}
	pthread_barrier_wait(&started);
	for (i = 0; i < LOOKERS; i++) {
		pthread_join(th[i], NULL);
		bad += l[i].bad;
	}
	is((int)bad, 0, "together: each gets it");
	is(how.calls, 1, "together: one builds it");
	droppable_cache_close(c);
	pthread_barrier_destroy(&started);
}

/* Two builders that want each other's value. */
struct crossing {
	struct droppable_cache *c;
	pthread_barrier_t *both; /* NULL once it has met the other */
	const char *mine, *others;
	int err;
	char got;
};

static int cross(const void *key, size_t key_len, void *buf, size_t size,
		 size_t *len, void *arg)
{
	struct crossing *x = arg;
	size_t n;
	char other;

	(void)key_len;
	(void)size;
	*len = 1;
	*(char *)buf = *(const char *)key;
	if (*(const char *)key != *x->mine)
		return 0; /* what it takes of the other's, by itself */
	if (x->both)
		pthread_barrier_wait(x->both);
	return droppable_cache_get_or_build(x->c, x->others, 1, cross, x,
					    &other, 1, &n);
}

static void *crosser(void *arg)
{
	struct crossing *x = arg;
	size_t n;

	x->err = droppable_cache_get_or_build(x->c, x->mine, 1, cross, x,
					      &x->got, 1, &n);
	return NULL;
}

static void test_crossing(struct droppable *ctx)
{
	struct crossing x[2] = { { .mine = "a", .others = "b" },
				 { .mine = "b", .others = "a" } };
	struct droppable_cache_stats st;
	struct droppable_cache *c;
	pthread_barrier_t both;
	pthread_t th;

	pthread_barrier_init(&both, NULL, 2);
	is(droppable_cache_open(ctx, 0, 0, &c), 0, "crossing: open");
	x[0].c = x[1].c = c;
	x[0].both = x[1].both = &both;
	alarm(60); /* rather than for ever */
	if (pthread_create(&th, NULL, crosser, &x[0]))
		abort();
	crosser(&x[1]);
	pthread_join(th, NULL);
	alarm(0);
	ok(!x[0].err && !x[1].err && x[0].got == 'a' && x[1].got == 'b',
	   "crossing: two builders who want each other's value", x[0].err);
	st = counts(c);
	ok(st.misses + st.hits == 4 && !st.rebuilt && !st.failed,
	   "crossing: each is counted", (int)st.misses);
	droppable_cache_close(c);
	pthread_barrier_destroy(&both);
}

/* Builds that read what they build from, and then take their time. */
struct late {
	struct droppable_cache *c;
	pthread_barrier_t begun, go_on;
	int slow; /* the next build is to wait; atomic */
	char source; /* atomic */
};

static int build_late(const void *key, size_t key_len, void *buf, size_t size,
		      size_t *len, void *arg)
{
	struct late *l = arg;
	char read = __atomic_load_n(&l->source, __ATOMIC_RELAXED);

	(void)key;
	(void)key_len;
	(void)size;
	if (__atomic_exchange_n(&l->slow, 0, __ATOMIC_RELAXED)) {
		pthread_barrier_wait(&l->begun);
		pthread_barrier_wait(&l->go_on);
	}
	*(char *)buf = read;
	*len = 1;
	return 0;
}

/* The value, or 0. */
static char ask(struct late *l)
{
	char got = 0;
	size_t n;

	if (droppable_cache_get_or_build(l->c, "k", 1, build_late, l, &got, 1,
					 &n))
		return 0;
	return got;
}

static void *asker(void *arg)
{
	return (void *)(intptr_t)ask(arg);
}

static pthread_t start_asking(struct late *l)
{
	pthread_t th;

	if (pthread_create(&th, NULL, asker, l))
		abort();
	return th;
}

static int answer_of(pthread_t th)
{
	void *got;

	pthread_join(th, &got);
	return (int)(intptr_t)got;
}

/* A thread that has read 'o', of which 'n' has been made by now. */
static pthread_t start_late(struct late *l)
{
	pthread_t th;

	__atomic_store_n(&l->source, 'o', __ATOMIC_RELAXED);
	__atomic_store_n(&l->slow, 1, __ATOMIC_RELAXED);
	th = start_asking(l);
	pthread_barrier_wait(&l->begun);
	__atomic_store_n(&l->source, 'n', __ATOMIC_RELAXED);
	return th;
}

/* It began before: it gets the old value, and leaves the new one alone. */
static void end_late(struct late *l, pthread_t th, const char *what)
{
	pthread_barrier_wait(&l->go_on);
	is(answer_of(th), 'o', "late: who began before gets the old value");
	is(ask(l), 'n', what);
}

/* What was put or forgotten while a build was under way isn't brought back. */
static void test_late(struct droppable *ctx)
{
	struct late l = { 0 };
	pthread_t late, waiter;
	char got = 0;
	size_t n;

	pthread_barrier_init(&l.begun, NULL, 2);
	pthread_barrier_init(&l.go_on, NULL, 2);
	is(droppable_cache_open(ctx, 0, 0, &l.c), 0, "late: open");
	alarm(60); /* rather than for ever */
	late = start_late(&l);
	is(droppable_cache_put(l.c, "k", 1, "n", 1), 0, "late: put");
	is(ask(&l), 'n', "late: is there");
	end_late(&l, late, "late: a build doesn't replace what was put");
	is((int)counts(l.c).unstored, 1, "late: is counted");

	is(droppable_cache_forget(l.c, "k", 1), 0, "late: begin anew");
	late = start_late(&l);
	is(droppable_cache_forget(l.c, "k", 1), -ENODATA, "late: forget");
	end_late(&l, late, "late: nor bring back what was forgotten");

	is(droppable_cache_forget(l.c, "k", 1), 0, "late: begin once more");
	late = start_late(&l);
	waiter = start_asking(&l);
	while (!counts(l.c).waits)
		usleep(1000);
	is(droppable_cache_forget(l.c, "k", 1), -ENODATA, "late: forget again");
	is(answer_of(waiter), 'n', "late: who waited builds it anew");
	is(ask(&l), 'n', "late: so does who comes now");
	end_late(&l, late, "late: and that stays");
	is(droppable_cache_get(l.c, "k", 1, &got, 1, &n), 0, "late: is kept");
	is((int)counts(l.c).unstored, 3, "late: all are counted");
	alarm(0);
	droppable_cache_close(l.c);
	pthread_barrier_destroy(&l.begun);
	pthread_barrier_destroy(&l.go_on);
}

static void *dropper(void *arg)
{
	struct looker *l = arg;

	while (!__atomic_load_n(l->over, __ATOMIC_RELAXED)) {
		if (droppable_cache_drop(l->c) == 0)
			__atomic_fetch_add(l->drops, 1, __ATOMIC_RELAXED);
		usleep(200);
	}
	return NULL;
}

static void play(struct droppable *ctx, const char *name, size_t capacity)
{
	int over = 0;
	size_t drops = 0;
	struct looker l[LOOKERS], drop = { .over = &over, .drops = &drops };
	pthread_t th[LOOKERS + 1];
	struct droppable_cache_stats st;
	struct how how = { 0 };
	size_t i, bad = 0, calls = 0;
	char what[100];

	if (droppable_cache_open(ctx, capacity, 0, &drop.c))
		abort();
	if (pthread_create(&th[LOOKERS], NULL, dropper, &drop))
		abort();
	for (i = 0; i < LOOKERS; i++) {
		l[i] = (struct looker){ .c = drop.c, .how = &how, .key = KEYS,
					.drops = &drops,
					.seed = (uint32_t)i * 77777u };
		if (pthread_create(&th[i], NULL, lookers, &l[i]))
			abort();
	}
	for (i = 0; i < LOOKERS; i++) {
		pthread_join(th[i], NULL);
		bad += l[i].bad;
		calls += l[i].calls;
	}
	__atomic_store_n(&over, 1, __ATOMIC_RELAXED);
	pthread_join(th[LOOKERS], NULL);
	st = counts(drop.c);
	printf("# %zu drops; hits %d, misses %d, rebuilt %d, waits %d\n",
	       drops, (int)st.hits, (int)st.misses, (int)st.rebuilt,
	       (int)st.waits);
	snprintf(what, sizeof(what), "cache stress, %s: no wrong value", name);
	is((int)bad, 0, what);
	snprintf(what, sizeof(what), "cache stress, %s: each is counted", name);
	is((int)(st.hits + st.misses + st.rebuilt), (int)calls, what);
	snprintf(what, sizeof(what), "cache stress, %s: each build, too", name);
	is((int)(st.misses + st.rebuilt), how.calls, what);
	snprintf(what, sizeof(what), "cache stress, %s: hits and losses", name);
	ok(st.hits > 10 && st.rebuilt > 10 && drops, what, (int)st.hits);
	droppable_cache_close(drop.c);
}

/* A value where it is, whatever becomes of the cache meanwhile. */
static void test_pin(struct droppable *ctx)
{
	struct droppable_cache_stats st;
	struct droppable_pool_pin pin = { 0 };
	struct droppable_cache *c;
	struct iovec part[4];
	char data[6000];
	size_t nr = 4;

	memset(data, 'v', sizeof(data));
	is(droppable_cache_open(ctx, 0, 0, &c), 0, "cache_pin: open");
	is(droppable_cache_pin(NULL, "a", 1, part, &nr, &pin), -EINVAL,
	   "cache_pin: no cache");
	is(droppable_cache_pin(c, NULL, 1, part, &nr, &pin), -EINVAL,
	   "cache_pin: no key");
	is(droppable_cache_pin(c, "a", 1, NULL, &nr, &pin), -EINVAL,
	   "cache_pin: no parts");
	is(droppable_cache_unpin(NULL, &pin), -EINVAL, "cache_unpin: no cache");
	is(droppable_cache_pin(c, "a", 1, part, &nr, &pin), -ENODATA,
	   "cache_pin: what isn't there");
	is(droppable_cache_put(c, "b", 1, NULL, 0), 0, "cache_pin: put nothing");
	is(droppable_cache_pin(c, "b", 1, part, &nr, &pin), 0,
	   "cache_pin: a value without bytes");
	ok(!nr && !pin.id, "cache_pin: has no parts", (int)nr);
	is(droppable_cache_unpin(c, &pin), 0, "cache_unpin: and no pin");
	is(droppable_cache_put(c, "a", 1, data, sizeof(data)), 0,
	   "cache_pin: put");
	is(droppable_cache_pin(c, "a", 1, NULL, &nr, &pin), -ENOBUFS,
	   "cache_pin: no room");
	is((int)nr, 2, "cache_pin: says how much it takes");
	if (!(droppable_guarantees(ctx) & DROPPABLE_G_PIN)) {
		is(droppable_cache_pin(c, "a", 1, part, &nr, &pin), -ENOTSUP,
		   "cache_pin: not supported");
		droppable_cache_close(c);
		return;
	}
	is(droppable_cache_pin(c, "a", 1, part, &nr, &pin), 0, "cache_pin");
	is(droppable_cache_drop(c), -EBUSY, "cache_pin: drop leaves it");
	is(droppable_cache_put(c, "a", 1, "new", 3), 0, "cache_pin: another");
	ok(part[0].iov_len + part[1].iov_len == sizeof(data) &&
	   !memcmp(part[0].iov_base, data, part[0].iov_len) &&
	   !memcmp(part[1].iov_base, data, part[1].iov_len),
	   "cache_pin: it is the old value still", (int)nr);
	is(droppable_cache_unpin(c, &pin), 0, "cache_unpin");
	is(droppable_cache_drop(c), 0, "cache_unpin: can be dropped");
	nr = 4;
	is(droppable_cache_pin(c, "a", 1, part, &nr, &pin), -ENODATA,
	   "cache_pin: what was dropped");
	droppable_cache_stats(c, &st, sizeof(st));
	ok(st.hits == 2 && st.misses == 1 && st.dropped == 1,
	   "cache_pin: is counted", (int)st.hits);
	droppable_cache_close(c);
}

/* Puts one value after the other, each on a page of its own. */
static void *replacer(void *arg)
{
	struct looker *l = arg;
	unsigned char data[4000];
	size_t i;

	for (i = 0; i < 2 * LOOKS * stress(); i++) {
		memset(data, (int)i, sizeof(data));
		l->bad += droppable_cache_put(l->c, "k", 1, data,
					      sizeof(data)) != 0;
	}
	__atomic_store_n(l->over, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* A value that is replaced all the time is there all the time. */
static void test_replaced(struct droppable *ctx)
{
	int over = 0;
	struct looker l = { .over = &over };
	struct droppable_cache_stats st;
	unsigned char got[4000] = { 0 };
	size_t n, mixed = 0, gone = 0;
	pthread_t th;
	int err;

	/* Small, so that what was replaced is soon used again. */
	is(droppable_cache_open(ctx, 8 * page, 0, &l.c), 0, "replaced: open");
	is(droppable_cache_put(l.c, "k", 1, got, sizeof(got)), 0,
	   "replaced: put");
	if (pthread_create(&th, NULL, replacer, &l))
		abort();
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		err = droppable_cache_get(l.c, "k", 1, got, sizeof(got), &n);
		gone += err == -ENODATA;
		l.calls += err == 0;
		mixed += !err && memcmp(got, got + 1, sizeof(got) - 1);
	}
	pthread_join(th, NULL);
	st = counts(l.c);
	is((int)l.bad, 0, "replaced: put again and again");
	is((int)mixed, 0, "replaced: one value, not two");
	/* But for what the kernel took. */
	ok(gone <= st.dropped, "replaced: found all the time", (int)gone);
	is((int)st.hits, (int)l.calls, "replaced: each is counted");
	droppable_cache_close(l.c);
}

/*
 * A value of two pages of which the second can't be read at first: so somebody
 * who stores it is stopped between the two, and others look for what was dropped.
 */
static struct storing {
	struct droppable_cache *c;
	unsigned char *data;
	sem_t stopped, go_on;
	int bad;
} storing;

static void on_stop(int sig)
{
	(void)sig;
	mprotect(storing.data + page, page, PROT_READ);
	sem_post(&storing.stopped);
	while (sem_wait(&storing.go_on))
		;
}

/* So many keys that the index grows, which is when it looks. */
static void *grower(void *unused)
{
	uint32_t key;

	while (sem_wait(&storing.stopped))
		;
	for (key = 0; key < 5000; key++)
		storing.bad += droppable_cache_put(storing.c, &key, sizeof(key),
						   NULL, 0) != 0;
	sem_post(&storing.go_on);
	return unused;
}

/* A value that is just being stored isn't taken for one that was dropped. */
static void test_storing(void)
{
	struct sigaction stop = { .sa_handler = on_stop }, before;
	struct droppable *ctx;
	size_t n = 0;
	pthread_t th;

	/* Of memory that nobody takes back. */
	is(droppable_open(&ctx, DROPPABLE_FALLBACK_ONLY), 0, "storing: memory");
	is(droppable_cache_open(ctx, 0, 0, &storing.c), 0, "storing: open");
	storing.data = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sem_init(&storing.stopped, 0, 0);
	sem_init(&storing.go_on, 0, 0);
	if (storing.data == MAP_FAILED || sigaction(SIGSEGV, &stop, &before) ||
	    pthread_create(&th, NULL, grower, NULL))
		abort();
	memset(storing.data, 's', 2 * page);
	mprotect(storing.data + page, page, PROT_NONE);
	is(droppable_cache_put(storing.c, "key", 3, storing.data, 2 * page), 0,
	   "storing: put");
	pthread_join(th, NULL);
	sigaction(SIGSEGV, &before, NULL);
	is(storing.bad, 0, "storing: put others on the way");
	mprotect(storing.data, page, PROT_READ | PROT_WRITE);
	mprotect(storing.data + page, page, PROT_READ | PROT_WRITE);
	is(droppable_cache_put(storing.c, "other", 5, storing.data, 2 * page),
	   0, "storing: put another, which takes what is free");
	is(droppable_cache_get(storing.c, "key", 3, storing.data, 2 * page, &n),
	   0, "storing: the first is there");
	droppable_cache_close(storing.c);
	droppable_close(ctx);
	munmap(storing.data, 2 * page);
}

static void test_stress(struct droppable *ctx)
{
	test_replaced(ctx);
	test_storing();
	play(ctx, "room enough", 0);
	play(ctx, "a small one", 24 * page);
}

void test_cache(struct droppable *ctx)
{
	test_siphash();
	test_bad_arguments(ctx);
	test_building(ctx);
	test_odd_values(ctx);
	test_index(ctx);
	test_child(ctx);
	test_together(ctx);
	test_crossing(ctx);
	test_late(ctx);
	test_pin(ctx);
	if (LOOKS)
		test_stress(ctx);
}
