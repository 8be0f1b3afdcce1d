// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * State of threads in droppable memory, see droppable.h.
 *
 * A slot of droppable memory lies within a page, begins at a cache line, and
 * ends with its generation; page.h argues why that works.  It is used by one
 * thread, so there is no lock; what it ought to hold, its generation and who is
 * just using it, is in a handle in ordinary memory.  Slots and handles come
 * from arenas, which live as long as what was opened.
 */
#include "internal.h"
#include "guard.h"
#include "page.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#define CACHE_LINE	64
#define ARENA_PAGES	16

/* Used by its thread only, but for @next, which the lock protects. */
struct droppable_state {
	struct droppable_states *owner; /* constant */
	char *data; /* of the slot, droppable; constant */
	uint64_t gen; /* what the slot ought to have; 0: it is empty */
	uint64_t last; /* the last generation used */
	uint32_t busy; /* a signal handler may find it so */
	struct droppable_state *next; /* free ones */
};

/* Constant once it is in the list, until all are freed. */
struct arena {
	struct arena *next;
	char *mem;
	struct droppable_state state[];
};

struct droppable_states {
	struct guarded guarded;
	struct droppable *ctx; /* constant, as the next ones */
	size_t size, stride, per_page;
	pthread_key_t key;
	struct arena *arenas; /* locked */
	struct droppable_state *free; /* locked */
};

/* The last word of the slot. */
static char *gen_of(const struct droppable_state *st)
{
	return st->data + st->owner->stride - WORD;
}

/* --- slots come and go with threads --- */

/* In a child: what was free may be half a list.  Lost until all is closed. */
static void reset_states(struct guarded *g)
{
	((struct droppable_states *)g)->free = NULL;
}

static int add_arena(struct droppable_states *s)
{
	size_t n = ARENA_PAGES * s->per_page, page = s->ctx->page_size, i;
	struct arena *a;
	void *mem;
	int err;

	a = calloc(1, sizeof(*a) + n * sizeof(a->state[0]));
	if (!a)
		return -ENOMEM;
	err = droppable_map(s->ctx, ARENA_PAGES * page, &mem);
	if (err) {
		free(a);
		return err;
	}
	a->mem = mem;
	a->next = s->arenas;
	/* A child finds it in the list, or doesn't: whole in either case. */
	__atomic_store_n(&s->arenas, a, __ATOMIC_RELEASE);
	for (i = n; i--; ) {
		a->state[i].owner = s;
		a->state[i].data = a->mem + i / s->per_page * page +
				   i % s->per_page * s->stride;
		a->state[i].next = s->free;
		s->free = &a->state[i];
	}
	return 0;
}

/* Zeroes what is still there: an empty page isn't touched for nothing. */
static void wipe(struct droppable_state *st)
{
	uint64_t *word = (uint64_t *)st->data;
	size_t i;

	if (!st->gen || !page_has(gen_of(st), st->gen))
		return;
	for (i = 0; i < st->owner->stride / WORD; i++)
		__atomic_store_n(&word[i], 0, DATA_STORE);
}

/*
 * The thread ends.  From here on it has no state, as far as it is told: a
 * signal handler that asks for it takes the lock, so none may come meanwhile.
 */
static void give_back(void *arg)
{
	struct droppable_state *st = arg;
	struct droppable_states *s = st->owner;
	sigset_t all, before;

	wipe(st);
	st->gen = 0;
	st->busy = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	guard_lock(&s->guarded, 0);
	st->next = s->free;
	s->free = st;
	guard_unlock(&s->guarded, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int droppable_states_open(struct droppable *ctx, size_t size,
			  unsigned int flags, struct droppable_states **states)
{
	struct droppable_states *s;
	int err;

	if (!ctx || !states || flags || !size || size > ctx->page_size - WORD)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ctx = ctx;
	s->size = size;
	s->stride = (size + WORD + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	s->per_page = ctx->page_size / s->stride;
	err = -pthread_key_create(&s->key, give_back);
	if (err) {
		free(s);
		return err;
	}
	err = guard_init(&s->guarded, 1, reset_states);
	if (err) {
		pthread_key_delete(s->key);
		free(s);
		return err;
	}
	*states = s;
	return 0;
}

void droppable_states_close(struct droppable_states *s)
{
	struct arena *a;

	if (!s)
		return;
	pthread_key_delete(s->key); /* no thread gives back from now on */
	while (s->arenas) {
		a = s->arenas;
		s->arenas = a->next;
		munmap(a->mem, ARENA_PAGES * s->ctx->page_size);
		free(a);
	}
	guard_fini(&s->guarded);
	free(s);
}

int droppable_state_mine(struct droppable_states *s,
			 struct droppable_state **state)
{
	struct droppable_state *st;
	int err = 0;

	if (!s || !state)
		return -EINVAL;
	st = pthread_getspecific(s->key);
	if (!st) {
		guard_lock(&s->guarded, 0);
		if (!s->free)
			err = add_arena(s);
		if (!err) {
			st = s->free;
			s->free = st->next;
		}
		guard_unlock(&s->guarded, 0);
		if (err)
			return err;
		err = -pthread_setspecific(s->key, st);
		if (err) {
			give_back(st);
			return err;
		}
	}
	*state = st;
	return 0;
}

/* --- what a thread does with its own --- */

/* A signal handler that interrupts its own thread gets -EBUSY. */
static int claim(struct droppable_state *st)
{
	if (__atomic_exchange_n(&st->busy, 1, __ATOMIC_ACQUIRE))
		return -EBUSY;
	return 0;
}

static void release(struct droppable_state *st)
{
	__atomic_store_n(&st->busy, 0, __ATOMIC_RELEASE);
}

int droppable_state_write(struct droppable_state *st, const void *buf)
{
	int err;

	if (!st || !buf)
		return -EINVAL;
	err = claim(st);
	if (err)
		return err;
	/* A drop on the way leaves the slot without this generation. */
	st->gen = ++st->last;
	page_begin(gen_of(st), st->gen);
	copy_in(st->data, 0, buf, st->owner->size);
	release(st);
	return 0;
}

int droppable_state_begin(struct droppable_state *st, void **data)
{
	int err;

	if (!st || !data)
		return -EINVAL;
	err = claim(st);
	if (err)
		return err;
	if (!st->gen || !page_has(gen_of(st), st->gen)) {
		release(st);
		return -ENODATA;
	}
	*data = st->data;
	return 0;
}

int droppable_state_end(struct droppable_state *st)
{
	int still;

	if (!st || !__atomic_load_n(&st->busy, __ATOMIC_RELAXED))
		return -EINVAL;
	still = page_still(gen_of(st), st->gen);
	release(st);
	return still ? 0 : -ENODATA;
}

int droppable_state_read(struct droppable_state *st, void *buf)
{
	void *data;
	int err;

	if (!st || !buf)
		return -EINVAL;
	err = droppable_state_begin(st, &data);
	if (err)
		return err;
	copy_out(buf, data, 0, st->owner->size);
	err = droppable_state_end(st);
	if (err)
		memset(buf, 0, st->owner->size);
	return err;
}

int droppable_state_forget(struct droppable_state *st)
{
	int err;

	if (!st)
		return -EINVAL;
	err = claim(st);
	if (err)
		return err;
	wipe(st);
	st->gen = 0;
	release(st);
	return 0;
}
