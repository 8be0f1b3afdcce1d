// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations with other processes: children that must see nothing of their
 * parent, that end at any point, that become another program, that get a
 * descriptor, that are traced, and that reach into their parent.
 */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/droppable.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/memory.h"
#include "../support/process.h"
#include "../support/tap.h"
#include "area.h"
#include "hold.h"
#include "op.h"
#include "pressure.h"
#include "report.h"
#include "touch.h"
#include "transfer.h"

/*
 * A child with a memory of its own of what it may read, which is nothing at
 * first.  -1: there is no place for one, or no memory.
 */
static pid_t fork_child(struct process **place)
{
	pid_t child;

	*place = model_take();
	if (!*place)
		return -1;
	area_lock_all();
	model_inherit(*place);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		hold_forget();
		process = *place;
		self.depth++;
		self.id = 0;
		self.threads = 1;
		self.alone = true;
		return 0;
	}
	area_unlock_all();
	if (child < 0)
		model_give(*place);
	else
		report->children++;
	return child;
}

static void join_child(pid_t child, struct process *place, int killed)
{
	int status = wait_status(child);

	model_give(place);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILED)
		_exit(EXIT_FAILED);
	if (WIFSIGNALED(status) && WTERMSIG(status) == killed)
		return;
	if (WIFSIGNALED(status))
		fail("got a child dead of signal %d, want it to live",
		     WTERMSIG(status));
	want_eq(WEXITSTATUS(status), 0);
}

static void run_ops(uint64_t state, unsigned int count)
{
	unsigned int without = OP_PRESSURE;

	if (self.depth > 1 || self.threads > 1)
		without |= OP_FORKS;
	while (count-- && !report->stop) {
		struct op op = op_random(&state, 0, without);

		op_run(&op);
	}
}

bool op_fork(const struct op *op)
{
	struct process *place;
	pid_t child = fork_child(&place);

	if (child < 0)
		return false;
	if (!child) {
		for (unsigned int i = 0; i < op->count; i++)
			touch_load(op->area, op->page + i);
		run_ops(op->value | 1ULL << 40, op->value % 24);
		_exit(0);
	}
	join_child(child, place, 0);
	return true;
}

/* ---- killed at any point ---- */

struct victim {
	unsigned int id;
	uint32_t value;
};

static void *victim_body(void *argument)
{
	struct victim *victim = argument;

	self.depth = 1;
	self.id = victim->id;
	self.threads = 2;
	self.alone = false;
	run_ops(victim->value | 1ULL << 40 | (uint64_t)victim->id << 41,
		100000);
	return NULL;
}

static void run_victim(const struct op *op)
{
	struct victim one = { 0, op->value }, two = { 1, op->value };
	pthread_t thread;

	/* A second thread, if there is memory for one. */
	area_thread(&thread, victim_body, &two);
	victim_body(&one);
	pause();
}

bool op_kill(const struct op *op)
{
	struct process *place;
	pid_t child = fork_child(&place);

	if (child < 0)
		return false;
	if (!child) {
		run_victim(op);
		_exit(0);
	}
	usleep(op->value % 40000);
	kill(child, SIGKILL);
	join_child(child, place, SIGKILL);
	return true;
}

/* ---- another program ---- */

#define WORDS_OF(map) ((volatile uint64_t *)(map))

static void use_map(int file)
{
	volatile uint64_t *map = WORDS_OF(mmap(NULL, 8 * PAGE,
					       PROT_READ | PROT_WRITE,
					       MAP_SHARED, file, 0));
	uint64_t value = (uint64_t)getpid() << 32 | 1;

	if (map == MAP_FAILED) {
		want_eq(errno, ENOMEM);
		return;
	}
	for (unsigned int i = 0; i < 8 * PAGE_WORDS; i++)
		want_eq(map[i], 0);
	for (unsigned int i = 0; i < 8 * PAGE_WORDS; i++)
		map[i] = value + i;
	for (unsigned int i = 0; i < 8 * PAGE_WORDS; i++) {
		uint64_t got = map[i];

		if (got && got != value + i)
			fail("got %016llx in a map of this process's own",
			     (unsigned long long)got);
	}
	want_ok(munmap((void *)map, 8 * PAGE));
}

void child_executed(int file)
{
	use_map(file);
	_exit(0);
}

bool op_exec(const struct op *op)
{
	struct process *place;
	pid_t child = fork_child(&place);
	int status;

	if (child < 0)
		return false;
	if (!child) {
		int file = area_file(op->value & 1);
		char number[16];

		for (unsigned int i = 0; i < op->count; i++)
			touch_store(op->area, op->page + i, 0, CELLS);
		snprintf(number, sizeof(number), "%d", file);
		fcntl(file, F_SETFD, 0);
		execl("/proc/self/exe", "fuzz", "--executed", number, NULL);
		_exit(0);
	}
	status = wait_status(child);
	model_give(place);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail("got status %#x from an executed program, want 0", status);
	return true;
}

/* ---- a descriptor over a socket ---- */

struct message {
	struct msghdr header;
	struct iovec range;
	char byte;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
};

static void prepare(struct message *message)
{
	memset(message, 0, sizeof(*message));
	message->range.iov_base = &message->byte;
	message->range.iov_len = 1;
	message->header.msg_iov = &message->range;
	message->header.msg_iovlen = 1;
	message->header.msg_control = message->control.space;
	message->header.msg_controllen = sizeof(message->control.space);
}

static void send_file(int socket, int file)
{
	struct message message;
	struct cmsghdr *part;

	prepare(&message);
	part = CMSG_FIRSTHDR(&message.header);
	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(part), &file, sizeof(file));
	want_eq(sendmsg(socket, &message.header, 0), 1);
}

static int receive_file(int socket)
{
	struct message message;
	struct cmsghdr *part;
	int file;

	prepare(&message);
	if (recvmsg(socket, &message.header, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	part = CMSG_FIRSTHDR(&message.header);
	if (!part || part->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&file, CMSG_DATA(part), sizeof(file));
	return file;
}

static void send_opened(int socket)
{
	int file = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);

	if (file < 0)
		_exit(0);	/* no memory: the parent sees the end */
	use_map(file);
	send_file(socket, file);
	use_map(file);
	_exit(0);
}

bool op_pass(const struct op *op)
{
	struct process *place;
	int sockets[2], file;
	pid_t child;

	(void)op;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return false;
	child = fork_child(&place);
	if (!child)
		send_opened(sockets[1]);
	close(sockets[1]);
	file = child < 0 ? -1 : receive_file(sockets[0]);
	if (file >= 0) {
		use_map(file);
		close(file);
	}
	close(sockets[0]);
	if (child > 0)
		join_child(child, place, 0);
	return file >= 0;
}

/* ---- traced ---- */

/* The child's page reads zero, then what is poked into it, or zero again. */
static bool poke(pid_t child, volatile uint64_t *words, uint64_t value)
{
	long got;

	errno = 0;
	got = ptrace(PTRACE_PEEKDATA, child, words, NULL);
	if (errno)
		return false;
	want_eq(got, 0);
	if (ptrace(PTRACE_POKEDATA, child, words, (void *)value))
		return false;
	errno = 0;
	got = ptrace(PTRACE_PEEKDATA, child, words, NULL);
	if (!errno && got && (uint64_t)got != value)
		fail("got %lx from a child's page, want zero or what was poked",
		     got);
	return true;
}

static void traced_body(struct access *access, uint64_t value)
{
	uint64_t got = 0;
	int signal;

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	signal = GUARDED(got = *access->words);
	if (!signal && got && got != value)
		fail("got %016llx in a page that was poked into",
		     (unsigned long long)got);
	_exit(0);
}

bool op_ptrace(const struct op *op)
{
	uint64_t value = 0x7700000000000000 | op->value;
	struct process *place;
	struct access access;
	bool done = false;
	pid_t child;
	int status;

	access_begin(&access, op->area, op->page);
	if (!access.words)
		return false;
	child = fork_child(&place);
	if (child < 0)
		return false;
	if (!child)
		traced_body(&access, value);
	want_eq(waitpid(child, &status, 0), child);
	if (WIFSTOPPED(status)) {
		done = poke(child, access.words, value);
		ptrace(PTRACE_DETACH, child, NULL, NULL);
	}
	join_child(child, place, 0);
	return done;
}

/* ---- no memory at all ---- */

/*
 * Only what needs no memory but the area's: all else of the process is resident
 * by then, page tables included, since nothing else forgives a lack of it.
 */
static const char *const frugal[] = { "fill", "patch", "load", "discard",
				      "drop", "dropfile", "mincore" };

static bool is_frugal(const struct op *op)
{
	for (size_t i = 0; i < sizeof(frugal) / sizeof(frugal[0]); i++) {
		if (!strcmp(kinds[op->kind].name, frugal[i]))
			return true;
	}
	return false;
}

static void starved_body(const struct op *op)
{
	struct op all = { .area = op->area, .count = AREA_PAGES };
	uint64_t state = op->value | 1ULL << 40;

	op_map(&all);
	for (unsigned int i = 0; i < AREA_PAGES; i++)
		touch_store(op->area, i, 0, 1);
	if (mlockall(MCL_CURRENT) || !pressure_enter_starved())
		_exit(0);
	for (unsigned int left = 20 + op->value % 40; left;) {
		struct op next = op_random(&state, 0, OP_FORKS | OP_PRESSURE);

		if (!is_frugal(&next))
			continue;
		next.area = op->area;
		op_run(&next);
		left--;
	}
	_exit(0);
}

bool op_starve(const struct op *op)
{
	struct process *place;
	bool entered;
	pid_t child;

	if (!pressure_starve())
		return false;
	child = fork_child(&place);
	if (!child)
		starved_body(op);
	entered = child > 0 && wait_for(pressure_somebody_starves() ||
					!alive(child), 20);
	if (entered)
		usleep(10000 + op->value % 100000);
	pressure_feed();
	if (child > 0)
		join_child(child, place, 0);
	return entered;
}

/* ---- reaching into the parent ---- */

bool op_peek(const struct op *op)
{
	struct process *place, *parent = process;
	struct self owner = self;
	pid_t pid = getpid();
	pid_t child = fork_child(&place);

	if (child < 0)
		return false;
	if (!child) {
		self.id = owner.id;
		self.threads = owner.threads;
		transfer_from_child(pid, op, parent);
		_exit(0);
	}
	join_child(child, place, 0);
	return true;
}
