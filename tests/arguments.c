// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every argument that means nothing is refused with the errno the uapi header
 * gives, and refused again after anything else was accepted.
 * Contract lines 5 and 6, and the ioctls of line 22.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/tap.h"

#define PAGES 16UL
#define TAG 0xa401
#define RW (PROT_READ | PROT_WRITE)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x080000
#endif

static void *map_at(int fd, size_t length, int protection, int flags,
		    off_t offset)
{
	return mmap(NULL, length, protection, flags, fd, offset);
}

TEST(map_private, "line 5: MAP_PRIVATE is EINVAL, with any other flag too")
{
	int flags[] = { 0, MAP_POPULATE, MAP_NORESERVE, MAP_STACK, MAP_32BIT,
			MAP_NONBLOCK };
	int protections[] = { PROT_NONE, PROT_READ, PROT_WRITE, RW };
	int fd;

	need_device("MAP_PRIVATE of a file");
	fd = mem_open();
	for (unsigned int i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		for (unsigned int j = 0; j < 4; j++)
			want_errno(map_at(fd, PAGES * PAGE, protections[j],
					  MAP_PRIVATE | flags[i], 0), EINVAL);
	}
}

TEST(map_locked, "line 6: MAP_LOCKED is EINVAL")
{
	want_errno(mem_try(NULL, PAGES * PAGE, RW, MAP_LOCKED), EINVAL);
	want_errno(mem_try(NULL, PAGES * PAGE, RW, MAP_LOCKED | MAP_POPULATE),
		   EINVAL);
	want_eq(process_status(getpid(), "VmLck"), 0);
}

TEST(mcl_future, "line 6: mmap after mlockall(MCL_FUTURE) succeeds and is not locked")
{
	char *area, *anonymous;

	want_ok(mlockall(MCL_FUTURE));
	anonymous = anon_map(PAGES * PAGE);
	want(smaps_flag(anonymous, "lo"));
	area = mem_map(PAGES * PAGE);
	want(!smaps_flag(area, "lo"));
	fill(area, PAGES, TAG, 1);
	want_whole(area, PAGES, TAG, 1);
	mem_drop(area, PAGES * PAGE);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), 0);
	want_zero(area, PAGES * PAGE);
	/* Looks the same to a driver now: refused, or not locked either. */
	area = mem_try(NULL, PAGES * PAGE, RW, MAP_LOCKED);
	if (area == MAP_FAILED)
		want_eq(errno, EINVAL);
	else
		want(!smaps_flag(area, "lo"));
}

TEST(wrong_flags, "line 6: MAP_HUGETLB and MAP_GROWSDOWN are EINVAL, MAP_SYNC and unknown flags EOPNOTSUPP")
{
	int fd;

	want_errno(mem_try(NULL, 2 * MIB, RW, MAP_HUGETLB), EINVAL);
	want_errno(mem_try(NULL, 2 * MIB, RW, MAP_HUGETLB | 21 << 26), EINVAL);
	want_errno(mem_try(NULL, PAGES * PAGE, RW, MAP_GROWSDOWN), EINVAL);
	need_device("MAP_SHARED_VALIDATE");
	fd = mem_open();
	want_errno(map_at(fd, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, 0),
		   EOPNOTSUPP);
	want_errno(map_at(fd, PAGE, RW, MAP_SHARED_VALIDATE | 1 << 25, 0),
		   EOPNOTSUPP);
	want_errno(map_at(fd, PAGE, RW, 0, 0), EINVAL);
}

TEST(wrong_offsets, "line 6: an offset that means nothing is EINVAL (or EOVERFLOW beyond the file size limit)")
{
	off_t offsets[] = { PAGE, 2 * MIB, GIB, 1L << 40, 1L << 44, 1L << 52 };
	off_t huge[] = { (off_t)(1UL << 63), -(off_t)PAGE, 0x7ffffffffffff000 };
	int fd;

	need_device("offset");
	fd = mem_open();
	for (unsigned int i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
		want_errno(map_at(fd, PAGE, RW, MAP_SHARED, offsets[i]),
			   EINVAL);
	for (unsigned int i = 0; i < sizeof(huge) / sizeof(*huge); i++) {
		want_eq(map_at(fd, PAGE, RW, MAP_SHARED, huge[i]), MAP_FAILED);
		if (errno != EOVERFLOW)
			want_eq(errno, EINVAL);
	}
	want_errno(map_at(fd, PAGE, RW, MAP_SHARED, 1), EINVAL);
	want_errno(map_at(fd, PAGE, RW, MAP_SHARED, 4095), EINVAL);
}

TEST(wrong_lengths, "line 6: length 0 is EINVAL, one beyond the address space ENOMEM")
{
	want_errno(mem_try(NULL, 0, RW, 0), EINVAL);
	want_errno(mem_try(NULL, 1UL << 47, RW, 0), ENOMEM);
	want_errno(mem_try(NULL, 1UL << 63, RW, 0), ENOMEM);
	want_errno(mem_try(NULL, SIZE_MAX, RW, 0), ENOMEM);
	want_errno(mem_try(NULL, SIZE_MAX - PAGE + 1, RW, 0), ENOMEM);
}

TEST(exec, "line 6: PROT_EXEC is refused: EPERM from mmap, EACCES from mprotect")
{
	char *area;

	need_device("refusal of PROT_EXEC");
	want_errno(mem_try(NULL, PAGE, PROT_EXEC, 0), EPERM);
	want_errno(mem_try(NULL, PAGE, PROT_READ | PROT_EXEC, 0), EPERM);
	want_errno(mem_try(NULL, PAGE, RW | PROT_EXEC, 0), EPERM);
	area = mem_map(PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	want_errno(mprotect(area, PAGE, PROT_EXEC), EACCES);
	want_errno(mprotect(area, PAGE, RW | PROT_EXEC), EACCES);
	want_errno(mprotect(area + PAGE, PAGE, PROT_READ | PROT_EXEC), EACCES);
	want_whole(area, PAGES, TAG, 1);
}

TEST(descriptor_modes, "line 6: a descriptor that was not opened O_RDWR is EACCES")
{
	int protections[] = { PROT_NONE, PROT_READ, PROT_WRITE, RW };
	int read_only, write_only, path;

	need_device("descriptor");
	read_only = open(DROPPABLE_DEVICE, O_RDONLY | O_CLOEXEC);
	write_only = open(DROPPABLE_DEVICE, O_WRONLY | O_CLOEXEC);
	path = open(DROPPABLE_DEVICE, O_PATH | O_CLOEXEC);
	want_ok(read_only);
	want_ok(write_only);
	want_ok(path);
	for (int i = 0; i < 4; i++) {
		want_errno(map_at(read_only, PAGE, protections[i], MAP_SHARED,
				  0), EACCES);
		want_errno(map_at(write_only, PAGE, protections[i], MAP_SHARED,
				  0), EACCES);
		want_errno(map_at(path, PAGE, protections[i], MAP_SHARED, 0),
			   EBADF);
	}
}

TEST(right_flags, "line 6: MAP_POPULATE, MAP_FIXED, MAP_NORESERVE and their like work")
{
	int flags[] = { MAP_POPULATE, MAP_NORESERVE, MAP_STACK, MAP_32BIT,
			MAP_POPULATE | MAP_NONBLOCK };
	char *area;

	for (unsigned int i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		area = mem_try(NULL, PAGES * PAGE, RW, flags[i]);
		want_ok(area);
		if (flags[i] == MAP_POPULATE)
			want_eq(present(area, PAGES * PAGE), PAGES);
		if (flags[i] == MAP_32BIT)
			want_le((uintptr_t)area, 0xffffffff);
		want_zero(area, PAGES * PAGE);
		fill(area, PAGES, TAG, 1);
		want_whole(area, PAGES, TAG, 1);
		mem_unmap(area, PAGES * PAGE);
	}
}

TEST(fixed, "line 6: MAP_FIXED replaces what was there, also droppable memory; MAP_FIXED_NOREPLACE does not")
{
	char *area = anon_map(PAGES * PAGE);

	memset(area, 1, PAGES * PAGE);
	want_eq(mem_try(area, PAGES * PAGE, RW, MAP_FIXED), area);
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	want_errno(mem_try(area + PAGE, PAGE, RW, MAP_FIXED_NOREPLACE), EEXIST);
	want_whole(area, PAGES, TAG, 1);
	want_eq(mem_try(area + PAGE, PAGE, RW, MAP_FIXED), area + PAGE);
	want_zero(area + PAGE, PAGE);
	fill_page(area + PAGE, TAG, 1, 1);
	want_whole(area, PAGES, TAG, 1);
	mem_drop(area, PAGES * PAGE);
	want_zero(area, PAGES * PAGE);
	want_errno(mem_try(area + 1, PAGE, RW, MAP_FIXED), EINVAL);
}

TEST(protections, "line 6: PROT_NONE and PROT_READ work and may become more")
{
	char *area = mem_try(NULL, PAGES * PAGE, PROT_NONE, 0);

	want_ok(area);
	want_ok(mprotect(area, PAGES * PAGE, RW));
	fill(area, PAGES, TAG, 1);
	want_ok(mprotect(area, PAGES * PAGE, PROT_NONE));
	want_ok(mprotect(area, PAGES * PAGE, PROT_READ));
	want_whole(area, PAGES, TAG, 1);
	area = mem_try(NULL, PAGES * PAGE, PROT_READ, 0);
	want_ok(area);
	want_zero(area, PAGES * PAGE);
	want_ok(mprotect(area, PAGES * PAGE, RW));
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 2);
	want_whole(area, PAGES, TAG, 2);
}

TEST(validate, "line 6: MAP_SHARED_VALIDATE works")
{
	char *area;

	need_device("MAP_SHARED_VALIDATE");
	area = map_at(mem_open(), PAGES * PAGE, RW, MAP_SHARED_VALIDATE, 0);
	want_ok(area);
	fill(area, PAGES, TAG, 1);
	want_whole(area, PAGES, TAG, 1);
}

static const struct {
	unsigned int direction;
	unsigned int size;
} requests[] = {
	{ _IOC_READ | _IOC_WRITE, sizeof(struct droppable_info) },
	{ _IOC_READ | _IOC_WRITE, sizeof(struct droppable_drop) },
	{ _IOC_READ | _IOC_WRITE, sizeof(struct droppable_pin) },
	{ _IOC_WRITE, sizeof(struct droppable_unpin) },
};

#define REQUESTS (sizeof(requests) / sizeof(*requests))

TEST(unknown_ioctls, "line 6: any other ioctl number, size or direction is ENOTTY")
{
	char buffer[512];
	int fd;

	need_device("ioctl");
	memset(buffer, 0, sizeof(buffer));
	fd = mem_open();
	for (unsigned int nr = REQUESTS; nr < 256; nr++) {
		want_errno(ioctl(fd, _IO(DROPPABLE_IOC_MAGIC, nr), buffer),
			   ENOTTY);
		want_errno(ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE,
					  DROPPABLE_IOC_MAGIC, nr, 64), buffer),
			   ENOTTY);
	}
	for (unsigned int i = 0; i < REQUESTS * 4 * 256; i++) {
		unsigned int nr = i / 1024, direction = i / 256 % 4;
		unsigned int size = i % 256;

		if (direction == requests[nr].direction &&
		    size == requests[nr].size)
			continue;
		want_errno(ioctl(fd, _IOC(direction, DROPPABLE_IOC_MAGIC, nr,
					  size), buffer), ENOTTY);
	}
	want_errno(ioctl(fd, 0, buffer), ENOTTY);
	want_errno(ioctl(fd, ~0UL, buffer), ENOTTY);
	want_errno(ioctl(fd, 0x5401 /* TCGETS */, buffer), ENOTTY);
}

TEST(info, "line 6: DROPPABLE_IOC_INFO answers, and refuses every nonzero flag and reserved field")
{
	struct droppable_info info;
	int fd;

	need_device("ioctl");
	fd = mem_open();
	memset(&info, 0, sizeof(info));
	want_ok(ioctl(fd, DROPPABLE_IOC_INFO, &info));
	want_eq(info.flags, 0);
	want_eq(info.abi, DROPPABLE_ABI);
	want_eq(info.features, DROPPABLE_FEATURE_DROP |
				       DROPPABLE_FEATURE_COUNTER |
				       DROPPABLE_FEATURE_POLL |
				       DROPPABLE_FEATURE_PIN |
				       DROPPABLE_FEATURE_SCRUB);
	want_eq(info.page_size, PAGE);
	want_eq(info.reserved0, 0);
	for (unsigned int i = 0; i < 5; i++)
		want_eq(info.reserved[i], 0);

	for (unsigned int bit = 0; bit < 32; bit++) {
		memset(&info, 0, sizeof(info));
		info.flags = 1U << bit;
		want_errno(ioctl(fd, DROPPABLE_IOC_INFO, &info), EINVAL);
		memset(&info, 0, sizeof(info));
		info.reserved0 = 1U << bit;
		want_errno(ioctl(fd, DROPPABLE_IOC_INFO, &info), EINVAL);
	}
	for (unsigned int bit = 0; bit < 5 * 64; bit++) {
		memset(&info, 0, sizeof(info));
		info.reserved[bit / 64] = 1ULL << bit % 64;
		want_errno(ioctl(fd, DROPPABLE_IOC_INFO, &info), EINVAL);
	}
}

TEST(bad_pointers, "line 6: a structure that can't be read or written is EFAULT")
{
	unsigned long requests[] = { DROPPABLE_IOC_INFO, DROPPABLE_IOC_DROP,
				     DROPPABLE_IOC_PIN, DROPPABLE_IOC_UNPIN };
	char *edge;
	int fd;

	need_device("ioctl");
	fd = mem_open();
	edge = anon_map(2 * PAGE);
	want_ok(munmap(edge + PAGE, PAGE));
	memset(edge, 0, PAGE);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		want_errno(ioctl(fd, requests[i], NULL), EFAULT);
		want_errno(ioctl(fd, requests[i], (void *)-1L), EFAULT);
		want_errno(ioctl(fd, requests[i], (void *)(1UL << 63)), EFAULT);
		want_errno(ioctl(fd, requests[i], (void *)0xffffffff81000000),
			   EFAULT);
		want_errno(ioctl(fd, requests[i], edge + PAGE - 8), EFAULT);
	}
	want_ok(mprotect(edge, PAGE, PROT_READ));
	want_errno(ioctl(fd, DROPPABLE_IOC_INFO, edge), EFAULT);
}

static int drop_fd;

static long try_drop(uintptr_t address, size_t length)
{
	struct droppable_drop drop = { .addr = address, .len = length };

	return ioctl(drop_fd, DROPPABLE_IOC_DROP, &drop);
}

TEST(counter_page, "line 6: the counter page maps at its own offset, one page long, shared and read-only, and no other way")
{
	int wrong[] = { PROT_WRITE, RW, PROT_EXEC, PROT_READ | PROT_EXEC };
	off_t at = DROPPABLE_COUNTER_OFFSET;
	char *page;
	int fd;

	need_device("counter page");
	fd = mem_open();
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		want_errno(map_at(fd, PAGE, wrong[i], MAP_SHARED, at), EPERM);
	want_errno(map_at(fd, 2 * PAGE, PROT_READ, MAP_SHARED, at), EINVAL);
	want_errno(map_at(fd, PAGE, PROT_READ, MAP_PRIVATE, at), EINVAL);
	want_errno(map_at(fd, PAGE, PROT_READ, MAP_SHARED, at - PAGE), EINVAL);
	want_errno(map_at(fd, PAGE, PROT_READ, MAP_SHARED, at + PAGE), EINVAL);
	page = map_at(fd, PAGE, PROT_READ, MAP_SHARED, at);
	want_ok(page);
	want_zero(page, PAGE);
	want_errno(mprotect(page, PAGE, RW), EACCES);
	want_errno(mprotect(page, PAGE, PROT_READ | PROT_EXEC), EACCES);
	drop_fd = fd;
	want_errno(try_drop((uintptr_t)page, PAGE), ENOMEM);
}

TEST(drop_fields, "line 6: DROPPABLE_IOC_DROP refuses every nonzero flag and reserved field, and drops nothing")
{
	struct droppable_drop drop, good;
	char *area;

	need_device("ioctl");
	drop_fd = mem_open();
	area = mem_map(PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	memset(&good, 0, sizeof(good));
	good.addr = (uintptr_t)area;
	good.len = PAGES * PAGE;
	for (unsigned int bit = 0; bit < 32; bit++) {
		drop = good;
		drop.flags = 1U << bit;
		want_errno(ioctl(drop_fd, DROPPABLE_IOC_DROP, &drop), EINVAL);
		drop = good;
		drop.reserved0 = 1U << bit;
		want_errno(ioctl(drop_fd, DROPPABLE_IOC_DROP, &drop), EINVAL);
	}
	for (unsigned int bit = 0; bit < 3 * 64; bit++) {
		drop = good;
		drop.reserved[bit / 64] = 1ULL << bit % 64;
		want_errno(ioctl(drop_fd, DROPPABLE_IOC_DROP, &drop), EINVAL);
	}
	want_whole(area, PAGES, TAG, 1);
}

static long drop_how(uintptr_t address, size_t length, unsigned int flags)
{
	struct droppable_drop drop = {
		.addr = address,
		.len = length,
		.flags = flags,
	};

	return ioctl(drop_fd, DROPPABLE_IOC_DROP, &drop);
}

TEST(drop_flags, "line 6: DROPPABLE_IOC_DROP refuses unknown flags, two at once, and an address or a length where a flag leaves no room for it")
{
	uintptr_t at;
	char *area;

	need_device("ioctl");
	drop_fd = mem_open();
	area = map_at(drop_fd, PAGES * PAGE, RW, MAP_SHARED, 0);
	want_ok(area);
	fill(area, PAGES, TAG, 1);
	at = (uintptr_t)area;
	for (unsigned int bit = 2; bit < 32; bit++) {
		want_errno(drop_how(0, 0, 1U << bit), EINVAL);
		want_errno(drop_how(at, 0, 1U << bit | 1), EINVAL);
	}
	want_errno(drop_how(0, 0, 3), EINVAL);
	want_errno(drop_how(at, 0, 3), EINVAL);
	want_errno(drop_how(at, PAGE, DROPPABLE_DROP_MAPPING), EINVAL);
	want_errno(drop_how(at, 1, DROPPABLE_DROP_MAPPING), EINVAL);
	want_errno(drop_how(1UL << 63, 0, DROPPABLE_DROP_MAPPING), EINVAL);
	want_errno(drop_how(SIZE_MAX, 0, DROPPABLE_DROP_MAPPING), EINVAL);
	want_errno(drop_how(at, 0, DROPPABLE_DROP_FILE), EINVAL);
	want_errno(drop_how(1, 0, DROPPABLE_DROP_FILE), EINVAL);
	want_errno(drop_how(0, PAGE, DROPPABLE_DROP_FILE), EINVAL);
	/* Not the device's. */
	want_errno(drop_how(0, 0, DROPPABLE_DROP_MAPPING), ENOMEM);
	want_errno(drop_how((uintptr_t)anon_map(PAGE), 0,
			    DROPPABLE_DROP_MAPPING), ENOMEM);
	want_whole(area, PAGES, TAG, 1);
	want_ok(drop_how(at + 1, 0, DROPPABLE_DROP_MAPPING));
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 2);
	want_ok(drop_how(0, 0, DROPPABLE_DROP_FILE));
	want_zero(area, PAGES * PAGE);
}

TEST(drop_ranges, "line 6: DROPPABLE_IOC_DROP refuses a range unaligned, empty, beyond the end, or not its own")
{
	uintptr_t at, end;
	char *area;

	need_device("ioctl");
	drop_fd = mem_open();
	/* Between two pages of nothing, with other memory behind. */
	area = anon_map((PAGES + 4) * PAGE);
	memset(area, 3, (PAGES + 4) * PAGE);
	want_ok(munmap(area, PAGE));
	want_ok(munmap(area + (PAGES + 1) * PAGE, PAGE));
	want_eq(mem_try(area + PAGE, PAGES * PAGE, RW, MAP_FIXED), area + PAGE);
	area += PAGE;
	at = (uintptr_t)area;
	end = at + PAGES * PAGE;
	fill(area, PAGES, TAG, 1);

	want_errno(try_drop(at, 0), EINVAL);
	want_errno(try_drop(at + 1, PAGE), EINVAL);
	want_errno(try_drop(at + 2048, PAGE), EINVAL);
	want_errno(try_drop(at, PAGE + 1), EINVAL);
	want_errno(try_drop(at, 1), EINVAL);
	want_errno(try_drop(at, -PAGE), EINVAL);
	want_errno(try_drop(at, 1UL << 63), EINVAL);
	want_errno(try_drop(-PAGE, 2 * PAGE), EINVAL);
	want_errno(try_drop(1UL << 63, 1UL << 63), EINVAL);
	want_errno(try_drop(at, SIZE_MAX), EINVAL);

	want_errno(try_drop(at - PAGE, 2 * PAGE), ENOMEM);
	want_errno(try_drop(end - PAGE, 2 * PAGE), ENOMEM);
	want_errno(try_drop(at, PAGES * PAGE + 2 * PAGE), ENOMEM);
	want_errno(try_drop(end, PAGE), ENOMEM);
	want_errno(try_drop(end + PAGE, PAGE), ENOMEM);
	want_errno(try_drop(0, PAGE), ENOMEM);
	want_whole(area, PAGES, TAG, 1);
	want_eq(area[(PAGES + 1) * PAGE], 3);

	/* A hole inside. */
	mem_unmap(area + 4 * PAGE, PAGE);
	want_errno(try_drop(at, PAGES * PAGE), ENOMEM);
	want_whole(area, 4, TAG, 1);
	for (size_t i = 5; i < PAGES; i++)
		want_eq(page_state(area + i * PAGE, TAG, 1, i), PAGE_WHOLE);
	want_ok(try_drop(at, 4 * PAGE));
	want_zero(area, 4 * PAGE);
}

TEST(drop_counts, "line 22: DROPPABLE_IOC_DROP of a range drops it, all of it and no more, and counts it")
{
	struct droppable_drop drop;
	char *area;
	int fd;

	need_device("ioctl");
	/* One range over two mappings of two descriptors. */
	area = anon_map(2 * PAGES * PAGE);
	for (int i = 0; i < 2; i++)
		want_ok(mem_try(area + i * PAGES * PAGE, PAGES * PAGE, RW,
				MAP_FIXED));
	fill(area, 2 * PAGES - 3, TAG, 1);
	memset(&drop, 0, sizeof(drop));
	drop.addr = (uintptr_t)area + 5 * PAGE;
	drop.len = (2 * PAGES - 5) * PAGE;
	drop.dropped = 77;
	drop.pinned = 77;
	fd = mem_open();
	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	want_eq(drop.dropped, 2 * PAGES - 3 - 5);
	want_eq(drop.pinned, 0);
	want_eq(drop.addr, (uintptr_t)area + 5 * PAGE);
	want_eq(drop.flags, 0);
	want_whole(area, 5, TAG, 1);
	want_zero(area + 5 * PAGE, (2 * PAGES - 5) * PAGE);

	/* Again: what is not there is not counted. */
	want_ok(madvise(area, 5 * PAGE, MADV_NORMAL));
	drop.addr = (uintptr_t)area + PAGE;
	drop.len = 2 * PAGE;
	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	want_eq(drop.dropped, 2);
	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	want_eq(drop.dropped, 0);
}

TEST(short_read, "line 6: a read too short for the count is EINVAL, and with O_NONBLOCK and nothing dropped EAGAIN")
{
	char *area, buffer[64];
	int fd;

	need_device("read(2)");
	fd = open(DROPPABLE_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	want_ok(fd);
	area = map_at(fd, PAGES * PAGE, RW, MAP_SHARED, 0);
	want_ok(area);
	fill(area, PAGES, TAG, 1);
	for (int dropped = 0; dropped < 2; dropped++) {
		for (size_t length = 0; length < 8; length++)
			want_errno(read(fd, buffer, length), EINVAL);
		if (!dropped)
			want_errno(read(fd, buffer, sizeof(buffer)), EAGAIN);
		mem_drop(area, PAGES * PAGE);
	}
	want_eq(read(fd, buffer, sizeof(buffer)), 8);
	want_errno(read(fd, buffer, sizeof(buffer)), EAGAIN);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, PAGES * PAGE);
	want_errno(read(fd, mem_try(NULL, PAGE, PROT_NONE, 0), 8), EFAULT);
}

TEST(file_calls, "line 6: write, lseek and the like on the device fail and do no harm")
{
	struct pollfd poller;
	char buffer[64] = "data";
	int pipes[2];
	char *area;
	off_t end;
	int fd;

	need_device("descriptor");
	fd = mem_open();
	area = map_at(fd, PAGES * PAGE, RW, MAP_SHARED, 0);
	want_ok(area);
	fill(area, PAGES, TAG, 1);
	want_errno(write(fd, buffer, sizeof(buffer)), EINVAL);
	/* ESPIPE where the file may not seek at all. */
	want_eq(pread(fd, buffer, sizeof(buffer), 0), -1);
	want_eq(pwrite(fd, buffer, sizeof(buffer), 0), -1);
	want_errno(ftruncate(fd, PAGE), EINVAL);
	want_eq(fallocate(fd, 0, 0, PAGE), -1);
	want_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  PAGE), -1);
	want_eq(readahead(fd, 0, 16 * PAGE), -1);
	want_ok(pipe(pipes));
	want_eq(write(pipes[1], buffer, 8), 8);
	want_eq(splice(pipes[0], NULL, fd, NULL, 8, 0), -1);
	want_eq(splice(fd, NULL, pipes[1], NULL, 8, SPLICE_F_NONBLOCK), -1);
	want_eq(sendfile(pipes[1], fd, NULL, 8), -1);
	end = lseek(fd, 0, SEEK_END);
	if (end == -1)
		want(errno == ESPIPE || errno == EINVAL);
	else
		want_eq(end, 0);
	poller = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
	want_ok(poll(&poller, 1, 0));
	fsync(fd);
	fdatasync(fd);
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (int advice = 0; advice < 8; advice++)
		posix_fadvise(fd, 0, 0, advice);
	msync(area, PAGES * PAGE, MS_SYNC);
	msync(area, PAGES * PAGE, MS_ASYNC | MS_INVALIDATE);
	want_whole(area, PAGES, TAG, 1);
}
