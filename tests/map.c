// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one mapping is: zero at first, nobody else's, nothing reserved, and
 * there until it is unmapped.
 * Contract lines 1, 2, 3, 7 and 8.
 *
 * Without init_on_alloc, which distributions switch on: it would hide a page
 * that was not cleared.
 */
// vm: --mem 256 --smp 2 --append init_on_alloc=0
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define TAG 0xab01

static char *map_fd(int fd, size_t length)
{
	char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);

	want_ok(map);
	return map;
}

TEST(reads_zero, "line 1: a fresh mapping reads zero in every byte and takes stores")
{
	size_t lengths[] = { 1, PAGE, 5000, PAGES * PAGE, 3 * MIB + PAGE };

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		size_t pages = (lengths[i] + PAGE - 1) / PAGE;
		char *area = mem_map(lengths[i]);

		want_zero(area, pages * PAGE);
		fill(area, pages, TAG, 1);
		want_whole(area, pages, TAG, 1);
		mem_unmap(area, lengths[i]);
	}
}

TEST(reused_pages_zero, "line 1: memory that was used before, by this mapping's like or others, reads zero")
{
	char *dirty = anon_map(8 * MIB);

	memset(dirty, 0x5a, 8 * MIB);
	munmap(dirty, 8 * MIB);
	for (int round = 0; round < 4; round++) {
		char *area = mem_map(4 * MIB);

		want_zero(area, 2 * MIB);
		memset(area, 0xa5, 4 * MIB);
		mem_unmap(area, 4 * MIB);
	}
}

TEST(first_store_only, "line 1: a store of one byte leaves the rest of its page zero")
{
	char *area = mem_map(PAGES * PAGE);

	for (size_t i = 0; i < PAGES; i++) {
		char *at = area + i * PAGE + i * 61;

		*at = 'x';
		want_eq(*at, 'x');
		*at = 0;
		want_zero(area + i * PAGE, PAGE);
	}
}

TEST(two_maps, "line 2: two maps of one descriptor share nothing")
{
	char *first, *second;
	int fd;

	need_device("descriptor");
	fd = mem_open();
	first = map_fd(fd, PAGES * PAGE);
	second = map_fd(fd, PAGES * PAGE);
	fill(first, PAGES, TAG, 1);
	want_zero(second, PAGES * PAGE);
	fill(second, PAGES, TAG + 1, 1);
	want_whole(first, PAGES, TAG, 1);
	mem_drop(second, PAGES * PAGE);
	want_whole(first, PAGES, TAG, 1);
	want_zero(second, PAGES * PAGE);
	fill(second, PAGES, TAG + 1, 2);
	mem_unmap(first, PAGES * PAGE);
	want_whole(second, PAGES, TAG + 1, 2);
	first = map_fd(fd, PAGES * PAGE);
	want_zero(first, PAGES * PAGE);
}

TEST(two_adjacent_maps, "line 2: maps that touch each other stay two")
{
	size_t half = 16 * PAGE;
	char *area = anon_map(2 * half);
	char *moved = anon_map(2 * half);
	char *more;

	want_eq(mem_try(area, half, PROT_READ | PROT_WRITE, MAP_FIXED), area);
	more = mem_try(area + half, half, PROT_READ | PROT_WRITE, MAP_FIXED);
	want_eq(more, area + half);
	fill(area, 32, TAG, 1);
	want_whole(area, 32, TAG, 1);
	/* Apart and in the other order. */
	want_ok(mremap(area, half, half, MREMAP_MAYMOVE | MREMAP_FIXED,
		       moved + half));
	want_ok(mremap(more, half, half, MREMAP_MAYMOVE | MREMAP_FIXED,
		       moved));
	for (size_t i = 0; i < 32; i++)
		want_eq(page_state(moved + i * PAGE, TAG, 1, i ^ 16),
			PAGE_WHOLE);
	mem_drop(moved, half);
	want_zero(moved, half);
	for (size_t i = 16; i < 32; i++)
		want_eq(page_state(moved + i * PAGE, TAG, 1, i ^ 16),
			PAGE_WHOLE);
}

TEST(inherited_fd, "line 2: maps of an inherited descriptor share nothing")
{
	volatile int *turn;
	pid_t child;
	char *area;
	int fd;

	need_device("descriptor");
	turn = shared_map(PAGE);
	fd = mem_open();
	area = map_fd(fd, PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		char *mine = map_fd(fd, PAGES * PAGE);

		want_zero(mine, PAGES * PAGE);
		fill(mine, PAGES, TAG + 1, 1);
		*turn = 1;
		want(wait_for(*turn == 2, 30));
		want_whole(mine, PAGES, TAG + 1, 1);
		_exit(0);
	}
	want(wait_for(*turn == 1, 30));
	want_whole(area, PAGES, TAG, 1);
	want_zero(map_fd(fd, PAGES * PAGE), PAGES * PAGE);
	fill(area, PAGES, TAG, 2);
	*turn = 2;
	join(child);
	want_whole(area, PAGES, TAG, 2);
}

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void send_fd(int socket, int fd)
{
	union control control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct iovec byte = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	want_eq(sendmsg(socket, &message, 0), 1);
}

static int receive_fd(int socket)
{
	union control control;
	char data;
	struct iovec byte = { .iov_base = &data, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	want_eq(recvmsg(socket, &message, 0), 1);
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

TEST(passed_fd, "line 2: maps of a descriptor passed over a socket share nothing")
{
	int sockets[2];
	pid_t child;
	char *area;
	int fd;

	need_device("descriptor");
	want_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	child = spawn();
	if (!child) {
		char *mine = map_fd(receive_fd(sockets[1]), PAGES * PAGE);
		char byte;

		want_zero(mine, PAGES * PAGE);
		fill(mine, PAGES, TAG + 1, 1);
		want_eq(write(sockets[1], "w", 1), 1);
		want_eq(read(sockets[1], &byte, 1), 1);
		want_whole(mine, PAGES, TAG + 1, 1);
		_exit(0);
	}
	fd = mem_open();
	area = map_fd(fd, PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	send_fd(sockets[0], fd);
	want_eq(read(sockets[0], (char[1]){ 0 }, 1), 1);
	want_whole(area, PAGES, TAG, 1);
	fill(area, PAGES, TAG, 2);
	want_eq(write(sockets[0], "w", 1), 1);
	join(child);
	want_whole(area, PAGES, TAG, 2);
}

static void *thread_body(void *area)
{
	want_whole(area, PAGES, TAG, 1);
	fill(area, PAGES, TAG, 2);
	return NULL;
}

TEST(threads_share, "line 2: threads share it")
{
	char *area = mem_map(PAGES * PAGE);
	pthread_t thread;

	fill(area, PAGES, TAG, 1);
	want_eq(pthread_create(&thread, NULL, thread_body, area), 0);
	want_eq(pthread_join(thread, NULL), 0);
	want_whole(area, PAGES, TAG, 2);
}

TEST(outlives_close, "line 3: the mapping outlives close(fd)")
{
	char *area;
	int fd;

	need_device("descriptor");
	fd = mem_open();
	area = map_fd(fd, PAGES * PAGE);
	fill(area, PAGES / 2, TAG, 1);
	want_ok(close(fd));
	want_whole(area, PAGES / 2, TAG, 1);
	fill(area, PAGES, TAG, 2);
	want_whole(area, PAGES, TAG, 2);
	mem_drop(area, PAGES * PAGE);
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 3);
	want_whole(area, PAGES, TAG, 3);
}

static void want_busy(void)
{
	want_eq(syscall(SYS_delete_module, "droppable", O_NONBLOCK), -1);
	/* A module in use is EWOULDBLOCK to the call that rmmod makes. */
	if (errno != EBUSY)
		want_eq(errno, EWOULDBLOCK);
	want_ge(module_references(), 1);
}

TEST(module_busy, "line 3: the module can't be unloaded while an open descriptor or a mapping exists")
{
	long before;
	pid_t child;
	char *area;
	int pair[2];
	int fd;

	need_device("module");
	before = module_references();
	want_eq(before, 0);
	fd = mem_open();
	want_busy();
	area = map_fd(fd, PAGES * PAGE);
	close(fd);
	want_busy();
	fill(area, PAGES, TAG, 1);
	want_busy();
	/* What is left of a mapping, in a child, after the parent let go. */
	want_ok(pipe(pair));
	child = spawn();
	if (!child) {
		close(pair[1]);
		mem_unmap(area, (PAGES - 1) * PAGE);
		want_eq(read(pair[0], (char[1]){ 0 }, 1), 0);
		fill_page(area + (PAGES - 1) * PAGE, TAG, 2, 0);
		_exit(0);
	}
	mem_unmap(area, PAGES * PAGE);
	want_busy();
	close(pair[1]);
	join(child);
	want(wait_for(module_references() == before, 10));
}

TEST(no_reservation, "line 7: 256 GiB map with overcommit_memory=2 and Committed_AS does not move")
{
	char old[16];
	size_t before, during;
	char *area;

	want(try_read_file("/proc/sys/vm/overcommit_memory", old, sizeof(old)));
	if (!try_write_file("/proc/sys/vm/overcommit_memory", "2"))
		skip("overcommit_memory can't be set here");
	if (mmap(NULL, 256 * GIB, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) !=
	    MAP_FAILED) {
		write_file("/proc/sys/vm/overcommit_memory", old);
		fail("got 256 GiB of anonymous memory, want ENOMEM: control");
	}
	before = meminfo("Committed_AS");
	area = mem_try(NULL, 256 * GIB, PROT_READ | PROT_WRITE, 0);
	during = meminfo("Committed_AS");
	write_file("/proc/sys/vm/overcommit_memory", old);
	want_ok(area);
	want_le(during, before + 64 * MIB);
	want_ge(during + 64 * MIB, before);

	for (size_t at = 0; at < 256 * GIB; at += 16 * GIB - PAGE)
		fill_page(area + at, TAG, 1, at);
	for (size_t at = 0; at < 256 * GIB; at += 16 * GIB - PAGE)
		want_eq(page_state(area + at, TAG, 1, at), PAGE_WHOLE);
	mem_unmap(area, 256 * GIB);
	want_le(meminfo("Committed_AS"), before + 64 * MIB);
	want_ge(meminfo("Committed_AS") + 64 * MIB, before);
}

TEST(protect_commits_nothing, "line 7: mprotect and partial munmap move Committed_AS neither")
{
	size_t before = meminfo("Committed_AS");
	char *area = mem_map(4 * GIB);

	want_ok(mprotect(area, GIB, PROT_READ));
	want_ok(mprotect(area, GIB, PROT_READ | PROT_WRITE));
	mem_unmap(area + 2 * GIB, GIB);
	want_le(meminfo("Committed_AS"), before + 64 * MIB);
	mem_unmap(area, 4 * GIB);
	want_ge(meminfo("Committed_AS") + 64 * MIB, before);
}

TEST(flags, "line 8: VmFlags show dd, wf and nr, never lo")
{
	char *area = mem_map(PAGES * PAGE);

	for (int round = 0; round < 2; round++) {
		want(smaps_flag(area, "dd"));
		want(smaps_flag(area, "wf"));
		want(smaps_flag(area, "nr"));
		want(!smaps_flag(area, "lo"));
		want(smaps_flag(area, "wr"));
		fill(area, PAGES, TAG, 1);
		want_ok(mlock(area, PAGES * PAGE));
	}
}

TEST(rss, "line 8: Rss counts resident pages and falls after a drop")
{
	char *area = mem_map(PAGES * PAGE);

	want_eq(smaps(area, PAGES * PAGE, "Rss"), 0);
	fill(area, PAGES / 2, TAG, 1);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), PAGES / 2 * PAGE);
	fill(area, PAGES, TAG, 1);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), PAGES * PAGE);
	mem_drop(area, PAGES / 4 * PAGE);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), PAGES * 3 / 4 * PAGE);
	mem_shrink(area, PAGES * PAGE);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), 0);
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 2);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), PAGES * PAGE);
	want_whole(area, PAGES, TAG, 2);
}

TEST(rss_process, "line 8: the process's VmRSS rises and falls with it")
{
	size_t pages = 2048;
	char *area = mem_map(pages * PAGE);
	size_t before = process_status(getpid(), "VmRSS");
	size_t full;

	fill(area, pages, TAG, 1);
	full = process_status(getpid(), "VmRSS");
	want_ge(full, before + pages * PAGE * 9 / 10);
	mem_drop(area, pages * PAGE);
	want_le(process_status(getpid(), "VmRSS"), before + pages * PAGE / 10);
	mem_unmap(area, pages * PAGE);
	want_le(process_status(getpid(), "VmRSS"), before + pages * PAGE / 10);
}
