/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Before the first line of a test of private memory: makes it one of droppable
 * memory, whose type takes the place of MAP_PRIVATE.  Neither of its headers
 * will be read again after this.
 */
#include <linux/mman.h>
#include <sys/mman.h>
#undef MAP_PRIVATE
#define MAP_PRIVATE 0x08
