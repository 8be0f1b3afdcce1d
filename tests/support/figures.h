/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's figures.  Sizes in bytes. */
#ifndef TESTS_FIGURES_H
#define TESTS_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

size_t resident(const void *address, size_t length);	/* pages, by mincore */
size_t present(const void *address, size_t length);	/* pages, by pagemap */
size_t smaps(const void *address, size_t length, const char *field);
bool smaps_flag(const void *address, const char *flag);
size_t meminfo(const char *field);
size_t vmstat(const char *field);
size_t zoneinfo(const char *field);	/* as it stands there, of all zones */
/*
 * With the pages that processors keep on lists of their own, up to an eighth of
 * the machine each since 6.7: MemFree goes up and down by that.
 */
size_t memory_free(void);
/* Caches of files and names, and slabs that have no object in them. */
void empty_caches(void);
size_t process_status(pid_t pid, const char *field);
size_t file_counter(int fd, const char *name);	/* by fdinfo */
long module_references(void);

#endif /* TESTS_FIGURES_H */
