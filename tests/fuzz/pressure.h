/* SPDX-License-Identifier: GPL-2.0-only */
/* What makes memory short, and what drops on command. */
#ifndef FUZZ_PRESSURE_H
#define FUZZ_PRESSURE_H

#include <stdbool.h>
#include <sys/types.h>

/* The groups that the run's processes live in; before the first fork. */
void pressure_make_groups(void);
/* Whose process moves between the groups; enters the first. */
void pressure_enter(pid_t worker);
/* Now and then: replaces those of each group that the OOM killer took. */
void pressure_tend_decoys(void);
/* Ends the hog, lifts all limits. */
void pressure_calm(void);
/* The same by the supervisor, and ends the decoys. */
void pressure_end(void);
size_t pressure_oom_kills(void);
/*
 * A group of its own that has no memory to give.  False if somebody is in it.
 * The calling process enters; somebody else ends it.
 */
bool pressure_starve(void);
bool pressure_enter_starved(void);
bool pressure_somebody_starves(void);
void pressure_feed(void);

#endif /* FUZZ_PRESSURE_H */
