/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A cgroup in which no memory is to be had, and processes that ask for some.
 *
 * It is full of anonymous memory that can't be swapped, of a keeper that can't
 * be killed; a victim that can be killed sits in it, to be found dead when
 * anybody asks the OOM killer.  Who stores there locks and touches all it needs
 * before it enters, so that nothing but droppable memory is charged.
 */
#ifndef TESTS_STARVED_H
#define TESTS_STARVED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cgroup.h"
#include "tap.h"

/* That who stores there stores to. */
#define STARVED_PAGES 16UL

/*
 * "At once", in milliseconds: well below the second after which a waiter looks
 * by itself, and far above what an emulated machine needs.  In a slow guest the
 * time proves nothing, the rest of the point does.
 */
#define AT_ONCE (500 * tap_slowness())

/* Of the test that runs. */
extern struct starved {
	struct cgroup group;
	pid_t keeper;
	pid_t victim;
	size_t kills;		/* the machine's, when it began */
} starved;

/* What the processes of a test tell each other. */
extern volatile struct shared {
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

/* The group with its keeper, without a limit yet. */
void starved_keeper(void);
/* The limit leaves that much to be charged, to the page. */
void starved_limit(size_t room);
void starved_victim(void);
/* All three.  With no room, less than the keeper has is the limit. */
void starved_fill(size_t room);
/* There is memory again. */
void starved_feed(void);
void starved_end(void);
void want_nobody_killed(void);

/* Before droppable memory is mapped: this makes all else resident. */
void settle(void);
/* Droppable, with its page tables, and without one page. */
char *empty_area(size_t length);

/* Has SIGUSR1 counted in shared->handled. */
void count_signals(void);

/*
 * A process that stores into each of STARVED_PAGES, in a group filled before.
 * First, outside of it, it calls that function, if there is one.
 */
pid_t start_storing(void (*first)(void));
/* Where it stores, in that process; NULL until then. */
extern char *volatile stored_to;

/* The same after starved_fill(0). */
pid_t start_waiter(void (*first)(void));
/* For that long it lives and isn't done. */
void want_waiting(pid_t child, double seconds);

#endif /* TESTS_STARVED_H */
