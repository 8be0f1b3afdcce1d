// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel and other processes read and write it like any memory.
 * Contract line 34.
 */
// vm: --mem 256 --swap 16 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 16UL
#define LENGTH (PAGES * PAGE)
#define TAG 0x1057

static int temporary_file(void)
{
	char path[] = "/tmp/droppable-io.XXXXXX";
	int fd = mkstemp(path);

	want_ok(fd);
	unlink(path);
	return fd;
}

TEST(read_write, "line 34: write(2) from it and read(2) into it, touched, untouched and dropped")
{
	char *area = mem_map(LENGTH);
	char *into = mem_map(LENGTH);
	int fd = temporary_file();

	fill(area, PAGES, TAG, 1);
	want_eq(write(fd, area, LENGTH), LENGTH);
	/* Untouched. */
	want_eq(pread(fd, into, LENGTH, 0), LENGTH);
	want_whole(into, PAGES, TAG, 1);
	/* Dropped. */
	mem_drop(into, LENGTH);
	want_eq(pread(fd, into, LENGTH, 0), LENGTH);
	want_whole(into, PAGES, TAG, 1);
	/* Touched, and not aligned. */
	want_eq(pread(fd, into + 100, 5000, 100), 5000);
	want_whole(into, PAGES, TAG, 1);
	/* From what was never touched and from what was dropped: zeros. */
	mem_drop(area, LENGTH);
	want_eq(pwrite(fd, area, LENGTH, 0), LENGTH);
	want_eq(pwrite(fd, mem_map(LENGTH), LENGTH, LENGTH), LENGTH);
	want_eq(pread(fd, into, LENGTH, 0), LENGTH);
	want_zero(into, LENGTH);
	want_eq(pread(fd, into, LENGTH, LENGTH), LENGTH);
	want_zero(into, LENGTH);
}

TEST(sockets, "line 34: send and recvmsg")
{
	char *area = mem_map(LENGTH);
	char *into = mem_map(LENGTH);
	int sockets[2];

	want_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	fill(area, PAGES, TAG, 1);
	for (size_t i = 0; i < PAGES; i++) {
		struct iovec range = { into + i * PAGE, PAGE };
		struct msghdr message = { .msg_iov = &range, .msg_iovlen = 1 };

		want_eq(send(sockets[0], area + i * PAGE, PAGE, 0), PAGE);
		want_eq(recvmsg(sockets[1], &message, MSG_WAITALL), PAGE);
	}
	want_whole(into, PAGES, TAG, 1);
}

TEST(direct, "line 34: O_DIRECT to and from a block device")
{
	const char *device = getenv("SWAPDEV");
	char *area, *into;
	int fd;

	if (!device)
		skip("SWAPDEV is not set: no block device to write to");
	want(!swapoff(device) || errno == EINVAL);
	fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	want_ok(fd);
	area = mem_map(LENGTH);
	into = mem_map(LENGTH);
	fill(area, PAGES, TAG, 1);
	want_eq(pwrite(fd, area, LENGTH, MIB), LENGTH);
	want_eq(pread(fd, into, LENGTH, MIB), LENGTH);
	want_whole(into, PAGES, TAG, 1);
	mem_drop(into, LENGTH);
	want_zero(into, LENGTH);
	want_eq(pread(fd, into, LENGTH, MIB), LENGTH);
	want_whole(into, PAGES, TAG, 1);
	mem_drop(area, LENGTH);
	want_eq(pwrite(fd, area, LENGTH, MIB), LENGTH);
	want_eq(pread(fd, into, LENGTH, MIB), LENGTH);
	want_zero(into, LENGTH);
}

TEST(splice_out, "line 34: vmsplice into a pipe, and from a pipe into it")
{
	char *area = mem_map(LENGTH);
	char *into = mem_map(LENGTH);
	struct iovec out = { area, LENGTH }, in = { into, LENGTH };
	int pipes[2];

	want_ok(pipe(pipes));
	fill(area, PAGES, TAG, 1);
	want_eq(vmsplice(pipes[1], &out, 1, 0), LENGTH);
	want_eq(vmsplice(pipes[0], &in, 1, 0), LENGTH);
	want_whole(into, PAGES, TAG, 1);
	/* Untouched memory into the pipe: zeros out of it. */
	out.iov_base = mem_map(LENGTH);
	want_eq(vmsplice(pipes[1], &out, 1, 0), LENGTH);
	want_eq(read(pipes[0], into, LENGTH), LENGTH);
	want_zero(into, LENGTH);
}

/* A child with an area of its own, which it checks when told. */
struct other {
	pid_t pid;
	char *area;
	volatile int *turn;
};

static struct other start_other(void)
{
	struct other other = {
		.area = mem_map(LENGTH),
		.turn = shared_map(PAGE),
	};

	other.pid = spawn();
	if (!other.pid) {
		/* The same address; its own pages. */
		fill(other.area, PAGES / 2, TAG, 1);
		*other.turn = 1;
		want(wait_for(*other.turn == 2, 60));
		want_whole(other.area, PAGES, TAG, 2);
		mem_drop(other.area, LENGTH);
		*other.turn = 3;
		want(wait_for(*other.turn == 4, 60));
		_exit(0);
	}
	want(wait_for(*other.turn == 1, 60));
	return other;
}

static void go_on(struct other *other)
{
	*other->turn = 2;
	want(wait_for(*other->turn == 3 || !alive(other->pid), 60));
	want_eq(*other->turn, 3);
}

static void finish(struct other *other)
{
	*other->turn = 4;
	join(other->pid);
}

TEST(process_vm, "line 34: process_vm_readv and process_vm_writev")
{
	struct other other = start_other();
	char *copy = anon_map(LENGTH);
	struct iovec local = { copy, LENGTH }, remote = { other.area, LENGTH };

	want_eq(process_vm_readv(other.pid, &local, 1, &remote, 1, 0), LENGTH);
	want_whole(copy, PAGES / 2, TAG, 1);
	want_zero(copy + LENGTH / 2, LENGTH / 2);
	fill(copy, PAGES, TAG, 2);
	want_eq(process_vm_writev(other.pid, &local, 1, &remote, 1, 0), LENGTH);
	go_on(&other);
	want_eq(process_vm_readv(other.pid, &local, 1, &remote, 1, 0), LENGTH);
	want_zero(copy, LENGTH);
	finish(&other);
	/* This side of the fork saw none of it. */
	want_zero(other.area, LENGTH);
}

TEST(proc_mem, "line 34: /proc/PID/mem")
{
	struct other other = start_other();
	off_t place = (off_t)(uintptr_t)other.area;
	char *copy = anon_map(LENGTH);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", other.pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	want_ok(fd);
	want_eq(pread(fd, copy, LENGTH, place), LENGTH);
	want_whole(copy, PAGES / 2, TAG, 1);
	want_zero(copy + LENGTH / 2, LENGTH / 2);
	fill(copy, PAGES, TAG, 2);
	want_eq(pwrite(fd, copy, LENGTH, place), LENGTH);
	go_on(&other);
	want_eq(pread(fd, copy, LENGTH, place), LENGTH);
	want_zero(copy, LENGTH);
	finish(&other);
}

TEST(ptrace_words, "line 34: ptrace PEEKDATA and POKEDATA")
{
	struct other other = start_other();
	long *first = (long *)other.area;
	long *last = (long *)(other.area + LENGTH / 2);

	want_ok(ptrace(PTRACE_ATTACH, other.pid, NULL, NULL));
	want_eq(waitpid(other.pid, NULL, __WALL), other.pid);
	errno = 0;
	want_eq(ptrace(PTRACE_PEEKDATA, other.pid, first, NULL),
		word_of(TAG, 1, 0, 0));
	want_eq(ptrace(PTRACE_PEEKDATA, other.pid, last, NULL), 0);
	for (size_t i = 0; i < PAGES; i++) {
		for (unsigned int j = 0; j < 512; j++)
			want_ok(ptrace(PTRACE_POKEDATA, other.pid,
				       first + i * 512 + j,
				       word_of(TAG, 2, i, j)));
	}
	want_ok(ptrace(PTRACE_DETACH, other.pid, NULL, NULL));
	go_on(&other);
	finish(&other);
}

static volatile int *futex_word;
static volatile int futex_woken;

static long futex(volatile int *word, int operation, int value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void *futex_thread(void *unused)
{
	(void)unused;
	while (*futex_word == 1)
		futex(futex_word, FUTEX_WAIT_PRIVATE, 1);
	futex_woken = 1;
	return NULL;
}

TEST(futexes, "line 34: private futexes wait and wake, across a drop too")
{
	char *area = mem_map(LENGTH);
	pthread_t thread;

	futex_word = (void *)(area + 3 * PAGE + 64);
	want_errno(futex(futex_word, FUTEX_WAIT_PRIVATE, 1), EAGAIN);
	*futex_word = 1;
	want_eq(pthread_create(&thread, NULL, futex_thread, NULL), 0);
	pause_seconds(0.2);
	want(!futex_woken);
	/* The word becomes 0, the waiter stays found by its address. */
	mem_drop(area, LENGTH);
	want_eq(*futex_word, 0);
	want(wait_for(futex(futex_word, FUTEX_WAKE_PRIVATE, 1) == 1 ||
		      futex_woken, 10));
	want_eq(pthread_join(thread, NULL), 0);
	want(futex_woken);
}

TEST(mutexes, "line 34: a pthread mutex in it works while nothing is dropped")
{
	pthread_mutex_t *mutex = mem_map(PAGE);

	want_eq(pthread_mutex_init(mutex, NULL), 0);
	want_eq(pthread_mutex_lock(mutex), 0);
	want_eq(pthread_mutex_trylock(mutex), EBUSY);
	want_eq(pthread_mutex_unlock(mutex), 0);
}

TEST(shared_futex, "line 34: a shared futex works or fails, and does no harm")
{
	char *area = mem_map(PAGE);
	long woken = futex((void *)area, FUTEX_WAKE, 1);

	note("FUTEX_WAKE: %ld %s", woken, woken < 0 ? tap_errno(errno) : "");
	want_le(woken, 0);
	want_zero(area, PAGE);
}
