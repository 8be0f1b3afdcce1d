// SPDX-License-Identifier: GPL-2.0-only
/*
 * Neither userfaultfd nor same-page merging gets hold of it.
 * Contract line 32.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define TAG 0x0ffd

/* Headers may be older than the kernel. */
#define MODE_MISSING (1ULL << 0)
#define MODE_WP (1ULL << 1)
#define MODE_MINOR (1ULL << 2)
#define MODE_RWP (1ULL << 3)
#define FEATURE_WP_UNPOPULATED (1ULL << 13)
#define FEATURE_WP_ASYNC (1ULL << 15)
#define FEATURE_RWP (1ULL << 17)
#define FEATURE_RWP_ASYNC (1ULL << 18)

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		skip("no userfaultfd here (%s)", tap_errno(errno));
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int try_register(int fd, void *area, size_t length, uint64_t mode)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)area, .len = length },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_REGISTER, &range);
}

TEST(refused, "line 32: userfaultfd registration is EINVAL in every mode; of anonymous memory it works")
{
	uint64_t modes[] = { MODE_MISSING, MODE_WP, MODE_MINOR,
			     MODE_MISSING | MODE_WP, MODE_MISSING | MODE_MINOR,
			     MODE_MISSING | MODE_WP | MODE_MINOR };
	char *anonymous = anon_map(PAGES * PAGE);
	char *area = mem_map(PAGES * PAGE);
	int fd = open_uffd(0);

	want_ok(fd);
	want_ok(try_register(fd, anonymous, PAGES * PAGE, MODE_MISSING));
	for (int touched = 0; touched < 2; touched++) {
		for (unsigned int i = 0; i < sizeof(modes) / sizeof(*modes);
		     i++) {
			want_errno(try_register(fd, area, PAGES * PAGE,
						modes[i]), EINVAL);
			want_errno(try_register(fd, area + PAGE, PAGE,
						modes[i]), EINVAL);
		}
		fill(area, PAGES, TAG, 1);
	}
	want_whole(area, PAGES, TAG, 1);
}

TEST(read_protection, "line 32: read-write protection (7.3) is EINVAL, synchronous or not; of anonymous memory it works")
{
	uint64_t features[] = { FEATURE_RWP, FEATURE_RWP | FEATURE_RWP_ASYNC };
	uint64_t modes[] = { MODE_RWP, MODE_RWP | MODE_MISSING };
	char *anonymous = anon_map(PAGES * PAGE);
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	for (unsigned int i = 0; i < 4; i++) {
		int fd = open_uffd(features[i / 2]);

		if (fd < 0)
			skip("this kernel has no UFFD_FEATURE_RWP (7.3)");
		want_errno(try_register(fd, area, PAGES * PAGE, modes[i % 2]),
			   EINVAL);
		want_errno(try_register(fd, area + PAGE, PAGE, modes[i % 2]),
			   EINVAL);
		want_ok(try_register(fd, anonymous, PAGES * PAGE,
				     modes[i % 2]));
		close(fd);
	}
	want_whole(area, PAGES, TAG, 1);
}

TEST(neighbours, "line 32: a range over anonymous and droppable memory is EINVAL as well")
{
	char *anonymous = anon_map(2 * PAGES * PAGE);
	int fd = open_uffd(0);

	want_ok(fd);
	want_ok(mem_try(anonymous + PAGES * PAGE, PAGES * PAGE,
			PROT_READ | PROT_WRITE, MAP_FIXED));
	want_errno(try_register(fd, anonymous, 2 * PAGES * PAGE, MODE_MISSING),
		   EINVAL);
	fill(anonymous, 2 * PAGES, TAG, 1);
	want_whole(anonymous, 2 * PAGES, TAG, 1);
}

/*
 * Kernels 6.7 to 6.12 let this one mode take any memory and ask no driver:
 * there, that it changes nothing of what matters is all that can be had.
 */
TEST(async, "line 32: asynchronous write protection is EINVAL, or changes nothing where the kernel asks nobody")
{
	int fd = open_uffd(FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED);
	char *area = mem_map(PAGES * PAGE);
	struct {
		struct uffdio_range range;
		uint64_t mode;
	} protect = { { (uintptr_t)area, PAGES * PAGE }, 1 };

	if (fd < 0)
		skip("this kernel has no UFFD_FEATURE_WP_ASYNC (6.7)");
	fill(area, PAGES, TAG, 1);
	if (try_register(fd, area, PAGES * PAGE, MODE_WP)) {
		want_eq(errno, EINVAL);
		return;
	}
	note("the kernel registered it without asking");
	for (int round = 0; round < 3; round++) {
		pid_t child;

		fill(area, PAGES, TAG, 2);
		/* UFFDIO_WRITEPROTECT: _IOWR(0xAA, 0x06, ...) */
		want_ok(ioctl(fd, _IOWR(0xAA, 0x06, protect), &protect));
		want_whole(area, PAGES, TAG, 2);
		child = spawn();
		if (!child) {
			want_zero(area, PAGES * PAGE);
			_exit(0);
		}
		join(child);
		fill(area, PAGES / 2, TAG, 3);
		want_whole(area, PAGES / 2, TAG, 3);
		if (round == 1)
			mem_shrink(area, PAGES * PAGE);
		mem_drop(area, PAGES * PAGE);
		want_zero(area, PAGES * PAGE);
		want_eq(smaps(area, PAGES * PAGE, "Swap"), 0);
	}
	close(fd);
	fill(area, PAGES, TAG, 4);
	want_whole(area, PAGES, TAG, 4);
}

#define KSM "/sys/kernel/mm/ksm/"

static size_t ksm(const char *name)
{
	char path[64] = KSM;
	char text[32];

	strcat(path, name);
	want(try_read_file(path, text, sizeof(text)));
	return strtoul(text, NULL, 10);
}

static void scan_twice(void)
{
	size_t scans = ksm("full_scans");

	want(wait_for(ksm("full_scans") >= scans + 3, 60));
}

TEST(ksm_merges, "line 32: MADV_MERGEABLE never merges it; anonymous memory of the same process is merged")
{
	char *area, *anonymous;

	if (!try_write_file(KSM "run", "1"))
		skip("this kernel has no KSM");
	write_file(KSM "sleep_millisecs", "1");
	write_file(KSM "pages_to_scan", "5000");
	try_write_file(KSM "smart_scan", "0");
	area = mem_map(PAGES * PAGE);
	memset(area, 0x42, PAGES * PAGE);
	/* Accepted or refused: what counts is that nothing is merged. */
	madvise(area, PAGES * PAGE, MADV_MERGEABLE);
	want(!smaps_flag(area, "mg"));
	/* With its own like, and with equal anonymous pages. */
	anonymous = anon_map(PAGES * PAGE);
	memset(anonymous, 0x42, PAGES / 2 * PAGE);
	memset(anonymous + PAGES / 2 * PAGE, 0x43, PAGES / 2 * PAGE);
	want_ok(madvise(anonymous, PAGES * PAGE, MADV_MERGEABLE));
	scan_twice();
	want(wait_for(ksm("pages_sharing") + ksm("pages_shared") >= PAGES / 2,
		      60));
	scan_twice();
	/* 32 pages of each kind: one kept of each, and not one more. */
	note("%zu pages share %zu", ksm("pages_sharing"), ksm("pages_shared"));
	want_le(ksm("pages_sharing") + ksm("pages_shared"), PAGES);
	/* 6.4's PR_SET_MEMORY_MERGE (67) marks whatever can be marked. */
	if (!prctl(67, 1, 0, 0, 0)) {
		want(!smaps_flag(area, "mg"));
		want(!smaps_flag(mem_map(PAGE), "mg"));
	}
	want_eq(smaps(area, PAGES * PAGE, "Rss"), PAGES * PAGE);
	for (size_t i = 0; i < PAGES * PAGE; i++)
		want_eq(area[i], 0x42);
	mem_drop(area, PAGES * PAGE);
	want_zero(area, PAGES * PAGE);
	for (size_t i = 0; i < PAGES / 2 * PAGE; i++)
		want_eq(anonymous[i], 0x42);
	write_file(KSM "run", "2");
	write_file(KSM "run", "0");
}
