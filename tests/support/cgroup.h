/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Groups with a memory controller, of version 2, or of version 1 where that is
 * what the machine has.  A new group may not swap.  All groups are removed
 * after each test.
 */
#ifndef TESTS_CGROUP_H
#define TESTS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup {
	char path[128];
};

#define CGROUP_MAX SIZE_MAX

/*
 * By how much memory.current may be beyond the limit for a moment, for each who
 * charges: the core adds a batch of 64 pages before it looks.
 */
#define CGROUP_AHEAD (64 * PAGE)

struct cgroup cgroup_new(size_t max);
struct cgroup cgroup_under(const struct cgroup *parent, size_t max);
void cgroup_enter(const struct cgroup *group);
void cgroup_enter_root(void);
bool cgroup_has(const struct cgroup *group, const char *file);
void cgroup_set(const struct cgroup *group, const char *file, size_t value);
bool cgroup_try_set(const struct cgroup *group, const char *file,
		    size_t value);
size_t cgroup_get(const struct cgroup *group, const char *file);
size_t cgroup_event(const struct cgroup *group, const char *event);
size_t cgroup_stat(const struct cgroup *group, const char *field);

/*
 * A process that holds so much anonymous memory in the group, which nobody can
 * take back, and is not to be killed for it.  SIGKILL ends it.
 */
pid_t cgroup_keeper(const struct cgroup *group, size_t size);

#endif /* TESTS_CGROUP_H */
