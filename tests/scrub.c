// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a page held can't be found in physical memory once it was dropped or
 * freed, unless the module's parameter scrub is off.
 * Contract line 12; droppable(4), PARAMETERS.
 *
 * All of the machine's memory is read through /proc/kcore and searched for
 * words that are made in registers only, so that nobody has them but the pages
 * they were written to.  Each way to lose a page is tried without scrubbing
 * first: then they must be found, or the search sees nothing.
 */
// vm: --mem 160 --smp 2 --append init_on_alloc=0 --append init_on_free=0 --append page_poison=0
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 512UL
#define HELD 8UL
#define CHUNK (64 * KIB)

#define PARAMETER "/sys/module/droppable/parameters/scrub"

static unsigned int tag;

/* Words that no search before was about. */
static void new_tag(void)
{
	static unsigned int count;

	tag = 0x4000 | ((unsigned int)getpid() * 4 + count++) % 0x4000;
}

/* Three of our words, or more. */
static bool is_ours(const void *page)
{
	return count_words(page, tag) > 2;
}

/*
 * The kernel reads through a page of its own, and when it comes to that one it
 * finds what it read before.  So whatever is found is read once more, after the
 * lowest page of all, which is nobody's.
 */
static bool is_there(int fd, off_t lowest, off_t offset)
{
	static char page[PAGE];
	bool there;

	want_eq(pread(fd, page, PAGE, lowest), PAGE);
	want(!is_ours(page));
	want_eq(pread(fd, page, PAGE, offset), PAGE);
	there = is_ours(page);
	memset(page, 0, PAGE);
	return there;
}

struct piece {
	int fd;
	char *buffer;
	off_t lowest, offset;
	size_t size;
};

/* Pages of a piece of memory that are ours. */
static size_t search_piece(const struct piece *piece)
{
	off_t end = piece->offset + (off_t)piece->size;
	size_t found = 0;

	for (off_t at = piece->offset; at < end; at += CHUNK) {
		size_t wanted = end - at < (off_t)CHUNK ? (size_t)(end - at) :
							   CHUNK;
		ssize_t got = pread(piece->fd, piece->buffer, wanted, at);
		bool ours[CHUNK / PAGE] = { 0 };

		/* A hole. */
		if (got <= 0)
			continue;
		for (size_t i = 0; (i + 1) * PAGE <= (size_t)got; i++)
			ours[i] = is_ours(piece->buffer + i * PAGE);
		/* What was found isn't to be found here. */
		memset(piece->buffer, 0, (size_t)got);
		for (size_t i = 0; i < CHUNK / PAGE; i++)
			found += ours[i] && is_there(piece->fd, piece->lowest,
						     at + (off_t)(i * PAGE));
	}
	return found;
}

/* In all of physical memory, through the kernel's own mapping of it. */
static size_t search(void)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	struct piece piece = { .fd = fd };
	size_t found = 0, searched = 0;
	Elf64_Phdr header;
	Elf64_Ehdr elf;

	if (fd < 0)
		skip("/proc/kcore: %s", tap_errno(errno));
	piece.buffer = anon_map(CHUNK);
	want_eq(pread(fd, &elf, sizeof(elf), 0), sizeof(elf));
	for (unsigned int i = 0; i < elf.e_phnum; i++) {
		want_eq(pread(fd, &header, sizeof(header),
			      (off_t)(elf.e_phoff + i * sizeof(header))),
			sizeof(header));
		/* Not what is mapped a second time: text, vmalloc, vmemmap. */
		if (header.p_type != PT_LOAD ||
		    header.p_paddr == (Elf64_Addr)-1 ||
		    header.p_vaddr >= 0xffffffff80000000)
			continue;
		piece.offset = (off_t)header.p_offset;
		piece.size = header.p_memsz;
		if (!searched)
			piece.lowest = piece.offset;
		found += search_piece(&piece);
		searched += header.p_memsz;
	}
	close(fd);
	want_ok(munmap(piece.buffer, CHUNK));
	want_ge(searched, meminfo("MemTotal"));
	return found;
}

static char *filled_area(void)
{
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, tag, 1);
	return area;
}

/*
 * Loses pages by lose(), which fills them before, once without scrubbing and
 * once with.
 */
static void want_scrubbed(void (*lose)(void))
{
	size_t found[2];

	need_device("scrubbing");
	for (int on = 0; on < 2; on++) {
		new_tag();
		write_file(PARAMETER, on ? "Y" : "N");
		lose();
		found[on] = search();
		note("%zu of %lu pages found in memory with%s scrubbing",
		     found[on], PAGES, on ? "" : "out");
	}
	/* Some are taken for something else in the meantime. */
	want_ge(found[0], PAGES / 4);
	want_eq(found[1], 0);
}

TEST(default_on, "line 12: scrubbing is on by default, and the device says so")
{
	char text[8];

	need_device("parameter");
	want(try_read_file(PARAMETER, text, sizeof(text)));
	want(!strcmp(text, "Y\n"));
}

TEST(live, "line 12: control: pages in use are found, each once")
{
	char *area;

	new_tag();
	area = filled_area();
	want_eq(search(), PAGES);
	want_whole(area, PAGES, tag, 1);
}

static void lose_by_drop(void)
{
	char *area = filled_area();

	mem_drop(area, PAGES * PAGE);
	want_zero(area, PAGE);
}

TEST(dropped, "line 12: the content of pages dropped by ioctl is in memory no more")
{
	want_scrubbed(lose_by_drop);
}

static void lose_by_shrinkers(void)
{
	char *area = filled_area();

	mem_shrink(area, PAGES * PAGE);
	want_eq(present(area, PAGES * PAGE), 0);
}

TEST(shrunk, "line 12: likewise of pages dropped by the shrinkers")
{
	want_scrubbed(lose_by_shrinkers);
}

static void lose_by_munmap(void)
{
	mem_unmap(filled_area(), PAGES * PAGE);
}

TEST(unmapped, "line 12: likewise after munmap")
{
	want_scrubbed(lose_by_munmap);
}

static void lose_by_exit(void)
{
	pid_t child = spawn();

	if (!child) {
		filled_area();
		_exit(0);
	}
	join(child);
}

TEST(exited, "line 12: likewise after exit")
{
	want_scrubbed(lose_by_exit);
}

static void lose_by_discard(void)
{
	want_ok(madvise(filled_area(), PAGES * PAGE, MADV_DONTNEED));
	pause_seconds(1);
}

TEST(discarded, "line 12: likewise a second after MADV_DONTNEED")
{
	want_scrubbed(lose_by_discard);
}

/* Each waits for the lock of what another is just taking away. */
#define TOUCHERS 4
#define ROUNDS 20

static struct {
	char *area;
	pthread_barrier_t turn;
} raced;

static void *touch_thread(void *unused)
{
	(void)unused;
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&raced.turn);
		want_zero(raced.area, PAGES * PAGE);
		pthread_barrier_wait(&raced.turn);
	}
	return NULL;
}

static void lose_by_touching(void)
{
	pthread_t threads[TOUCHERS];

	raced.area = mem_map(PAGES * PAGE);
	pthread_barrier_init(&raced.turn, NULL, TOUCHERS + 1);
	for (int i = 0; i < TOUCHERS; i++)
		want_eq(pthread_create(&threads[i], NULL, touch_thread, NULL), 0);
	for (int round = 0; round < ROUNDS; round++) {
		fill(raced.area, PAGES, tag, 1);
		want_ok(madvise(raced.area, PAGES * PAGE, MADV_DONTNEED));
		pthread_barrier_wait(&raced.turn);
		pthread_barrier_wait(&raced.turn);
	}
	for (int i = 0; i < TOUCHERS; i++)
		want_eq(pthread_join(threads[i], NULL), 0);
	mem_unmap(raced.area, PAGES * PAGE);
}

TEST(touched, "line 12: likewise of pages that several threads touch at once after MADV_DONTNEED")
{
	size_t found;

	need_device("scrubbing");
	/* Most are zeroed in their place in any case: no control. */
	write_file(PARAMETER, "Y");
	new_tag();
	lose_by_touching();
	found = search();
	want_eq(found, 0);
}

static void lose_by_recycling(void)
{
	struct cgroup group = cgroup_new(4 * MIB);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(16 * MIB);

		cgroup_enter(&group);
		fill(area, PAGES, tag, 1);
		/* With something else, until none of them is left. */
		fill(area + PAGES * PAGE, 16 * MIB / PAGE - PAGES, 1, 1);
		want_eq(tally(area, PAGES, tag, 1).bad, 0);
		mem_drop(area, 16 * MIB);
		_exit(0);
	}
	join(child);
}

TEST(recycled, "line 12: likewise of pages lost under a cgroup's limit")
{
	size_t found;

	need_device("scrubbing");
	/* Most were written over: no control. */
	write_file(PARAMETER, "Y");
	new_tag();
	lose_by_recycling();
	found = search();
	want_eq(found, 0);
}

static void lose_held(void)
{
	char *area = filled_area();
	struct iovec range = { .iov_base = area, .iov_len = HELD * PAGE };
	char page[PAGE];
	int fds[2];

	want_ok(pipe(fds));
	want_eq(vmsplice(fds[1], &range, 1, SPLICE_F_NONBLOCK), HELD * PAGE);
	mem_drop(area, PAGES * PAGE);
	/* Still the holder's, then his no more, then dropped. */
	want_eq(search(), HELD);
	for (size_t i = 0; i < HELD; i++)
		want_eq(read(fds[0], page, PAGE), PAGE);
	memset(page, 0, PAGE);
	mem_drop(area, PAGES * PAGE);
}

TEST(held, "line 12: likewise of pages that were held by somebody at first and dropped after that")
{
	size_t found;

	need_device("scrubbing");
	new_tag();
	write_file(PARAMETER, "Y");
	lose_held();
	found = search();
	want_eq(found, 0);
}
