// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * cache-server [--malloc] [EAT_MIB]: serves blocks of a compressed store, as a
 * file system or an archive does, and keeps them decompressed, while another
 * process eats the machine's memory.  Prints how that goes: hit rate and resident
 * memory against what was eaten.
 *
 * By default the decompressed blocks are in a cache on droppable memory; with
 * --malloc they are in ordinary memory, and nothing else is different.  Run as
 * root it keeps the eater from being killed in its place.  EAT_MIB defaults to
 * half of the machine's memory.
 *
 * Exit status: 0; 1 if a block was ever wrong or there is no droppable memory;
 * 2 if the server was killed.
 *
 *	cc -o cache-server cache-server.c \
 *		$(pkg-config --cflags --libs libdroppable zlib)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <droppable.h>
#include <zlib.h>

#define BLOCK	(32u << 10)
#define STEPS	20

static size_t nr_blocks; /* as many as would take half of the machine */
static struct {
	unsigned char *data;
	uLongf len;
	uLong sum; /* of what was compressed */
} *store;
static struct droppable_cache *cache; /* NULL: malloc() */
static unsigned char **table;
static size_t hits, wrong;

static struct shared {
	volatile size_t eaten; /* MiB */
	volatile int over;
} *shared;

/* What costs time to make, and can be made again: build() of the cache. */
static int unpack(const void *key, size_t key_len, void *buf, size_t size,
		  size_t *len, void *arg)
{
	uLongf n = size;
	uint32_t nr;

	(void)key_len;
	(void)arg;
	memcpy(&nr, key, sizeof(nr));
	if (uncompress(buf, &n, store[nr].data, store[nr].len) != Z_OK)
		return -EIO;
	*len = n;
	return 0;
}

/* Lines as a program logs them. */
static void write_log(uint32_t nr, char *text)
{
	static const char *const words[] = { "open", "read", "close", "retry" };
	uint32_t x = nr * 2654435761u + 1;
	size_t at = 0;

	while (at < BLOCK) {
		x = x * 1664525u + 1013904223u;
		at += (size_t)snprintf(text + at, BLOCK - at + 1,
				       "%08u session %03u: %s done in %u ms\n",
				       nr, x >> 22, words[x >> 20 & 3],
				       x >> 16 & 15);
	}
}

/* The store, which a file would be elsewhere. */
static int fill_store(void)
{
	unsigned char packed[2 * BLOCK];
	char text[BLOCK + 1];
	uint32_t nr;

	store = calloc(nr_blocks, sizeof(*store));
	for (nr = 0; store && nr < nr_blocks; nr++) {
		write_log(nr, text);
		store[nr].len = sizeof(packed);
		if (compress2(packed, &store[nr].len, (unsigned char *)text,
			      BLOCK, 1) != Z_OK)
			return -EIO;
		store[nr].sum = crc32(0, (unsigned char *)text, BLOCK);
		store[nr].data = malloc(store[nr].len);
		if (!store[nr].data)
			return -ENOMEM;
		memcpy(store[nr].data, packed, store[nr].len);
	}
	return store ? 0 : -ENOMEM;
}

static const void *get(uint32_t nr, unsigned char *buf, int *hit)
{
	struct droppable_cache_stats before, after;
	size_t len;

	if (!cache) {
		*hit = table[nr] != NULL;
		if (!table[nr]) {
			table[nr] = malloc(BLOCK);
			if (!table[nr])
				abort();
			if (unpack(&nr, sizeof(nr), table[nr], BLOCK, &len,
				   NULL))
				return NULL;
		}
		return table[nr];
	}
	droppable_cache_stats(cache, &before, sizeof(before));
	if (droppable_cache_get_or_build(cache, &nr, sizeof(nr), unpack, NULL,
					 buf, BLOCK, &len) || len != BLOCK)
		return NULL;
	droppable_cache_stats(cache, &after, sizeof(after));
	*hit = after.hits > before.hits;
	return buf;
}

static void request(uint32_t *seed, unsigned char *buf)
{
	const unsigned char *block;
	uint32_t a, b, nr;
	int hit = 0;

	/* The lower a number, the more often it is asked for. */
	*seed = *seed * 1664525u + 1013904223u;
	a = (*seed >> 8) % (uint32_t)nr_blocks;
	*seed = *seed * 1664525u + 1013904223u;
	b = (*seed >> 8) % (uint32_t)nr_blocks;
	nr = a < b ? a : b;
	block = get(nr, buf, &hit);
	wrong += !block || crc32(0, block, BLOCK) != store[nr].sum;
	hits += (size_t)hit;
}

static size_t resident_mib(void)
{
	unsigned long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%lu %lu", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * (size_t)sysconf(_SC_PAGESIZE) >> 20;
}

/* A row for each step: what is eaten, then both as bars, of 12 and 20. */
static void report(size_t requests)
{
	static const char bar[] = "####################";
	size_t all = (nr_blocks * BLOCK >> 20) * 5 / 4 + 1, res = resident_mib();
	size_t rate = requests ? 100 * hits / requests : 0;

	printf("%6zu MiB eaten  hits %3zu%% %-12.*s resident %4zu MiB %.*s\n",
	       shared->eaten, rate, (int)(rate * 12 / 100), bar, res,
	       (int)(res < all ? res * 20 / all : 20), bar);
	fflush(stdout);
}

static int serve(void)
{
	unsigned char *buf = malloc(BLOCK);
	size_t n, step = 0;
	uint32_t seed = 1;

	if (!buf)
		return 1;
	for (n = 0; n < 3 * nr_blocks; n++) /* warm up */
		request(&seed, buf);
	for (step = 0; step <= STEPS; step++) {
		hits = 0;
		for (n = 0; n < nr_blocks; n++)
			request(&seed, buf);
		report(n);
		shared->over = (int)step + 1; /* the eater may go on */
		while (shared->over)
			usleep(1000);
	}
	return wrong != 0;
}

/* Another program that needs memory, a step at a time, and keeps it. */
static void eat(size_t mib)
{
	size_t step = mib / STEPS;
	char *p;
	int i;

	for (i = 0; i <= STEPS; i++) {
		while (!shared->over)
			usleep(1000);
		p = mmap(NULL, step << 20, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED) {
			memset(p, 'e', step << 20);
			shared->eaten += step;
		}
		shared->over = 0;
	}
	pause();
}

static pid_t start_eater(size_t mib)
{
	pid_t pid = fork();
	FILE *f;

	if (pid)
		return pid;
	f = fopen("/proc/self/oom_score_adj", "we");
	if (f) {
		fputs("-1000", f);
		fclose(f);
	}
	eat(mib);
	_exit(0);
}

static int start_cache(int use_malloc)
{
	struct droppable *src;
	int err = fill_store();

	if (err)
		return err;
	if (use_malloc) {
		table = calloc(nr_blocks, sizeof(*table));
		return table ? 0 : -ENOMEM;
	}
	err = droppable_open(&src, 0);
	return err ? err : droppable_cache_open(src, 0, 0, &cache);
}

int main(int argc, char **argv)
{
	size_t mib = (size_t)sysconf(_SC_PHYS_PAGES) *
		     (size_t)sysconf(_SC_PAGESIZE) >> 20, eat_mib = mib / 2;
	int use_malloc = argc > 1 && !strcmp(argv[1], "--malloc");
	pid_t server, eater;
	int err, status = 0;
	char *end = "";

	if (argc > 2 + use_malloc)
		return fprintf(stderr, "usage: cache-server [--malloc] [EAT_MIB]\n"), 1;
	if (argc == 2 + use_malloc)
		eat_mib = strtoul(argv[1 + use_malloc], &end, 10);
	if (*end || eat_mib < STEPS || eat_mib > mib)
		return fprintf(stderr, "cache-server: EAT_MIB is %d to %zu\n",
			       STEPS, mib), 1;
	nr_blocks = (mib << 20) / 2 / BLOCK;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	printf("%s: %zu blocks of %u KiB, %zu MiB of memory\n",
	       use_malloc ? "malloc" : "droppable", nr_blocks, BLOCK >> 10, mib);
	fflush(stdout);
	eater = start_eater(eat_mib);
	server = eater < 0 ? -1 : fork();
	if (server < 0) {
		perror("cache-server: fork");
		if (eater > 0)
			kill(eater, SIGKILL);
		return 1;
	}
	if (!server) {
		err = start_cache(use_malloc);
		if (err)
			fprintf(stderr, "cache-server: can't begin: %s\n",
				strerror(-err));
		_exit(err ? 1 : serve());
	}
	waitpid(server, &status, 0);
	kill(eater, SIGKILL);
	waitpid(eater, NULL, 0);
	if (WIFSIGNALED(status)) {
		printf("the server was killed (signal %d) with %zu MiB eaten\n",
		       WTERMSIG(status), shared->eaten);
		return 2;
	}
	printf("served to the end, %s\n",
	       WEXITSTATUS(status) ? "with WRONG blocks" : "no block was wrong");
	return WEXITSTATUS(status);
}
