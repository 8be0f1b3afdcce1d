// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A cache in droppable memory, see droppable.h.
 *
 * Values are objects in a pool (pool.c).  What is known of them is here, in
 * ordinary memory: for each a keyed hash of its key, of 128 bits, and a
 * reference.  The hash stands for the key: two keys with the same one are as
 * unlikely as guessing the key of the hash, which is random for each cache.
 * That costs 40 bytes for a key of any length, no allocation, and leaves
 * nothing for a fork(2) to catch half done that a memset() couldn't mend.
 *
 * The index is split into shards by hash, each with a lock of its own and a
 * table with linear probing.  No lock is held while values are copied or built.
 */
#include "internal.h"
#include "guard.h"
#include "pool.h"
#include "siphash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#ifndef GRND_INSECURE
#define GRND_INSECURE 0x0004 /* never waits; Linux 5.6 */
#endif

#define NR_SHARDS	16
#define FIRST_SIZE	64 /* entries of a table; a power of two */
#define MAX_ROUNDS	8

/* The generation of a value without bytes, which nothing can drop. */
#define NO_BYTES	UINT64_MAX

struct entry {
	uint64_t hash[2]; /* both 0: empty */
	struct droppable_ref ref; /* names nothing: it was dropped */
};

struct table {
	size_t size, used;
	struct entry entry[];
};

/* Somebody is building a value; on his stack. */
struct flight {
	uint64_t hash[2];
	pthread_t thread;
	struct flight *next;
	int inner; /* he is building another one, further up; -1: not known */
	int late; /* locked: the key was put or forgotten since it began */
};

struct shard {
	struct table *table; /* never half of one, see grow() */
	struct flight *flights;
	struct droppable_cache_stats st;
};

/* Protected by the shard's lock, but for what is constant. */
struct droppable_cache {
	struct guarded guarded; /* one lock for each shard */
	struct droppable_pool *pool; /* constant */
	uint64_t key[2]; /* of the hash; constant */
	struct shard shard[NR_SHARDS];
};

/* --- the index --- */

static void hash_key(const struct droppable_cache *c, const void *key,
		     size_t len, uint64_t hash[2])
{
	siphash128(c->key, key, len, hash);
	if (!hash[0] && !hash[1])
		hash[1] = 1;
}

static unsigned int shard_of(const uint64_t hash[2])
{
	return (unsigned int)(hash[1] % NR_SHARDS);
}

/* The entry, or the empty one where it would go: some are always empty. */
static struct entry *find(struct table *t, const uint64_t hash[2])
{
	size_t i = hash[0] & (t->size - 1);

	for (;; i = (i + 1) & (t->size - 1)) {
		struct entry *e = &t->entry[i];

		if ((e->hash[0] == hash[0] && e->hash[1] == hash[1]) ||
		    (!e->hash[0] && !e->hash[1]))
			return e;
	}
}

static int is_empty(const struct entry *e)
{
	return !e->hash[0] && !e->hash[1];
}

static struct entry *lookup(struct shard *s, const uint64_t hash[2])
{
	struct entry *e = s->table ? find(s->table, hash) : NULL;

	return e && !is_empty(e) ? e : NULL;
}

static int is_alive(struct droppable_cache *c, const struct entry *e)
{
	return !is_empty(e) && e->ref.gen &&
	       (e->ref.gen == NO_BYTES || pool_knows(c->pool, &e->ref));
}

/*
 * Leaves out what is known to be gone; so the index doesn't outgrow what there
 * is for long.  A child sees the old table or the new one, each whole.
 */
static int grow(struct droppable_cache *c, struct shard *s)
{
	struct table *old = s->table, *new;
	size_t i, alive = 0, size = FIRST_SIZE;
	struct entry *e;

	if (old) {
		pool_sweep(c->pool);
		for (i = 0; i < old->size; i++)
			alive += is_alive(c, &old->entry[i]);
	}
	while (size / 2 <= alive)
		size *= 2;
	new = calloc(1, sizeof(*new) + size * sizeof(new->entry[0]));
	if (!new)
		return -ENOMEM;
	new->size = size;
	for (i = 0; old && i < old->size; i++) {
		e = &old->entry[i];
		if (is_alive(c, e)) {
			*find(new, e->hash) = *e;
			new->used++;
		} else if (!is_empty(e) && e->ref.gen) {
			s->st.dropped++;
		}
	}
	__atomic_store_n(&s->table, new, __ATOMIC_RELEASE);
	free(old);
	return 0;
}

/* Sets what @hash names; stores what it named before in *was. */
static int insert(struct droppable_cache *c, struct shard *s,
		  const uint64_t hash[2], const struct droppable_ref *ref,
		  struct droppable_ref *was)
{
	struct entry *e = lookup(s, hash);
	int err;

	memset(was, 0, sizeof(*was));
	if (e) {
		*was = e->ref;
		e->ref = *ref;
		return 0;
	}
	if (!s->table || (s->table->used + 1) * 4 > s->table->size * 3) {
		err = grow(c, s);
		if (err)
			return err;
	}
	e = find(s->table, hash);
	e->ref = *ref;
	e->hash[0] = hash[0];
	e->hash[1] = hash[1];
	s->table->used++;
	return 0;
}

/* Takes an entry out, and moves up what stands behind it only because of it. */
static void erase(struct table *t, struct entry *e)
{
	size_t mask = t->size - 1, hole = (size_t)(e - t->entry), i = hole;
	size_t home;

	for (;;) {
		i = (i + 1) & mask;
		if (is_empty(&t->entry[i]))
			break;
		home = t->entry[i].hash[0] & mask;
		/* Its way from home doesn't lead past the hole. */
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		t->entry[hole] = t->entry[i];
		hole = i;
	}
	memset(&t->entry[hole], 0, sizeof(t->entry[hole]));
	t->used--;
}

static void forget_object(struct droppable_cache *c,
			  const struct droppable_ref *ref)
{
	if (ref->gen && ref->gen != NO_BYTES)
		droppable_pool_forget(c->pool, ref); /* or it is gone */
}

/* --- values --- */

/*
 * What was read turned out to be gone: noted, and counted, by one thread.
 * -ENODATA, or -EAGAIN if there is another value by now, which makes no miss.
 */
static int note_loss(struct droppable_cache *c, const uint64_t hash[2],
		     const struct droppable_ref *ref)
{
	unsigned int i = shard_of(hash);
	int err = -ENODATA;
	struct entry *e;

	guard_lock(&c->guarded, i);
	e = lookup(&c->shard[i], hash);
	if (e && e->ref.gen == ref->gen) {
		memset(&e->ref, 0, sizeof(e->ref));
		c->shard[i].st.dropped++;
	} else if (e && e->ref.gen) {
		err = -EAGAIN;
	}
	guard_unlock(&c->guarded, i);
	return err;
}

static void note_hit(struct droppable_cache *c, const uint64_t hash[2])
{
	guard_lock(&c->guarded, shard_of(hash));
	c->shard[shard_of(hash)].st.hits++;
	guard_unlock(&c->guarded, shard_of(hash));
}

/* Nobody is going to build it. */
static int note_miss(struct droppable_cache *c, const uint64_t hash[2])
{
	guard_lock(&c->guarded, shard_of(hash));
	c->shard[shard_of(hash)].st.misses++;
	guard_unlock(&c->guarded, shard_of(hash));
	return -ENODATA;
}

/* 0, -ENODATA if it was there once, -ENOENT if it never was. */
static int look_up_ref(struct droppable_cache *c, const uint64_t hash[2],
		       struct droppable_ref *ref)
{
	struct entry *e;

	guard_lock(&c->guarded, shard_of(hash));
	e = lookup(&c->shard[shard_of(hash)], hash);
	if (e)
		*ref = e->ref;
	guard_unlock(&c->guarded, shard_of(hash));
	return !e ? -ENOENT : !ref->gen ? -ENODATA : 0;
}

/*
 * 0, -ENOBUFS, -ENODATA if it was there once, -ENOENT if it never was, -EAGAIN
 * if it was replaced on the way.
 */
static int fetch(struct droppable_cache *c, const uint64_t hash[2], void *buf,
		 size_t size, size_t *len)
{
	unsigned int i = shard_of(hash);
	struct droppable_ref ref;
	struct entry *e;

	guard_lock(&c->guarded, i);
	e = lookup(&c->shard[i], hash);
	if (e)
		ref = e->ref;
	if (e && ref.gen && ref.len <= size)
		c->shard[i].st.hits++;
	guard_unlock(&c->guarded, i);

	if (!e)
		return -ENOENT;
	if (!ref.gen)
		return -ENODATA;
	if (ref.len > size) {
		*len = (size_t)ref.len;
		return -ENOBUFS;
	}
	if (ref.gen != NO_BYTES &&
	    droppable_pool_read(c->pool, &ref, 0, buf, (size_t)ref.len)) {
		guard_lock(&c->guarded, i);
		c->shard[i].st.hits--; /* was none, after all */
		guard_unlock(&c->guarded, i);
		return note_loss(c, hash, &ref);
	}
	*len = (size_t)ref.len;
	return 0;
}

/*
 * From here on what is being built for @hash is out of date: who builds it may
 * have looked at what it is built from before that changed.  He returns it to
 * his own caller, who had asked by then; nobody else gets it, so it isn't
 * stored, and who waits for it looks again.  With the lock held in which the
 * index changes, or it could be stored in between.
 */
static void outdate(struct droppable_cache *c, const uint64_t hash[2])
{
	struct flight *f = c->shard[shard_of(hash)].flights;

	for (; f; f = f->next)
		if (f->hash[0] == hash[0] && f->hash[1] == hash[1])
			f->late = 1;
	guard_wake(&c->guarded, shard_of(hash));
}

/*
 * One that isn't there was made before this child was: what was put meanwhile
 * can't have told it.
 */
static int is_late(const struct shard *s, const struct flight *flight)
{
	struct flight *f = s->flights;

	while (f && f != flight)
		f = f->next;
	return !f || f->late;
}

/* What @f has built, or what somebody puts, if that is NULL. */
static int store(struct droppable_cache *c, const uint64_t hash[2],
		 const void *data, size_t len, const struct flight *f)
{
	struct droppable_ref ref = { .gen = NO_BYTES }, was;
	unsigned int i = shard_of(hash);
	int err = 0;

	if (len)
		err = droppable_pool_put(c->pool, data, len, &ref);
	if (err)
		return err;
	guard_lock(&c->guarded, i);
	if (f && is_late(&c->shard[i], f))
		err = -ESTALE;
	else
		err = insert(c, &c->shard[i], hash, &ref, &was);
	if (!err && !f)
		outdate(c, hash);
	guard_unlock(&c->guarded, i);
	forget_object(c, err ? &ref : &was);
	return err;
}

/* --- building, by one thread for each key --- */

/* One of @thread; if that is NULL, one to wait for, of whichever. */
static struct flight *find_flight(struct shard *s, const uint64_t hash[2],
				  const pthread_t *thread)
{
	struct flight *f;

	for (f = s->flights; f; f = f->next)
		if (f->hash[0] == hash[0] && f->hash[1] == hash[1] &&
		    (thread ? pthread_equal(f->thread, *thread) : !f->late))
			break;
	return f;
}

/* With the lock held. */
static void add_flight(struct shard *s, struct flight *f)
{
	f->next = s->flights;
	s->flights = f;
}

/* Only the thread itself adds to what it is building, so that doesn't change. */
static int is_building(struct droppable_cache *c, pthread_t thread)
{
	struct flight *f;
	unsigned int i;

	for (i = 0, f = NULL; i < NR_SHARDS && !f; i++) {
		guard_lock(&c->guarded, i);
		f = c->shard[i].flights;
		while (f && !pthread_equal(f->thread, thread))
			f = f->next;
		guard_unlock(&c->guarded, i);
	}
	return f != NULL;
}

/*
 * 0: build it.  -EAGAIN: somebody else has, look again.  -EDEADLK: this very
 * thread is about to, further up its stack.  -EINPROGRESS: somebody else is, and
 * f->inner has to be known: who is building something himself doesn't wait, or
 * two of them could wait for each other.
 */
static int try_flight(struct droppable_cache *c, struct flight *f)
{
	unsigned int i = shard_of(f->hash);
	struct shard *s = &c->shard[i];
	struct flight *other;
	struct entry *e;
	int err = 0;

	guard_lock(&c->guarded, i);
	other = find_flight(s, f->hash, NULL);
	e = lookup(s, f->hash);
	if (find_flight(s, f->hash, &f->thread)) {
		err = -EDEADLK;
	} else if (other && f->inner < 0) {
		err = -EINPROGRESS;
	} else if (other && !f->inner) {
		s->st.waits++;
		while (find_flight(s, f->hash, NULL))
			guard_wait(&c->guarded, i);
		err = -EAGAIN;
	} else if (e && e->ref.gen) {
		err = -EAGAIN;
	} else {
		if (e)
			s->st.rebuilt++;
		else
			s->st.misses++;
		add_flight(s, f);
	}
	guard_unlock(&c->guarded, i);
	return err;
}

static int begin_flight(struct droppable_cache *c, struct flight *f)
{
	int err = try_flight(c, f);

	if (err == -EINPROGRESS) {
		f->inner = is_building(c, f->thread);
		err = try_flight(c, f);
	}
	return err;
}

/* After MAX_ROUNDS in vain: whoever else is building it. */
static void insist(struct droppable_cache *c, struct flight *f)
{
	unsigned int i = shard_of(f->hash);

	guard_lock(&c->guarded, i);
	c->shard[i].st.rebuilt++;
	add_flight(&c->shard[i], f);
	guard_unlock(&c->guarded, i);
}

static void end_flight(struct droppable_cache *c, struct flight *f, int built,
		       int stored)
{
	unsigned int i = shard_of(f->hash);
	struct shard *s = &c->shard[i];
	struct flight **p;

	guard_lock(&c->guarded, i);
	/* Not there in a child that was made by build(). */
	for (p = &s->flights; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			break;
		}
	s->st.failed += !built;
	s->st.unstored += built && !stored;
	guard_wake(&c->guarded, i);
	guard_unlock(&c->guarded, i);
}

static int build_value(struct droppable_cache *c, struct flight *f,
		       const void *key, size_t key_len,
		       droppable_build_fn *build, void *arg, void *buf,
		       size_t size, size_t *len)
{
	size_t n = 0;
	int err;

	err = build(key, key_len, buf, size, &n, arg);
	if (!err && n > size)
		err = -EOVERFLOW; /* at the least */
	if (!err || err == -ENOBUFS)
		*len = n;
	end_flight(c, f, !err, !err && !store(c, f->hash, buf, n, f));
	return err;
}

int droppable_cache_get_or_build(struct droppable_cache *c, const void *key,
				 size_t key_len, droppable_build_fn *build,
				 void *arg, void *buf, size_t size,
				 size_t *len)
{
	struct flight f = { .thread = pthread_self(), .inner = -1 };
	int err, round;

	if (!c || (!key && key_len) || !build || (!buf && size) || !len)
		return -EINVAL;
	hash_key(c, key, key_len, f.hash);
	/*
	 * A value that others have built can be dropped again before it is
	 * read here; when that happens all the time, nobody is to wait for it.
	 */
	for (round = 0; round < MAX_ROUNDS; round++) {
		err = fetch(c, f.hash, buf, size, len);
		if (!err || err == -ENOBUFS)
			return err;
		err = begin_flight(c, &f);
		if (err != -EAGAIN)
			break;
	}
	if (err == -EDEADLK)
		return err;
	if (err)
		insist(c, &f);
	return build_value(c, &f, key, key_len, build, arg, buf, size, len);
}

int droppable_cache_get(struct droppable_cache *c, const void *key,
			size_t key_len, void *buf, size_t size, size_t *len)
{
	uint64_t hash[2];
	int err;

	if (!c || (!key && key_len) || (!buf && size) || !len)
		return -EINVAL;
	hash_key(c, key, key_len, hash);
	do /* a round more for each put that came in between */
		err = fetch(c, hash, buf, size, len);
	while (err == -EAGAIN);
	return err == -ENOENT ? note_miss(c, hash) : err;
}

/* As droppable_cache_pin(), or as fetch(). */
static int pin_value(struct droppable_cache *c, const uint64_t hash[2],
		     struct iovec *parts, size_t *nr,
		     struct droppable_pool_pin *pin)
{
	struct droppable_ref ref;
	int err;

	err = look_up_ref(c, hash, &ref);
	if (err)
		return err;
	if (ref.gen == NO_BYTES) {
		*nr = 0;
		memset(pin, 0, sizeof(*pin));
		return 0;
	}
	err = droppable_pool_pin(c->pool, &ref, parts, nr, pin);
	return err == -ENODATA ? note_loss(c, hash, &ref) : err;
}

int droppable_cache_pin(struct droppable_cache *c, const void *key,
			size_t key_len, struct iovec *parts, size_t *nr,
			struct droppable_pool_pin *pin)
{
	uint64_t hash[2];
	int err;

	if (!c || (!key && key_len) || !nr || (!parts && *nr) || !pin)
		return -EINVAL;
	hash_key(c, key, key_len, hash);
	do
		err = pin_value(c, hash, parts, nr, pin);
	while (err == -EAGAIN);
	if (!err)
		note_hit(c, hash);
	return err == -ENOENT ? note_miss(c, hash) : err;
}

int droppable_cache_unpin(struct droppable_cache *c,
			  struct droppable_pool_pin *pin)
{
	return c ? droppable_pool_unpin(c->pool, pin) : -EINVAL;
}

int droppable_cache_put(struct droppable_cache *c, const void *key,
			size_t key_len, const void *data, size_t len)
{
	uint64_t hash[2];

	if (!c || (!key && key_len) || (!data && len))
		return -EINVAL;
	hash_key(c, key, key_len, hash);
	return store(c, hash, data, len, NULL);
}

int droppable_cache_forget(struct droppable_cache *c, const void *key,
			   size_t key_len)
{
	struct droppable_ref ref;
	struct entry *e;
	unsigned int i;
	uint64_t hash[2];

	if (!c || (!key && key_len))
		return -EINVAL;
	hash_key(c, key, key_len, hash);
	i = shard_of(hash);
	guard_lock(&c->guarded, i);
	e = lookup(&c->shard[i], hash);
	if (e) {
		ref = e->ref;
		erase(c->shard[i].table, e);
	}
	outdate(c, hash); /* also if there is nothing yet */
	guard_unlock(&c->guarded, i);
	if (!e)
		return -ENODATA;
	forget_object(c, &ref);
	return ref.gen ? 0 : -ENODATA;
}

int droppable_cache_drop(struct droppable_cache *c)
{
	return c ? droppable_pool_drop(c->pool, NULL) : -EINVAL;
}

static void add_stats(struct droppable_cache_stats *sum, const struct shard *s)
{
	sum->hits += s->st.hits;
	sum->misses += s->st.misses;
	sum->dropped += s->st.dropped;
	sum->rebuilt += s->st.rebuilt;
	sum->failed += s->st.failed;
	sum->unstored += s->st.unstored;
	sum->waits += s->st.waits;
	if (!s->table)
		return;
	sum->entries += s->table->used;
	sum->index += sizeof(*s->table) +
		      s->table->size * sizeof(s->table->entry[0]);
}

int droppable_cache_stats(struct droppable_cache *c,
			  struct droppable_cache_stats *stats, size_t size)
{
	struct droppable_cache_stats sum = { 0 };
	struct droppable_pool_stats pool;
	unsigned int i;

	if (!c || !stats || !size || size % sizeof(uint64_t))
		return -EINVAL;
	for (i = 0; i < NR_SHARDS; i++) {
		guard_lock(&c->guarded, i);
		add_stats(&sum, &c->shard[i]);
		guard_unlock(&c->guarded, i);
	}
	droppable_pool_stats(c->pool, &pool, sizeof(pool));
	sum.capacity = pool.capacity;
	sum.used = pool.used;
	sum.recycled = pool.recycled;
	return droppable_copy_stats(stats, size, &sum, sizeof(sum));
}

/* In a child: empty.  The counts go on. */
static void reset_cache(struct guarded *g)
{
	struct droppable_cache *c = (struct droppable_cache *)g;
	struct table *t;
	unsigned int i;

	for (i = 0; i < NR_SHARDS; i++) {
		c->shard[i].flights = NULL; /* of threads that aren't here */
		t = c->shard[i].table;
		if (!t)
			continue;
		memset(t->entry, 0, t->size * sizeof(t->entry[0]));
		t->used = 0;
	}
}

static int random_key(uint64_t key[2])
{
	const size_t len = 2 * sizeof(key[0]);
	ssize_t n = getrandom(key, len, GRND_INSECURE);

	if (n < 0 && errno == EINVAL)
		n = getrandom(key, len, 0);
	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

int droppable_cache_open(struct droppable *ctx, size_t capacity,
			 unsigned int flags, struct droppable_cache **cache)
{
	struct droppable_cache *c;
	int err;

	if (!ctx || !cache || flags)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	err = random_key(c->key);
	if (!err)
		err = droppable_pool_open(ctx, capacity, 0, &c->pool);
	if (!err)
		err = guard_init(&c->guarded, NR_SHARDS, reset_cache);
	if (err) {
		droppable_pool_close(c->pool);
		free(c);
		return err;
	}
	*cache = c;
	return 0;
}

void droppable_cache_close(struct droppable_cache *c)
{
	unsigned int i;

	if (!c)
		return;
	for (i = 0; i < NR_SHARDS; i++)
		free(c->shard[i].table);
	droppable_pool_close(c->pool);
	guard_fini(&c->guarded);
	free(c);
}
