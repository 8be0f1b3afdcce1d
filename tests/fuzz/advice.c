// SPDX-License-Identifier: GPL-2.0-only
/* Operations that advise, lock, drop and ask. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/droppable.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/file.h"
#include "../support/memory.h"
#include "../support/tap.h"
#include "area.h"
#include "op.h"
#include "report.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static __thread struct discard discard;

/* A range as it lies in one slot, without any lock. */
struct range {
	struct area *area;
	uint32_t epoch;
	int slot;
	char *begin;
	size_t length;
};

static struct range range_of(const struct op *op)
{
	struct range range = { .area = &process->areas[op->area] };

	range.epoch = range.area->epoch;
	range.slot = range.area->pages[op->page].slot;
	if (range.slot == NOWHERE)
		range.slot = op->value >> 31;
	range.begin = area_address(op->area, range.slot, op->page);
	range.length = op->count * PAGE;
	return range;
}

static bool is_stable(const struct range *range)
{
	return !(range->epoch & 1) && range->area->epoch == range->epoch;
}

static bool is_mapped(const struct range *range, const struct op *op)
{
	for (unsigned int i = 0; i < op->count; i++)
		if (range->area->pages[op->page + i].slot != range->slot)
			return false;
	return true;
}

/* What lay in the range all the time, or nothing if that is NULL. */
static bool in_range(const struct page *page, const void *data)
{
	const struct range *range = data;

	return range && page->slot == range->slot;
}

static void end_discard(const struct range *range, bool gone)
{
	discard_end(&discard, in_range,
		    gone && is_stable(range) ? range : NULL);
}

/* What is discarded isn't there, if nobody else can have touched it. */
static void want_absent(const struct op *op, const struct range *range)
{
	unsigned char vector[AREA_PAGES];

	if (!self.alone || !is_mapped(range, op))
		return;
	want_ok(mincore(range->begin, range->length, vector));
	for (unsigned int i = 0; i < op->count; i++) {
		if (vector[i] & 1)
			fail("got 1 from mincore for area %u page %u, which was just discarded",
			     op->area, op->page + i);
	}
}

bool op_discard(const struct op *op)
{
	int advice = op->value & 3 ? MADV_DONTNEED : MADV_DONTNEED_LOCKED;
	struct range range = range_of(op);
	bool done;

	discard_begin(&discard, range.area, op->page, op->count, NO_SLOT);
	done = !madvise(range.begin, range.length, advice);
	/* It goes on behind a hole. */
	end_discard(&range, done || errno == ENOMEM);
	if (done)
		want_absent(op, &range);
	return done;
}

/* ---- explicit drops ---- */

static bool order_drop(struct droppable_drop *order, unsigned int file)
{
	if (!ioctl(area_file(file), DROPPABLE_IOC_DROP, order))
		return true;
	/* Not all of it is mapped. */
	want_eq(errno, ENOMEM);
	return false;
}

bool op_drop(const struct op *op)
{
	struct range range = range_of(op);
	struct droppable_drop order = {
		.addr = (uintptr_t)range.begin,
		.len = range.length,
	};

	drop_begin(&discard, range.area, op->page, op->count);
	if (!order_drop(&order, op->value & 1))
		return false;
	want_le(order.dropped, op->count);
	if (!order.pinned && is_stable(&range)) {
		drop_end(&discard, in_range, &range);
		want_absent(op, &range);
	}
	return true;
}

bool op_dropmapping(const struct op *op)
{
	struct range range = range_of(op);
	struct droppable_drop order = {
		.addr = (uintptr_t)range.begin,
		.flags = DROPPABLE_DROP_MAPPING,
	};

	return order_drop(&order, op->value & 1);
}

static __thread struct discard all[AREAS];

static bool of_file(const struct page *page, const void *data)
{
	const uint8_t *file = data;

	return page->slot != NOWHERE && page->file == *file;
}

bool op_dropfile(const struct op *op)
{
	struct droppable_drop order = { .flags = DROPPABLE_DROP_FILE };
	uint32_t epoch[AREAS];
	uint8_t file = op->value & 1;

	for (unsigned int a = 0; a < AREAS; a++) {
		epoch[a] = process->areas[a].epoch;
		drop_begin(&all[a], &process->areas[a], 0, AREA_PAGES);
	}
	if (!order_drop(&order, file))
		fail("got ENOMEM from DROPPABLE_DROP_FILE");
	for (unsigned int a = 0; a < AREAS && !order.pinned; a++) {
		if (!(epoch[a] & 1) && process->areas[a].epoch == epoch[a])
			drop_end(&all[a], of_file, &file);
	}
	return order.dropped;
}

/* ---- other advice ---- */

static bool may_discard(int advice)
{
	switch (advice) {
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		return true;
	case MADV_PAGEOUT:
		return native;
	}
	return false;
}

/* These change what can be touched, or break the machine's memory. */
static bool is_dangerous(int advice)
{
	switch (advice) {
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case 100:	/* MADV_HWPOISON */
	case 101:	/* MADV_SOFT_OFFLINE */
	case 102:	/* MADV_GUARD_INSTALL */
		return true;
	}
	return false;
}

bool op_advise(const struct op *op)
{
	struct range range = range_of(op);
	int advice = op->value % 32;
	bool discards, done;

	if (op->value % 97 == 0)
		advice = (int)(op->value >> 8 & 0xff);
	if (is_dangerous(advice))
		return false;
	discards = may_discard(advice);
	if (discards)
		discard_begin(&discard, range.area, op->page, op->count,
			      NO_SLOT);
	done = !madvise(range.begin, range.length, advice);
	if (discards)
		end_discard(&range, false);
	return done;
}

bool op_guard(const struct op *op)
{
	struct area *area = &process->areas[op->area];
	char *begin;
	bool done;

	change_begin(&discard, op->area, op->page, op->count, NO_SLOT);
	begin = area_address(op->area, area->pages[op->page].slot & 1,
			     op->page);
	done = !madvise(begin, op->count * PAGE, 102);
	madvise(begin, op->count * PAGE, 103);
	change_end(&discard, NO_SLOT);
	return done;
}

/* ---- locking ---- */

static void want_unlocked(void)
{
	char text[4096], *at;

	if (native || !self.alone)
		return;
	if (!try_read_file("/proc/self/status", text, sizeof(text)))
		return;
	at = strstr(text, "VmLck:");
	want(at);
	want_eq(strtoul(at + 6, NULL, 10), 0);
}

bool op_mlock(const struct op *op)
{
	struct range range = range_of(op);
	bool done;

	switch (op->value % 4) {
	case 0:
		done = !mlock2(range.begin, range.length, MLOCK_ONFAULT);
		break;
	case 1:
		done = !munlock(range.begin, range.length);
		break;
	default:
		done = !mlock(range.begin, range.length);
	}
	want_unlocked();
	return done;
}

bool op_mlockall(const struct op *op)
{
	static const int flags[] = { MCL_CURRENT, MCL_FUTURE,
				     MCL_CURRENT | MCL_FUTURE,
				     MCL_FUTURE | MCL_ONFAULT };
	bool done = !mlockall(flags[op->value % 4]);

	if (op->value >> 2 & 1)
		op_map(op);
	want_ok(munlockall());
	return done;
}

/* ---- asking ---- */

bool op_mincore(const struct op *op)
{
	struct range range = range_of(op);
	unsigned char vector[AREA_PAGES];

	return !mincore(range.begin, range.length, vector);
}

bool op_uffd(const struct op *op)
{
	static const uint64_t modes[] = { UFFDIO_REGISTER_MODE_MISSING,
					  UFFDIO_REGISTER_MODE_WP,
					  1 << 2 /* minor */ };
	struct range range = range_of(op);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register order = {
		.range = { (uintptr_t)range.begin, range.length },
		.mode = modes[op->value % 3],
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	bool refused;

	if (fd < 0)
		return false;
	want_ok(ioctl(fd, UFFDIO_API, &api));
	refused = ioctl(fd, UFFDIO_REGISTER, &order) < 0;
	close(fd);
	if (!refused)
		fail("got success from UFFDIO_REGISTER, want EINVAL");
	return true;
}

bool op_info(const struct op *op)
{
	struct droppable_info info = { .flags = op->value % 5 == 0 };
	int error = ioctl(area_file(op->value & 1), DROPPABLE_IOC_INFO, &info);

	if (info.flags) {
		want_eq(error, -1);
		return true;
	}
	want_eq(error, 0);
	want_eq(info.abi, DROPPABLE_ABI);
	want_eq(info.page_size, PAGE);
	return true;
}

/* Each of these is wrong, and nothing may come of it. */
bool op_badioctl(const struct op *op)
{
	struct range range = range_of(op);
	struct droppable_drop order = {
		.addr = (uintptr_t)range.begin,
		.len = range.length,
	};
	unsigned long command = DROPPABLE_IOC_DROP;

	switch (op->value % 5) {
	case 0:
		order.addr++;
		break;
	case 1:
		order.len = 0;
		break;
	case 2:
		order.flags = DROPPABLE_DROP_MAPPING | DROPPABLE_DROP_FILE;
		break;
	case 3:
		order.len = -PAGE;
		break;
	default:
		command = _IOWR(DROPPABLE_IOC_MAGIC, 64 + op->value % 190,
				struct droppable_drop);
	}
	want_errno(ioctl(area_file(op->value >> 8 & 1), command, &order),
		   command == DROPPABLE_IOC_DROP ? EINVAL : ENOTTY);
	return true;
}

/* poll(2), read(2) and fdinfo. */
bool op_news(const struct op *op)
{
	struct pollfd poller = { .fd = area_file(op->value & 1),
				 .events = POLLIN };
	char path[64], text[1024];
	uint64_t news = 0;
	ssize_t got;

	want_ok(poll(&poller, 1, 0));
	got = read(poller.fd, &news, sizeof(news));
	if (got < 0)
		want_eq(errno, EAGAIN);
	else
		want(got == sizeof(news) && news);
	/* A child that runs beside this one may read the same news. */
	if (poller.revents && got < 0 && self.alone && !self.depth)
		fail("got nothing to read where poll said there was");
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", poller.fd);
	if (try_read_file(path, text, sizeof(text)))
		want(strstr(text, "resident:"));
	return got > 0;
}
