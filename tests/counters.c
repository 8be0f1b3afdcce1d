// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of an open file, in fdinfo, and of all of them, in sysfs; the command
 * that drops everything beside those.
 * Contract lines 39 and 22.
 *
 * Nobody else uses the device here, so every number is exact.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/droppable.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/device.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0xc039
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)

static struct droppable_drop drop_file(int fd)
{
	struct droppable_drop drop = { .flags = DROPPABLE_DROP_FILE };

	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	return drop;
}

static void want_info(int fd, size_t resident_pages, size_t faults,
		      size_t dropped)
{
	want_eq(file_counter(fd, "resident"), resident_pages);
	want_eq(file_counter(fd, "faults"), faults);
	want_eq(file_counter(fd, "dropped"), dropped);
	want_eq(file_counter(fd, "recycled"), 0);
	want_eq(file_counter(fd, "waits"), 0);
}

TEST(fdinfo, "line 39: fdinfo counts the resident pages, the faults and the drops of one open file, exactly")
{
	int fd = device_open(), other = device_open();
	char *area = device_map(fd, LENGTH);
	char *second = device_map(fd, LENGTH);

	want_info(fd, 0, 0, 0);
	fill(area, 10, TAG, 1);
	want_info(fd, 10, 10, 0);
	fill(area, 10, TAG, 2);
	want_info(fd, 10, 10, 0);
	fill(second, 5, TAG, 1);
	want_info(fd, 15, 15, 0);
	mem_drop(area, 4 * PAGE);
	want_info(fd, 11, 15, 4);
	mem_drop(area, 4 * PAGE);
	want_info(fd, 11, 15, 4);
	fill(area, 4, TAG, 3);
	want_info(fd, 15, 19, 4);
	mem_unmap(second, LENGTH);
	want_info(fd, 10, 19, 4);
	mem_shrink(area, LENGTH);
	want_info(fd, 0, 19, 14);
	want_info(other, 0, 0, 0);
	want_eq(file_counter(fd, "pinned"), 0);
}

TEST(refaulted, "line 39: refaulted counts the dropped pages that are touched again, each once, stored to or read, and no others")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	size_t before = device_counter("refaulted");

	fill(area, 20, TAG, 1);
	want_eq(file_counter(fd, "refaulted"), 0);
	mem_drop(area, 10 * PAGE);
	want_eq(file_counter(fd, "refaulted"), 0);
	/* Four that were dropped, four that were not, four that are new. */
	fill(area + 6 * PAGE, 8, TAG, 2);
	fill(area + 20 * PAGE, 4, TAG, 2);
	want_eq(file_counter(fd, "refaulted"), 4);
	want_zero(area, 3 * PAGE);
	want_eq(file_counter(fd, "refaulted"), 7);
	fill(area, 3, TAG, 3);
	want_zero(area + 3 * PAGE, PAGE);
	want_eq(file_counter(fd, "refaulted"), 8);
	/* Discarded by their owner: that isn't a drop. */
	want_ok(madvise(area, 20 * PAGE, MADV_DONTNEED));
	fill(area, 5, TAG, 4);
	want_eq(file_counter(fd, "refaulted"), 9);
	want_eq(device_counter("refaulted") - before, 9);
	/* Again and again, also far away. */
	for (int round = 0; round < 3; round++) {
		fill(area + LENGTH - 2 * PAGE, 2, TAG, 5);
		mem_drop(area + LENGTH - 2 * PAGE, 2 * PAGE);
	}
	want_eq(file_counter(fd, "refaulted"), 13);
}

TEST(fdinfo_discard, "line 39: a page given back by MADV_DONTNEED is resident no more, and not counted as dropped")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);

	fill(area, 10, TAG, 1);
	want_ok(madvise(area, 4 * PAGE, MADV_DONTNEED));
	want(wait_for(file_counter(fd, "resident") == 6, 2));
	want_info(fd, 6, 10, 0);
}

TEST(fdinfo_pinned, "line 39: fdinfo counts the pages that were passed over because somebody holds them")
{
	int fd = device_open(), fds[2];
	char *area = device_map(fd, LENGTH);
	struct iovec range = { .iov_base = area, .iov_len = 3 * PAGE };
	size_t before = device_counter("pinned");

	fill(area, 10, TAG, 1);
	want_ok(pipe(fds));
	want_eq(vmsplice(fds[1], &range, 1, 0), 3 * PAGE);
	want_eq(file_counter(fd, "pinned"), 0);
	want_eq(drop_file(fd).pinned, 3);
	want_eq(file_counter(fd, "pinned"), 3);
	want_eq(file_counter(fd, "dropped"), 7);
	want_eq(file_counter(fd, "resident"), 3);
	write_file("/proc/sys/vm/drop_caches", "2");
	want_ge(file_counter(fd, "pinned"), 3);
	want_eq(device_counter("pinned") - before, file_counter(fd, "pinned"));
}

TEST(fdinfo_child, "line 39: the pages of a child count in the file it inherited, until it exits")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	pid_t child;

	fill(area, 3, TAG, 1);
	child = spawn();
	if (!child) {
		fill(area, 5, TAG + 1, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		_exit(0);
	}
	want(wait_for(*turn == 1 || !alive(child), 30));
	want_info(fd, 8, 8, 0);
	*turn = 2;
	join(child);
	want(wait_for(file_counter(fd, "resident") == 3, 5));
	want_info(fd, 3, 8, 0);
}

TEST(fdinfo_closed, "line 39: /proc/PID/fdinfo of another process is read without touching its pages")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device_open();
	char path[64], text[1024];
	pid_t child = spawn();

	if (!child) {
		fill(device_map(fd, LENGTH), 7, TAG, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		_exit(0);
	}
	want(wait_for(*turn == 1 || !alive(child), 30));
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", child, fd);
	want(try_read_file(path, text, sizeof(text)));
	want(strstr(text, "\nresident:\t7\n"));
	*turn = 2;
	join(child);
}

TEST(sysfs, "line 39: sysfs counts the same for the whole device")
{
	int fd = device_open(), other = device_open();
	size_t faults = device_counter("faults");
	size_t dropped = device_counter("dropped");
	char *area = device_map(fd, LENGTH);
	char *second = device_map(other, LENGTH);

	want_eq(device_counter("resident"), 0);
	fill(area, 10, TAG, 1);
	fill(second, 20, TAG, 1);
	want_eq(device_counter("resident"), 30);
	want_eq(device_counter("faults") - faults, 30);
	mem_drop(area, LENGTH);
	want_eq(device_counter("resident"), 20);
	want_eq(device_counter("dropped") - dropped, 10);
	mem_unmap(second, LENGTH);
	want_eq(device_counter("resident"), 0);
	want_eq(device_counter("dropped") - dropped, 10);
	device_counter("recycled");
	device_counter("waits");
	device_counter("pinned");
}

static void want_mode(const char *name, unsigned int mode)
{
	struct stat stat_;
	char path[64];

	snprintf(path, sizeof(path), DEVICE_SYSFS "%s", name);
	want_ok(stat(path, &stat_));
	want_eq(stat_.st_mode & 0777, mode);
}

TEST(sysfs_modes, "line 39: everybody may read the counters, only root may drop everything")
{
	static const char *const names[] = { "resident", "faults", "dropped",
					     "refaulted", "recycled", "waits",
					     "pinned" };

	close(device_open());
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		want_mode(names[i], 0444);
	want_mode("drop", 0200);
	become_nobody();
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		device_counter(names[i]);
	want_errno(open(DEVICE_SYSFS "drop", O_WRONLY), EACCES);
}

TEST(drop_all, "line 22: 1 written to sysfs drops every process's pages, anything else is EINVAL")
{
	volatile int *turn = shared_map(PAGE);
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	pid_t child = spawn();

	if (!child) {
		char *own = mem_map(LENGTH);

		fill(own, PAGES, TAG + 1, 1);
		fill(area, PAGES, TAG + 2, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_eq(resident(own, LENGTH), 0);
		want_zero(own, LENGTH);
		want_zero(area, LENGTH);
		_exit(0);
	}
	fill(area, PAGES, TAG, 1);
	want(wait_for(*turn == 1 || !alive(child), 30));
	want_eq(device_counter("resident"), 3 * PAGES);
	want_errno(try_write_file(DEVICE_SYSFS "drop", "0") - 1, EINVAL);
	want_errno(try_write_file(DEVICE_SYSFS "drop", "2") - 1, EINVAL);
	want_errno(try_write_file(DEVICE_SYSFS "drop", "-1") - 1, EINVAL);
	want_errno(try_write_file(DEVICE_SYSFS "drop", "all") - 1, EINVAL);
	want_eq(device_counter("resident"), 3 * PAGES);
	write_file(DEVICE_SYSFS "drop", "1");
	want_eq(device_counter("resident"), 0);
	*turn = 2;
	join(child);
	want_zero(area, LENGTH);
}
