// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Locks that survive fork(2), see guard.h. */
#include "internal.h"
#include "guard.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

/* States; 0 is what a wiped page says. */
enum { WIPED = 0, RESETTING, READY };

static size_t guard_size(unsigned int nr)
{
	return sizeof(struct guard) +
	       nr * sizeof(((struct guard *)NULL)->lock[0]);
}

static void init_locks(struct guarded *g)
{
	unsigned int i;

	for (i = 0; i < g->nr; i++) {
		pthread_mutex_init(&g->guard->lock[i].mutex, NULL);
		pthread_cond_init(&g->guard->lock[i].changed, NULL);
	}
}

int guard_init(struct guarded *g, unsigned int nr,
	       void (*reset)(struct guarded *))
{
	size_t size = guard_size(nr);
	void *p;
	int err;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	if (madvise(p, size, MADV_WIPEONFORK) < 0) {
		err = -errno;
		munmap(p, size);
		return err;
	}
	g->guard = p;
	g->nr = nr;
	g->reset = reset;
	init_locks(g);
	__atomic_store_n(&g->guard->state, READY, __ATOMIC_RELEASE);
	return 0;
}

void guard_fini(struct guarded *g)
{
	munmap(g->guard, guard_size(g->nr));
}

/* The first call in a child; its other threads, if it has any, wait. */
static void take_over(struct guarded *g)
{
	uint32_t state = WIPED;

	if (!__atomic_compare_exchange_n(&g->guard->state, &state, RESETTING, 0,
					 __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&g->guard->state, __ATOMIC_ACQUIRE) !=
		       READY)
			sched_yield();
		return;
	}
	g->reset(g);
	init_locks(g);
	/* A child made just before this line is WIPED, and begins anew. */
	__atomic_store_n(&g->guard->state, READY, __ATOMIC_RELEASE);
}

void guard_lock(struct guarded *g, unsigned int i)
{
	if (__atomic_load_n(&g->guard->state, __ATOMIC_ACQUIRE) != READY)
		take_over(g);
	pthread_mutex_lock(&g->guard->lock[i].mutex);
}

void guard_unlock(struct guarded *g, unsigned int i)
{
	pthread_mutex_unlock(&g->guard->lock[i].mutex);
}

void guard_wait(struct guarded *g, unsigned int i)
{
	pthread_cond_wait(&g->guard->lock[i].changed, &g->guard->lock[i].mutex);
}

void guard_wake(struct guarded *g, unsigned int i)
{
	pthread_cond_broadcast(&g->guard->lock[i].changed);
}
