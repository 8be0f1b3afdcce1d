// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * random [BYTES]: random numbers without a system call, as the kernel's own
 * getrandom() in the vDSO makes them, on any kernel with the device.
 *
 * Each thread has a key and a buffer of what that key has made, in droppable
 * memory.  It is the library's to find out that they were dropped or that this
 * is a child; then they are made anew from getrandom(2), and if even that is
 * dropped at once, getrandom(2) answers itself.  The cipher is libsodium's.
 *
 * What it can't notice is a copy of the whole machine (a snapshot that is
 * started twice), until the next reseeding.
 *
 * Prints what it costs beside getrandom(2).  Exit status: 0; 1 if two outputs
 * that ought to differ don't, or if there is no droppable memory.
 *
 *	cc -o random random.c $(pkg-config --cflags --libs libdroppable libsodium)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <droppable.h>
#include <sodium.h>

#define RESEED_AFTER	(1u << 20) /* bytes */
#define POOL		480

struct rng {
	unsigned char key[crypto_stream_chacha20_KEYBYTES];
	unsigned char pool[POOL]; /* zeroed from the end, as it is given out */
	uint32_t left; /* of the pool */
	uint32_t made; /* bytes since the last seed */
};

static struct droppable_states *states;
static unsigned long seeded, asked_kernel; /* for the report, one thread */

/* The next key and a new pool, from the key, which is overwritten. */
static void refill(struct rng *rng)
{
	static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];

	/* key and pool in one piece: the cipher reads its key first. */
	crypto_stream_chacha20((unsigned char *)rng, sizeof(rng->key) + POOL,
			       nonce, rng->key);
	rng->left = POOL;
	rng->made += POOL;
}

static int seed(struct droppable_state *state)
{
	struct rng rng = { .left = 0 };
	int err;

	if (getrandom(rng.key, sizeof(rng.key), 0) !=
	    (ssize_t)sizeof(rng.key))
		return -EIO;
	err = droppable_state_write(state, &rng);
	sodium_memzero(&rng, sizeof(rng)); /* the copy on the stack */
	seeded++;
	return err;
}

/* -ENODATA: what is in buf is worth nothing, seed and try again. */
static int take(struct droppable_state *state, unsigned char *buf, size_t len)
{
	struct rng *rng;
	uint32_t left;
	void *data;
	size_t n;
	int err;

	err = droppable_state_begin(state, &data);
	if (err)
		return err;
	rng = data;
	while (len) {
		left = *(volatile uint32_t *)&rng->left;
		/* Dropped: 0, and the key that follows is all zero: no harm. */
		if (!left || left > POOL) {
			if (rng->made >= RESEED_AFTER)
				break;
			refill(rng);
			continue;
		}
		n = len < left ? len : left;
		memcpy(buf, rng->pool + left - n, n);
		memset(rng->pool + left - n, 0, n);
		rng->left = left - (uint32_t)n;
		buf += n;
		len -= n;
	}
	err = droppable_state_end(state);
	return err ? err : len ? -ENODATA : 0;
}

static int random_bytes(void *buf, size_t len)
{
	struct droppable_state *state;
	int try;

	if (!droppable_state_mine(states, &state))
		for (try = 0; try < 3; try++) {
			int err = take(state, buf, len);

			if (!err)
				return 0;
			if (err != -ENODATA || seed(state))
				break;
		}
	asked_kernel++;
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
}

static double ns_per_call(int (*get)(void *, size_t), size_t len)
{
	struct timespec a, b;
	unsigned char buf[256];
	int i, n = 200000;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < n; i++)
		if (get(buf, len))
			exit(1);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 +
		(double)(b.tv_nsec - a.tv_nsec)) / n;
}

static int kernel(void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
}

/* Without a place for the thread: the kernel's own, and not the same again. */
static int falls_back(void)
{
	struct droppable_states *kept = states;
	unsigned char out[2][32];
	unsigned long before = asked_kernel;
	int err;

	states = NULL;
	err = random_bytes(out[0], 32) || random_bytes(out[1], 32);
	states = kept;
	return err || asked_kernel != before + 2 || !memcmp(out[0], out[1], 32);
}

/* Parent and child, before and after a drop: nothing twice. */
static int self_test(struct droppable *src)
{
	unsigned char out[4][32];
	struct droppable_state *state;
	unsigned long before = seeded;
	int fds[2], i, j, st;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *data;
	pid_t pid;

	if (random_bytes(out[0], 32) || pipe(fds))
		return 1;
	pid = fork();
	if (!pid)
		_exit(random_bytes(out[1], 32) ||
		      write(fds[1], out[1], 32) != 32);
	if (random_bytes(out[2], 32) || read(fds[0], out[1], 32) != 32 ||
	    waitpid(pid, &st, 0) != pid || st)
		return 1;
	if (droppable_state_mine(states, &state) ||
	    droppable_state_begin(state, &data) || droppable_state_end(state))
		return 1;
	if (droppable_drop(src, (void *)((uintptr_t)data & ~(page - 1)), page,
			   NULL) ||
	    random_bytes(out[3], 32))
		return 1;
	for (i = 0; i < 4; i++)
		for (j = 0; j < i; j++)
			if (!memcmp(out[i], out[j], 32))
				return 1;
	return seeded == before; /* the drop went unnoticed */
}

int main(int argc, char **argv)
{
	static const size_t lens[] = { 4, 32, 256 };
	char *end = "";
	long n = argc > 1 ? strtol(argv[1], &end, 10) : 32;
	struct droppable *src;
	unsigned char b;
	int err, i;

	if (argc > 2 || *end || n < 1 || n > 1 << 20) {
		fprintf(stderr, "usage: random [BYTES]\n");
		return 1;
	}
	err = sodium_init() < 0 ? -ENOSYS : droppable_open(&src, 0);
	if (!err)
		err = droppable_states_open(src, sizeof(struct rng), 0,
					    &states);
	if (err) {
		fprintf(stderr, "random: no droppable memory: %s\n",
			strerror(-err));
		return 1;
	}
	while (n--) {
		if (random_bytes(&b, 1))
			return 1;
		printf("%02x", b);
	}
	err = self_test(src) || falls_back();
	printf("\nself test      %s\n", err ? "FAILED" : "ok");
	for (i = 0; i < 3; i++)
		printf("%3zu bytes      %.0f ns, getrandom(2) %.0f ns\n",
		       lens[i], ns_per_call(random_bytes, lens[i]),
		       ns_per_call(kernel, lens[i]));
	printf("seeded         %lu, asked the kernel %lu\n", seeded,
	       asked_kernel);
	droppable_states_close(states);
	droppable_close(src);
	return err;
}
