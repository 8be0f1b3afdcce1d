// SPDX-License-Identifier: GPL-2.0-only
/* See process.h. */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

pid_t spawn(void)
{
	pid_t child = fork();

	want_ok(child);
	return child;
}

int wait_status(pid_t child)
{
	int status;
	pid_t reaped;

	do
		reaped = waitpid(child, &status, 0);
	while (reaped < 0 && errno == EINTR);
	want_eq(reaped, child);
	return status;
}

void join(pid_t child)
{
	int status = wait_status(child);

	if (tap_failed())
		_exit(1);
	if (WIFSIGNALED(status))
		fail("got a child dead of signal %d (%s), want exit 0",
		     WTERMSIG(status), strsignal(WTERMSIG(status)));
	want_eq(WEXITSTATUS(status), 0);
}

void join_signal(pid_t child, int signal)
{
	int status = wait_status(child);

	if (tap_failed())
		_exit(1);
	if (!WIFSIGNALED(status))
		fail("got a child with exit status %d, want signal %d",
		     WEXITSTATUS(status), signal);
	want_eq(WTERMSIG(status), signal);
}

bool alive(pid_t child)
{
	siginfo_t info = { .si_pid = 0 };

	want_ok(waitid(P_PID, (id_t)child, &info,
		       WEXITED | WNOHANG | WNOWAIT));
	return info.si_pid == 0;
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double cpu_seconds(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	want_eq(clock_getcpuclockid(pid, &clock), 0);
	want_ok(clock_gettime(clock, &time));
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void pause_seconds(double seconds)
{
	struct timespec time = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	nanosleep(&time, NULL);
}

void become_nobody(void)
{
	want_ok(setgroups(0, NULL));
	want_ok(setresgid(65534, 65534, 65534));
	want_ok(setresuid(65534, 65534, 65534));
	/* Else /proc/self would be root's. */
	want_ok(prctl(PR_SET_DUMPABLE, 1));
}
