/* SPDX-License-Identifier: GPL-2.0-only */
/* One run: a worker process and its threads, the storm, and who watches them. */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include "script.h"

/**
 * struct plan - what to run
 * @script:	if set: that, in one thread
 * @seed:	else random operations
 * @ops:	so many, all threads together; children's come on top
 * @seconds:	no longer than that, if not 0
 * @threads:	of the worker
 * @quiet:	no progress
 */
struct plan {
	struct script *script;
	uint64_t seed;
	unsigned long long ops;
	double seconds;
	unsigned int threads;
	bool quiet;
};

/* False if it failed: the report says how. */
bool run_plan(const struct plan *plan);

#endif /* FUZZ_RUN_H */
