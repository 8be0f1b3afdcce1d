/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What the files of the library's test program share. */
#ifndef POINTS_H
#define POINTS_H

#include <stddef.h>

#include "droppable.h"

extern int test_nr, failed;
extern size_t page;

/* A point of TAP; @got is shown if it isn't @good. */
void ok(int good, const char *what, int got);
void is(int got, int want, const char *what);
void skip(const char *what, const char *why);

/* Each on memory from @ctx. */
void test_pool(struct droppable *ctx);
void test_pool_stress(struct droppable *ctx);
void test_cache(struct droppable *ctx);
void test_state(struct droppable *ctx);

/* Times more than usual that the stress tests do what they do: STRESS=20. */
size_t stress(void);

#endif /* POINTS_H */
