// SPDX-License-Identifier: GPL-2.0-only
/* See tap.h.  An argument runs only the tests whose text contains it. */
#define _GNU_SOURCE
#include "tap.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TESTS_MAX 64
#define TEXT_MAX 8192

enum { EXIT_FAILED = 66, EXIT_SKIPPED = 77 };

struct test {
	const char *text;
	unsigned int seconds;
	tap_test *run;
};

/* Shared by the processes of a test, so that each can report. */
struct report {
	int failed;
	int skipped;
	char reason[256];
	size_t length;
	char text[TEXT_MAX];
};

static struct test tests[TESTS_MAX];
static unsigned int test_count;
static struct report *report;

void tap_register(const char *text, unsigned int seconds, tap_test *run)
{
	if (test_count == TESTS_MAX)
		abort();
	tests[test_count++] = (struct test){ text, seconds, run };
}

unsigned int tap_slowness(void)
{
	const char *text = getenv("TEST_SLOW");
	int slowness = text ? atoi(text) : 1;

	return slowness > 1 ? (unsigned int)slowness : 1;
}

double tap_race(void)
{
	const char *text = getenv("TEST_RACE");
	double seconds = text ? atof(text) : 0;

	return seconds > 0 ? seconds : 1.5;
}

const char *tap_errno(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "an unknown errno";
}

static void append(const char *prefix, const char *format, va_list arguments)
{
	char line[512];
	size_t used;
	size_t at;

	used = (size_t)snprintf(line, sizeof(line), "# %s", prefix);
	vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
	used = strlen(line);
	line[used++] = '\n';

	at = __atomic_fetch_add(&report->length, used, __ATOMIC_SEQ_CST);
	if (at + used < TEXT_MAX)
		memcpy(report->text + at, line, used);
}

void note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	append("", format, arguments);
	va_end(arguments);
}

void tap_fail(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	char prefix[64];
	va_list arguments;

	snprintf(prefix, sizeof(prefix), "%s:%d: ", base ? base + 1 : file,
		 line);
	va_start(arguments, format);
	append(prefix, format, arguments);
	va_end(arguments);
	__atomic_store_n(&report->failed, 1, __ATOMIC_SEQ_CST);
	_exit(EXIT_FAILED);
}

bool tap_failed(void)
{
	return __atomic_load_n(&report->failed, __ATOMIC_SEQ_CST);
}

void skip(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->reason, sizeof(report->reason), format, arguments);
	va_end(arguments);
	__atomic_store_n(&report->skipped, 1, __ATOMIC_SEQ_CST);
	_exit(EXIT_SKIPPED);
}

void tap_skip_all(const char *reason)
{
	printf("1..0 # SKIP %s\n", reason);
	exit(0);
}

void tap_bail(const char *format, ...)
{
	va_list arguments;

	printf("Bail out! ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	exit(1);
}

void __attribute__((weak)) tap_setup(void)
{
}

void __attribute__((weak)) tap_cleanup(void)
{
}

static void set_oom_score(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, score, strlen(score)) < 0)
		note("oom_score_adj %s: %s", score, tap_errno(errno));
	close(fd);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* True when the process was reaped in time. */
static bool reap(pid_t child, int *status, double seconds)
{
	double end = seconds_now() + seconds;
	struct pollfd death = { .events = POLLIN };
	bool reaped = false;

	death.fd = (int)syscall(SYS_pidfd_open, child, 0);
	if (death.fd < 0)
		tap_bail("pidfd_open: %s", tap_errno(errno));
	while (!reaped) {
		double left = end - seconds_now();

		if (left < 0)
			break;
		poll(&death, 1, (int)(left * 1000) + 1);
		reaped = waitpid(child, status, WNOHANG) == child;
	}
	close(death.fd);
	return reaped;
}

/* What the test left running must not disturb the next one. */
static void reap_orphans(pid_t group)
{
	double end = seconds_now() + 20 * tap_slowness();
	pid_t orphan;

	kill(-group, SIGKILL);
	for (;;) {
		orphan = waitpid(-1, NULL, WNOHANG);
		if (orphan < 0)
			return;
		if (orphan == 0) {
			if (seconds_now() > end)
				break;
			usleep(2000);
		}
	}
	note("a process of this test survives SIGKILL");
	report->failed = 1;
}

static void print_report(void)
{
	size_t used = report->length < TEXT_MAX ? report->length : TEXT_MAX - 1;

	fwrite(report->text, 1, used, stdout);
	if (report->length >= TEXT_MAX)
		printf("\n# (more was said)\n");
}

static bool run_test(unsigned int number, const struct test *test)
{
	bool passed = false;
	int status = 0;
	unsigned int seconds = test->seconds * tap_slowness() +
			       (unsigned int)tap_race();
	pid_t child;

	memset(report, 0, sizeof(*report));
	fflush(stdout);
	child = fork();
	if (child < 0)
		tap_bail("fork: %s", tap_errno(errno));
	if (child == 0) {
		setpgid(0, 0);
		set_oom_score("0");
		test->run();
		_exit(0);
	}
	setpgid(child, child);

	if (!reap(child, &status, seconds)) {
		note("still running after %u s", seconds);
		report->failed = 1;
		kill(-child, SIGKILL);
		if (!reap(child, &status, 20 * tap_slowness()))
			note("not even SIGKILL ends it");
	} else if (WIFSIGNALED(status)) {
		note("died of signal %d (%s)", WTERMSIG(status),
		     strsignal(WTERMSIG(status)));
		report->failed = 1;
	} else if (WEXITSTATUS(status) == 0) {
		passed = true;
	} else if (WEXITSTATUS(status) != EXIT_SKIPPED && !report->failed) {
		note("exited with status %d", WEXITSTATUS(status));
		report->failed = 1;
	}
	reap_orphans(child);
	tap_cleanup();

	if (report->failed)
		printf("not ok %u - %s\n", number, test->text);
	else if (report->skipped)
		printf("ok %u - %s # SKIP %s\n", number, test->text,
		       report->reason);
	else
		printf("%sok %u - %s\n", passed ? "" : "not ", number,
		       test->text);
	print_report();
	fflush(stdout);
	return !report->failed && (passed || report->skipped);
}

int main(int argc, char **argv)
{
	unsigned int number = 0;
	bool passed = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		abort();
	printf("TAP version 13\n");
	set_oom_score("-1000");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tap_setup();
	tap_cleanup();
	for (unsigned int i = 0; i < test_count; i++) {
		if (argc > 1 && !strstr(tests[i].text, argv[1]))
			continue;
		passed &= run_test(++number, &tests[i]);
	}
	printf("1..%u\n", number);
	return passed ? 0 : 1;
}
