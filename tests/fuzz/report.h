/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all processes of a run share: the first failure, the counts, and
 * whether to stop.
 */
#ifndef FUZZ_REPORT_H
#define FUZZ_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KINDS_MAX 64
#define EXIT_FAILED 66

/**
 * struct report - one run
 * @failed:	taken by the first failure
 * @where:	file and line of the check: tells failures apart
 * @text:	what it said
 * @ready:	the worker has its threads, memory may become short
 * @stop:	no new operations
 * @tried:	operations begun, by kind
 * @done:	of those, the ones that did what they were to do
 * @lost:	pages found zero that their owner had neither discarded nor
 *		replaced: drops, as a program sees them
 * @refilled:	stores into such pages
 * @signals:	SIGSEGVs where one was due: a page was unmapped or protected
 * @children:	processes forked
 */
struct report {
	atomic_int failed;
	char where[64];
	char text[1024];
	atomic_bool ready;
	atomic_bool stop;
	atomic_ullong tried[KINDS_MAX];
	atomic_ullong done[KINDS_MAX];
	atomic_ullong lost;
	atomic_ullong refilled;
	atomic_ullong signals;
	atomic_ullong children;
};

extern struct report *report;

void report_make(void);
/* Forgets failure and counts, for another run. */
void report_clear(void);
unsigned long long report_tried(void);

/* What the next failure of this thread is to say about its circumstances. */
void report_doing(const char *text);
/* Called by the first failure: says what came before it. */
extern void (*report_history)(void);

#endif /* FUZZ_REPORT_H */
