/* SPDX-License-Identifier: GPL-2.0-only */
/* What lies on a raw disk: that of swap, or of a hibernation image. */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <stddef.h>

struct on_disk {
	size_t bytes;		/* the disk's size */
	size_t droppable;	/* pages with more than two words of the one tag */
	size_t anonymous;	/* of the other */
};

/* Reads all of it, not through the page cache: what writes there goes past it. */
struct on_disk search_disk(const char *device, unsigned int droppable,
			   unsigned int anonymous);

#endif /* TESTS_DISK_H */
