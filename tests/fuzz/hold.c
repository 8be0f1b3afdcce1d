// SPDX-License-Identifier: GPL-2.0-only
/* See hold.h. */
#define _GNU_SOURCE
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../support/memory.h"
#include "../support/tap.h"
#include "op.h"
#include "report.h"
#include "touch.h"
#include "transfer.h"

#define PIPE_PAGES 16U

/* ---- a pipe ---- */

struct queue {
	bool made;
	int ends[2];
	unsigned int first;
	unsigned int count;
	struct page *pages[PIPE_PAGES];
};

static __thread struct queue queue;

static bool make_queue(void)
{
	if (queue.made)
		return true;
	memset(&queue, 0, sizeof(queue));
	queue.made = !pipe2(queue.ends, O_CLOEXEC | O_NONBLOCK);
	return queue.made;
}

bool hold_pin(unsigned int area, unsigned int index,
	      bool (*take)(void *address, void *data), void *data)
{
	struct access access;
	struct look look;
	int signal;

	access_begin(&access, area, index);
	if (!access.words)
		return false;
	look_begin(&look, access.page);
	if (take && !take((void *)access.words, data))
		return false;
	signal = GUARDED(look_words(&look, access.words));
	if (!signal)
		look_end(&look);
	else
		access_caught(&access, signal, false);
	model_pinned(access.page, look.begun, look.calm && !signal);
	return true;
}

static bool into_pipe(void *address, void *data)
{
	struct iovec range = { address, PAGE };

	(void)data;
	return vmsplice(queue.ends[1], &range, 1, SPLICE_F_NONBLOCK) ==
	       (ssize_t)PAGE;
}

bool op_hold(const struct op *op)
{
	bool any = false;

	if (!make_queue())
		return false;
	for_owned(op, index) {
		unsigned int at = (queue.first + queue.count) % PIPE_PAGES;

		if (queue.count == PIPE_PAGES)
			break;
		if (!hold_pin(op->area, index, into_pipe, NULL))
			continue;
		queue.pages[at] =
			&process->areas[op->area].pages[index];
		queue.count++;
		any = true;
	}
	return any;
}

/* What a holder has, now in a buffer: the page, or what it was once. */
static void check_held(struct page *page, bool same, struct look *look)
{
	look->loose = !same || !model_same_page(page);
	look_words(look, transfer_buffer());
	look_end(look);
}

static void release_one(void)
{
	struct page *page = queue.pages[queue.first];
	bool same = model_same_page(page);
	struct look look;

	look_begin(&look, page);
	want_eq(read(queue.ends[0], transfer_buffer(), PAGE), PAGE);
	check_held(page, same, &look);
	model_unpinned(page);
	queue.first = (queue.first + 1) % PIPE_PAGES;
	queue.count--;
}

bool op_release(const struct op *op)
{
	unsigned int count = 1 + op->value % PIPE_PAGES;
	bool any = queue.count;

	while (queue.count && count--)
		release_one();
	return any;
}

/* ---- io_uring ---- */

/* One request at a time, so each index is the number of requests so far. */
struct ring {
	bool made;
	int file;
	int ends[2];
	char *base;
	unsigned int area;
	unsigned int first;
	unsigned int count;
	char *sq;
	struct io_uring_params params;
	struct io_uring_sqe *sqes;
};

static __thread struct ring ring;

static bool make_ring(void)
{
	size_t length;

	if (ring.made)
		return true;
	memset(&ring, 0, sizeof(ring));
	ring.file = (int)syscall(SYS_io_uring_setup, 1, &ring.params);
	if (ring.file < 0)
		return false;
	length = ring.params.cq_off.cqes +
		 ring.params.cq_entries * sizeof(struct io_uring_cqe);
	if (length < 2 * PAGE)
		length = 2 * PAGE;
	ring.sq = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED,
		       ring.file, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 ring.file, IORING_OFF_SQES);
	if (ring.sq == MAP_FAILED || ring.sqes == MAP_FAILED ||
	    pipe2(ring.ends, O_CLOEXEC | O_NONBLOCK)) {
		close(ring.file);
		return false;
	}
	ring.made = true;
	return true;
}

static uint32_t *in_ring(uint32_t offset)
{
	return (uint32_t *)(ring.sq + offset);
}

/* A page of the registered buffer, into the pipe or out of it. */
static int request(uint8_t opcode, int file, unsigned int i)
{
	struct io_uring_cqe *cqes = (void *)(ring.sq + ring.params.cq_off.cqes);
	uint32_t tail = *in_ring(ring.params.sq_off.tail);
	uint32_t head = *in_ring(ring.params.cq_off.head);
	uint32_t mask = *in_ring(ring.params.cq_off.ring_mask);
	int result;

	memset(ring.sqes, 0, sizeof(*ring.sqes));
	ring.sqes->opcode = opcode;
	ring.sqes->fd = file;
	ring.sqes->off = (uint64_t)-1;
	ring.sqes->addr = (uintptr_t)(ring.base + i * PAGE);
	ring.sqes->len = PAGE;
	in_ring(ring.params.sq_off.array)[0] = 0;
	__atomic_store_n(in_ring(ring.params.sq_off.tail), tail + 1,
			 __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, ring.file, 1, 1,
		       IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		want_eq(errno, EINTR);
	want_eq(__atomic_load_n(in_ring(ring.params.cq_off.tail),
				__ATOMIC_ACQUIRE), head + 1);
	result = cqes[head & mask].res;
	__atomic_store_n(in_ring(ring.params.cq_off.head), head + 1,
			 __ATOMIC_RELEASE);
	return result;
}

static struct page *ring_page(unsigned int i)
{
	return &process->areas[ring.area].pages[ring.first + i];
}

static bool is_own(unsigned int i)
{
	return (ring.first + i) % self.threads == self.id;
}

/*
 * The whole range is pinned by then, at the place that it had when it was
 * registered; a page that has moved or been discarded since is not watched.
 */
static bool register_range(const struct op *op)
{
	struct page *pages = process->areas[op->area].pages;
	int slot = pages[op->page].slot;
	uint32_t begun[AREA_PAGES];
	struct iovec range;

	if (slot == NOWHERE)
		return false;
	for (unsigned int i = 0; i < op->count; i++) {
		struct look before;

		look_begin(&before, &pages[op->page + i]);
		begun[i] = before.calm ? before.begun : before.begun - 1;
	}
	ring.base = area_address(op->area, slot, op->page);
	range.iov_base = ring.base;
	range.iov_len = op->count * PAGE;
	if (syscall(SYS_io_uring_register, ring.file, IORING_REGISTER_BUFFERS,
		    &range, 1))
		return false;
	ring.area = op->area;
	ring.first = op->page;
	ring.count = op->count;
	for (unsigned int i = 0; i < op->count; i++) {
		struct page *page = &pages[op->page + i];

		if (!is_own(i))
			continue;
		if (!hold_pin(op->area, op->page + i, NULL, NULL))
			model_pinned(page, 0, false);
		else if (page->pins == 1 && page->pin_begun != begun[i])
			page->pin_valid = false;
	}
	return true;
}

static void unregister(void)
{
	/* Looked at while they are still held. */
	for (unsigned int i = 0; i < ring.count; i++) {
		if (!is_own(i))
			continue;
		touch_load(ring.area, ring.first + i);
		model_unpinned(ring_page(i));
	}
	want_ok(syscall(SYS_io_uring_register, ring.file,
			IORING_UNREGISTER_BUFFERS, NULL, 0));
	ring.count = 0;
}

bool op_register(const struct op *op)
{
	if (!make_ring())
		return false;
	if (ring.count)
		unregister();
	return register_range(op);
}

bool op_unregister(const struct op *op)
{
	bool any = ring.count;

	(void)op;
	if (any)
		unregister();
	return any;
}

static bool ring_out(unsigned int i)
{
	struct page *page = ring_page(i);
	bool same = model_same_page(page);
	struct look look;

	look_begin(&look, page);
	if (request(IORING_OP_WRITE_FIXED, ring.ends[1], i) != (int)PAGE)
		return false;
	want_eq(read(ring.ends[0], transfer_buffer(), PAGE), PAGE);
	check_held(page, same, &look);
	return true;
}

/* It comes to the page if the ring still has the page's own memory. */
static bool ring_in(unsigned int i)
{
	struct page *page = ring_page(i);
	bool same = model_same_page(page);
	int got;

	model_fill_begin(page);
	touch_prepare(page, transfer_buffer());
	want_eq(write(ring.ends[1], transfer_buffer(), PAGE), PAGE);
	got = request(IORING_OP_READ_FIXED, ring.ends[0], i);
	if (got != (int)PAGE)
		want_eq(read(ring.ends[0], transfer_buffer(), PAGE),
			(int)PAGE - (got > 0 ? got : 0));
	touch_stored(page, got == (int)PAGE && same && model_same_page(page));
	return got == (int)PAGE;
}

bool op_ring(const struct op *op)
{
	bool any = false;

	for (unsigned int i = 0; i < ring.count && i < op->count; i++) {
		if (!is_own(i))
			continue;
		any |= op_more(op->value, i) & 1 ? ring_in(i) : ring_out(i);
	}
	return any;
}

/* ---- both ---- */

void hold_forget(void)
{
	pin_forget();
	if (queue.made) {
		close(queue.ends[0]);
		close(queue.ends[1]);
	}
	if (ring.made) {
		close(ring.file);
		close(ring.ends[0]);
		close(ring.ends[1]);
	}
	memset(&queue, 0, sizeof(queue));
	memset(&ring, 0, sizeof(ring));
}

void hold_release_all(void)
{
	while (queue.count)
		release_one();
	if (ring.count)
		unregister();
	pin_release_all();
	hold_forget();
}
