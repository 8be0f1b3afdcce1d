/* SPDX-License-Identifier: GPL-2.0-only */
/* Processes, and time. */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "tap.h"

pid_t spawn(void);
/* Wants an exit status of 0. */
void join(pid_t child);
/* Waits for a death by this signal. */
void join_signal(pid_t child, int signal);
int wait_status(pid_t child);
bool alive(pid_t child);
void become_nobody(void);

double now(void);
double cpu_seconds(pid_t pid);
void pause_seconds(double seconds);

/* When a race that starts now is over. */
static inline double race_end(void)
{
	return now() + tap_race();
}

/*
 * Whether it goes on: until its end, and somewhat longer if it has shown nothing
 * yet, as where one of the threads got no processor.
 */
static inline bool race_goes_on(double end, bool shown)
{
	double late = shown ? 0 : 10 * tap_slowness();

	return now() < end + late;
}

/* Polls; false when the time, longer in a slow guest, is over. */
#define wait_for(condition, seconds) \
	({ \
		double end_ = now() + (seconds) * tap_slowness(); \
		bool met_; \
		while (!(met_ = (condition)) && now() < end_) \
			pause_seconds(0.005); \
		met_; \
	})

#endif /* TESTS_PROCESS_H */
