/* SPDX-License-Identifier: GPL-2.0-only */
/* The device, where a test is of what only it has. */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include <stddef.h>

#define DEVICE_SYSFS "/sys/class/misc/droppable/"

/* An open file of it; skips on the kernel's own memory, which has none. */
int device_open(void);
/* Memory of that file, to read and write. */
char *device_map(int fd, size_t length);
/* A number of the whole device, from sysfs. */
size_t device_counter(const char *name);

#endif /* TESTS_DEVICE_H */
