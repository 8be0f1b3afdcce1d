// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * stress TEST: one of the tests by itself, on the best memory there is.
 * For tests/mutants, and with STRESS=1000 for a night.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "points.h"

int test_nr, failed;
size_t page;

void ok(int good, const char *what, int got)
{
	printf("%sok %d - %s (%d)\n", good ? "" : "not ", ++test_nr, what, got);
	failed |= !good;
}

void is(int got, int want, const char *what)
{
	ok(got == want, what, got);
}

void skip(const char *what, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++test_nr, what, why);
}

size_t stress(void)
{
	const char *more = getenv("STRESS");

	return more ? strtoul(more, NULL, 10) : 1;
}

/* Only one of them is linked in. */
#pragma weak test_pool_stress
#pragma weak test_cache
#pragma weak test_state

int main(int argc, char **argv)
{
	struct droppable *ctx;

	page = (size_t)sysconf(_SC_PAGESIZE);
	if (argc != 2 || droppable_open(&ctx, DROPPABLE_OR_FALLBACK))
		return 2;
	if (!strcmp(argv[1], "pool") && test_pool_stress)
		test_pool_stress(ctx);
	else if (!strcmp(argv[1], "cache") && test_cache)
		test_cache(ctx);
	else if (!strcmp(argv[1], "state") && test_state)
		test_state(ctx);
	else
		return 2;
	printf("1..%d\n", test_nr);
	droppable_close(ctx);
	return failed;
}
