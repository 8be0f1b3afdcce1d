// SPDX-License-Identifier: GPL-2.0-only
/* See memory.h. */
#define _GNU_SOURCE
#include "memory.h"

#include <fcntl.h>
#include <linux/droppable.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "figures.h"
#include "file.h"
#include "tap.h"

bool native;

void tap_setup(void)
{
	const char *backend = getenv("DROPPABLE_BACKEND");
	int fd;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE)
		tap_bail("pages are not of %lu bytes", PAGE);
	native = backend && !strcmp(backend, "native");
	if (native) {
		void *probe = mem_try(NULL, PAGE, PROT_READ, 0);

		if (probe == MAP_FAILED)
			tap_skip_all("this kernel has no MAP_DROPPABLE");
		munmap(probe, PAGE);
		return;
	}
	fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		tap_bail(DROPPABLE_DEVICE ": %s", tap_errno(errno));
	close(fd);
}

void need_device(const char *what)
{
	if (native)
		skip("MAP_DROPPABLE has no %s", what);
}

int mem_open(void)
{
	int fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);

	want_ok(fd);
	return fd;
}

void *mem_try(void *address, size_t length, int protection, int flags)
{
	void *map;
	int error;
	int fd;

	if (native)
		return mmap(address, length, protection,
			    MAP_ANONYMOUS | MAP_DROPPABLE | flags, -1, 0);
	fd = mem_open();
	map = mmap(address, length, protection, MAP_SHARED | flags, fd, 0);
	error = errno;
	close(fd);
	errno = error;
	return map;
}

void *mem_map(size_t length)
{
	void *map = mem_try(NULL, length, PROT_READ | PROT_WRITE, 0);

	want_ok(map);
	/* Huge pages would make native's counts coarse. */
	if (native)
		madvise(map, length, MADV_NOHUGEPAGE);
	return map;
}

void mem_unmap(void *address, size_t length)
{
	want_ok(munmap(address, length));
}

/* A page just touched waits in a list of that CPU: each empties its own only. */
static void drop_native(void *address, size_t length)
{
	cpu_set_t all, one;

	want_ok(sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		want_ok(sched_setaffinity(0, sizeof(one), &one));
		want_ok(madvise(address, length, MADV_PAGEOUT));
	}
	want_ok(sched_setaffinity(0, sizeof(all), &all));
}

void mem_drop(void *address, size_t length)
{
	struct droppable_drop drop = {
		.addr = (uintptr_t)address,
		.len = length,
	};
	int fd;

	if (native) {
		drop_native(address, length);
		return;
	}
	fd = mem_open();
	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	close(fd);
}

/* A page touched a moment ago gets a second chance: ask more than once. */
void mem_shrink(void *address, size_t length)
{
	if (native) {
		mem_drop(address, length);
		return;
	}
	for (int i = 0; i < 20 && present(address, length); i++)
		write_file("/proc/sys/vm/drop_caches", "2");
}

void *anon_map(size_t length)
{
	void *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	want_ok(map);
	/* Set by make matrix: as the machine's settings have it. */
	if (!getenv("TEST_THP"))
		madvise(map, length, MADV_NOHUGEPAGE);
	return map;
}

void *shared_map(size_t length)
{
	void *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	want_ok(map);
	memset(map, 0, length);
	return map;
}
