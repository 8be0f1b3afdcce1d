/* SPDX-License-Identifier: GPL-2.0-only */
/* The processes that have the device open or mapped. */
#ifndef DROPPABLE_TOOL_PROCESSES_H
#define DROPPABLE_TOOL_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "system.h"

struct process {
	pid_t pid;
	uint64_t started;	/* in clock ticks: tells reused PIDs apart */
	char name[64];		/* printable */
	uint64_t mapped;	/* bytes */
	uint64_t resident;	/* bytes */
	/*
	 * Sums over its open descriptors of the device, which count for all
	 * who share them, and for their mappings.  A mapping whose descriptor
	 * was closed is in no count.
	 */
	unsigned int descriptors;
	struct counts counts;
	uint64_t locked;	/* pages that are pinned now, by the program */
};

/**
 * processes_find() - all of them, by PID
 * @count:	out: how many
 * @hidden:	out: how many processes couldn't be looked at
 *
 * Returns an array to be freed; NULL if there is none.
 */
struct process *processes_find(size_t *count, size_t *hidden);

/**
 * process_look() - one of them
 * @process:	out, if it has the device open or mapped
 *
 * Returns 1 if it has, 0 if not or if there is no such process, else a
 * negative errno value.
 */
int process_look(pid_t pid, struct process *process);

#endif /* DROPPABLE_TOOL_PROCESSES_H */
