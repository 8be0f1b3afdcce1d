// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* State of threads: whole or gone, in every thread, child and signal handler. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "points.h"

#define THREADS	3
#define SIZE	1500
#if defined(QUIET) /* no threads at once there: see tests/run */
#define ROUNDS	0
#elif defined(__SANITIZE_THREAD__)
#define ROUNDS	1500
#else
#define ROUNDS	15000
#endif

static void test_bad_arguments(struct droppable *ctx)
{
	struct droppable_states *s = NULL;
	struct droppable_state *st;
	char buf[8] = "eight..";
	void *data;

	is(droppable_states_open(NULL, 8, 0, &s), -EINVAL, "states_open: no handle");
	is(droppable_states_open(ctx, 0, 0, &s), -EINVAL, "states_open: size 0");
	is(droppable_states_open(ctx, page - 7, 0, &s), -EINVAL,
	   "states_open: more than fits into a page");
	is(droppable_states_open(ctx, SIZE_MAX, 0, &s), -EINVAL,
	   "states_open: size SIZE_MAX");
	is(droppable_states_open(ctx, 8, 4, &s), -EINVAL, "states_open: a flag");
	is(droppable_states_open(ctx, 8, 0, NULL), -EINVAL, "states_open: no place");
	ok(!s, "states_open: failure stores nothing", 0);
	is(droppable_states_open(ctx, 8, 0, &s), 0, "states_open");
	is(droppable_state_mine(NULL, &st), -EINVAL, "mine: of what");
	is(droppable_state_mine(s, NULL), -EINVAL, "mine: no place");
	is(droppable_state_mine(s, &st), 0, "mine");
	is(droppable_state_read(st, buf), -ENODATA, "state: empty at first");
	is(droppable_state_begin(st, &data), -ENODATA, "state: begin, too");
	is(droppable_state_write(NULL, buf), -EINVAL, "state_write: none");
	is(droppable_state_write(st, NULL), -EINVAL, "state_write: nothing");
	is(droppable_state_read(NULL, buf), -EINVAL, "state_read: none");
	is(droppable_state_read(st, NULL), -EINVAL, "state_read: no buffer");
	is(droppable_state_begin(NULL, &data), -EINVAL, "begin: none");
	is(droppable_state_begin(st, NULL), -EINVAL, "begin: no place");
	is(droppable_state_end(NULL), -EINVAL, "end: none");
	is(droppable_state_end(st), -EINVAL, "end: without begin");
	is(droppable_state_forget(NULL), -EINVAL, "state_forget: none");
	droppable_states_close(s);
	droppable_states_close(NULL);
}

/* The page that a state lies on, dropped. */
static int drop(struct droppable *ctx, void *data)
{
	return droppable_drop(ctx, (void *)((uintptr_t)data & ~(page - 1)),
			      page, NULL);
}

static void test_use(struct droppable *ctx)
{
	struct droppable_states *s;
	struct droppable_state *st, *again;
	unsigned char in[100], out[100];
	void *data = NULL;
	size_t i, bad = 0;

	memset(in, 'i', sizeof(in));
	is(droppable_states_open(ctx, sizeof(in), 0, &s), 0, "state: open");
	is(droppable_state_mine(s, &st), 0, "state: mine");
	is(droppable_state_mine(s, &again), 0, "state: mine again");
	ok(st == again, "state: is the same", 0);
	is(droppable_state_write(st, in), 0, "state: write");
	is(droppable_state_read(st, out), 0, "state: read");
	is(memcmp(in, out, sizeof(in)), 0, "state: what was written");

	is(droppable_state_begin(st, &data), 0, "state: begin");
	ok((uintptr_t)data % 64 == 0, "state: begins a cache line", 0);
	ok(((uintptr_t)data & (page - 1)) + sizeof(in) + 8 <= page,
	   "state: within a page", 0);
	is(droppable_state_begin(st, &data), -EBUSY, "state: not twice");
	is(droppable_state_write(st, in), -EBUSY, "state: no write meanwhile");
	is(droppable_state_forget(st), -EBUSY, "state: no forgetting either");
	((unsigned char *)data)[5] = 'x';
	is(droppable_state_end(st), 0, "state: end");
	is(droppable_state_read(st, out), 0, "state: read what was changed");
	ok(out[4] == 'i' && out[5] == 'x', "state: changed in place", out[5]);

	is(droppable_state_begin(st, &data), 0, "state: begin, then");
	is(drop(ctx, data), 0, "state: drop");
	((unsigned char *)data)[5] = 'y';
	is(droppable_state_end(st), -ENODATA, "state: end knows");
	is(droppable_state_read(st, out), -ENODATA, "state: it is gone");
	is(droppable_state_write(st, in), 0, "state: write anew");
	is(droppable_state_read(st, out), 0, "state: and there it is");
	is(droppable_state_forget(st), 0, "state: forget");
	is(droppable_state_read(st, out), -ENODATA, "state: forgotten");
	for (i = 0; i < sizeof(in); i++)
		bad += ((unsigned char *)data)[i] != 0;
	is((int)bad, 0, "state: zeroed");
	droppable_states_close(s);
}

static struct droppable_state *in_signal;
static int signal_said[3];

static void on_signal(int sig)
{
	void *data;
	char buf[100];

	(void)sig;
	signal_said[0] = droppable_state_begin(in_signal, &data);
	signal_said[1] = droppable_state_read(in_signal, buf);
	signal_said[2] = droppable_state_write(in_signal, buf);
}

static void test_signal_and_fork(struct droppable *ctx)
{
	struct droppable_states *s;
	char buf[100] = "secret";
	void *data;
	pid_t pid;
	int st = 0;

	is(droppable_states_open(ctx, sizeof(buf), 0, &s), 0, "signal: open");
	is(droppable_state_mine(s, &in_signal), 0, "signal: mine");
	is(droppable_state_write(in_signal, buf), 0, "signal: write");
	signal(SIGUSR1, on_signal);
	is(droppable_state_begin(in_signal, &data), 0, "signal: begin");
	raise(SIGUSR1);
	is(droppable_state_end(in_signal), 0, "signal: end");
	ok(signal_said[0] == -EBUSY && signal_said[1] == -EBUSY &&
		   signal_said[2] == -EBUSY,
	   "signal: the handler has to do without", signal_said[0]);
	raise(SIGUSR1);
	is(signal_said[0], 0, "signal: or with, if it is not in use");
	signal(SIGUSR1, SIG_DFL);
	is(droppable_state_end(in_signal), 0, "signal: which main ends");
	is(droppable_state_write(in_signal, buf), 0, "fork: write");

	is(droppable_state_begin(in_signal, &data), 0, "fork: begin");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct droppable_state *mine;

		/* In the middle of it, and afterwards. */
		if (droppable_state_end(in_signal) != -ENODATA ||
		    droppable_state_read(in_signal, buf) != -ENODATA)
			_exit(1);
		if (droppable_state_mine(s, &mine) || mine != in_signal)
			_exit(2);
		memcpy(buf, "a child's", 10);
		if (droppable_state_write(mine, buf) ||
		    droppable_state_read(mine, buf) ||
		    strcmp(buf, "a child's"))
			_exit(3);
		droppable_states_close(s);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	is(st, 0, "fork: the child's is gone, and works");
	is(droppable_state_end(in_signal), 0, "fork: the parent's isn't");
	is(droppable_state_read(in_signal, buf), 0, "fork: and can be read");
	is(strcmp(buf, "secret"), 0, "fork: as it was");
	droppable_states_close(s);
}

struct runner {
	struct droppable_states *s;
	pthread_barrier_t *all; /* have their state, or NULL */
	char *data; /* of its state; atomic */
	size_t good, gone, wrong, other;
};

static void *run(void *arg)
{
	struct runner *r = arg;
	struct droppable_state *st;
	static _Thread_local unsigned char in[SIZE], out[SIZE];
	size_t i, j;
	void *data;
	int err;

	err = droppable_state_mine(r->s, &st);
	if (r->all)
		pthread_barrier_wait(r->all);
	if (err) {
		r->other++;
		return NULL;
	}
	memset(in, 1, sizeof(in));
	for (i = 0; i < ROUNDS * stress() ||
		    (!r->gone && i < 100 * ROUNDS * stress()); i++) {
		err = droppable_state_read(st, out);
		if (!err) {
			r->good++;
			for (j = 0; j < sizeof(in); j++)
				r->wrong += out[j] != in[j];
			continue;
		}
		r->gone += err == -ENODATA;
		r->other += err != -ENODATA;
		memset(in, (int)(i % 255 + 1), sizeof(in));
		r->other += droppable_state_write(st, in) != 0;
		if (!droppable_state_begin(st, &data)) {
			__atomic_store_n(&r->data, data, __ATOMIC_RELAXED);
			r->gone += droppable_state_end(st) != 0;
		}
	}
	return NULL;
}

/* Each thread its own; somebody drops them all the time. */
static void test_threads(struct droppable *ctx)
{
	struct runner r[THREADS] = { { 0 } }, sum = { 0 };
	struct droppable_states *s;
	pthread_barrier_t all;
	pthread_t th[THREADS];
	size_t i, drops = 0, left = 0;
	char *data, *was;

	is(droppable_states_open(ctx, SIZE, 0, &s), 0, "threads: open");
	pthread_barrier_init(&all, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		r[i].s = s;
		r[i].all = &all;
		if (pthread_create(&th[i], NULL, run, &r[i]))
			abort();
	}
	for (i = 0; i < THREADS; ) {
		data = __atomic_load_n(&r[drops % THREADS].data,
				       __ATOMIC_RELAXED);
		if (data)
			drop(ctx, data);
		drops++;
		if (drops % 64 == 0 && !pthread_tryjoin_np(th[i], NULL))
			i++;
	}
	for (i = 0; i < THREADS; i++) {
		sum.good += r[i].good;
		sum.gone += r[i].gone;
		sum.wrong += r[i].wrong;
		sum.other += r[i].other;
	}
	pthread_barrier_destroy(&all);
	printf("# %zu drops; read whole %zu, gone %zu, wrong %zu\n", drops,
	       sum.good, sum.gone, sum.wrong);
	is((int)sum.wrong, 0, "threads: no byte was wrong");
	is((int)sum.other, 0, "threads: no error");
	ok(sum.good && sum.gone >= THREADS, "threads: some read, some gone",
	   (int)sum.gone);
	ok(r[0].data != r[1].data && r[1].data != r[2].data,
	   "threads: each has its own", 0);

	/* They have ended: nothing of theirs is there any more. */
	r[0] = (struct runner){ .s = s };
	if (pthread_create(&th[0], NULL, run, &r[0]))
		abort();
	pthread_join(th[0], NULL);
	was = r[0].data;
	for (i = 0; i < SIZE; i++)
		left += was[i] != 0;
	is((int)left, 0, "threads: a state is zeroed when its thread ends");
	droppable_states_close(s);
}

void test_state(struct droppable *ctx)
{
	test_bad_arguments(ctx);
	test_use(ctx);
	test_signal_and_fork(ctx);
	if (ROUNDS)
		test_threads(ctx);
}
