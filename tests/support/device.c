// SPDX-License-Identifier: GPL-2.0-only
/* See device.h. */
#define _GNU_SOURCE
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "file.h"
#include "memory.h"
#include "tap.h"

int device_open(void)
{
	need_device("descriptor");
	return mem_open();
}

char *device_map(int fd, size_t length)
{
	char *area = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);

	want_ok(area);
	return area;
}

size_t device_counter(const char *name)
{
	char path[64], text[32], *end;
	size_t number;

	snprintf(path, sizeof(path), DEVICE_SYSFS "%s", name);
	want(try_read_file(path, text, sizeof(text)));
	number = strtoul(text, &end, 10);
	want(end > text && !strcmp(end, "\n"));
	return number;
}
