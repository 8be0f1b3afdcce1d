// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * cache [MIB]: a cache of computed blocks in droppable memory, one per page.
 *
 * Shows the two things that a user of this memory has to get right: to copy a
 * block out and only then check that it was there all the time, and to be able
 * to make it again.  Everything that is acted on (how many blocks there are,
 * which generation of each is valid) is kept in ordinary memory.
 *
 * Exit status: 0; 1 if a wrong byte was ever taken for a right one, or if
 * there is no droppable memory.
 *
 *	cc -o cache cache.c $(pkg-config --cflags --libs libdroppable)
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <droppable.h>

/* A page of the mapping. */
struct block {
	uint64_t gen; /* 0: the page was dropped, or never filled */
	unsigned char data[];
};

struct cache {
	char *mem; /* droppable */
	size_t page, n, size; /* bytes per page, blocks, bytes per block */
	uint64_t *gen; /* ordinary: the generation that is valid, or 0 */
	uint64_t last_gen;
	unsigned char *tmp; /* ordinary: where blocks are copied to */
	size_t hits, rebuilt;
};

/* Stands for a picture that is decoded, a page that is rendered... */
static void compute(size_t i, unsigned char *data, size_t size)
{
	uint32_t x = (uint32_t)i * 2654435761u + 1;

	while (size--) {
		x = x * 1664525u + 1013904223u;
		*data++ = (unsigned char)(x >> 24);
	}
}

static struct block *block(const struct cache *c, size_t i)
{
	return (struct block *)(c->mem + i * c->page);
}

/*
 * A drop puts the whole page to zero, at any moment.  The generation goes
 * first: if the page is dropped on the way, it ends as 0 with some data
 * behind, and that is a miss.  Written last, it would vouch for data that went
 * just before.  It is a new one each time, so that no reader who saw the one
 * before takes a mixture of both.
 */
static void fill(struct cache *c, size_t i, const unsigned char *data)
{
	struct block *b = block(c, i);

	c->gen[i] = ++c->last_gen;
	__atomic_store_n(&b->gen, c->gen[i], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(b->data, data, c->size);
}

/* Copies block i to c->tmp; 1 if that is what fill() was given, else 0. */
static int try_read(struct cache *c, size_t i)
{
	struct block *b = block(c, i);

	if (!c->gen[i] ||
	    __atomic_load_n(&b->gen, __ATOMIC_ACQUIRE) != c->gen[i])
		return 0;
	memcpy(c->tmp, b->data, c->size);
	/* Still the same, so it was so all through the copying. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&b->gen, __ATOMIC_RELAXED) == c->gen[i];
}

/* Block i, from the cache or made again. */
static const unsigned char *get(struct cache *c, size_t i)
{
	if (try_read(c, i)) {
		c->hits++;
	} else {
		compute(i, c->tmp, c->size);
		fill(c, i, c->tmp);
		c->rebuilt++;
	}
	return c->tmp;
}

/* Gets every block once and says how that went; 1 if one was wrong. */
static int round_trip(struct cache *c, const char *what)
{
	unsigned char *want = malloc(c->size);
	size_t i, wrong = 0;

	if (!want)
		return 1;
	c->hits = c->rebuilt = 0;
	for (i = 0; i < c->n; i++) {
		compute(i, want, c->size);
		wrong += memcmp(get(c, i), want, c->size) != 0;
	}
	free(want);
	printf("%-14s hits=%zu rebuilt=%zu wrong=%zu\n", what, c->hits,
	       c->rebuilt, wrong);
	fflush(stdout);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	struct cache c = { 0 };
	struct droppable *src;
	size_t len, dropped;
	char *end = "";
	long mib = argc > 1 ? strtol(argv[1], &end, 10) : 16;
	int err, bad, bit, status;
	uint64_t has;
	void *mem;
	pid_t pid;

	if (argc > 2 || *end || mib < 1 || mib > 1024 * 1024) {
		fprintf(stderr, "usage: cache [MIB]\n");
		return 1;
	}

	err = droppable_open(&src, 0);
	if (err) {
		fprintf(stderr, "cache: no droppable memory: %s\n",
			strerror(-err));
		return 1;
	}
	has = droppable_guarantees(src);
	printf("libdroppable   %s\nbackend        %s\nguarantees    ",
	       droppable_version(),
	       droppable_backend_name(droppable_backend(src)));
	for (bit = 0; bit < 64; bit++)
		if (has & (UINT64_C(1) << bit))
			printf(" %s",
			       droppable_guarantee_name(UINT64_C(1) << bit));
	printf("\n");

	len = (size_t)mib << 20;
	c.page = (size_t)sysconf(_SC_PAGESIZE);
	c.n = len / c.page;
	c.size = c.page - sizeof(struct block);
	c.gen = calloc(c.n, sizeof(*c.gen));
	c.tmp = malloc(c.size);
	err = droppable_map(src, len, &mem);
	if (err || !c.gen || !c.tmp) {
		fprintf(stderr, "cache: %s\n", strerror(err ? -err : ENOMEM));
		return 1;
	}
	c.mem = mem;

	bad = round_trip(&c, "filled");
	bad |= round_trip(&c, "read back");

	err = droppable_drop(src, mem, len / 2, &dropped);
	if (err)
		printf("%-14s %s\n", "drop half", strerror(-err));
	else if (dropped == DROPPABLE_UNKNOWN)
		printf("%-14s bytes=unknown\n", "drop half");
	else
		printf("%-14s bytes=%zu\n", "drop half", dropped);
	fflush(stdout);
	bad |= round_trip(&c, "after drop");

	/* A child finds all of it dropped, and that costs its parent nothing. */
	pid = fork();
	if (pid == 0) {
		bad = round_trip(&c, "child");
		_exit(bad || c.hits);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		bad = 1;
	bad |= round_trip(&c, "parent");

	err = droppable_unmap(src, mem, len);
	droppable_close(src);
	free(c.gen);
	free(c.tmp);
	return bad || err;
}
