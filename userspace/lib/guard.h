/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Locks that survive fork(2).
 *
 * A child is born with whatever another thread was in the middle of: a lock
 * that nobody is left to release, an index half changed.  So the locks live in
 * a page that reads zero in a child (MADV_WIPEONFORK), and whoever takes one
 * there first resets what they protect.  Nothing is lost by that: all droppable
 * memory is wiped in the child too, so what the index knew isn't there anyway.
 * It costs no system call, and no pthread_atfork(3), which can't be undone.
 */
#ifndef DROPPABLE_GUARD_H
#define DROPPABLE_GUARD_H

#include <pthread.h>
#include <stdint.h>

struct guard {
	/* Written by whoever opens, then constant; in the child's page 0. */
	uint32_t state;
	struct {
		pthread_mutex_t mutex;
		pthread_cond_t changed;
	} lock[];
};

/* What the locks protect: kept in ordinary memory by the guard's owner. */
struct guarded {
	struct guard *guard;
	unsigned int nr; /* locks */
	/* Back to empty; may find anything half done, and may not fail. */
	void (*reset)(struct guarded *);
};

int guard_init(struct guarded *g, unsigned int nr,
	       void (*reset)(struct guarded *));
void guard_fini(struct guarded *g);
void guard_lock(struct guarded *g, unsigned int i);
void guard_unlock(struct guarded *g, unsigned int i);
/* With the lock held: until somebody calls guard_wake(), or for no reason. */
void guard_wait(struct guarded *g, unsigned int i);
void guard_wake(struct guarded *g, unsigned int i);

#endif /* DROPPABLE_GUARD_H */
