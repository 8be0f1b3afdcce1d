// SPDX-License-Identifier: GPL-2.0-only
/* See file.h. */
#define _GNU_SOURCE
#include "file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "tap.h"

bool try_write_file(const char *path, const char *text)
{
	size_t length = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;
	int error;

	if (fd < 0)
		return false;
	written = write(fd, text, length);
	error = errno;
	close(fd);
	errno = error;
	return written == (ssize_t)length;
}

void write_file(const char *path, const char *text)
{
	if (!try_write_file(path, text))
		fail("got %s, want to write %s to %s", tap_errno(errno), text,
		     path);
}

bool try_read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = 0;

	if (fd < 0)
		return false;
	while (used < size - 1 &&
	       (got = read(fd, buffer + used, size - 1 - used)) > 0)
		used += (size_t)got;
	buffer[used] = 0;
	close(fd);
	return got >= 0;
}

void read_file(const char *path, char *buffer, size_t size)
{
	if (!try_read_file(path, buffer, size))
		fail("got %s, want to read %s", tap_errno(errno), path);
}

bool find_number(const char *text, const char *name, size_t *number)
{
	size_t length = strlen(name);

	for (const char *line = text; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *end;

		if (strncmp(line, name, length) ||
		    !strchr(": \t", line[length]))
			continue;
		*number = strtoul(line + length + 1, &end, 10);
		if (!strncmp(end, " kB", 3))
			*number *= KIB;
		return true;
	}
	return false;
}

size_t number_in(const char *path, const char *name)
{
	static char buffer[32 * KIB];
	size_t number;

	read_file(path, buffer, sizeof(buffer));
	if (!find_number(buffer, name, &number))
		fail("got no %s in %s", name, path);
	return number;
}
