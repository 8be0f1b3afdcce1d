/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's tracepoints, while they are mounted; skips where they are not. */
#ifndef TESTS_TRACING_H
#define TESTS_TRACING_H

#define TRACING "/tmp/droppable-tracing"

void tracing_start(void);
void tracing_stop(void);

#endif /* TESTS_TRACING_H */
