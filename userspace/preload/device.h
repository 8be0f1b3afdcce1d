/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The shim's descriptor of /dev/droppable. */
#ifndef DROPPABLE_PRELOAD_DEVICE_H
#define DROPPABLE_PRELOAD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * device_start() - open the device, unless the user prefers the kernel's own
 *		    MAP_DROPPABLE and it has that
 *
 * Once, before main().  What is decided then stays: a process that has locked
 * itself up since must not be killed for trying again.
 */
void device_start(void);

/**
 * device_map() - map droppable memory
 *
 * As mmap(2), by the shim's own descriptor.  False if there is no device, or
 * none wanted; then errno is as it was.  Else *@p is what mmap(2) returned.
 */
bool device_map(void *addr, size_t len, int prot, int flags, void **p);

/**
 * device_drop() - drop what is in a range that the device is mapped at
 *
 * Pages that somebody holds are left alone.  Returns 0, or an errno value.
 */
int device_drop(void *addr, size_t len);

#endif /* DROPPABLE_PRELOAD_DEVICE_H */
