// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a resident page costs beside itself: the slot, the index and what slab
 * accounting adds, at most 2 % of the page (README.md, docs/design.md).
 * Contract line 20.
 */
// vm: --mem 256

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define SIZE (32 * MIB)
#define TAG 41

static size_t slab(const struct cgroup *group)
{
	return cgroup_stat(group, "slab");
}

/* The counters of memory.stat are flushed every two seconds. */
static size_t settled_slab(const struct cgroup *group)
{
	size_t last, current = slab(group);

	do {
		last = current;
		pause_seconds(2.5);
		current = slab(group);
	} while (current != last);
	return current;
}

TEST(overhead, "line 20: a resident page's bookkeeping is charged like the page, and at most 2 % of it (2.5 with a slab that checks itself)")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t child;

	char options[2048];
	bool checked;

	need_device("the device's own bookkeeping");
	want(try_read_file("/proc/cmdline", options, sizeof(options)));
	/* Such a slab's objects are larger, and not what anybody runs. */
	checked = strstr(options, "slub_debug");
	child = spawn();
	if (!child) {
		size_t before, after;
		char *area;

		cgroup_enter(&group);
		area = mem_map(SIZE);
		fill(area, 16, TAG, 1);
		before = settled_slab(&group);
		fill(area, SIZE / PAGE, TAG, 1);
		after = settled_slab(&group);
		want_eq(resident(area, SIZE), SIZE / PAGE);
		note("measured: line 20: %% of a resident page that its bookkeeping takes: %.2f",
		     100.0 * (double)(after - before) /
			     (double)(SIZE - 16 * PAGE));
		note("%zu KiB for %zu MiB", (after - before) / KIB, SIZE / MIB);
		/* Less would mean that it isn't charged to the cgroup at all. */
		want_ge(after - before, SIZE / 200);
		want_le(after - before, checked ? SIZE / 40 : SIZE / 50);
		_exit(0);
	}
	join(child);
}
