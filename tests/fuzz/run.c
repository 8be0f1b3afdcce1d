// SPDX-License-Identifier: GPL-2.0-only
/* See run.h. */
#define _GNU_SOURCE
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/file.h"
#include "../support/memory.h"
#include "../support/process.h"
#include "../support/tap.h"
#include "area.h"
#include "hold.h"
#include "pressure.h"
#include "report.h"
#include "touch.h"

#define THREADS_MAX 16U
#define PROGRESS_SECONDS 3
#define STALL_SECONDS 60
#define GIVE_UP_SECONDS 30

/* ---- the worker ---- */

static const struct plan *plan;
static pthread_barrier_t all_stopped;

/* Whatever happened: each page is what the model says. */
static void last_look(void)
{
	report_doing("the last look");
	hold_release_all();
	for (unsigned int a = 0; a < AREAS; a++)
		for (unsigned int i = self.id; i < AREA_PAGES;
		     i += self.threads)
			touch_load(a, i);
}

static void run_random(void)
{
	uint64_t state = plan->seed * 1000003 + self.id + 1;
	unsigned long long ops = plan->ops / self.threads;
	unsigned int without = self.threads > 1 ? OP_PRESSURE : 0;

	while (ops-- && !report->stop) {
		struct op op = op_random(&state, 0, without);

		op_run(&op);
	}
}

static void run_script(void)
{
	struct script *script = plan->script;

	for (size_t i = 0; i < script->count && !report->stop; i++) {
		*script->at = i + 1;
		op_run(&script->ops[i]);
	}
}

static void *thread_body(void *argument)
{
	self.id = (unsigned int)(uintptr_t)argument;
	self.threads = plan->threads;
	self.alone = plan->threads == 1;
	if (plan->script)
		run_script();
	else
		run_random();
	/* While others still change mappings, pages may be nowhere. */
	pthread_barrier_wait(&all_stopped);
	last_look();
	return NULL;
}

static void worker(void)
{
	unsigned int count = plan->threads;
	pthread_t threads[THREADS_MAX];

	setpgid(0, 0);
	report_history = plan->script ? NULL : op_print_history;
	pressure_enter(getpid());
	try_write_file("/proc/self/oom_score_adj", "-1000");
	area_catch_signals();
	area_open_files();
	area_map_all();
	pthread_barrier_init(&all_stopped, NULL, count);
	for (uintptr_t id = 1; id < count; id++)
		want(area_thread(&threads[id], thread_body, (void *)id));
	report->ready = true;
	thread_body(NULL);
	for (unsigned int id = 1; id < count; id++)
		pthread_join(threads[id], NULL);
	_exit(0);
}

/* ---- the storm ---- */

static void storm(void)
{
	uint64_t state = plan->seed * 999983 + 7;

	setpgid(0, 0);
	while (!report->ready && !report->stop)
		pause_seconds(0.01);
	while (!report->stop) {
		struct op op = op_random(&state, OP_PRESSURE, 0);

		op_run(&op);
		pause_seconds((double)(op.value % 64) / 1000);
	}
	pressure_calm();
	_exit(0);
}

/* ---- the supervisor ---- */

static void print_progress(double since)
{
	note("%.0f s: %llu operations, %llu pages lost, %llu stored anew, %llu SIGSEGVs due, %llu children",
	     now() - since, report_tried(), report->lost, report->refilled,
	     report->signals, report->children);
}

/* Where a process hangs, thread by thread, as the kernel tells it. */
static void print_stacks(pid_t pid)
{
	char path[64], text[2048];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stack", pid,
			 entry->d_name);
		if (try_read_file(path, text, sizeof(text)))
			note("thread %s:\n%s", entry->d_name, text);
	}
	if (tasks)
		closedir(tasks);
}

static void stalled(pid_t pid)
{
	if (!atomic_fetch_add(&report->failed, 1)) {
		strcpy(report->where, "stalled");
		snprintf(report->text, sizeof(report->text),
			 "got no operation done for %d s", STALL_SECONDS);
	}
	print_stacks(pid);
	kill(-pid, SIGKILL);
}

/* The storm goes on when the worker hangs: its operations don't count. */
static unsigned long long worked(void)
{
	unsigned long long sum = 0;

	for (unsigned int i = 0; i < op_kinds(); i++)
		if (plan->threads == 1 || !(kinds[i].flags & OP_PRESSURE))
			sum += report->tried[i];
	return sum;
}

/* Until the worker has ended: its status. */
static int watch(pid_t pid)
{
	double start = now(), said = start, moved = start;
	unsigned long long last = 0;
	bool killed = false;
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		pressure_tend_decoys();
		pause_seconds(0.02);
		if (!plan->quiet && now() > said + PROGRESS_SECONDS) {
			print_progress(start);
			said = now();
		}
		if (plan->seconds && now() > start + plan->seconds)
			report->stop = true;
		if (last != worked()) {
			last = worked();
			moved = now();
		}
		if (!killed && now() > moved + STALL_SECONDS) {
			stalled(pid);
			killed = true;
		}
		if (killed && now() > moved + STALL_SECONDS + GIVE_UP_SECONDS)
			tap_bail("the worker can't even be killed");
	}
	return status;
}

static pid_t start(void (*body)(void))
{
	pid_t child = spawn();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body();
	}
	setpgid(child, child);
	return child;
}

static void end_group(pid_t leader)
{
	kill(-leader, SIGKILL);
	while (waitpid(-leader, NULL, 0) > 0 || errno == EINTR)
		;
}

bool run_plan(const struct plan *new)
{
	pid_t working, storming = 0;
	int status;

	plan = new;
	report_clear();
	model_clear();
	pressure_tend_decoys();
	working = start(worker);
	if (plan->threads > 1 && !native && geteuid() == 0) {
		pressure_enter(working);
		storming = start(storm);
	}
	status = watch(working);
	report->stop = true;
	end_group(working);
	if (storming)
		end_group(storming);
	pressure_end();
	if (!report->failed && status) {
		report->failed = 1;
		strcpy(report->where, "died");
		snprintf(report->text, sizeof(report->text),
			 "got a worker dead with status %#x", status);
	}
	return !report->failed;
}
