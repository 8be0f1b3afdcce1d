// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Objects in droppable memory: what each call does, and then, with threads that
 * drop pages as fast as they can, that no byte is ever wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "points.h"

#define READERS		3
#define CELLS		48
#if defined(QUIET) /* no threads at once there: see tests/run */
#define READS	0
#elif defined(__SANITIZE_THREAD__)
#define READS		300 /* each takes 30 times as long */
#else
#define READS		3000
#endif

/* Byte @i of version @v of object @n: no two look alike for long. */
static unsigned char byte(size_t n, unsigned int v, size_t i)
{
	uint32_t x = (uint32_t)(n * 2654435761u + v * 40503u + (i >> 3) * 97u);

	x ^= x >> 15;
	x *= 2246822519u;
	return (unsigned char)((x >> 11) + i) | 1; /* never 0 */
}

static void fill(unsigned char *to, size_t n, unsigned int v, size_t off,
		 size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = byte(n, v, off + i);
}

static size_t wrong(const unsigned char *p, size_t n, unsigned int v,
		    size_t off, size_t len)
{
	size_t i, bad = 0;

	for (i = 0; i < len; i++)
		bad += p[i] != byte(n, v, off + i);
	return bad;
}

static void test_bad_arguments(struct droppable *ctx)
{
	struct droppable_ref ref = { 0 }, far;
	struct droppable_pool_stats st;
	struct droppable_pool *p = NULL;
	char buf[16] = "fifteen letters";

	is(droppable_pool_open(NULL, 0, 0, &p), -EINVAL, "pool_open: no handle");
	is(droppable_pool_open(ctx, 0, 0, NULL), -EINVAL, "pool_open: no place");
	is(droppable_pool_open(ctx, 0, 1, &p), -EINVAL, "pool_open: a flag");
	is(droppable_pool_open(ctx, SIZE_MAX, 0, &p), -EINVAL,
	   "pool_open: size SIZE_MAX");
	ok(!p, "pool_open: failure stores nothing", 0);
	is(droppable_pool_open(ctx, 3 * page, 0, &p), 0, "pool_open");

	is(droppable_pool_put(NULL, buf, 8, &ref), -EINVAL, "put: no pool");
	is(droppable_pool_put(p, NULL, 8, &ref), -EINVAL, "put: no data");
	is(droppable_pool_put(p, buf, 0, &ref), -EINVAL, "put: length 0");
	is(droppable_pool_put(p, buf, 8, NULL), -EINVAL, "put: no place");
	is(droppable_pool_put(p, buf, 4 * page, &ref), -EFBIG, "put: too long");
	is(droppable_pool_put(p, buf, SIZE_MAX, &ref), -EFBIG, "put: SIZE_MAX");
	ok(!ref.gen && !ref.at && !ref.len, "put: failure stores nothing", 0);
	is(droppable_pool_read(p, &ref, 0, buf, 8), -ENODATA,
	   "read: a reference to nothing");
	ok(!memcmp(buf, "\0\0\0\0\0\0\0\0letters", 16),
	   "read: what was asked for is zero then, no more", 0);
	is(droppable_pool_forget(p, &ref), -ENODATA, "forget: nothing");
	is(droppable_pool_drop(p, &ref), -ENODATA, "drop: nothing");

	is(droppable_pool_put(p, buf, 16, &ref), 0, "put");
	is(droppable_pool_read(NULL, &ref, 0, buf, 8), -EINVAL, "read: no pool");
	is(droppable_pool_read(p, NULL, 0, buf, 8), -EINVAL, "read: no object");
	is(droppable_pool_read(p, &ref, 0, NULL, 8), -EINVAL, "read: no buffer");
	is(droppable_pool_read(p, &ref, 0, buf, 0), -EINVAL, "read: length 0");
	is(droppable_pool_read(p, &ref, 9, buf, 8), -EINVAL, "read: too far");
	is(droppable_pool_read(p, &ref, SIZE_MAX, buf, 8), -EINVAL,
	   "read: offset SIZE_MAX");
	is(droppable_pool_read(p, &ref, 8, buf, SIZE_MAX), -EINVAL,
	   "read: length SIZE_MAX");
	far = ref;
	far.at += 1000 * page;
	is(droppable_pool_read(p, &far, 0, buf, 8), -EINVAL,
	   "read: a page that isn't there");
	is(droppable_pool_forget(p, &far), -EINVAL, "forget: the same");
	is(droppable_pool_drop(p, &far), -EINVAL, "drop: the same");
	far = ref;
	far.len = 5 * page;
	is(droppable_pool_read(p, &far, 0, buf, 8), -EINVAL,
	   "read: longer than a pool");
	is(droppable_pool_forget(NULL, &ref), -EINVAL, "forget: no pool");
	is(droppable_pool_drop(NULL, &ref), -EINVAL, "drop: no pool");
	is(droppable_pool_stats(NULL, &st, sizeof(st)), -EINVAL,
	   "pool_stats: no pool");
	is(droppable_pool_stats(p, &st, 3), -EINVAL, "pool_stats: odd size");
	droppable_pool_close(p);
	droppable_pool_close(NULL);
}

/* Each size around the places where something changes, whole and in parts. */
static void test_sizes(struct droppable *ctx)
{
	size_t sizes[] = { 1, 7, 8, 9, 63, 1000, page - 9, page - 8, page - 7,
			   page, 2 * page - 16, 2 * page - 15, 5 * page + 3,
			   100 * page };
	unsigned char *data = malloc(100 * page), *back = malloc(100 * page);
	struct droppable_ref ref[14];
	struct droppable_pool *p;
	size_t i, off, bad = 0, len, parts = 0;

	if (!data || !back)
		abort();
	is(droppable_pool_open(ctx, 0, 0, &p), 0, "sizes: open");
	for (i = 0; i < 14; i++) {
		fill(data, i, 0, 0, sizes[i]);
		bad += droppable_pool_put(p, data, sizes[i], &ref[i]) != 0;
		bad += ref[i].len != sizes[i];
	}
	is((int)bad, 0, "sizes: put each");
	for (i = 0; i < 14; i++) {
		memset(back, 0, sizes[i]);
		if (droppable_pool_read(p, &ref[i], 0, back, sizes[i]))
			bad++;
		else
			bad += wrong(back, i, 0, 0, sizes[i]);
		for (off = 0; off < sizes[i]; off += 1 + sizes[i] / 9) {
			len = 1 + (off * 7 + 5) % (sizes[i] - off);
			back[len] = 0;
			if (droppable_pool_read(p, &ref[i], off, back, len))
				bad++;
			else
				bad += wrong(back, i, 0, off, len);
			bad += len < 100 * page && back[len] != 0;
			parts++;
		}
	}
	is((int)bad, 0, "sizes: read each, whole and in parts");
	ok(parts > 50, "sizes: parts enough", (int)parts);

	is(droppable_pool_drop(p, &ref[11]), 0, "sizes: drop one");
	memset(back, 1, sizes[11]);
	is(droppable_pool_read(p, &ref[11], 0, back, sizes[11]), -ENODATA,
	   "sizes: it is gone");
	for (i = 0; i < sizes[11]; i++)
		bad += back[i];
	is((int)bad, 0, "sizes: the buffer is zero");
	is(droppable_pool_read(p, &ref[12], 0, back, sizes[12]), 0,
	   "sizes: the one beside it isn't");
	is(droppable_pool_forget(p, &ref[12]), 0, "sizes: forget one");
	is(droppable_pool_forget(p, &ref[12]), -ENODATA, "sizes: only once");
	is(droppable_pool_drop(p, NULL), 0, "sizes: drop all");
	for (i = 0; i < 14; i++)
		bad += droppable_pool_read(p, &ref[i], 0, back, 1) != -ENODATA;
	is((int)bad, 0, "sizes: all are gone");
	droppable_pool_close(p);
	free(data);
	free(back);
}

/* Small objects share pages, and never straddle two. */
static void test_packing(struct droppable *ctx)
{
	struct droppable_pool_stats st;
	struct droppable_pool *p;
	struct droppable_ref ref;
	char data[3000];
	size_t i, len, bytes = 0, straddle = 0;

	memset(data, 'd', sizeof(data));
	is(droppable_pool_open(ctx, 0, 0, &p), 0, "packing: open");
	for (i = 0; i < 2000; i++) {
		len = 1 + i * 7919 % 1500;
		bytes += len;
		if (droppable_pool_put(p, data, len, &ref))
			break;
		straddle += ref.at % page + len > page || ref.at % page < 8;
	}
	is((int)i, 2000, "packing: put 2000");
	is((int)straddle, 0, "packing: none straddles a page or lies on a head");
	is(droppable_pool_stats(p, &st, sizeof(st)), 0, "pool_stats");
	ok(st.used < bytes + bytes / 5, "packing: less than a fifth is waste",
	   (int)(st.used - bytes));
	ok(st.puts == 2000 && st.mapped >= st.used && st.capacity >= st.mapped,
	   "pool_stats: fit together", (int)st.puts);
	droppable_pool_close(p);
}

/* A full pool goes on: what was read stays, what wasn't goes. */
static void test_full(struct droppable *ctx)
{
	struct droppable_ref hot, cold, ref, old[64];
	struct droppable_pool_stats st;
	unsigned char data[4 * 1024];
	struct droppable_pool *p;
	size_t i, lost = 0, reborn = 0, young = 0;

	is(droppable_pool_open(ctx, 64 * page, 0, &p), 0, "full: open");
	fill(data, 1, 0, 0, page / 2);
	is(droppable_pool_put(p, data, page / 2, &hot), 0, "full: put a hot one");
	fill(data, 2, 0, 0, page / 2 + 99);
	is(droppable_pool_put(p, data, page / 2 + 99, &cold), 0,
	   "full: put a cold one");
	for (i = 0; i < 1000; i++) {
		if (droppable_pool_put(p, data, page / 2 + 99, &ref))
			break;
		old[i % 64] = ref;
		if (droppable_pool_read(p, &hot, 0, data, page / 2) ||
		    wrong(data, 1, 0, 0, page / 2))
			lost++;
		fill(data, 2, 0, 0, page / 2 + 99);
	}
	is((int)i, 1000, "full: put 1000 where 64 fit");
	is((int)lost, 0, "full: the hot one stays");
	is(droppable_pool_read(p, &cold, 0, data, 1), -ENODATA,
	   "full: the cold one goes");
	droppable_pool_stats(p, &st, sizeof(st));
	ok(st.used <= st.capacity && st.capacity == 64 * page,
	   "full: keeps to its size", (int)st.used);
	ok(st.recycled > 800, "full: counts what it recycles", (int)st.recycled);
	/* The youngest, a page each, beside the hot one. */
	for (i = 0; i < 64; i++)
		young += !droppable_pool_read(p, &old[i], 0, data, 1);
	ok(young >= 60, "full: the oldest goes first", (int)young);

	/* Runs of pages, too; and all of them in use by nobody. */
	for (i = 0; i < 300; i++)
		if (droppable_pool_put(p, data, sizeof(data), &ref))
			break;
	is((int)i, 300, "full: larger ones");
	for (i = 0; i < 64; i++)
		reborn += droppable_pool_read(p, &old[i], 0, data, 1) == 0;
	is((int)reborn, 0, "full: a reference names nothing else later");
	droppable_pool_close(p);
}

/* How many of @n objects are there; they count as read then. */
static int count_there(struct droppable_pool *p,
		       const struct droppable_ref *ref, int n)
{
	char byte;
	int i, there = 0;

	for (i = 0; i < n; i++)
		there += !droppable_pool_read(p, &ref[i], 0, &byte, 1);
	return there;
}

/* Fills @n pages, with an object each. */
static int put_pages(struct droppable_pool *p, struct droppable_ref *ref, int n)
{
	unsigned char *data = calloc(1, page - 8);
	int i, err = 0;

	if (!data)
		abort();
	for (i = 0; i < n && !err; i++)
		err = droppable_pool_put(p, data, page - 8, &ref[i]);
	free(data);
	return err;
}

/* One object that takes @n pages. */
static int put_row(struct droppable_pool *p, size_t n)
{
	unsigned char *data = calloc(n, page - 8);
	struct droppable_ref ref;
	int err;

	if (!data)
		abort();
	err = droppable_pool_put(p, data, n * (page - 8), &ref);
	free(data);
	return err;
}

static int recycled(struct droppable_pool *p)
{
	struct droppable_pool_stats st = { 0 };

	droppable_pool_stats(p, &st, sizeof(st));
	return (int)st.recycled;
}

/* What makes room for a large object is what it takes, and nothing else. */
static void test_row(void)
{
	struct droppable_ref ref[64];
	struct droppable_pool *p;
	struct droppable *ctx;
	int i, hot = 0;

	/* Of memory that nobody takes back. */
	is(droppable_open(&ctx, DROPPABLE_FALLBACK_ONLY), 0, "row: memory");
	is(droppable_pool_open(ctx, 64 * page, 0, &p), 0, "row: open");
	is(put_pages(p, ref, 64), 0, "row: fill it");
	for (i = 0; i < 32; i += 8)
		hot += count_there(p, &ref[i], 1);
	is(hot, 4, "row: read some");
	is(put_row(p, 20), 0, "row: put what takes 20 pages");
	is(recycled(p), 20, "row: those went, no others");
	for (i = 0; i < 32; i += 8)
		hot += count_there(p, &ref[i], 1);
	is(hot, 8, "row: what was read stays");
	is(count_there(p, ref, 64), 44, "row: and what is in no row");
	is(put_row(p, 64), 0, "row: put what takes all, just read");
	is(count_there(p, ref, 64), 0, "row: so all is gone");
	droppable_pool_close(p);
	droppable_close(ctx);
}

/*
 * Somebody who puts what lies on two pages of his own, of which the second
 * can't be read at first, is stopped between the two.  Where he stores it is
 * busy then, as if pinned.
 */
static struct stopped {
	struct droppable_pool *p;
	unsigned char *data;
	size_t len;
	sem_t stopped, go_on;
	struct droppable_ref ref;
	int err;
} stopped;

static void on_stop(int sig)
{
	(void)sig;
	mprotect(stopped.data + page, page, PROT_READ);
	sem_post(&stopped.stopped);
	while (sem_wait(&stopped.go_on))
		;
}

static void *writer(void *unused)
{
	stopped.err = droppable_pool_put(stopped.p,
					 stopped.data + page - stopped.len / 2,
					 stopped.len, &stopped.ref);
	return unused;
}

static pthread_t start_writer(size_t len)
{
	pthread_t th;

	stopped.data = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stopped.data == MAP_FAILED)
		abort();
	memset(stopped.data, 's', 2 * page);
	stopped.len = len;
	mprotect(stopped.data + page, page, PROT_NONE);
	sem_init(&stopped.stopped, 0, 0);
	sem_init(&stopped.go_on, 0, 0);
	if (pthread_create(&th, NULL, writer, NULL))
		abort();
	while (sem_wait(&stopped.stopped))
		;
	return th;
}

/* For an object that there is no room for, nothing goes. */
static void test_busy(void)
{
	struct sigaction stop = { .sa_handler = on_stop }, before;
	struct droppable_ref ref[62];
	struct droppable *ctx;
	pthread_t th;

	is(droppable_open(&ctx, DROPPABLE_FALLBACK_ONLY), 0, "busy: memory");
	is(droppable_pool_open(ctx, 64 * page, 0, &stopped.p), 0, "busy: open");
	if (sigaction(SIGSEGV, &stop, &before))
		abort();
	is(put_pages(stopped.p, ref, 31), 0, "busy: fill it");
	th = start_writer(2 * (page - 8));
	is(put_pages(stopped.p, ref + 31, 31), 0, "busy: and beside a writer");
	is(put_row(stopped.p, 32), -EAGAIN, "busy: no room for 32 pages");
	is(recycled(stopped.p), 0, "busy: so none goes");
	is(count_there(stopped.p, ref, 62), 62, "busy: read all");
	is(put_row(stopped.p, 32), -EAGAIN, "busy: no room for all that");
	is(recycled(stopped.p), 0, "busy: none goes now, either");
	is(put_row(stopped.p, 31), 0, "busy: there is room for 31");
	is(recycled(stopped.p), 31, "busy: these go");
	is(count_there(stopped.p, ref, 62), 31, "busy: the others don't");
	sem_post(&stopped.go_on);
	pthread_join(th, NULL);
	sigaction(SIGSEGV, &before, NULL);
	is(stopped.err, 0, "busy: the writer went on");
	is(count_there(stopped.p, &stopped.ref, 1), 1, "busy: it is there");
	is(put_row(stopped.p, 32), 0, "busy: and there is room");
	droppable_pool_close(stopped.p);
	droppable_close(ctx);
	munmap(stopped.data, 2 * page);
}

/* A page that is found dropped is its writer's until he is through. */
static void test_dropped_busy(void)
{
	struct sigaction stop = { .sa_handler = on_stop }, before;
	struct droppable_ref ref, other;
	struct droppable *ctx;
	size_t i, bad = 0;
	pthread_t th;
	char byte = 0;

	is(droppable_open(&ctx, DROPPABLE_FALLBACK_ONLY), 0, "lost: memory");
	is(droppable_pool_open(ctx, 4 * page, 0, &stopped.p), 0, "lost: open");
	is(droppable_pool_put(stopped.p, "x", 1, &ref), 0, "lost: put");
	if (sigaction(SIGSEGV, &stop, &before))
		abort();
	th = start_writer(128);
	is(droppable_pool_drop(stopped.p, &ref), 0, "lost: drop it");
	is(count_there(stopped.p, &ref, 1), 0, "lost: found gone");
	is(put_pages(stopped.p, &other, 1), 0, "lost: fill another page");
	sem_post(&stopped.go_on);
	pthread_join(th, NULL);
	sigaction(SIGSEGV, &before, NULL);
	is(stopped.err, 0, "lost: the writer went on");
	is(count_there(stopped.p, &stopped.ref, 1), 0, "lost: for nothing");
	for (i = 0; i < page - 8; i++)
		bad += droppable_pool_read(stopped.p, &other, i, &byte, 1) ||
		       byte;
	is((int)bad, 0, "lost: nobody wrote to the other");
	droppable_pool_close(stopped.p);
	droppable_close(ctx);
	munmap(stopped.data, 2 * page);
}

/* To drop what is gone takes nothing from who has its place. */
static void test_drop_gone(struct droppable *ctx)
{
	struct droppable_ref first, run, other[2];
	struct droppable_pool *p;
	unsigned char data[8192];

	is(droppable_pool_open(ctx, 4 * page, 0, &p), 0, "drop gone: open");
	fill(data, 1, 0, 0, sizeof(data));
	is(droppable_pool_put(p, data, page - 8, &first), 0, "drop gone: put");
	is(droppable_pool_forget(p, &first), 0, "drop gone: forget");
	is(droppable_pool_put(p, data, page - 8, &other[0]), 0,
	   "drop gone: put another");
	ok(other[0].at == first.at, "drop gone: in its place",
	   (int)other[0].at);
	is(droppable_pool_drop(p, &first), -ENODATA, "drop gone: the first");
	is(droppable_pool_read(p, &other[0], 0, data, page - 8), 0,
	   "drop gone: the other is there");

	/* Of the place of a run somebody else has the beginning. */
	is(droppable_pool_put(p, data, 2 * page - 16, &run), 0,
	   "drop gone: put a run");
	is(droppable_pool_forget(p, &run), 0, "drop gone: forget it");
	is(droppable_pool_read(p, &run, page, data, 8), 0,
	   "drop gone: what is forgotten is still there");
	is(droppable_pool_put(p, data, page - 8, &other[1]), 0,
	   "drop gone: put another there");
	ok(other[1].at == run.at, "drop gone: there", (int)other[1].at);
	is(droppable_pool_drop(p, &run), 0, "drop gone: the rest of it");
	is(droppable_pool_read(p, &run, page, data, 8), -ENODATA,
	   "drop gone: can't be read any more");
	is(droppable_pool_read(p, &other[1], 0, data, page - 8), 0,
	   "drop gone: nor is the other gone");
	droppable_pool_close(p);
}

/* Forgotten and dropped pages are found again: nothing is recycled. */
static void test_reuse(struct droppable *ctx)
{
	struct droppable_ref ref[2000];
	struct droppable_pool_stats st;
	struct droppable_pool *p;
	char data[200] = "x";
	size_t i, n = 0;

	is(droppable_pool_open(ctx, 256 * page, 0, &p), 0, "reuse: open");
	for (i = 0; i < 20000; i++) {
		if (i >= 2000)
			n += droppable_pool_forget(p, &ref[i % 2000]) == 0;
		if (droppable_pool_put(p, data, sizeof(data), &ref[i % 2000]))
			break;
	}
	is((int)i, 20000, "reuse: put 20000 where 5000 fit");
	is((int)n, 18000, "reuse: all could be forgotten");
	droppable_pool_stats(p, &st, sizeof(st));
	is((int)st.recycled, 0, "reuse: forgotten pages are used first");
	for (n = 0; n < 5; n++) {
		for (i = 0; i < 250 * (page / 208); i++)
			if (droppable_pool_put(p, data, sizeof(data), &ref[0]))
				break;
		if (droppable_pool_drop(p, NULL))
			break;
	}
	is((int)n, 5, "reuse: fill, drop, again");
	droppable_pool_stats(p, &st, sizeof(st));
	ok(st.swept > 500, "reuse: dropped pages are found", (int)st.swept);
	droppable_pool_close(p);
}

/* A child has an empty pool of its own, its parent all that was there. */
static void test_fork(struct droppable *ctx)
{
	struct droppable_ref ref, mine;
	struct droppable_pool *p;
	char data[300] = "parent's", back[300];
	pid_t pid;
	int st = 0;

	is(droppable_pool_open(ctx, 64 * page, 0, &p), 0, "pool, fork: open");
	is(droppable_pool_put(p, data, sizeof(data), &ref), 0, "pool, fork: put");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (droppable_pool_read(p, &ref, 0, back, 8) != -ENODATA)
			_exit(1);
		memcpy(data, "child's.", 9);
		if (droppable_pool_put(p, data, sizeof(data), &mine) ||
		    droppable_pool_read(p, &mine, 0, back, sizeof(back)) ||
		    memcmp(back, data, sizeof(data)))
			_exit(2);
		if (droppable_pool_read(p, &ref, 0, back, 8) != -ENODATA)
			_exit(3);
		pid = fork();
		if (!pid)
			_exit(droppable_pool_read(p, &mine, 0, back, 8) !=
			      -ENODATA ||
			      droppable_pool_put(p, data, 99, &mine));
		if (waitpid(pid, &st, 0) != pid || st)
			_exit(4);
		droppable_pool_close(p);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	is(st, 0, "pool, fork: the child's is empty and works, its child's too");
	is(droppable_pool_read(p, &ref, 0, back, sizeof(back)), 0,
	   "pool, fork: the parent's stays");
	ok(!memcmp(back, "parent's", 9), "pool, fork: as it was", 0);
	droppable_pool_close(p);
}

/* Faults among the parts of a pinned object; -1 if they are too few. */
static int wrong_parts(const struct iovec *part, size_t nr, size_t n,
		       size_t len)
{
	size_t i, off = 0, bad = 0;

	for (i = 0; i < nr; off += part[i++].iov_len)
		bad += wrong(part[i].iov_base, n, 0, off, part[i].iov_len);
	return off == len ? (int)bad : -1;
}

static void test_pin_arguments(struct droppable *ctx)
{
	struct droppable_pool_pin pin = { 0 };
	struct droppable_ref ref, none = { 0 }, far;
	struct droppable_pool *p;
	struct iovec part[2];
	char data[5000] = "x";
	size_t nr = 2;

	is(droppable_pool_open(ctx, 16 * page, 0, &p), 0, "pool_pin: open");
	is(droppable_pool_put(p, data, sizeof(data), &ref), 0, "pool_pin: put");
	is(droppable_pool_pin(NULL, &ref, part, &nr, &pin), -EINVAL,
	   "pool_pin: no pool");
	is(droppable_pool_pin(p, NULL, part, &nr, &pin), -EINVAL,
	   "pool_pin: no object");
	is(droppable_pool_pin(p, &ref, NULL, &nr, &pin), -EINVAL,
	   "pool_pin: no parts");
	is(droppable_pool_pin(p, &ref, part, NULL, &pin), -EINVAL,
	   "pool_pin: no number");
	is(droppable_pool_pin(p, &ref, part, &nr, NULL), -EINVAL,
	   "pool_pin: no place");
	is(droppable_pool_pin(p, &none, part, &nr, &pin), -ENODATA,
	   "pool_pin: a reference to nothing");
	far = ref;
	far.at += 1000 * page;
	is(droppable_pool_pin(p, &far, part, &nr, &pin), -EINVAL,
	   "pool_pin: a page that isn't there");
	far = ref;
	far.gen++;
	is(droppable_pool_pin(p, &far, part, &nr, &pin), -ENODATA,
	   "pool_pin: another generation");
	is((int)nr, 2, "pool_pin: failure stores nothing");
	nr = 0;
	is(droppable_pool_pin(p, &ref, NULL, &nr, &pin), -ENOBUFS,
	   "pool_pin: no room");
	is((int)nr, 2, "pool_pin: says how much it takes");
	is(droppable_pool_unpin(NULL, &pin), -EINVAL, "pool_unpin: no pool");
	is(droppable_pool_unpin(p, NULL), -EINVAL, "pool_unpin: no pin");
	is(droppable_pool_unpin(p, &pin), 0, "pool_unpin: of nothing");
	if (!(droppable_guarantees(ctx) & DROPPABLE_G_PIN)) {
		is(droppable_pool_pin(p, &ref, part, &nr, &pin), -ENOTSUP,
		   "pool_pin: not supported");
		is(droppable_pool_forget(p, &ref), 0, "pool_pin: holds nothing");
	}
	droppable_pool_close(p);
}

/* A small object and one of several pages: pinned they stay, then they go. */
static void test_pin_drop(struct droppable *ctx, size_t len)
{
	unsigned char *data = malloc(len), *back = malloc(len);
	struct droppable_pool_pin pin, again;
	struct droppable_pool *p;
	struct iovec part[16];
	struct droppable_ref ref;
	size_t nr = 16, i;
	char other[2000] = "y";
	int err = 0;

	if (!data || !back)
		abort();
	printf("# %zu bytes\n", len);
	fill(data, 1, 0, 0, len);
	is(droppable_pool_open(ctx, 64 * page, 0, &p), 0, "pinned: open");
	is(droppable_pool_put(p, data, len, &ref), 0, "pinned: put");
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), 0, "pinned: pin");
	is((int)nr, (int)((len + page - 9) / (page - 8)), "pinned: parts");
	is(wrong_parts(part, nr, 1, len), 0, "pinned: they are the object");
	is(droppable_pool_pin(p, &ref, part, &nr, &again), 0, "pinned: twice");
	is(droppable_pool_unpin(p, &again), 0, "pinned: once less");
	is(droppable_pool_drop(p, &ref), -EBUSY, "pinned: drop leaves it");
	is(droppable_pool_drop(p, NULL), -EBUSY, "pinned: drop of all, too");
	is(droppable_pool_forget(p, &ref), 0, "pinned: forget");
	/* The pool recycles all that it has, but for this. */
	for (i = 0; i < 500 && !err; i++)
		err = droppable_pool_put(p, other, sizeof(other), &ref);
	is(err, 0, "pinned: 500 others pass");
	is(wrong_parts(part, nr, 1, len), 0, "pinned: still the object");
	ref = pin.ref;
	is(droppable_pool_read(p, &ref, 0, back, len), 0, "pinned: is read");
	is(droppable_pool_unpin(p, &pin), 0, "unpinned");
	is(droppable_pool_unpin(p, &pin), 0, "unpinned: only once");
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), -ENODATA,
	   "unpinned: it was forgotten");
	is(droppable_pool_drop(p, NULL), 0, "unpinned: all can be dropped");
	droppable_pool_close(p);
	free(data);
	free(back);
}

/* What isn't forgotten outlives its pin; what is dropped can't be pinned. */
static void test_pin_end(struct droppable *ctx)
{
	struct droppable_pool_pin pin, none;
	struct droppable_pool *p;
	unsigned char data[3000];
	struct droppable_ref ref, other;
	struct iovec part[1];
	size_t nr = 1, i;
	pid_t pid;
	int st = 0, err = 0;

	fill(data, 3, 0, 0, sizeof(data));
	is(droppable_pool_open(ctx, 8 * page, 0, &p), 0, "pin's end: open");
	is(droppable_pool_put(p, data, sizeof(data), &ref), 0, "pin's end: put");
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), 0, "pin's end: pin");
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(droppable_pool_pin(p, &ref, part, &nr, &none) != -ENODATA ||
		      droppable_pool_put(p, data, 8, &other) ||
		      droppable_pool_unpin(p, &pin) != -ENOENT ||
		      droppable_pool_forget(p, &other) ||
		      droppable_pool_pin(p, &other, part, &nr, &none) !=
			      -ENODATA);
	waitpid(pid, &st, 0);
	is(st, 0, "pin's end: a child has no part in it");
	is(droppable_pool_drop(p, &ref), -EBUSY, "pin's end: the parent's holds");
	for (i = 0; i < 100 && !err; i++)
		err = droppable_pool_put(p, data, sizeof(data), &other);
	is(err, 0, "pin's end: others are recycled");
	is(droppable_pool_unpin(p, &pin), 0, "pin's end: unpin");
	is(droppable_pool_read(p, &ref, 0, data, sizeof(data)), 0,
	   "pin's end: it is still there");
	is((int)wrong(data, 3, 0, 0, sizeof(data)), 0, "pin's end: unchanged");
	is(droppable_pool_drop(p, &ref), 0, "pin's end: drop");
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), -ENODATA,
	   "pin's end: what is gone can't be pinned");
	/* A put that met the drop stores behind it: all pages are there. */
	is(droppable_pool_put(p, data, sizeof(data), &ref) ||
	   droppable_pool_pin(p, &ref, part, &nr, &pin) ||
	   droppable_pool_unpin(p, &pin) || droppable_pool_drop(p, &ref), 0,
	   "pin's end: another, pinned and dropped");
	*(char *)part[0].iov_base = 1;
	is(droppable_pool_pin(p, &ref, part, &nr, &pin), -ENODATA,
	   "pin's end: nor what is gone from a page that is there");
	droppable_pool_close(p);
}

static void test_all_pinned(struct droppable *ctx)
{
	struct droppable_pool_pin pin[4];
	struct droppable_pool *p;
	struct droppable_ref ref;
	struct iovec part[1];
	char data[4000] = "z";
	size_t nr = 1, i, done = 0;

	is(droppable_pool_open(ctx, 4 * page, 0, &p), 0, "all pinned: open");
	for (i = 0; i < 4; i++)
		done += !droppable_pool_put(p, data, sizeof(data), &ref) &&
			!droppable_pool_pin(p, &ref, part, &nr, &pin[i]);
	is((int)done, 4, "all pinned: four of four pages");
	is(droppable_pool_put(p, data, sizeof(data), &ref), -EAGAIN,
	   "all pinned: no room");
	is(droppable_pool_unpin(p, &pin[2]), 0, "all pinned: but for one");
	is(droppable_pool_put(p, data, sizeof(data), &ref), 0,
	   "all pinned: that has room");
	/* The others end with the pool. */
	droppable_pool_close(p);
}

static void test_pins(struct droppable *ctx)
{
	test_pin_arguments(ctx);
	if (!(droppable_guarantees(ctx) & DROPPABLE_G_PIN))
		return;
	test_pin_drop(ctx, 700);
	test_pin_drop(ctx, 5 * page + 3);
	test_pin_end(ctx);
	test_all_pinned(ctx);
}

/* --- with all that can go wrong at once --- */

struct cell {
	pthread_mutex_t lock;
	struct droppable_ref ref;
	unsigned int version;
	size_t size;
};

struct play {
	struct droppable_pool *pool;
	struct cell cell[CELLS];
	size_t reads;
	int pins; /* there are pins, and every eighth reader takes one */
	size_t good, gone, wrong, errors, drops, pinned; /* atomic */
	int over; /* atomic */
};

#define COUNT(field, n) __atomic_fetch_add(&(field), n, __ATOMIC_RELAXED)

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void rebuild(struct play *t, size_t n, const struct droppable_ref *seen,
		    unsigned char *buf)
{
	struct cell *c = &t->cell[n];

	pthread_mutex_lock(&c->lock);
	if (c->ref.gen == seen->gen) {
		c->version++;
		fill(buf, n, c->version, 0, c->size);
		if (droppable_pool_put(t->pool, buf, c->size, &c->ref))
			COUNT(t->errors, 1);
	}
	pthread_mutex_unlock(&c->lock);
}

/* However the threads are scheduled. */
static int enough(struct play *t)
{
	return __atomic_load_n(&t->gone, __ATOMIC_RELAXED) > t->reads / 30 &&
	       __atomic_load_n(&t->drops, __ATOMIC_RELAXED) > t->reads / 60;
}

/* All of the object, where it is. */
static int look(struct play *t, const struct droppable_ref *ref, size_t n,
		unsigned int version, size_t *bad)
{
	struct droppable_pool_pin pin;
	struct iovec part[8];
	size_t nr = 8, i, off = 0;
	int err = droppable_pool_pin(t->pool, ref, part, &nr, &pin);

	*bad = 0;
	if (err)
		return err;
	sched_yield();
	for (i = 0; i < nr; off += part[i++].iov_len)
		*bad += wrong(part[i].iov_base, n, version, off,
			      part[i].iov_len);
	*bad += off != ref->len;
	COUNT(t->pinned, 1);
	return droppable_pool_unpin(t->pool, &pin);
}

static void *reader(void *arg)
{
	struct play *t = arg;
	unsigned char *buf = malloc(16 * page);
	uint32_t seed = (uint32_t)(uintptr_t)&buf >> 4;
	struct droppable_ref ref;
	unsigned int version;
	size_t i, n, off, len, bad;
	int err;

	if (!buf)
		abort();
	for (i = 0; i < t->reads || (!enough(t) && i < 100 * t->reads); i++) {
		n = next(&seed) % CELLS;
		pthread_mutex_lock(&t->cell[n].lock);
		ref = t->cell[n].ref;
		version = t->cell[n].version;
		pthread_mutex_unlock(&t->cell[n].lock);
		off = i % 4 ? 0 : next(&seed) % t->cell[n].size;
		len = t->cell[n].size - off;
		if (t->pins && i % 8 == 3) {
			err = look(t, &ref, n, version, &bad);
		} else {
			err = droppable_pool_read(t->pool, &ref, off, buf, len);
			bad = err ? 0 : wrong(buf, n, version, off, len);
		}
		if (!err && bad)
			COUNT(t->wrong, 1);
		else if (!err)
			COUNT(t->good, 1);
		else if (err == -ENODATA)
			COUNT(t->gone, 1);
		else
			COUNT(t->errors, 1);
		if (err)
			rebuild(t, n, &ref, buf);
	}
	free(buf);
	return NULL;
}

/* An object, with what is on the same page, or everything. */
static void *dropper(void *arg)
{
	struct play *t = arg;
	uint32_t seed = 4711;
	struct droppable_ref ref;
	size_t n;
	int err;

	while (!__atomic_load_n(&t->over, __ATOMIC_RELAXED)) {
		n = next(&seed) % CELLS;
		pthread_mutex_lock(&t->cell[n].lock);
		ref = t->cell[n].ref;
		pthread_mutex_unlock(&t->cell[n].lock);
		err = droppable_pool_drop(t->pool,
					  next(&seed) % 64 ? &ref : NULL);
		/*
		 * Not there yet; or held, which a page seems to be while
		 * another thread's fault looks it up.
		 */
		if (err && err != -ENODATA && err != -EBUSY)
			COUNT(t->errors, 1);
		COUNT(t->drops, 1);
	}
	return NULL;
}

static void play(struct droppable *ctx, const char *name, size_t pool_size,
		 size_t most)
{
	static const size_t size[] = { 17, 100, 700, 3000, 4088, 4089, 9000,
				       20000 };
	struct play t = {
		.reads = READS * stress(),
		.pins = !!(droppable_guarantees(ctx) & DROPPABLE_G_PIN),
	};
	pthread_t th[READERS + 1];
	char what[100];
	size_t i;

	if (droppable_pool_open(ctx, pool_size, 0, &t.pool))
		abort();
	for (i = 0; i < CELLS; i++) {
		pthread_mutex_init(&t.cell[i].lock, NULL);
		t.cell[i].size = size[i % 8] + i / 8;
		if (t.cell[i].size > most)
			t.cell[i].size = most - i;
	}
	for (i = 0; i < READERS + 1; i++)
		if (pthread_create(&th[i], NULL, i ? reader : dropper, &t))
			abort();
	for (i = 1; i < READERS + 1; i++)
		pthread_join(th[i], NULL);
	__atomic_store_n(&t.over, 1, __ATOMIC_RELAXED);
	pthread_join(th[0], NULL);
	printf("# %zu drops; read whole %zu, pinned %zu, gone %zu, wrong %zu\n",
	       t.drops, t.good, t.pinned, t.gone, t.wrong);
	snprintf(what, sizeof(what), "stress, %s: no byte was wrong", name);
	is((int)t.wrong, 0, what);
	snprintf(what, sizeof(what), "stress, %s: no error", name);
	is((int)t.errors, 0, what);
	snprintf(what, sizeof(what), "stress, %s: some read, some gone", name);
	ok(t.good > t.reads / 8 && enough(&t) &&
	   (!t.pins || t.pinned > t.reads / 100), what, (int)t.gone);
	droppable_pool_close(t.pool);
	for (i = 0; i < CELLS; i++)
		pthread_mutex_destroy(&t.cell[i].lock);
}

void test_pool_stress(struct droppable *ctx)
{
	test_busy();
	test_dropped_busy();
	play(ctx, "room enough", 0, 20480);
	play(ctx, "a pool that is too small", 20 * page, 20480);
	play(ctx, "several to a page", 0, 1500);
}

void test_pool(struct droppable *ctx)
{
	test_bad_arguments(ctx);
	test_sizes(ctx);
	test_packing(ctx);
	test_full(ctx);
	test_row();
	test_drop_gone(ctx);
	test_reuse(ctx);
	test_fork(ctx);
	test_pins(ctx);
	if (READS)
		test_pool_stress(ctx);
}
