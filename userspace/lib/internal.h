/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the library's own files share.  Nothing of it is exported: all is built
 * with -fvisibility=hidden, and the map lists what isn't.
 */
#ifndef DROPPABLE_INTERNAL_H
#define DROPPABLE_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, madvise() and more under -std=c99 */
#endif
#if !defined(_FILE_OFFSET_BITS) && !defined(__LP64__)
#define _FILE_OFFSET_BITS 64 /* the counter page lies beyond 32 */
#endif
#include <sys/types.h>

#pragma GCC visibility push(default)
#include "droppable.h"
#pragma GCC visibility pop

struct droppable_counter;

/*
 * Owned by whoever called droppable_open(), dies in droppable_close().
 * Constant in between, which is all the locking there is.
 */
struct droppable {
	enum droppable_backend backend;
	uint64_t guarantees;
	size_t page_size;
	int fd; /* of the device, else -1 */
	dev_t dev; /* which file fd has to be, see check_fd() */
	ino_t ino;
	const struct droppable_counter *counter; /* a page of its own, or NULL */
};

/* 0, or -EBADF if somebody closed the handle's descriptor. */
int droppable_check_fd(const struct droppable *ctx);

/* Rounds *len up to whole pages; 0, or -EINVAL. */
int droppable_check_range(const struct droppable *ctx, const void *addr,
			  size_t *len);

/*
 * Copies of a structure that grows with the versions: the caller knows `size`
 * bytes of it, this version `known`, all of them 64 bit words.
 */
int droppable_copy_stats(void *to, size_t size, const void *from, size_t known);

#endif /* DROPPABLE_INTERNAL_H */
