// SPDX-License-Identifier: GPL-2.0-only
/*
 * A store when no memory is to be had: it recycles the mapping's own pages or
 * waits, and kills nobody.
 * Contract lines 24 to 27.
 *
 * The cgroup of these tests is full of anonymous memory that can't be swapped,
 * of a process that can't be killed; a victim that can be killed sits in it,
 * to be found dead when anybody asks the OOM killer.  The storing process
 * locks and touches all it needs before it enters the group, so that nothing
 * but droppable memory is charged there.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <linux/droppable.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"
#include "support/tracing.h"

#define PAGES 16UL
#define TAG 0x57a4
#define KEPT (8 * MIB)

/*
 * "At once", in milliseconds: well below the second after which a waiter looks
 * by itself, and far above what an emulated machine needs.  In a slow guest the
 * time proves nothing, the rest of the point does.
 */
#define AT_ONCE (500 * tap_slowness())

static struct cgroup group;
static pid_t keeper, victim;
static size_t kills;

static volatile struct {
	int inside;
	int started;
	int stores;
	int done;
	int handled;
	int changes;
	double slowest;		/* change of the address space, in ms */
	double freed;		/* when */
	double stored;		/* when the first store went through */
	int go;
	long result;
	int error;
	size_t had;		/* pages */
} *shared;

static void touch_stack(void)
{
	volatile char room[64 * KIB];

	for (size_t i = 0; i < sizeof(room); i += PAGE)
		room[i] = 1;
}

/* Before droppable memory is mapped: this makes all of it resident. */
static void settle(void)
{
	touch_stack();
	want_ok(mlockall(MCL_CURRENT));
}

static void start_keeper(void)
{
	shared = shared_map(PAGE);
	kills = vmstat("oom_kill");
	group = cgroup_new(CGROUP_MAX);
	keeper = cgroup_keeper(&group, KEPT);
}

static void start_victim(void)
{
	victim = spawn();
	if (!victim) {
		settle();
		write_file("/proc/self/oom_score_adj", "1000");
		cgroup_enter(&group);
		shared->inside = 1;
		for (;;)
			pause();
	}
	want(wait_for(shared->inside, 30));
}

/* The group is left with room bytes that a charge can still have. */
static void fill_group(size_t room)
{
	start_keeper();
	if (room)
		cgroup_set(&group, "memory.max",
			   cgroup_get(&group, "memory.current") + room);
	else
		cgroup_set(&group, "memory.max", KEPT / 2);
	start_victim();
}

/*
 * The same to the page.  A limit of nothing takes back what the batches of the
 * CPUs hold, a little later; nobody can be killed for it yet.
 */
static void set_exact_room(size_t room)
{
	size_t before;

	cgroup_set(&group, "memory.max", 0);
	do {
		before = cgroup_get(&group, "memory.current");
		pause_seconds(0.1);
	} while (cgroup_get(&group, "memory.current") != before);
	cgroup_set(&group, "memory.max",
		   cgroup_get(&group, "memory.current") + room);
}

static void end_group(void)
{
	kill(keeper, SIGKILL);
	kill(victim, SIGKILL);
	join_signal(keeper, SIGKILL);
	join_signal(victim, SIGKILL);
}

static void want_nobody_killed(void)
{
	want(alive(victim));
	want(alive(keeper));
	want_eq(cgroup_event(&group, "oom_kill"), 0);
	want_eq(vmstat("oom_kill"), kills);
}

static void give_memory(void)
{
	cgroup_set(&group, "memory.max", 4 * KEPT);
}

TEST(control, "line 24: control: an anonymous store in such a cgroup does kill the victim")
{
	pid_t child;

	fill_group(0);
	child = spawn();
	if (!child) {
		char *area = anon_map(2 * MIB);

		settle();
		munlockall();
		madvise(area, 2 * MIB, MADV_DONTNEED);
		cgroup_enter(&group);
		area[MIB] = 1;
		_exit(0);
	}
	join_signal(victim, SIGKILL);
	want_ge(cgroup_event(&group, "oom_kill"), 1);
}

/* With its page tables, and without one page. */
static char *empty_area(size_t length)
{
	char *area = mem_map(length);

	for (size_t at = 0; at < length; at += 2 * MIB)
		area[at] = 1;
	area[length - 1] = 1;
	want_ok(madvise(area, length, MADV_DONTNEED));
	mem_drop(area, length);
	want_eq(resident(area, length), 0);
	return area;
}

/* Of pages stored to in order, where there was room for a quarter of them. */
static void want_oldest_gone(char *area, size_t pages)
{
	size_t whole = 0, oldest = pages;

	for (size_t i = 0; i < pages; i++) {
		enum page_state state = page_state(area + i * PAGE, TAG, 1, i);

		want_ne(state, PAGE_BAD);
		if (state != PAGE_WHOLE)
			continue;
		whole++;
		if (oldest == pages)
			oldest = i;
	}
	note("%zu of %zu pages whole, the oldest is %zu", whole, pages, oldest);
	want_ge(oldest, pages / 2);
	for (size_t i = pages - pages / 32; i < pages; i++)
		want_eq(page_state(area + i * PAGE, TAG, 1, i), PAGE_WHOLE);
}

TEST(recycles, "line 24: stores of more than there is room for go on by recycling the oldest pages, nobody is killed")
{
	size_t size = 8 * MIB;
	pid_t child;

	fill_group(2 * MIB);
	child = spawn();
	if (!child) {
		char *area;

		settle();
		area = empty_area(size);
		cgroup_enter(&group);
		shared->started = 1;
		fill(area, size / PAGE, TAG, 1);
		shared->done = 1;
		/* Out of it, to look at leisure. */
		cgroup_enter_root();
		want_oldest_gone(area, size / PAGE);
		_exit(0);
	}
	join(child);
	want_nobody_killed();
}

/*
 * Of a mapping whose pages are another group's reclaim can't help, so these
 * stores find nothing but the mapping itself.  What goes is what is oldest.
 */
TEST(recycles_oldest, "line 24: a mapping's own oldest pages are reused before a store waits, and counted")
{
	const size_t old = 64, new = 32;
	pid_t child;

	need_device("counters");
	fill_group(0);
	child = spawn();
	if (!child) {
		unsigned char there[2 * old];
		size_t recycled;
		char *area;
		int fd;

		settle();
		fd = mem_open();
		area = mmap(NULL, 2 * old * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
		want_ok(area);
		fill(area, old, TAG, 1);
		/* All nodes of the index are there. */
		fill_page(area + (2 * old - 1) * PAGE, TAG, 1, 2 * old - 1);
		cgroup_enter(&group);
		shared->started = 1;
		for (size_t i = old; i < old + new; i++)
			fill_page(area + i * PAGE, TAG, 1, i);
		want_ok(mincore(area, 2 * old * PAGE, there));
		shared->done = 1;
		/* What is opened is charged. */
		while (!shared->go)
			pause_seconds(0.005);
		recycled = file_counter(fd, "recycled");
		note("%zu of %zu stores recycled a page", recycled, new);
		want_eq(file_counter(fd, "waits"), 0);
		/* A charge may have been left over. */
		want_ge(recycled, new - 4);
		for (size_t i = 0; i < 2 * old; i++)
			want_eq(there[i] & 1,
				(i >= recycled && i < old + new) ||
					i == 2 * old - 1);
		want_eq(tally(area, 2 * old, TAG, 1).bad, 0);
		_exit(0);
	}
	want(wait_for(shared->done || !alive(child), 30));
	want_nobody_killed();
	give_memory();
	shared->go = 1;
	join(child);
}

static void changed(double began)
{
	double took = 1000 * (now() - began);

	if (took > shared->slowest)
		shared->slowest = took;
	shared->changes++;
	pause_seconds(0.01);
}

/* Where the other thread waits, once it does. */
static char *volatile waited_for;

/*
 * Takes mmap_lock for writing, and the lock of the very VMA that is waited in,
 * without anything to be charged.
 */
static void *protect_thread(void *other)
{
	for (;;) {
		double began = now();

		mprotect(other, PAGE, PROT_READ);
		mprotect(other, PAGE, PROT_READ | PROT_WRITE);
		if (waited_for) {
			want_ok(madvise(waited_for, PAGES * PAGE, MADV_RANDOM));
			want_ok(madvise(waited_for, PAGES * PAGE, MADV_NORMAL));
		}
		changed(began);
	}
	return NULL;
}

static void handle(int number)
{
	(void)number;
	shared->handled++;
}

/* A process whose store finds no memory at all, in a group filled before. */
static pid_t start_storing(bool with_thread)
{
	pid_t child = spawn();

	if (!child) {
		struct sigaction action = { .sa_handler = handle };
		char *area, *other;
		pthread_t thread;

		want_ok(sigaction(SIGUSR1, &action, NULL));
		other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (with_thread)
			want_eq(pthread_create(&thread, NULL, protect_thread,
					       other), 0);
		settle();
		area = empty_area(PAGES * PAGE);
		cgroup_enter(&group);
		waited_for = area;
		shared->started = 1;
		for (size_t i = 0; i < PAGES; i++) {
			area[i * PAGE + i] = 'a';
			if (!shared->stores++)
				shared->stored = now();
		}
		shared->done = 1;
		for (size_t i = 0; i < PAGES; i++) {
			if (area[i * PAGE + i] != 'a' && area[i * PAGE + i])
				_exit(3);
		}
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	want(shared->started);
	return child;
}

static pid_t start_waiter(bool with_thread)
{
	fill_group(0);
	return start_storing(with_thread);
}

/*
 * Until it waits: for that long not a single store more.  (Charges may be left
 * over in the batches of the CPUs; with a page of its own the process could go
 * on for ever by recycling it.)
 */
static void want_waiting(pid_t child, double seconds)
{
	double end = now() + seconds;

	while (now() < end) {
		want(alive(child));
		want(!shared->done);
		pause_seconds(0.02);
	}
}

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

/* What that costs, tests/idle.c counts. */
TEST(waits, "line 24: a store with no memory to be had waits: no signal, nobody killed, and goes on when there is memory")
{
	pid_t child = start_waiter(false);

	want_waiting(child, 5);
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
	want_nobody_killed();
}

TEST(waits_unlocked, "line 24: while a store waits, another thread can take mmap_lock for writing, and the lock of that VMA")
{
	pid_t child = start_waiter(true);
	char line[64];
	char path[64];
	int before;

	want_waiting(child, 0.5);
	before = shared->changes;
	shared->slowest = 0;
	want_waiting(child, 2);
	want(wait_for(shared->changes > before + 10, 20));
	note("%d changes of two VMAs, the slowest in %.1f ms",
	     shared->changes - before, shared->slowest);
	want_le(shared->slowest, AT_ONCE);
	want(!shared->done);
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	want(try_read_file(path, line, sizeof(line)));
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	/* The thread is still there: the process ends by exit_group. */
	join(child);
}

/* Shares its maker's memory; in the group, it alone. */
static int store_in_group(void *area)
{
	cgroup_enter(&group);
	shared->started = 1;
	*(volatile char *)area = 'a';
	shared->done = 1;
	_exit(0);
}

TEST(maps_meanwhile, "line 24: while a store waits, the address space can be changed and faulted in from a task that has memory")
{
	pid_t child;

	fill_group(0);
	child = spawn();
	if (!child) {
		char *stack = anon_map(64 * KIB);
		pid_t waiter;
		char *area;

		settle();
		area = empty_area(PAGES * PAGE);
		waiter = clone(store_in_group, stack + 64 * KIB,
			       CLONE_VM | CLONE_FILES | SIGCHLD, area);
		want_ok(waiter);
		while (!shared->done) {
			double began = now();
			char *other = anon_map(MIB);

			memset(other, 1, 8 * PAGE);
			want_ok(munmap(other, MIB));
			other = mem_map(PAGES * PAGE);
			fill(other, PAGES, TAG, 1);
			want_whole(other, PAGES, TAG, 1);
			mem_unmap(other, PAGES * PAGE);
			changed(began);
		}
		join(waiter);
		want(*area == 'a' || !*area);
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	want_waiting(child, 0.5);
	shared->slowest = 0;
	shared->changes = 0;
	want_waiting(child, 2);
	note("%d times mapped, filled and unmapped, the slowest in %.1f ms",
	     shared->changes, shared->slowest);
	want_ge(shared->changes * (int)tap_slowness(), 10);
	want_le(shared->slowest, AT_ONCE);
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
}

/* ---- woken when memory returns ---- */

#define ROUNDS 4
#define OURS 256UL

/* Whom a task is woken by tells the tracepoint of the scheduler. */
static void trace_wakings(pid_t woken)
{
	char filter[32];

	snprintf(filter, sizeof(filter), "pid == %d", woken);
	write_file(TRACING "/trace", "");
	write_file(TRACING "/events/sched/sched_waking/filter", filter);
	write_file(TRACING "/events/sched/sched_waking/enable", "1");
}

/*
 * Whether that task has woken it, by itself: an interrupt that only happens to
 * come there, as the waiter's own timer, has a letter in its third flag.
 */
static bool woken_by(pid_t waker)
{
	static char text[256 * KIB];
	bool found = false;

	write_file(TRACING "/events/sched/sched_waking/enable", "0");
	want(try_read_file(TRACING "/trace", text, sizeof(text)));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char flags[16];
		int task;

		if (sscanf(line, " %*15[^-]-%d [%*d] %15s", &task, flags) == 2 &&
		    task == waker && flags[2] == '.')
			found = true;
	}
	return found;
}

/* Droppable memory that can't be dropped until it says so. */
static pid_t start_holder(void)
{
	pid_t child = spawn();

	if (!child) {
		struct iovec range = { .iov_len = OURS * PAGE };
		char *area;
		int fds[2];

		want_ok(pipe(fds));
		want_ge(fcntl(fds[1], F_SETPIPE_SZ, OURS * PAGE), OURS * PAGE);
		settle();
		area = empty_area(OURS * PAGE);
		range.iov_base = area;
		write_file("/proc/self/oom_score_adj", "-1000");
		cgroup_enter(&group);
		fill(area, OURS, TAG, 1);
		want_eq(vmsplice(fds[1], &range, 1, SPLICE_F_NONBLOCK),
			OURS * PAGE);
		shared->started = 1;
		while (!shared->go)
			pause_seconds(0.002);
		close(fds[0]);
		close(fds[1]);
		shared->freed = now();
		mem_unmap(area, OURS * PAGE);
		_exit(0);
	}
	want(wait_for(shared->started || !alive(child), 30));
	shared->started = 0;
	return child;
}

struct waking {
	double took;		/* from memory's return to the store, in ms */
	bool direct;		/* whoever freed the memory woke it */
};

static struct waking wake_once(bool ours, double wait)
{
	struct waking waking = { .direct = false };
	pid_t holder = 0, child;

	start_keeper();
	if (ours)
		holder = start_holder();
	set_exact_room(0);
	start_victim();
	child = start_storing(false);
	want_waiting(child, wait);
	if (ours) {
		trace_wakings(child);
		shared->go = 1;
	} else {
		shared->freed = now();
		give_memory();
	}
	want(wait_for(shared->done, 10));
	if (ours)
		waking.direct = woken_by(holder);
	join(child);
	if (ours)
		join(holder);
	want_nobody_killed();
	end_group();
	waking.took = 1000 * (shared->stored - shared->freed);
	return waking;
}

/* Returns how often it was whoever freed the memory who woke it. */
static int want_woken(bool ours, const char *by)
{
	double slowest = 0;
	int direct = 0;

	/* At different times after the waiter last looked by itself. */
	for (int i = 0; i < ROUNDS; i++) {
		struct waking waking = wake_once(ours, 0.5 + 0.23 * i);

		note("went on %.1f ms after memory returned", waking.took);
		slowest = waking.took > slowest ? waking.took : slowest;
		direct += waking.direct;
	}
	note("measured: line 24: ms until a waiting store goes on, %s: %.1f",
	     by, slowest);
	want_le(slowest, AT_ONCE / 2);
	return direct;
}

TEST(woken_by_ours, "line 24: a waiting store goes on as soon as droppable memory is freed in its cgroup, woken by who frees it, not by a timer")
{
	int direct;

	need_device("wait");
	tracing_start();
	direct = want_woken(true, "droppable memory freed");
	tracing_stop();
	note("woken by who freed it in %d of %d rounds", direct, ROUNDS);
	/* It may just be looking by itself. */
	want_ge(direct, ROUNDS / 2);
}

TEST(woken_by_limit, "line 24: a waiting store goes on as soon as memory.max is raised")
{
	need_device("wait");
	want_woken(false, "memory.max raised");
}

/* ---- signals ---- */

/* Before a signal: not about to look by itself within AT_ONCE. */
#define WAITING 0.2

static void want_dies(int number)
{
	pid_t child = start_waiter(false);
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
	pid_t child = start_waiter(false);

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
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
}

/* ---- the kernel's own accesses ---- */

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
		struct sigaction action = { .sa_handler = handle };
		char *area;

		want_ok(sigaction(SIGUSR1, &action, NULL));
		prepare_call(call);
		settle();
		area = empty_area(PAGES * PAGE);
		cgroup_enter(&group);
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

	fill_group(0);
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
	give_memory();
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

/* ---- one instruction, several pages ---- */

/* Of pages, all in one node of the index. */
#define WIDE 60UL

static void copy_unaligned(char *area)
{
	char *from = area + PAGE - 3, *to = area + WIDE / 2 * PAGE - 5;
	size_t count = (WIDE / 2 - 2) * PAGE / 8;

	asm volatile("rep movsq"
		     : "+S"(from), "+D"(to), "+c"(count)
		     :
		     : "memory");
	want_eq(count, 0);
}

__attribute__((target("avx2"))) static void gather(char *area)
{
	for (size_t first = 1; first + 8 * 7 < WIDE; first++) {
		__m256i at = _mm256_setr_epi32(-4, PAGE * 7 - 2, PAGE * 14 - 1,
					       PAGE * 21 - 3, PAGE * 28 - 2,
					       PAGE * 35 - 1, PAGE * 42 - 3,
					       PAGE * 49 - 2);
		__m256i got, zero = _mm256_setzero_si256();

		/* Else the pages wouldn't be there to be told apart. */
		for (size_t i = 0; i < 8; i++)
			area[(first + i * 7) * PAGE] = 1;
		got = _mm256_i32gather_epi32((int *)(area + first * PAGE), at,
					     1);
		want(_mm256_movemask_epi8(_mm256_cmpgt_epi32(zero, got)) == 0);
	}
}

/* Calls touch() where so many pages can be had, and not one more. */
static void want_progress(size_t room, void (*touch)(char *area))
{
	double began;
	pid_t child;

	start_keeper();
	set_exact_room(room * PAGE);
	start_victim();
	child = spawn();
	if (!child) {
		unsigned char there[WIDE];
		cpu_set_t one;
		char *area;

		/* On one CPU, so that there is one batch of charges. */
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		want_ok(sched_setaffinity(0, sizeof(one), &one));
		settle();
		area = empty_area(WIDE * PAGE);
		cgroup_enter(&group);
		memset(area, 1, WIDE * PAGE);
		shared->started = 1;
		touch(area);
		/* Opens nothing: that would be charged. */
		want_ok(mincore(area, WIDE * PAGE, there));
		for (size_t i = 0; i < WIDE; i++)
			shared->had += there[i] & 1;
		shared->done = 1;
		cgroup_enter_root();
		for (size_t i = 0; i < WIDE * PAGE; i++)
			want_le((unsigned char)area[i], 1);
		_exit(0);
	}
	began = now();
	want(wait_for(shared->done || !alive(child), 40));
	join(child);
	note("room for %zu pages, %zu of them data: %.0f ms", room,
	     shared->had, 1000 * (now() - began));
	want_ge(shared->had, 1);
	want_le(shared->had, room);
	want_nobody_killed();
	end_group();
}

TEST(movs, "line 27: rep movs across page borders at both ends goes on where only a few pages can be had")
{
	for (size_t room = 5; room <= 7; room++)
		want_progress(room, copy_unaligned);
}

TEST(gathers, "line 27: a gather of elements that lie across page borders goes on where only a few pages can be had")
{
	if (!__builtin_cpu_supports("avx2"))
		skip("this CPU has no AVX2");
	for (size_t room = 5; room <= 7; room++)
		want_progress(room, gather);
}

#define COUNTERS 12

/* As many as there is room for, and the next: each is a page of the module's. */
static void map_counters(const int *fds)
{
	for (int i = 0; i < COUNTERS; i++) {
		void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fds[i],
				  DROPPABLE_COUNTER_OFFSET);

		shared->error = errno;
		if (page == MAP_FAILED)
			break;
		shared->had++;
	}
}

TEST(no_counter, "line 24: mapping the counter page with no memory to be had is ENOMEM, and nobody is killed")
{
	pid_t child;

	need_device("counter page");
	start_keeper();
	set_exact_room(COUNTERS / 2 * PAGE);
	start_victim();
	child = spawn();
	if (!child) {
		int fds[COUNTERS];
		cpu_set_t one;

		/* On one CPU, so that one page serves what the core makes. */
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		want_ok(sched_setaffinity(0, sizeof(one), &one));
		settle();
		for (int i = 0; i < COUNTERS; i++)
			fds[i] = mem_open();
		cgroup_enter(&group);
		map_counters(fds);
		_exit(0);
	}
	join(child);
	note("%zu of %d mapped, then %s", shared->had, COUNTERS,
	     tap_errno(shared->error));
	want_nobody_killed();
	want_ge(shared->had, 1);
	want_le(shared->had, COUNTERS / 2);
	want_eq(shared->error, ENOMEM);
}

TEST(no_table, "line 24: a store that needs a page table as well, with no memory to be had: no signal, nobody killed")
{
	pid_t child;

	fill_group(0);
	child = spawn();
	if (!child) {
		char *area;

		settle();
		area = mem_map(8 * MIB);
		cgroup_enter(&group);
		shared->started = 1;
		area[4 * MIB] = 1;
		shared->done = 1;
		_exit(0);
	}
	want(wait_for(shared->started, 30));
	for (double end = now() + 1; now() < end; pause_seconds(0.02)) {
		if (alive(child) && alive(victim))
			continue;
		skip("the core charges a page table page before ->fault (one per 2 MiB): see droppable(4)");
	}
	want_nobody_killed();
	give_memory();
	want(wait_for(shared->done, 10));
	join(child);
}
