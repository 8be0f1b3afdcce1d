// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Objects in droppable memory, see droppable.h.
 *
 * A pool is a number of chunks, each a mapping of its own, made when they are
 * needed and never before the end taken away.  What is known of each page, its
 * generation above all, is in ordinary memory.  Objects that fit into a page
 * don't cross its end; a larger one has a run of pages to itself, which share
 * one generation.
 *
 * Objects are written once.  The place of one that is no longer wanted isn't
 * used again before its whole page is, with another generation.  That is what
 * makes a read without a lock possible: a generation stands for one state of
 * all bytes that any reader of that generation looks at.
 *
 * Who writes: a writer reserves its bytes under the lock, and stores them
 * without it, because a store to droppable memory may wait for memory.  A page
 * with a writer on it is busy: it is neither freed nor filled anew.  So no two
 * writers ever store to the same bytes.
 *
 * A pinned page is busy as well: the kernel keeps it from being dropped, that
 * keeps it from being filled with something else.
 *
 * An error in the bookkeeping can lose an object, but not invent one: whatever
 * is read is vouched for by the page itself.
 */
#include "internal.h"
#include "guard.h"
#include "page.h"
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_PAGES	4096	/* 16 MiB, with pages of 4 KiB */
#define NR_OPEN		4	/* pages that are filled at the same time */
#define SMALL		64	/* a page with less room than that is full */
#define NO_PAGE		((size_t)-1)

/* Protected by the lock. */
struct info {
	uint64_t gen; /* 0: free */
	uint32_t used; /* bytes, the head included */
	uint32_t live; /* objects that nobody has forgotten */
	uint32_t busy; /* writers at work, and pins */
	uint32_t dead; /* to be freed when not busy any more */
};

struct chunk {
	char *mem; /* constant */
	uint8_t *read; /* since the hand came by; readers store, no lock */
	size_t nr_free; /* locked */
	size_t next; /* locked: no page before it is free */
	struct info info[];
};

/* Constant but for what is marked; the lock protects that. */
struct droppable_pool {
	struct guarded guarded;
	struct droppable *ctx;
	size_t page, payload; /* bytes of a page; of those, for data */
	unsigned int page_shift, chunk_shift;
	size_t chunk_pages, max_chunks;
	size_t nr_chunks; /* locked */
	size_t sweep, hand; /* locked: next chunk, next page */
	size_t taken; /* locked: pages since the last sweep */
	size_t open[NR_OPEN]; /* locked */
	uint64_t gen; /* locked: the last one used */
	uint64_t puts, lost, swept, recycled; /* locked */
	/* Each is written once; readers load them without the lock. */
	struct chunk *chunk[];
};

static void lock(struct droppable_pool *p)
{
	guard_lock(&p->guarded, 0);
}

static void unlock(struct droppable_pool *p)
{
	guard_unlock(&p->guarded, 0);
}

/* NULL if there is none, which only a reference from elsewhere can say. */
static struct chunk *chunk_of(const struct droppable_pool *p, size_t page)
{
	size_t i = page >> p->chunk_shift;

	if (i >= p->max_chunks)
		return NULL;
	return __atomic_load_n(&p->chunk[i], __ATOMIC_ACQUIRE);
}

static struct info *info_of(const struct droppable_pool *p, size_t page)
{
	return &chunk_of(p, page)->info[(page & (p->chunk_pages - 1))];
}

static char *mem_of(const struct droppable_pool *p, size_t page)
{
	return chunk_of(p, page)->mem +
	       ((page & (p->chunk_pages - 1)) << p->page_shift);
}

/* A hint for recycle(), so any order will do; read first, not to share it. */
static void mark_read(const struct droppable_pool *p, size_t page)
{
	uint8_t *read = &chunk_of(p, page)->read[page & (p->chunk_pages - 1)];

	if (!__atomic_load_n(read, __ATOMIC_RELAXED))
		__atomic_store_n(read, 1, __ATOMIC_RELAXED);
}

static int test_and_clear_read(const struct droppable_pool *p, size_t page)
{
	uint8_t *read = &chunk_of(p, page)->read[page & (p->chunk_pages - 1)];

	return __atomic_exchange_n(read, 0, __ATOMIC_RELAXED);
}

/* --- open pages: those with room for another object --- */

static void close_page(struct droppable_pool *p, size_t page)
{
	int i;

	for (i = 0; i < NR_OPEN; i++)
		if (p->open[i] == page)
			p->open[i] = NO_PAGE;
}

/* Takes the place of the fullest, if that is fuller. */
static void open_page(struct droppable_pool *p, size_t page)
{
	uint32_t used = info_of(p, page)->used, fullest = 0;
	int i, at = -1;

	if (used + SMALL > p->page)
		return;
	for (i = 0; i < NR_OPEN; i++) {
		if (p->open[i] == page)
			return;
		if (p->open[i] == NO_PAGE) {
			fullest = UINT32_MAX;
			at = i;
		} else if (info_of(p, p->open[i])->used > fullest) {
			fullest = info_of(p, p->open[i])->used;
			at = i;
		}
	}
	if (fullest > used)
		p->open[at] = page;
}

/* The open page where @size bytes leave the least room, or NO_PAGE. */
static size_t find_open(const struct droppable_pool *p, size_t size)
{
	size_t best = NO_PAGE;
	uint32_t used = 0;
	int i;

	for (i = 0; i < NR_OPEN; i++) {
		struct info *info;

		if (p->open[i] == NO_PAGE)
			continue;
		info = info_of(p, p->open[i]);
		if (info->used + size <= p->page && info->used > used) {
			best = p->open[i];
			used = info->used;
		}
	}
	return best;
}

/* --- freeing --- */

static void free_page(struct chunk *c, size_t i)
{
	memset(&c->info[i], 0, sizeof(c->info[i]));
	c->nr_free++;
	if (i < c->next)
		c->next = i;
}

/*
 * Frees a page and, as they are worth nothing without it, the others of its
 * run: they share its generation, and lie beside it.  All of a run are busy at
 * the same time.  Returns how many went: 0 if it is free already, or busy.
 */
static size_t free_run(struct droppable_pool *p, size_t page)
{
	struct chunk *c = chunk_of(p, page);
	size_t i = page & (p->chunk_pages - 1), n = 0;
	uint64_t gen = c->info[i].gen;

	if (!gen)
		return 0;
	while (i && c->info[i - 1].gen == gen)
		i--;
	page = (page & ~(p->chunk_pages - 1)) + i;
	for (; i < p->chunk_pages && c->info[i].gen == gen; i++, page++) {
		close_page(p, page);
		if (c->info[i].busy) {
			c->info[i].dead = 1;
			continue;
		}
		free_page(c, i);
		n++;
	}
	return n;
}

/* --- finding pages --- */

/* How many of a chunk were dropped; none of them is touched for that. */
static size_t sweep_chunk(struct droppable_pool *p, size_t nr)
{
	struct chunk *c = p->chunk[nr];
	size_t first = nr << p->chunk_shift, at, i, n, swept = 0;
	unsigned char vec[256];

	for (at = 0; at < p->chunk_pages; at += n) {
		n = p->chunk_pages - at;
		if (n > sizeof(vec))
			n = sizeof(vec);
		if (mincore(c->mem + at * p->page, n * p->page, vec) < 0)
			return swept;
		/*
		 * Out of date at once, and a page that is held may come back.
		 * No harm: at worst a good object is lost.  Where somebody is
		 * at work there may be nothing yet.
		 */
		for (i = 0; i < n; i++)
			if (!(vec[i] & 1) && !c->info[at + i].busy)
				swept += free_run(p, first + at + i);
	}
	p->swept += swept;
	return swept;
}

static int add_chunk(struct droppable_pool *p)
{
	size_t i = p->nr_chunks;
	struct chunk *c;
	void *mem;
	int err;

	/* A page index of its own is what ordinary memory it takes. */
	c = calloc(1, sizeof(*c) + p->chunk_pages * (sizeof(c->info[0]) + 1));
	if (!c)
		return -ENOMEM;
	err = droppable_map(p->ctx, p->chunk_pages * p->page, &mem);
	if (err) {
		free(c);
		return err;
	}
	c->mem = mem;
	c->read = (uint8_t *)&c->info[p->chunk_pages];
	c->nr_free = p->chunk_pages;
	__atomic_store_n(&p->chunk[i], c, __ATOMIC_RELEASE);
	p->nr_chunks = i + 1;
	return 0;
}

/* @n free pages of a chunk in a row, or NO_PAGE. */
static size_t find_in_chunk(struct droppable_pool *p, size_t nr, size_t n)
{
	struct chunk *c = p->chunk[nr];
	size_t i, row = 0;

	if (c->nr_free < n)
		return NO_PAGE;
	for (i = c->next; i < p->chunk_pages; i++) {
		row = c->info[i].gen ? 0 : row + 1;
		if (row == n) {
			if (n == 1)
				c->next = i + 1;
			return nr * p->chunk_pages + i + 1 - n;
		}
	}
	return NO_PAGE;
}

static size_t find_free(struct droppable_pool *p, size_t n)
{
	size_t i, page = NO_PAGE;

	/* The youngest first: it is what has most likely got some. */
	for (i = p->nr_chunks; page == NO_PAGE && i--; )
		page = find_in_chunk(p, i, n);
	return page;
}

/* Whether there are @n pages of a chunk in a row that nobody is busy with. */
static int has_row(const struct droppable_pool *p, size_t n)
{
	size_t total = p->nr_chunks * p->chunk_pages, row = 0, at;

	for (at = 0; at < total && row < n; at++) {
		if (at % p->chunk_pages == 0)
			row = 0;
		row = info_of(p, at)->busy ? 0 : row + 1;
	}
	return row == n;
}

/* Pages may be read as fast as the hand goes round: twice is enough. */
static int is_spared(const struct droppable_pool *p, size_t page, int round)
{
	const struct info *info = info_of(p, page);

	return info->gen && ((test_and_clear_read(p, page) && round < 2) ||
			     info->busy);
}

/*
 * The pool is full of what nobody has dropped: does so itself.  The hand of a
 * clock: what was read since it last came by is passed over, once.  Nothing
 * goes before there is a row of @n, or all might for an object that finds no
 * place.
 */
static size_t recycle(struct droppable_pool *p, size_t n)
{
	size_t total = p->nr_chunks * p->chunk_pages, row, at, i;

	if (!has_row(p, n))
		return NO_PAGE;
	/* Ends: with the lock held, that row stays one. */
	for (i = row = 0; row < n; i++) {
		at = p->hand;
		/* On at once: what is put here now is the last to go. */
		p->hand = (at + 1) % total;
		if (at % p->chunk_pages == 0)
			row = 0;
		row = is_spared(p, at, (int)(i / total)) ? 0 : row + 1;
	}
	at = (p->hand ? p->hand : total) - n;
	for (i = 0; i < n; i++)
		p->recycled += free_run(p, at + i);
	return at;
}

static size_t find_pages(struct droppable_pool *p, size_t n, int *err)
{
	size_t page = find_free(p, n), i;

	*err = 0;
	/* A look at one chunk now and then, and before another is mapped. */
	if (page == NO_PAGE && p->nr_chunks && p->taken >= p->chunk_pages / 4) {
		p->taken = 0;
		i = p->sweep++ % p->nr_chunks;
		if (sweep_chunk(p, i))
			page = find_in_chunk(p, i, n);
	}
	if (page == NO_PAGE && p->nr_chunks < p->max_chunks) {
		*err = add_chunk(p);
		if (!*err)
			page = find_free(p, n);
	}
	if (page == NO_PAGE && p->nr_chunks)
		page = recycle(p, n);
	if (page != NO_PAGE)
		*err = 0;
	else if (!*err)
		*err = -EAGAIN;
	return page;
}

/* --- writing --- */

/* A row of @n pages for one writer to fill; *err if there is none. */
static size_t take_pages(struct droppable_pool *p, size_t n, uint32_t used,
			 uint64_t *gen, int *err)
{
	size_t page = find_pages(p, n, err), i;

	if (page == NO_PAGE)
		return page;
	*gen = ++p->gen;
	for (i = 0; i < n; i++)
		*info_of(p, page + i) = (struct info){
			.gen = *gen, .used = used, .live = 1, .busy = 1,
		};
	chunk_of(p, page)->nr_free -= n;
	p->taken += n;
	return page;
}

/* Whoever had @n pages is through; true if they are to be freed now. */
static int let_go(struct droppable_pool *p, size_t page, size_t n)
{
	struct info *info;
	int dead = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		info = info_of(p, page + i);
		info->busy--;
		dead |= info->dead;
	}
	return dead;
}

/* A writer is through with @n pages. */
static void commit(struct droppable_pool *p, size_t page, size_t n)
{
	lock(p);
	if (let_go(p, page, n))
		free_run(p, page);
	else
		open_page(p, page);
	p->puts++;
	unlock(p);
}

/* The place of @size bytes on an open page, or NO_PAGE. */
static size_t reserve(struct droppable_pool *p, size_t size, size_t *at,
		      uint64_t *gen)
{
	size_t page = find_open(p, size);
	struct info *info;

	if (page == NO_PAGE)
		return page;
	info = info_of(p, page);
	*at = info->used;
	*gen = info->gen;
	info->used += (uint32_t)size;
	info->live++;
	info->busy++;
	if (info->used + SMALL > p->page)
		close_page(p, page);
	return page;
}

/* An open page turned out to be dropped: nothing was stored there. */
static void retreat(struct droppable_pool *p, size_t page)
{
	struct info *info;

	lock(p);
	info = info_of(p, page);
	info->live--;
	info->busy--;
	p->swept += free_run(p, page);
	unlock(p);
}

static int put_small(struct droppable_pool *p, const void *data, size_t len,
		     struct droppable_ref *ref)
{
	size_t size = (len + WORD - 1) / WORD * WORD, page, at = PAGE_HEAD;
	uint64_t gen = 0;
	int err;

	/* Ends: each round but the last takes away an open page. */
	for (;;) {
		lock(p);
		page = reserve(p, size, &at, &gen);
		if (page == NO_PAGE)
			break;
		unlock(p);
		if (page_has(mem_of(p, page), gen))
			goto copy;
		retreat(p, page);
	}
	at = PAGE_HEAD;
	page = take_pages(p, 1, (uint32_t)(PAGE_HEAD + size), &gen, &err);
	unlock(p);
	if (page == NO_PAGE)
		return err;
	page_begin(mem_of(p, page), gen);
copy:
	copy_in(mem_of(p, page), at, data, len);
	commit(p, page, 1);
	*ref = (struct droppable_ref){
		.gen = gen, .at = (uint64_t)page * p->page + at, .len = len,
	};
	return 0;
}

static int put_run(struct droppable_pool *p, const void *data, size_t len,
		   struct droppable_ref *ref)
{
	size_t n = (len + p->payload - 1) / p->payload, page, i, part;
	const char *from = data;
	uint64_t gen = 0;
	int err;

	lock(p);
	page = take_pages(p, n, (uint32_t)p->page, &gen, &err);
	unlock(p);
	if (page == NO_PAGE)
		return err;
	*ref = (struct droppable_ref){
		.gen = gen, .at = (uint64_t)page * p->page + PAGE_HEAD,
		.len = len,
	};
	for (i = 0; i < n; i++, from += part, len -= part) {
		part = len < p->payload ? len : p->payload;
		page_begin(mem_of(p, page + i), gen);
		copy_in(mem_of(p, page + i), PAGE_HEAD, from, part);
	}
	commit(p, page, n);
	return 0;
}

int droppable_pool_put(struct droppable_pool *p, const void *data, size_t len,
		       struct droppable_ref *ref)
{
	if (!p || !data || !len || !ref)
		return -EINVAL;
	if (len > p->payload * p->chunk_pages)
		return -EFBIG;
	return len <= p->payload ? put_small(p, data, len, ref) :
				   put_run(p, data, len, ref);
}

/* --- reading --- */

/* The first page of an object and how many there are; 0 if it isn't ours. */
static size_t pages_of(const struct droppable_pool *p,
		       const struct droppable_ref *ref, size_t *page)
{
	size_t at = (size_t)ref->at & (p->page - 1), n;

	*page = (size_t)(ref->at >> p->page_shift);
	if (!ref->len || at < PAGE_HEAD || at % WORD ||
	    ref->len > p->payload * p->chunk_pages || !chunk_of(p, *page))
		return 0;
	n = (at - PAGE_HEAD + (size_t)ref->len + p->payload - 1) / p->payload;
	return (*page & (p->chunk_pages - 1)) + n <= p->chunk_pages ? n : 0;
}

/* The same, *n of them; -ENODATA if it names nothing, -EINVAL if it isn't ours. */
static int find_object(const struct droppable_pool *p,
		       const struct droppable_ref *ref, size_t *page, size_t *n)
{
	if (!ref->gen)
		return -ENODATA;
	*n = pages_of(p, ref, page);
	return *n ? 0 : -EINVAL;
}

/* Frees what is known to be gone; returns what droppable_pool_read() does. */
static int lose(struct droppable_pool *p, size_t page, uint64_t gen)
{
	lock(p);
	if (info_of(p, page)->gen == gen)
		free_run(p, page);
	p->lost++;
	unlock(p);
	return -ENODATA;
}

int droppable_pool_read(struct droppable_pool *p,
			const struct droppable_ref *ref, size_t off, void *buf,
			size_t len)
{
	size_t page, at, part, left;
	unsigned char *to = buf;
	const char *mem;

	if (!p || !ref || !buf || !len)
		return -EINVAL;
	if (!ref->gen) {
		memset(buf, 0, len);
		return -ENODATA;
	}
	if (!pages_of(p, ref, &page) || off > ref->len || len > ref->len - off)
		return -EINVAL;

	at = ((size_t)ref->at & (p->page - 1)) + off;
	if (at >= p->page) { /* a division is slow */
		page += (at - PAGE_HEAD) / p->payload;
		at = PAGE_HEAD + (at - PAGE_HEAD) % p->payload;
	}
	for (left = len; left; left -= part, to += part, page++) {
		part = p->page - at;
		if (part > left)
			part = left;
		mem = mem_of(p, page);
		if (!page_has(mem, ref->gen))
			break;
		copy_out(to, mem, at, part);
		/*
		 * Good for this part, whatever happens to the page from here
		 * on: objects don't change, so the parts fit together.
		 */
		if (!page_still(mem, ref->gen))
			break;
		mark_read(p, page);
		at = PAGE_HEAD;
	}
	if (!left)
		return 0;
	memset(buf, 0, len); /* nobody gets to see a part of it */
	return lose(p, page, ref->gen);
}

/* --- pins --- */

/* Keeps the object's pages for what is on them; -ENODATA if that is gone. */
static int hold(struct droppable_pool *p, size_t page, size_t n, uint64_t gen)
{
	int err = 0;
	size_t i;

	lock(p);
	for (i = 0; i < n && !err; i++)
		if (info_of(p, page + i)->gen != gen)
			err = -ENODATA;
	for (i = 0; i < n && !err; i++)
		info_of(p, page + i)->busy++;
	unlock(p);
	return err;
}

/*
 * They aren't ours any more if this is a child: its pool was emptied.  In a
 * pool that wasn't, held pages keep their generation.
 */
static void release(struct droppable_pool *p, size_t page, size_t n,
		    uint64_t gen)
{
	lock(p);
	if (info_of(p, page)->gen == gen && let_go(p, page, n))
		free_run(p, page);
	unlock(p);
}

/*
 * True if all pages hold the object; they are pinned, so that is for good.
 * Else nothing is stored.
 */
static int find_parts(const struct droppable_pool *p,
		      const struct droppable_ref *ref, size_t page, size_t n,
		      struct iovec *part)
{
	size_t at = (size_t)ref->at & (p->page - 1), left = (size_t)ref->len;
	char *mem = mem_of(p, page);
	size_t i;

	for (i = 0; i < n; i++)
		if (!page_has(mem + i * p->page, ref->gen))
			return 0;
	for (i = 0; i < n; i++, mem += p->page, at = PAGE_HEAD) {
		mark_read(p, page + i);
		part[i].iov_base = mem + at;
		part[i].iov_len = p->page - at < left ? p->page - at : left;
		left -= part[i].iov_len;
	}
	return 1;
}

int droppable_pool_pin(struct droppable_pool *p,
		       const struct droppable_ref *ref, struct iovec *parts,
		       size_t *nr, struct droppable_pool_pin *pin)
{
	size_t page, n;
	uint64_t id;
	int err;

	if (!p || !ref || !nr || (!parts && *nr) || !pin)
		return -EINVAL;
	err = find_object(p, ref, &page, &n);
	if (err)
		return err;
	if (n > *nr) {
		*nr = n;
		return -ENOBUFS;
	}
	/* First, so that nobody fills the pages anew on the way. */
	err = hold(p, page, n, ref->gen);
	if (err)
		return lose(p, page, ref->gen);
	err = droppable_pin(p->ctx, mem_of(p, page), n * p->page,
			    DROPPABLE_PIN_INTACT, &id, NULL, NULL);
	if (!err && !find_parts(p, ref, page, n, parts)) {
		droppable_unpin(p->ctx, id);
		err = -ENODATA;
	}
	if (err) {
		release(p, page, n, ref->gen);
		return err == -ENODATA ? lose(p, page, ref->gen) : err;
	}
	*nr = n;
	*pin = (struct droppable_pool_pin){ .id = id, .ref = *ref };
	return 0;
}

int droppable_pool_unpin(struct droppable_pool *p,
			 struct droppable_pool_pin *pin)
{
	size_t page, n;
	int err;

	if (!p || !pin)
		return -EINVAL;
	if (!pin->id)
		return 0;
	n = pages_of(p, &pin->ref, &page);
	if (!n)
		return -EINVAL;
	/* Held until it isn't pinned any more; and then, whatever it says. */
	err = droppable_unpin(p->ctx, pin->id);
	release(p, page, n, pin->ref.gen);
	memset(pin, 0, sizeof(*pin));
	return err;
}

/* --- the rest --- */

int droppable_pool_forget(struct droppable_pool *p,
			  const struct droppable_ref *ref)
{
	size_t page, n, i;
	struct info *info;
	int err;

	if (!p || !ref)
		return -EINVAL;
	err = find_object(p, ref, &page, &n);
	if (err)
		return err;
	lock(p);
	if (info_of(p, page)->gen != ref->gen) {
		unlock(p);
		return -ENODATA;
	}
	for (i = 0; i < n; i++) {
		info = info_of(p, page + i);
		if (info->live)
			info->live--;
	}
	if (!info_of(p, page)->live)
		free_run(p, page);
	unlock(p);
	return 0;
}

/* How many of @n pages, up to the first that holds another object by now. */
static size_t count_own(struct droppable_pool *p, size_t page, size_t n,
			uint64_t gen)
{
	uint64_t now;
	size_t i;

	lock(p);
	for (i = 0; i < n; i++) {
		now = info_of(p, page + i)->gen;
		if (now && now != gen)
			break;
	}
	unlock(p);
	return i;
}

/* What was forgotten is still there to be read, until its page is used again. */
static int drop_object(struct droppable_pool *p, size_t page, size_t n,
		       uint64_t gen)
{
	int err = -ENODATA, one;
	size_t own;

	for (; n; n -= own, page += own) {
		own = count_own(p, page, n, gen);
		if (!own) {
			own = 1; /* another's */
			continue;
		}
		one = droppable_drop(p->ctx, mem_of(p, page), own * p->page,
				     NULL);
		err = one || err == -ENODATA ? one : err;
	}
	return err;
}

int droppable_pool_drop(struct droppable_pool *p,
			const struct droppable_ref *ref)
{
	size_t page, n, i;
	int err = 0, one;

	if (!p)
		return -EINVAL;
	if (ref) {
		err = find_object(p, ref, &page, &n);
		return err ? err : drop_object(p, page, n, ref->gen);
	}
	for (i = 0; i < p->max_chunks && chunk_of(p, i * p->chunk_pages); i++) {
		one = droppable_drop(p->ctx, mem_of(p, i * p->chunk_pages),
				     p->chunk_pages * p->page, NULL);
		err = err ? err : one;
	}
	return err;
}

int droppable_pool_stats(struct droppable_pool *p,
			 struct droppable_pool_stats *stats, size_t size)
{
	struct droppable_pool_stats st;
	size_t i;

	if (!p || !stats || !size || size % sizeof(uint64_t))
		return -EINVAL;
	lock(p);
	st = (struct droppable_pool_stats){
		.capacity = (uint64_t)p->max_chunks * p->chunk_pages * p->page,
		.mapped = (uint64_t)p->nr_chunks * p->chunk_pages * p->page,
		.largest = (uint64_t)p->chunk_pages * p->payload,
		.puts = p->puts,
		.lost = p->lost,
		.swept = p->swept,
		.recycled = p->recycled,
	};
	st.used = st.mapped;
	for (i = 0; i < p->nr_chunks; i++)
		st.used -= (uint64_t)p->chunk[i]->nr_free * p->page;
	unlock(p);
	return droppable_copy_stats(stats, size, &st, sizeof(st));
}

void pool_sweep(struct droppable_pool *p)
{
	size_t i;

	lock(p);
	for (i = 0; i < p->nr_chunks; i++)
		sweep_chunk(p, i);
	unlock(p);
}

int pool_knows(struct droppable_pool *p, const struct droppable_ref *ref)
{
	size_t page;
	int known;

	if (!pages_of(p, ref, &page))
		return 0;
	lock(p);
	known = info_of(p, page)->gen == ref->gen;
	unlock(p);
	return known;
}

/* All of it free; also in a child, see guard.h. */
static void reset_pool(struct guarded *g)
{
	struct droppable_pool *p = (struct droppable_pool *)g;
	size_t i;

	/* The counter comes after the chunk itself: may be one behind. */
	for (i = 0; i < p->max_chunks && p->chunk[i]; i++) {
		memset(p->chunk[i]->info, 0,
		       p->chunk_pages * sizeof(p->chunk[i]->info[0]));
		p->chunk[i]->nr_free = p->chunk_pages;
		p->chunk[i]->next = 0;
	}
	p->nr_chunks = i;
	p->sweep = p->hand = p->taken = 0;
	for (i = 0; i < NR_OPEN; i++)
		p->open[i] = NO_PAGE;
	/*
	 * Generations go on where they were: what a child was told of its
	 * parent's objects is never taken for one of its own.
	 */
}

/*
 * Later than any generation of a pool that was opened before this one, as it
 * takes longer than a nanosecond to use one: a reference to what was in that
 * pool finds nothing here.
 */
static uint64_t first_generation(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* As much as there is memory, if that isn't too much to be addressed. */
static size_t default_size(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	size_t most = SIZE_MAX / 8;

	if (pages <= 0 || (size_t)pages > most / (size_t)page)
		return most;
	return (size_t)pages * (size_t)page;
}

int droppable_pool_open(struct droppable *ctx, size_t size, unsigned int flags,
			struct droppable_pool **pool)
{
	struct droppable_pool *p;
	size_t pages, n;
	int err;

	if (!ctx || !pool || flags)
		return -EINVAL;
	if (!size)
		size = default_size();
	if (size > SIZE_MAX / 2)
		return -EINVAL;
	pages = (size + ctx->page_size - 1) / ctx->page_size;
	n = pages / CHUNK_PAGES + !!(pages % CHUNK_PAGES);

	p = calloc(1, sizeof(*p) + n * sizeof(p->chunk[0]));
	if (!p)
		return -ENOMEM;
	p->ctx = ctx;
	p->chunk_pages = 1;
	p->page = ctx->page_size;
	p->payload = p->page - PAGE_HEAD;
	while (((size_t)1 << p->page_shift) < p->page)
		p->page_shift++;
	while (p->chunk_pages < pages && p->chunk_pages < CHUNK_PAGES)
		p->chunk_pages = (size_t)1 << ++p->chunk_shift;
	p->max_chunks = n;
	p->gen = first_generation();
	reset_pool(&p->guarded);
	err = guard_init(&p->guarded, 1, reset_pool);
	if (err) {
		free(p);
		return err;
	}
	*pool = p;
	return 0;
}

void droppable_pool_close(struct droppable_pool *p)
{
	size_t i;

	if (!p)
		return;
	for (i = 0; i < p->max_chunks && p->chunk[i]; i++) {
		munmap(p->chunk[i]->mem, p->chunk_pages * p->page);
		free(p->chunk[i]);
	}
	guard_fini(&p->guarded);
	free(p);
}
