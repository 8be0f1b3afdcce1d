// SPDX-License-Identifier: GPL-2.0-only
/* See disk.h. */
#define _GNU_SOURCE
#include "disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "pattern.h"
#include "tap.h"

struct on_disk search_disk(const char *device, unsigned int droppable,
			   unsigned int anonymous)
{
	char *buffer = anon_map(MIB);
	struct on_disk found = { 0, 0, 0 };
	ssize_t got;
	int fd;

	want(device);
	fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	want_ok(fd);
	while ((got = read(fd, buffer, MIB)) > 0) {
		found.bytes += (size_t)got;
		for (size_t at = 0; at + PAGE <= (size_t)got; at += PAGE) {
			found.droppable += count_words(buffer + at,
						       droppable) > 2;
			found.anonymous += count_words(buffer + at,
						       anonymous) > 2;
		}
	}
	want_ok(got);
	close(fd);
	want_ok(munmap(buffer, MIB));
	return found;
}
