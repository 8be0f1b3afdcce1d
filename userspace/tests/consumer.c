/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A program that uses every function, in the common subset of C99 and C++:
 * compiled by tests/install.sh as both, against the installed header.
 */
#include <droppable.h>

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

static int build(const void *key, size_t key_len, void *buf, size_t size,
		 size_t *len, void *arg)
{
	(void)arg;
	if (key_len > size)
		return -1;
	memcpy(buf, key, key_len);
	*len = key_len;
	return 0;
}

static int use_memory(struct droppable *ctx)
{
	struct droppable_stats st;
	char text[4096];
	uint64_t drops;
	size_t n = 0;
	void *p = NULL;

	if (droppable_map(ctx, 100, &p))
		return 1;
	memset(p, 'x', 100);
	if (droppable_resident(ctx, p, 100, &n) || !n)
		return 2;
	(void)droppable_drops(ctx, &drops);
	(void)droppable_event_fd(ctx);
	if (!droppable_pin(ctx, p, 100, 0, &drops, &n, NULL))
		(void)droppable_unpin(ctx, drops);
	(void)droppable_stats(ctx, &st, sizeof(st));
	if (droppable_describe(ctx, text, sizeof(text)) < 100)
		return 3;
	if (!droppable_guarantee_text(DROPPABLE_G_NOT_DUMPED) ||
	    !droppable_guarantee_name(DROPPABLE_G_NOT_DUMPED) ||
	    !droppable_backend_name(droppable_backend(ctx)) ||
	    !(droppable_guarantees(ctx) & DROPPABLE_G_DROP_NOW))
		return 4;
	if (droppable_drop(ctx, p, 100, &n) || *(char *)p)
		return 5;
	return droppable_unmap(ctx, p, 100) ? 6 : 0;
}

static int use_pool(struct droppable *ctx)
{
	struct droppable_pool_stats st;
	struct droppable_pool *pool = NULL;
	struct droppable_pool_pin pin;
	struct droppable_ref ref;
	struct iovec part;
	size_t nr = 1;
	char buf[6];

	if (droppable_pool_open(ctx, 1 << 20, 0, &pool) ||
	    droppable_pool_put(pool, "hello", 6, &ref))
		return 11;
	if (!droppable_pool_read(pool, &ref, 0, buf, 6) && strcmp(buf, "hello"))
		return 12;
	if (!droppable_pool_pin(pool, &ref, &part, &nr, &pin) &&
	    (strcmp((char *)part.iov_base, "hello") ||
	     droppable_pool_unpin(pool, &pin)))
		return 14;
	(void)droppable_pool_forget(pool, &ref);
	if (droppable_pool_drop(pool, NULL) ||
	    droppable_pool_stats(pool, &st, sizeof(st)) || st.puts != 1)
		return 13;
	droppable_pool_close(pool);
	return 0;
}

static int use_cache(struct droppable *ctx)
{
	struct droppable_cache_stats st;
	struct droppable_cache *cache = NULL;
	struct droppable_pool_pin pin;
	struct iovec part;
	char buf[8];
	size_t n = 0, nr = 1;

	if (droppable_cache_open(ctx, 1 << 20, 0, &cache) ||
	    droppable_cache_get_or_build(cache, "key", 4, build, NULL, buf, 8,
					 &n) || n != 4 || strcmp(buf, "key"))
		return 21;
	if (droppable_cache_put(cache, "key", 4, "value", 6))
		return 22;
	if (!droppable_cache_get(cache, "key", 4, buf, 8, &n) &&
	    strcmp(buf, "value"))
		return 23;
	if (!droppable_cache_pin(cache, "key", 4, &part, &nr, &pin) &&
	    (strcmp((char *)part.iov_base, "value") ||
	     droppable_cache_unpin(cache, &pin)))
		return 25;
	(void)droppable_cache_forget(cache, "key", 4);
	if (droppable_cache_drop(cache) ||
	    droppable_cache_stats(cache, &st, sizeof(st)) || !st.misses)
		return 24;
	droppable_cache_close(cache);
	return 0;
}

static int use_state(struct droppable *ctx)
{
	struct droppable_states *states = NULL;
	struct droppable_state *mine = NULL;
	char buf[4] = "abc";
	void *data = NULL;

	if (droppable_states_open(ctx, sizeof(buf), 0, &states) ||
	    droppable_state_mine(states, &mine) ||
	    droppable_state_write(mine, buf))
		return 31;
	if (!droppable_state_read(mine, buf) && strcmp(buf, "abc"))
		return 32;
	if (!droppable_state_begin(mine, &data))
		(void)!droppable_state_end(mine);
	if (droppable_state_forget(mine))
		return 33;
	droppable_states_close(states);
	return 0;
}

int main(void)
{
	struct droppable *ctx = NULL;
	int err;

	if (droppable_open(&ctx, DROPPABLE_OR_FALLBACK))
		return 1;
	err = use_memory(ctx);
	if (!err)
		err = use_pool(ctx);
	if (!err)
		err = use_cache(ctx);
	if (!err)
		err = use_state(ctx);
	printf("%s: %d\n", droppable_version(), err);
	droppable_close(ctx);
	return err;
}
