// SPDX-License-Identifier: GPL-2.0-only
/*
 * See report.h.  The checks are those of tap.h; here a check that fails ends
 * the process, and the one that supervises the run ends the others.
 */
#define _GNU_SOURCE
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../support/tap.h"

struct report *report;
void (*report_history)(void);
static __thread const char *doing;

void report_make(void)
{
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		abort();
}

void report_clear(void)
{
	memset(report, 0, sizeof(*report));
}

unsigned long long report_tried(void)
{
	unsigned long long sum = 0;

	for (unsigned int i = 0; i < KINDS_MAX; i++)
		sum += report->tried[i];
	return sum;
}

void report_doing(const char *text)
{
	doing = text;
}

unsigned int tap_slowness(void)
{
	const char *text = getenv("TEST_SLOW");
	int slowness = text ? atoi(text) : 1;

	return slowness > 1 ? (unsigned int)slowness : 1;
}

const char *tap_errno(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "an unknown errno";
}

static void speak(const char *format, va_list arguments)
{
	char line[1024];
	int length = vsnprintf(line, sizeof(line) - 1, format, arguments);

	if (length > (int)sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	if (write(1, "# ", 2) < 0 || write(1, line, (size_t)length) < 0)
		_exit(EXIT_FAILED);
}

void note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	speak(format, arguments);
	va_end(arguments);
}

/* Only the first failure is kept: the others may follow from it. */
void tap_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;
	size_t used;

	if (!atomic_fetch_add(&report->failed, 1)) {
		const char *base = strrchr(file, '/');

		snprintf(report->where, sizeof(report->where), "%s:%d",
			 base ? base + 1 : file, line);
		va_start(arguments, format);
		vsnprintf(report->text, sizeof(report->text), format,
			  arguments);
		va_end(arguments);
		used = strlen(report->text);
		snprintf(report->text + used, sizeof(report->text) - used,
			 " (process %d, thread %d, in: %s)", getpid(), gettid(),
			 doing ? doing : "-");
		if (report_history)
			report_history();
	}
	report->stop = true;
	_exit(EXIT_FAILED);
}

bool tap_failed(void)
{
	return report->failed;
}

void tap_skip_all(const char *reason)
{
	printf("TAP version 13\n1..0 # SKIP %s\n", reason);
	exit(0);
}

void tap_bail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("Bail out! ", stdout);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	exit(1);
}

void skip(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	speak(format, arguments);
	va_end(arguments);
	exit(0);
}
