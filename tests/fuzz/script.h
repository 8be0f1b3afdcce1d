/* SPDX-License-Identifier: GPL-2.0-only */
/* A list of operations: from a file or a seed, and made shorter. */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op.h"

/**
 * struct script - operations, in order
 * @ops:	in memory that all share
 * @count:	how many
 * @at:		how many were begun, in the latest run
 */
struct script {
	struct op *ops;
	size_t count;
	volatile size_t *at;
};

struct script script_random(uint64_t seed, size_t count);
/* Ends the program if a line is wrong. */
struct script script_read(const char *path);
void script_print(const struct script *script);
/*
 * Leaves out all that isn't needed for @fails to stay true, until @seconds are
 * over.  How many tries that took.
 */
unsigned int script_shrink(struct script *script,
			   bool (*fails)(struct script *script),
			   double seconds);

#endif /* FUZZ_SCRIPT_H */
