/* SPDX-License-Identifier: GPL-2.0-only */
/* Small files: those of proc, sysfs and cgroups. */
#ifndef TESTS_FILE_H
#define TESTS_FILE_H

#include <stdbool.h>
#include <stddef.h>

bool try_write_file(const char *path, const char *text);
void write_file(const char *path, const char *text);
bool try_read_file(const char *path, char *buffer, size_t size);
void read_file(const char *path, char *buffer, size_t size);

/* The number after a name at the start of a line, "kB" made bytes. */
bool find_number(const char *text, const char *name, size_t *number);
size_t number_in(const char *path, const char *name);

#endif /* TESTS_FILE_H */
