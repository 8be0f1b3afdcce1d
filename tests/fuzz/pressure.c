// SPDX-License-Identifier: GPL-2.0-only
/* See pressure.h. */
#define _GNU_SOURCE
#include "pressure.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cgroup.h"
#include "../support/figures.h"
#include "../support/file.h"
#include "../support/memory.h"
#include "../support/process.h"
#include "../support/tap.h"
#include "op.h"
#include "report.h"

#define GROUPS 2U
#define SYSFS "/sys/class/misc/droppable/"

/* Children, page tables and what mlockall locks need some for good. */
#define LIMIT_ROOM (12 * MIB)
#define HOG_ROOM (3 * MIB)
#define GREEDY_SECONDS 0.5

static struct cgroup groups[GROUPS];
static struct cgroup starved;
static bool have_groups;
static pid_t worker;

/* In memory that all share: the storm's hog is ended by the supervisor. */
struct hog {
	pid_t pid;
	volatile bool ready;
	atomic_bool starving;
	atomic_bool entered;
	size_t limit[GROUPS];
};

static struct hog *hog;

/*
 * In each group, for the OOM killer, after the hog.  A hog that has just been
 * killed, or has ended, leaves a moment in which the group has no memory and
 * nobody to kill; then the core fails an ordinary page's fault, which is a
 * SIGSEGV where it happens in the kernel (rseq).  The supervisor's.
 */
#define DECOYS 4U

static pid_t decoys[GROUPS][DECOYS];

void pressure_make_groups(void)
{
	hog = shared_map(sizeof(*hog));
	have_groups = !native && geteuid() == 0;
	for (unsigned int i = 0; i < GROUPS && have_groups; i++)
		groups[i] = cgroup_new(CGROUP_MAX);
	if (have_groups)
		starved = cgroup_new(CGROUP_MAX);
}

static bool move_to(pid_t pid, const struct cgroup *group)
{
	char path[160], text[32];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	snprintf(text, sizeof(text), "%d", pid);
	return try_write_file(path, text);
}

static bool move(pid_t pid, unsigned int group)
{
	return move_to(pid, &groups[group]);
}

void pressure_enter(pid_t pid)
{
	worker = pid;
	if (have_groups)
		want(move(pid, 0));
}

size_t pressure_oom_kills(void)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < GROUPS && have_groups; i++)
		sum += cgroup_event(&groups[i], "oom_kill");
	return sum;
}

static bool drop_everything(void)
{
	return try_write_file(SYSFS "drop", "1");
}

/* ---- the hog ---- */

/*
 * Takes whatever its group has left, for a while, all but a few pages: then
 * faults find little memory, and it is the one to be killed.
 */
static void be_greedy(unsigned int group, char *memory, size_t size)
{
	double end = now() + GREEDY_SECONDS;
	size_t at = 0;

	hog->ready = true;
	while (now() < end) {
		size_t used = cgroup_get(&groups[group], "memory.current");

		if (used + 16 * PAGE > hog->limit[group] || at >= size) {
			pause_seconds(0.001);
			continue;
		}
		memory[at] = 1;
		at += PAGE;
	}
	_exit(0);
}

static void hog_body(unsigned int group, size_t size, bool greedy)
{
	char *memory;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	try_write_file("/proc/self/oom_score_adj", "1000");
	if (group < GROUPS)
		move(getpid(), group);
	else
		cgroup_enter_root();
	memory = anon_map(size);
	if (greedy)
		be_greedy(group, memory, size);
	for (size_t at = 0; at < size; at += PAGE)
		memory[at] = 1;
	hog->ready = true;
	for (;;)
		pause();
}

static void end_hog(void)
{
	if (!hog->pid)
		return;
	kill(hog->pid, SIGKILL);
	while (waitpid(hog->pid, NULL, 0) < 0 && errno == EINTR)
		;
	hog->pid = 0;
}

static size_t hog_size(unsigned int group, uint32_t value)
{
	size_t limit = hog->limit[group], used, room;

	if (!limit)
		return (1 + value % 16) * MIB;
	drop_everything();
	used = cgroup_get(&groups[group], "memory.current");
	room = limit > used + HOG_ROOM ? limit - used - HOG_ROOM : 0;
	return room / 4 * (1 + value % 4);
}

/* All that the machine has, but for a little. */
static size_t global_size(uint32_t value)
{
	size_t available = meminfo("MemAvailable");
	size_t spared = (24 + value % 32) * MIB;

	return available > spared ? available - spared : 0;
}

/* How much, and whose: of one group, or of the machine. */
static size_t choose_hog(uint32_t value, unsigned int *group, bool *greedy)
{
	*group = value & 1;
	*greedy = false;
	if (value % 11 == 0) {
		*group = GROUPS;
		return global_size(value >> 8);
	}
	if (hog->limit[*group] && value >> 1 & 1) {
		*greedy = true;
		return hog->limit[*group];
	}
	return hog_size(*group, value >> 8);
}

bool op_hog(const struct op *op)
{
	unsigned int group;
	bool greedy;
	size_t size;
	pid_t child;

	if (!have_groups || hog->pid)
		return false;
	size = choose_hog(op->value, &group, &greedy);
	if (size < PAGE)
		return false;
	hog->ready = false;
	child = fork();
	if (!child)
		hog_body(group, size, greedy);
	if (child < 0)
		return false;
	hog->pid = child;
	/* It may be slow, or have been killed. */
	return wait_for(hog->ready || !alive(child), 20);
}

bool op_unhog(const struct op *op)
{
	bool any = hog->pid;

	(void)op;
	end_hog();
	return any;
}

/* ---- decoys ---- */

static void decoy_body(unsigned int group)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	try_write_file("/proc/self/oom_score_adj", "900");
	move(getpid(), group);
	for (;;)
		pause();
}

void pressure_tend_decoys(void)
{
	for (unsigned int i = 0; i < GROUPS * DECOYS && have_groups; i++) {
		pid_t *decoy = &decoys[i / DECOYS][i % DECOYS];

		if (*decoy > 0 && !waitpid(*decoy, NULL, WNOHANG))
			continue;
		*decoy = fork();
		if (!*decoy)
			decoy_body(i / DECOYS);
	}
}

static void end_decoys(void)
{
	for (unsigned int i = 0; i < GROUPS * DECOYS; i++) {
		pid_t *decoy = &decoys[i / DECOYS][i % DECOYS];

		if (*decoy > 0) {
			kill(*decoy, SIGKILL);
			wait_status(*decoy);
		}
		*decoy = 0;
	}
}

/* ---- nothing at all ---- */

bool pressure_starve(void)
{
	if (!have_groups || atomic_exchange(&hog->starving, true))
		return false;
	hog->entered = false;
	return cgroup_try_set(&starved, "memory.max", 0);
}

bool pressure_enter_starved(void)
{
	hog->entered = move_to(getpid(), &starved);
	return hog->entered;
}

bool pressure_somebody_starves(void)
{
	return hog->entered;
}

void pressure_feed(void)
{
	cgroup_try_set(&starved, "memory.max", CGROUP_MAX);
	hog->starving = false;
}

/* ---- limits ---- */

/* What is there when all has been dropped, and a few MiB. */
bool op_limit(const struct op *op)
{
	unsigned int group = op->value & 1;
	size_t limit = CGROUP_MAX;

	if (!have_groups)
		return false;
	if (op->value >> 1 & 3) {
		drop_everything();
		limit = cgroup_get(&groups[group], "memory.current") +
			LIMIT_ROOM + (op->value >> 8) % (6 * MIB);
	}
	hog->limit[group] = limit == CGROUP_MAX ? 0 : limit;
	return cgroup_try_set(&groups[group], "memory.max", limit);
}

void pressure_calm(void)
{
	end_hog();
	for (unsigned int i = 0; i < GROUPS && have_groups; i++) {
		hog->limit[i] = 0;
		cgroup_try_set(&groups[i], "memory.max", CGROUP_MAX);
	}
}

void pressure_end(void)
{
	pressure_calm();
	end_decoys();
}

bool op_cgroup(const struct op *op)
{
	return have_groups && move(worker, op->value & 1);
}

/* ---- drops ---- */

bool op_reclaim(const struct op *op)
{
	struct cgroup *group = &groups[op->value & 1];

	if (!have_groups || !cgroup_has(group, "memory.reclaim"))
		return false;
	/* EAGAIN: less than that. */
	return cgroup_try_set(group, "memory.reclaim",
			      (1 + (op->value >> 8) % 512) * PAGE) ||
	       errno == EAGAIN;
}

bool op_caches(const struct op *op)
{
	(void)op;
	return try_write_file("/proc/sys/vm/drop_caches", "2");
}

bool op_dropall(const struct op *op)
{
	(void)op;
	return drop_everything();
}

/* One of the youngest: a child that forks, execs or exits just now, or is gone. */
static pid_t young_process(unsigned int back)
{
	char text[64];
	char *last;

	want(try_read_file("/proc/loadavg", text, sizeof(text)));
	last = strrchr(text, ' ');
	want(last);
	return atoi(last + 1) - (pid_t)back;
}

bool op_dropprocess(const struct op *op)
{
	pid_t process = op->value & 1 ? worker :
					young_process(op->value >> 1 & 7);
	char text[16];
	bool done;

	snprintf(text, sizeof(text), "%d", process);
	done = try_write_file(SYSFS "drop_process", text);
	want(done || errno == ESRCH || (process <= 0 && errno == EINVAL));
	return done;
}
