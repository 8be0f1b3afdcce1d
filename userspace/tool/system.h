/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel tells in files.  All paths are below DROPPABLE_ROOT, if that
 * is set: a test's own idea of /proc, /sys and /lib/modules.
 */
#ifndef DROPPABLE_TOOL_SYSTEM_H
#define DROPPABLE_TOOL_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/droppable.h>

#define PATH_SIZE 4096

/* The path in @buf; false if it is too long. */
bool rooted(char *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The first line, without its newline; 0 or a negative errno value. */
int read_line(char *buf, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The running kernel's release, "?" if it can't be told. */
const char *kernel_release(void);

bool secure_boot(void);
bool module_loaded(void);

/* What became of pages, and how often: these only grow. */
struct counts {
	uint64_t faults, dropped, refaulted, recycled, waits, pinned;
};

/* /sys/class/misc/droppable, in pages and events. */
struct totals {
	uint64_t resident;
	struct counts counts;
};

/* Its fields, into an object of JSON. */
void json_counts(const struct counts *counts);

/* False if there is no such directory, or it isn't whole. */
bool read_totals(struct totals *totals);

/* Opens the device and asks what it is.  A descriptor, or -errno. */
int open_device(struct droppable_info *info);

/* What to do about an error of open_device(); returns an exit status. */
int explain_device(int err);

/* The same where read_totals() says false. */
int explain_totals(void);

#endif /* DROPPABLE_TOOL_SYSTEM_H */
