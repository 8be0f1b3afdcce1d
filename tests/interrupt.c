// SPDX-License-Identifier: GPL-2.0-only
/*
 * A signal to who waits for memory, in a store or in a system call that accesses
 * the mapping.
 * Contract lines 25 and 26.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/starved.h"
#include "support/tap.h"

#define TAG 0x1247

/* As compare prints it; glibc has it since 2.32 only. */
static const char *signal_name(int number)
{
	return number == SIGKILL ? "SIGKILL" : "SIGTERM";
}

/* Native has the OOM killer end who waits: then there is nothing to measure. */
static void say_if_killed(pid_t child, const char *what)
{
	if (native && wait_for(!alive(child), 5))
		note("%s: killed", what);
}

/* Before a signal: not about to look by itself within AT_ONCE. */
#define WAITING 0.2

static void want_dies(int number)
{
	pid_t child = start_waiter(NULL);
	double began;
	char what[80];

	snprintf(what, sizeof(what),
		 "measured: line 25: ms until %s ends a waiting store",
		 signal_name(number));
	say_if_killed(child, what);
	want_waiting(child, WAITING);
	began = now();
	want_ok(kill(child, number));
	want(wait_for(!alive(child), 10));
	note("%s: %.0f", what, 1000 * (now() - began));
	want_le(1000 * (now() - began), AT_ONCE);
	join_signal(child, number);
	want_nobody_killed();
}

TEST(sigterm, "line 25: SIGTERM ends a waiting store at once")
{
	want_dies(SIGTERM);
}

TEST(sigkill, "line 25: SIGKILL ends a waiting store at once")
{
	want_dies(SIGKILL);
}

TEST(handled, "line 25: a handled signal is handled at once, and the store waits on")
{
	pid_t child = start_waiter(NULL);

	want_waiting(child, WAITING);
	for (int i = 1; i <= 10; i++) {
		double began = now();

		want_ok(kill(child, SIGUSR1));
		want(wait_for(shared->handled >= i || !alive(child), 10));
		want_eq(shared->handled, i);
		want_le(1000 * (now() - began), AT_ONCE);
		want(!shared->done);
	}
	want_nobody_killed();
	starved_feed();
	want(wait_for(shared->done, 10));
	join(child);
}

enum call { READ_PIPE, READ_FILE, RECVMSG, WRITE_PIPE };

static const char *const call_names[] = {
	"read(2) from a pipe", "read(2) from a file", "recvmsg(2)",
	"write(2) to a pipe",
};

#define MOVED (2 * PAGE)

/* A pipe allocates ahead, charged, for any write of more than a page. */
static size_t moved(enum call call)
{
	return call == WRITE_PIPE ? PAGE : MOVED;
}

static int call_fd[2];

/* With the data to be had, and nothing more to be allocated. */
static void prepare_call(enum call call)
{
	static char data[MOVED];

	fill(data, MOVED / PAGE, TAG, 5);
	switch (call) {
	case READ_FILE:
		call_fd[0] = open("/tmp", O_TMPFILE | O_RDWR, 0600);
		want_ok(call_fd[0]);
		want_eq(pwrite(call_fd[0], data, MOVED, 0), MOVED);
		break;
	case RECVMSG:
		want_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, call_fd));
		want_eq(write(call_fd[1], data, MOVED), MOVED);
		break;
	case READ_PIPE:
	case WRITE_PIPE:
		want_ok(pipe(call_fd));
		want_eq(write(call_fd[1], data, MOVED), MOVED);
		if (call == WRITE_PIPE)
			want_eq(read(call_fd[0], data, MOVED), MOVED);
		break;
	}
}

static ssize_t do_call(enum call call, char *area)
{
	struct iovec range = { area, MOVED };
	struct msghdr message = { .msg_iov = &range, .msg_iovlen = 1 };

	switch (call) {
	case RECVMSG:
		return recvmsg(call_fd[0], &message, 0);
	case WRITE_PIPE:
		return write(call_fd[1], area, moved(call));
	default:
		return read(call_fd[0], area, MOVED);
	}
}

/* A process whose system call finds no memory at all. */
static pid_t start_calling(enum call call)
{
	pid_t child;

	shared->started = 0;
	shared->done = 0;
	shared->handled = 0;
	child = spawn();
	if (!child) {
		char *area;

		count_signals();
		prepare_call(call);
		settle();
		area = empty_area(STARVED_PAGES * PAGE);
		cgroup_enter(&starved.group);
		shared->started = 1;
		shared->result = do_call(call, area);
		shared->error = errno;
		shared->done = 1;
		if (shared->result == (long)moved(call))
			want_eq(tally(area, MOVED / PAGE, TAG, 5).bad, 0);
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	want(shared->started);
	pause_seconds(WAITING / 2);
	return child;
}

static const char *time_to_end(enum call call, int number)
{
	static char what[96];

	snprintf(what, sizeof(what),
		 "measured: line 26: ms until %s ends a %s",
		 signal_name(number), call_names[call]);
	return what;
}

/* The signal, sent when that was, is one that kills. */
static void want_ended(pid_t child, enum call call, int number, double began)
{
	bool dead = wait_for(!alive(child), 10);
	char took[16] = "never";

	if (dead)
		snprintf(took, sizeof(took), "%.0f", 1000 * (now() - began));
	note("%s: %s", time_to_end(call, number), took);
	want(dead);
}

static void want_interruptible(enum call call)
{
	int signals[] = { SIGKILL, SIGTERM, SIGUSR1 };
	double began;
	pid_t child;

	starved_fill(0);
	for (int i = 0; i < 3; i++) {
		child = start_calling(call);
		say_if_killed(child, time_to_end(call, signals[i]));
		want_waiting(child, WAITING / 2);
		began = now();
		want_ok(kill(child, signals[i]));
		if (signals[i] != SIGUSR1) {
			want_ended(child, call, signals[i], began);
		} else {
			want(wait_for(shared->handled && shared->done, 10));
			note("%s: handled after %.0f ms, the call gave %ld, %s",
			     strsignal(signals[i]), 1000 * (now() - began),
			     shared->result,
			     shared->result < 0 ? tap_errno(shared->error) :
						  "a short count");
			want_le(shared->result, (long)moved(call) - 1);
			if (shared->result < 0)
				want(shared->error == EFAULT ||
				     shared->error == EINTR);
		}
		want_le(1000 * (now() - began), AT_ONCE);
		if (signals[i] == SIGUSR1)
			join(child);
		else
			join_signal(child, signals[i]);
		want_nobody_killed();
	}
	child = start_calling(call);
	want_waiting(child, WAITING / 2);
	starved_feed();
	want(wait_for(shared->done, 10));
	want_eq(shared->result, moved(call));
	join(child);
	want_nobody_killed();
}

TEST(read_pipe, "line 26: read(2) from a pipe with no memory to be had: signals work at once, at worst a short count or EFAULT; goes on when there is memory")
{
	want_interruptible(READ_PIPE);
}

TEST(from_a_file, "line 26: likewise read(2) from a file")
{
	want_interruptible(READ_FILE);
}

TEST(recvmsg_socket, "line 26: likewise recvmsg(2)")
{
	want_interruptible(RECVMSG);
}

TEST(write_pipe, "line 26: likewise write(2) of absent pages to a pipe")
{
	want_interruptible(WRITE_PIPE);
}
