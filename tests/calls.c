// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ordinary memory calls on it: contents, droppability and accounting stay
 * right.
 * Contract line 33.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define TAG 0xca11
#define RW (PROT_READ | PROT_WRITE)

static void want_range(char *at, size_t first, size_t pages,
		       unsigned int generation)
{
	for (size_t i = 0; i < pages; i++)
		want_eq(page_state(at + i * PAGE, TAG, generation, first + i),
			PAGE_WHOLE);
}

/* Every part of it can be dropped, each on its own, and written again. */
static void want_droppable(char *area, size_t pages)
{
	size_t half = pages / 2;

	fill(area, pages, TAG, 90);
	want_eq(smaps(area, pages * PAGE, "Rss"), pages * PAGE);
	if (half) {
		mem_drop(area, half * PAGE);
		want_zero(area, half * PAGE);
		want_range(area + half * PAGE, half, pages - half, 90);
	}
	fill(area, pages, TAG, 91);
	mem_shrink(area, pages * PAGE);
	want_eq(smaps(area, pages * PAGE, "Rss"), 0);
	want_zero(area, pages * PAGE);
	fill(area, pages, TAG, 92);
	want_whole(area, pages, TAG, 92);
	want(smaps_flag(area, "dd"));
	want(smaps_flag(area, "wf"));
}

TEST(unmap_parts, "line 33: munmap of a part, at the start, the end and inside")
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	mem_unmap(area + 30 * PAGE, 4 * PAGE);
	mem_unmap(area, 2 * PAGE);
	mem_unmap(area + (PAGES - 3) * PAGE, 3 * PAGE);
	want_range(area + 2 * PAGE, 2, 28, 1);
	want_range(area + 34 * PAGE, 34, PAGES - 37, 1);
	want_errno(msync(area + 30 * PAGE, PAGE, MS_ASYNC), ENOMEM);
	want_droppable(area + 2 * PAGE, 28);
	want_droppable(area + 34 * PAGE, PAGES - 37);
	/* What comes into the hole is something new. */
	want_eq(mem_try(area + 30 * PAGE, 4 * PAGE, RW, MAP_FIXED),
		area + 30 * PAGE);
	want_zero(area + 30 * PAGE, 4 * PAGE);
	want_eq(tally(area + 2 * PAGE, 28, TAG, 92).bad, 0);
}

TEST(unmap_every_other, "line 33: munmap of every other page")
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	for (size_t i = 0; i < PAGES; i += 2)
		mem_unmap(area + i * PAGE, PAGE);
	for (size_t i = 1; i < PAGES; i += 2)
		want_range(area + i * PAGE, i, 1, 1);
	for (size_t i = 1; i < PAGES; i += 4)
		mem_drop(area + i * PAGE, PAGE);
	for (size_t i = 1; i < PAGES; i += 2)
		want_eq(page_state(area + i * PAGE, TAG, 1, i),
			i % 4 == 1 ? PAGE_ZERO : PAGE_WHOLE);
}

TEST(protect_parts, "line 33: mprotect of a part and back")
{
	char *area = mem_map(LENGTH);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	want_ok(mprotect(area + 8 * PAGE, 8 * PAGE, PROT_READ));
	want_ok(mprotect(area + 24 * PAGE, 8 * PAGE, PROT_NONE));
	want_whole(area, 24, TAG, 1);
	want_range(area + 32 * PAGE, 32, PAGES - 32, 1);
	fill(area, 8, TAG, 2);
	/* A store into the read-only part is a signal, as everywhere. */
	child = fork();
	if (!child) {
		area[8 * PAGE] = 1;
		_exit(0);
	}
	join_signal(child, SIGSEGV);
	/* Protected pages are dropped as well. */
	mem_drop(area + 12 * PAGE, 4 * PAGE);
	want_zero(area + 12 * PAGE, 4 * PAGE);
	want_range(area + 8 * PAGE, 8, 4, 1);
	want_ok(mprotect(area, LENGTH, RW));
	want_range(area + 24 * PAGE, 24, 8, 1);
	want_zero(area + 12 * PAGE, 4 * PAGE);
	want_droppable(area, PAGES);
}

TEST(protected_shrunk, "line 33: a read-only and an inaccessible mapping are dropped by the shrinkers")
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	want_ok(mprotect(area, LENGTH / 2, PROT_READ));
	want_ok(mprotect(area + LENGTH / 2, LENGTH / 2, PROT_NONE));
	mem_shrink(area, LENGTH);
	want_eq(smaps(area, LENGTH, "Rss"), 0);
	want_zero(area, LENGTH / 2);
	want_ok(mprotect(area, LENGTH, RW));
	want_zero(area, LENGTH);
	want_droppable(area, PAGES);
}

TEST(move, "line 33: mremap MAYMOVE|FIXED, of all of it")
{
	char *area = mem_map(LENGTH);
	char *place = anon_map(LENGTH);

	fill(area, PAGES - 8, TAG, 1);
	want_eq(mremap(area, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED,
		       place), place);
	want_eq(smaps(place, LENGTH, "Rss"), (PAGES - 8) * PAGE);
	want_whole(place, PAGES - 8, TAG, 1);
	want_zero(place + (PAGES - 8) * PAGE, 8 * PAGE);
	want_errno(msync(area, PAGE, MS_ASYNC), ENOMEM);
	want_droppable(place, PAGES);
	/* And home again. */
	want_eq(mremap(place, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED,
		       area), area);
	want_whole(area, PAGES, TAG, 92);
	want_droppable(area, PAGES);
}

TEST(move_part, "line 33: mremap of a part, which splits it")
{
	char *area = mem_map(LENGTH);
	char *place = anon_map(LENGTH);
	size_t part = 16 * PAGE;

	fill(area, PAGES, TAG, 1);
	want_eq(mremap(area + part, part, part, MREMAP_MAYMOVE | MREMAP_FIXED,
		       place), place);
	want_range(place, 16, 16, 1);
	want_range(area, 0, 16, 1);
	want_range(area + 2 * part, 32, 32, 1);
	/* Swap the order of two parts: each keeps its own. */
	want_eq(mremap(area + 2 * part, part, part,
		       MREMAP_MAYMOVE | MREMAP_FIXED, area + part),
		area + part);
	want_range(area + part, 32, 16, 1);
	want_range(place, 16, 16, 1);
	mem_drop(place, part);
	want_zero(place, part);
	want_range(area + part, 32, 16, 1);
	want_range(area, 0, 16, 1);
	want_range(area + 3 * part, 48, 16, 1);
	want_droppable(place, 16);
	want_droppable(area, 32);
}

TEST(move_dropped, "line 33: pages dropped before and after a move")
{
	char *area = mem_map(LENGTH);
	char *place = anon_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	mem_drop(area, 8 * PAGE);
	want_ok(mremap(area, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED,
		       place));
	want_zero(place, 8 * PAGE);
	want_range(place + 8 * PAGE, 8, PAGES - 8, 1);
	mem_drop(place + 8 * PAGE, 8 * PAGE);
	want_zero(place, 16 * PAGE);
	want_range(place + 16 * PAGE, 16, PAGES - 16, 1);
	want_ok(madvise(place + 16 * PAGE, 8 * PAGE, MADV_DONTNEED));
	want_zero(place, 24 * PAGE);
	want_range(place + 24 * PAGE, 24, PAGES - 24, 1);
}

TEST(dontunmap, "line 33: mremap DONTUNMAP moves the contents and leaves zeros, or is EINVAL")
{
	char *area = mem_map(LENGTH);
	char *moved;

	fill(area, PAGES, TAG, 1);
	errno = 0;
	moved = mremap(area, LENGTH, LENGTH,
		       MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (moved == MAP_FAILED) {
		want_eq(errno, EINVAL);
		note("refused");
		want_whole(area, PAGES, TAG, 1);
		want_droppable(area, PAGES);
		return;
	}
	want_whole(moved, PAGES, TAG, 1);
	want_zero(area, LENGTH);
	fill(area, PAGES, TAG, 2);
	want_whole(moved, PAGES, TAG, 1);
	want_droppable(moved, PAGES);
	want_whole(area, PAGES, TAG, 2);
}

TEST(grow, "line 33: mremap growth works, or is EFAULT or EINVAL and changes nothing")
{
	int flags[] = { 0, MREMAP_MAYMOVE };

	for (int i = 0; i < 2; i++) {
		char *area = mem_map(LENGTH);
		char *grown;

		fill(area, PAGES, TAG, 1);
		errno = 0;
		grown = mremap(area, LENGTH, 2 * LENGTH, flags[i]);
		if (grown != MAP_FAILED) {
			want_whole(grown, PAGES, TAG, 1);
			want_zero(grown + LENGTH, LENGTH);
			want_droppable(grown, 2 * PAGES);
			continue;
		}
		/* In place there may be no room. */
		if (flags[i] || errno != ENOMEM)
			want(errno == EFAULT || errno == EINVAL);
		note("refused with %s", tap_errno(errno));
		want_whole(area, PAGES, TAG, 1);
		want_droppable(area, PAGES);
	}
}

TEST(shrink, "line 33: mremap to less cuts the end off")
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	want_eq(mremap(area, LENGTH, LENGTH / 2, 0), area);
	want_whole(area, PAGES / 2, TAG, 1);
	want_errno(msync(area + LENGTH / 2, PAGE, MS_ASYNC), ENOMEM);
	want_droppable(area, PAGES / 2);
}

TEST(alias, "line 33: mremap of old_size 0 can't make an alias")
{
	char *area = mem_map(LENGTH);
	char *alias;

	fill(area, PAGES, TAG, 1);
	alias = mremap(area, 0, LENGTH, MREMAP_MAYMOVE);
	if (alias != MAP_FAILED) {
		want_zero(alias, LENGTH);
		fill(alias, PAGES, TAG, 2);
	}
	want_whole(area, PAGES, TAG, 1);
	alias = mremap(area, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       anon_map(PAGE));
	if (alias != MAP_FAILED)
		want_zero(alias, PAGE);
	want_droppable(area, PAGES);
}

static void want_not_aliased(char *area, size_t i)
{
	char *at = area + i * PAGE;

	if (!msync(at, PAGE, MS_ASYNC))
		want_ne(page_state(at, TAG, 1, i), PAGE_BAD);
}

TEST(remap_file, "line 33: remap_file_pages can't make an alias either")
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	/*
	 * Where it fails it may leave a hole, as any failing MAP_FIXED; nobody's
	 * pages come up elsewhere.
	 */
	if (syscall(SYS_remap_file_pages, area, PAGE, 0, 8, 0))
		note("refused with %s", tap_errno(errno));
	want_not_aliased(area, 0);
	want_range(area + PAGE, 1, PAGES - 1, 1);
	if (syscall(SYS_remap_file_pages, area + 4 * PAGE, PAGE, 0, 0, 0))
		note("refused with %s", tap_errno(errno));
	want_not_aliased(area, 4);
	want_range(area + 8 * PAGE, 8, PAGES - 8, 1);
}

TEST(accounting, "line 33: Rss follows unmap, move and protect, page by page")
{
	char *area = mem_map(LENGTH);
	size_t before = 0;

	/*
	 * What goes wrong by one page adds up; what the program itself and the
	 * counters of the threads are off by does not.
	 */
	for (int round = 0; round < 110; round++) {
		char *place = anon_map(LENGTH);

		fill(area, PAGES, TAG, 1);
		want_ok(mprotect(area + PAGE, PAGE, PROT_READ));
		mem_unmap(area + LENGTH / 2, LENGTH / 2);
		want_ok(mremap(area + 2 * PAGE, PAGE, PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, place));
		mem_drop(place, PAGE);
		want_eq(smaps(area, 2 * PAGE, "Rss"), 2 * PAGE);
		mem_unmap(place, LENGTH);
		mem_unmap(area, LENGTH);
		area = mem_map(LENGTH);
		if (round == 9)
			before = process_status(getpid(), "VmRSS");
	}
	mem_unmap(area, LENGTH);
	want_le(process_status(getpid(), "VmRSS"), before + 100 * PAGE - 1);
	want_ge(process_status(getpid(), "VmRSS") + 100 * PAGE - 1, before);
}

/* Whatever this kernel has: it may work or not, the contents stay right. */
TEST(advice, "line 33: madvise and mbind of any kind leave whole pages or zeros")
{
	unsigned long nodes = 1;
	char *area = mem_map(LENGTH);

	for (int advice = 0; advice <= 30; advice++) {
		if (advice == MADV_DONTFORK)
			continue;
		fill(area, PAGES, TAG, (unsigned int)advice + 1);
		madvise(area + 8 * PAGE, 16 * PAGE, advice);
		want_eq(tally(area, PAGES, TAG, (unsigned int)advice + 1).bad,
			0);
		want_range(area, 0, 8, (unsigned int)advice + 1);
		want_range(area + 24 * PAGE, 24, PAGES - 24,
			   (unsigned int)advice + 1);
	}
	fill(area, PAGES, TAG, 50);
	syscall(SYS_mbind, area, LENGTH, MPOL_BIND, &nodes, 64UL,
		MPOL_MF_MOVE | MPOL_MF_STRICT);
	want_whole(area, PAGES, TAG, 50);
	want_droppable(area, PAGES);
}

TEST(migration, "line 33: memory compaction leaves whole pages or zeros")
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	if (!try_write_file("/proc/sys/vm/compact_memory", "1"))
		skip("this kernel has no compaction");
	want_eq(tally(area, PAGES, TAG, 1).bad, 0);
	want_eq(tally(area, PAGES, TAG, 1).whole, PAGES);
	want_droppable(area, PAGES);
}
