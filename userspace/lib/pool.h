/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What the cache asks of its pool, beyond what everybody may. */
#ifndef DROPPABLE_POOL_H
#define DROPPABLE_POOL_H

struct droppable_pool;
struct droppable_ref;

/* Looks for pages that were dropped, in all of the pool. */
void pool_sweep(struct droppable_pool *pool);

/* Whether the object isn't known to be gone; touches no droppable memory. */
int pool_knows(struct droppable_pool *pool, const struct droppable_ref *ref);

#endif /* DROPPABLE_POOL_H */
