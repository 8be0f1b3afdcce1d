// SPDX-License-Identifier: GPL-2.0-only
/* See hold.h: pages that the program itself has pinned, by ioctl. */
#define _GNU_SOURCE
#include "hold.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/droppable.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/memory.h"
#include "../support/tap.h"
#include "op.h"
#include "report.h"
#include "touch.h"

/* Of a thread. What is pinned nobody can take back, in groups with little. */
#define PINS 2U
#define PIN_PAGES_MAX 8U

/**
 * struct held - a pin
 * @id:		0 if it is none
 * @file:	that it was made through
 * @area:	its pages, of which its thread watches those that it owns
 * @first:	the first
 * @count:	of them
 */
struct held {
	uint64_t id;
	unsigned int file;
	unsigned int area;
	unsigned int first;
	unsigned int count;
};

static __thread struct held pins[PINS];

/* No more in all with many threads than with four. */
static unsigned int pages_max(void)
{
	return self.threads > 4 ? PIN_PAGES_MAX * 4 / self.threads :
				  PIN_PAGES_MAX;
}

static bool is_own(unsigned int index)
{
	return index % self.threads == self.id;
}

static struct page *page_of(const struct held *held, unsigned int i)
{
	return &process->areas[held->area].pages[held->first + i];
}

/* ---- who may ---- */

/*
 * RLIMIT_MEMLOCK is for those without CAP_IPC_LOCK.  This thread's alone, and
 * only here: mlockall(2) and io_uring ask for it too.
 */
static void set_privilege(bool on)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	want_ok(syscall(SYS_capget, &header, data));
	if (on)
		data[0].effective |= data[0].permitted & 1U << CAP_IPC_LOCK;
	else
		data[0].effective &= ~(1U << CAP_IPC_LOCK);
	want_ok(syscall(SYS_capset, &header, data));
}

/* Of the whole process, so another thread's pin may meet it. */
bool op_memlock(const struct op *op)
{
	struct rlimit limit;

	want_ok(getrlimit(RLIMIT_MEMLOCK, &limit));
	limit.rlim_cur = limit.rlim_max;
	if (op->value % 3)
		limit.rlim_cur = op->value / 3 % (2 * PINS * PIN_PAGES_MAX) * PAGE;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	return !setrlimit(RLIMIT_MEMLOCK, &limit);
}

/* What this process may have pinned by now, if nobody else is there to say. */
static void check_limit(unsigned int count)
{
	struct rlimit limit;

	if (!self.alone || self.depth)
		return;
	for (unsigned int i = 0; i < PINS; i++)
		if (pins[i].id)
			count += pins[i].count;
	want_ok(getrlimit(RLIMIT_MEMLOCK, &limit));
	if (limit.rlim_cur < count * PAGE)
		fail("got %u pages pinned, want no more than %llu",
		     count, (unsigned long long)(limit.rlim_cur / PAGE));
}

/* ---- pinning ---- */

/* True if any was kept by it. */
static bool still_watched(const struct held *held)
{
	for (unsigned int i = 0; i < held->count; i++)
		if (is_own(held->first + i) &&
		    model_same_page(page_of(held, i)) &&
		    page_of(held, i)->pins)
			return true;
	return false;
}

static void let_go(struct held *held)
{
	struct droppable_unpin order = { .id = held->id };
	/* munmap() of the whole mapping ends a pin, and nothing else here. */
	bool certain = still_watched(held);

	for (unsigned int i = 0; i < held->count; i++) {
		if (!is_own(held->first + i))
			continue;
		touch_load(held->area, held->first + i);
		model_unpinned(page_of(held, i));
	}
	certain = certain && self.alone;
	if (ioctl(area_file(held->file), DROPPABLE_IOC_UNPIN, &order)) {
		want_eq(errno, ENOENT);
		if (certain)
			fail("got ENOENT from DROPPABLE_IOC_UNPIN, want success: it holds pages");
	}
	held->id = 0;
}

/*
 * A page that was not there reads zero: what was stored before is gone.  Its
 * owner is this thread, so nothing was stored meanwhile.
 */
static void forget_absent(const struct held *held, const uint8_t *there,
			  const uint64_t *before)
{
	for (unsigned int i = 0; i < held->count; i++) {
		struct page *page = page_of(held, i);
		uint64_t floor = page->floor;

		if (there[i] || !is_own(held->first + i) || !before[i])
			continue;
		while (floor < before[i] &&
		       !atomic_compare_exchange_weak(&page->floor, &floor,
						     before[i]))
			;
	}
}

/* Watched from before the call: what came in between is for others to say. */
static void watch(const struct held *held, const uint32_t *begun)
{
	for (unsigned int i = 0; i < held->count; i++) {
		struct page *page = page_of(held, i);

		if (!is_own(held->first + i))
			continue;
		if (!hold_pin(held->area, held->first + i, NULL, NULL))
			model_pinned(page, 0, false);
		else if (page->pins == 1 && page->pin_begun != begun[i])
			page->pin_valid = false;
	}
}

static bool pin_errno(int error, bool frugal)
{
	switch (error) {
	case ENXIO:	/* not one mapping of that file */
	case ENOMEM:
		return true;
	case EPERM:
		return frugal;
	default:
		return false;
	}
}

/* The ioctl, with what it says of each page. */
static bool order_pin(const struct op *op, int slot, struct held *held,
		      uint8_t *there)
{
	struct droppable_pin order = {
		.addr = (uintptr_t)area_address(held->area, slot, held->first),
		.len = held->count * PAGE,
		.flags = op->value & 1 ? DROPPABLE_PIN_WHOLE : 0,
		.vec = (uintptr_t)there,
	};
	bool frugal = geteuid() == 0 && op->value & 2;
	unsigned int absent = 0;
	int result, error;

	if (frugal)
		set_privilege(false);
	result = ioctl(area_file(held->file), DROPPABLE_IOC_PIN, &order);
	error = errno;
	if (frugal)
		set_privilege(true);
	if (result) {
		if (!pin_errno(error, frugal || geteuid()))
			fail("got %s from DROPPABLE_IOC_PIN", tap_errno(error));
		return false;
	}
	for (unsigned int i = 0; i < held->count; i++)
		absent += !there[i];
	want_eq(order.dropped, absent);
	if (order.flags && absent)
		want_eq(order.id, 0);
	else
		want(order.id);
	held->id = order.id;
	if (held->id && frugal)
		check_limit(held->count);
	return held->id;
}

bool op_pin(const struct op *op)
{
	struct page *pages = &process->areas[op->area].pages[op->page];
	uint8_t there[PIN_PAGES_MAX];
	uint64_t before[PIN_PAGES_MAX] = { 0 };
	uint32_t begun[PIN_PAGES_MAX] = { 0 };
	struct held held = { .file = pages->file, .area = op->area,
			     .first = op->page, .count = op->count };
	unsigned int free;
	/* Once: another thread may unmap it, and then it is no address. */
	int slot = pages->slot;

	if (held.count > pages_max())
		held.count = pages_max();
	for (free = 0; free < PINS && pins[free].id; free++)
		;
	if (free == PINS || slot == NOWHERE)
		return false;
	for (unsigned int i = 0; i < held.count; i++) {
		struct look look;

		look_begin(&look, &pages[i]);
		begun[i] = look.calm ? look.begun : look.begun - 1;
		before[i] = pages[i].last ? model_time(pages[i].last) : 0;
	}
	/* A fault of the kernel's on it isn't tried again. */
	memset(there, 2, sizeof(there));
	if (!order_pin(op, slot, &held, there))
		return false;
	forget_absent(&held, there, before);
	watch(&held, begun);
	pins[free] = held;
	return true;
}

bool op_unpin(const struct op *op)
{
	struct held *held = &pins[op->value % PINS];

	if (!held->id)
		return false;
	let_go(held);
	return true;
}

/* In a child, which has no part in its parent's pins. */
void pin_forget(void)
{
	for (unsigned int i = 0; i < PINS; i++) {
		struct droppable_unpin order = { .id = pins[i].id };

		if (!order.id)
			continue;
		want_errno(ioctl(area_file(pins[i].file), DROPPABLE_IOC_UNPIN,
				 &order), ENOENT);
	}
	memset(pins, 0, sizeof(pins));
}

void pin_release_all(void)
{
	for (unsigned int i = 0; i < PINS; i++)
		if (pins[i].id)
			let_go(&pins[i]);
}
