// SPDX-License-Identifier: GPL-2.0-only
/* See cgroup.h. */
#define _GNU_SOURCE
#include "cgroup.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "process.h"
#include "tap.h"

#define GROUP_PREFIX "droppable-test."

/* Whose memory controller this is. */
static bool version1;

static bool is_version1(const char *type, const char *options)
{
	const char *memory = strstr(options, ",memory");

	return !strcmp(type, "cgroup") && memory &&
	       strchr(", ", memory[strlen(",memory")]);
}

static bool is_version2(const char *path, const char *type)
{
	char controllers[128], name[128];

	if (strcmp(type, "cgroup2"))
		return false;
	snprintf(name, sizeof(name), "%s/cgroup.controllers", path);
	if (!try_read_file(name, controllers, sizeof(controllers)) ||
	    !strstr(controllers, "memory"))
		return false;
	snprintf(name, sizeof(name), "%s/cgroup.subtree_control", path);
	return try_write_file(name, "+memory");
}

static const char *cgroup_root(void)
{
	static char root[64];
	char line[256];
	FILE *file;

	if (root[0])
		return root;
	file = fopen("/proc/mounts", "re");
	if (!file)
		return NULL;
	while (fgets(line, sizeof(line), file)) {
		char path[64], type[32], options[160];

		if (sscanf(line, "%*s %63s %31s %158[^\n]", path, type,
			   options) != 3)
			continue;
		version1 = is_version1(type, options);
		if (version1 || is_version2(path, type)) {
			strcpy(root, path);
			break;
		}
	}
	fclose(file);
	return root[0] ? root : NULL;
}

/* Version 1 calls some files otherwise, and lacks memory.high and others. */
static const char *file_name(const char *file)
{
	static const char *const names[][2] = {
		{ "memory.max", "memory.limit_in_bytes" },
		{ "memory.current", "memory.usage_in_bytes" },
		{ "memory.events", "memory.oom_control" },
	};

	for (size_t i = 0; version1 && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(file, names[i][0]))
			return names[i][1];
	return file;
}

#define CGROUP_PATH 192

static const char *cgroup_file(char *name, const struct cgroup *group,
			       const char *file)
{
	snprintf(name, CGROUP_PATH, "%s/%s", group->path, file_name(file));
	return name;
}

static void remove_groups(const char *parent)
{
	DIR *directory = opendir(parent);
	struct dirent *entry;
	char path[512];

	while (directory && (entry = readdir(directory))) {
		if (strncmp(entry->d_name, GROUP_PREFIX, strlen(GROUP_PREFIX)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
		remove_groups(path);
		rmdir(path);
	}
	if (directory)
		closedir(directory);
}

void tap_cleanup(void)
{
	if (cgroup_root())
		remove_groups(cgroup_root());
}

static struct cgroup make_group(const char *parent, size_t max)
{
	static unsigned int count;
	struct cgroup group;

	snprintf(group.path, sizeof(group.path), "%.63s/" GROUP_PREFIX "%d-%u",
		 parent, getpid(), count++);
	want_ok(mkdir(group.path, 0755));
	if (max != CGROUP_MAX)
		cgroup_set(&group, "memory.max", max);
	if (version1)
		cgroup_set(&group, "memory.swappiness", 0);
	else if (cgroup_has(&group, "memory.swap.max"))
		cgroup_set(&group, "memory.swap.max", 0);
	return group;
}

struct cgroup cgroup_new(size_t max)
{
	if (!cgroup_root())
		skip("no cgroup with a memory controller here");
	return make_group(cgroup_root(), max);
}

struct cgroup cgroup_under(const struct cgroup *parent, size_t max)
{
	char name[CGROUP_PATH];

	if (!version1)
		write_file(cgroup_file(name, parent, "cgroup.subtree_control"),
			   "+memory");
	return make_group(parent->path, max);
}

static void enter(const char *path)
{
	char name[CGROUP_PATH];

	snprintf(name, sizeof(name), "%s/cgroup.procs", path);
	write_file(name, "0");
}

void cgroup_enter(const struct cgroup *group)
{
	enter(group->path);
}

void cgroup_enter_root(void)
{
	enter(cgroup_root());
}

pid_t cgroup_keeper(const struct cgroup *group, size_t size)
{
	volatile int *filled = shared_map(PAGE);
	pid_t keeper = spawn();

	if (!keeper) {
		char *kept = anon_map(size);

		write_file("/proc/self/oom_score_adj", "-1000");
		cgroup_enter(group);
		memset(kept, 1, size);
		*filled = 1;
		for (;;)
			pause();
	}
	want(wait_for(*filled, 30));
	return keeper;
}

bool cgroup_has(const struct cgroup *group, const char *file)
{
	char name[CGROUP_PATH];

	return access(cgroup_file(name, group, file), F_OK) == 0;
}

bool cgroup_try_set(const struct cgroup *group, const char *file, size_t value)
{
	char name[CGROUP_PATH];
	char text[32];

	if (value != CGROUP_MAX)
		snprintf(text, sizeof(text), "%zu", value);
	else
		strcpy(text, version1 ? "-1" : "max");
	return try_write_file(cgroup_file(name, group, file), text);
}

/*
 * Version 1 has reclaim lower the usage, and then refuses a limit that is
 * below it all the same: what is used is the least that it takes.  What the
 * CPUs have charged ahead is given back a little later, and counts until then.
 */
static bool lower_limit(const struct cgroup *group)
{
	size_t before;

	for (int i = 0; i < 20; i++) {
		do {
			before = cgroup_get(group, "memory.current");
			pause_seconds(0.1);
		} while (cgroup_get(group, "memory.current") != before);
		if (cgroup_try_set(group, "memory.max", before))
			return true;
		if (errno != EBUSY)
			break;
	}
	return false;
}

void cgroup_set(const struct cgroup *group, const char *file, size_t value)
{
	if (version1 && !cgroup_has(group, file))
		skip("cgroup v1 has no %s", file);
	if (cgroup_try_set(group, file, value))
		return;
	if (version1 && errno == EBUSY && !strcmp(file, "memory.max") &&
	    lower_limit(group))
		return;
	fail("got %s, want to write %zu to %s/%s", tap_errno(errno), value,
	     group->path, file);
}

size_t cgroup_get(const struct cgroup *group, const char *file)
{
	char name[CGROUP_PATH];
	char text[64];

	read_file(cgroup_file(name, group, file), text, sizeof(text));
	return strncmp(text, "max", 3) ? strtoul(text, NULL, 10) : CGROUP_MAX;
}

size_t cgroup_event(const struct cgroup *group, const char *event)
{
	char name[CGROUP_PATH];

	return number_in(cgroup_file(name, group, "memory.events"), event);
}

size_t cgroup_stat(const struct cgroup *group, const char *field)
{
	char name[CGROUP_PATH];

	return number_in(cgroup_file(name, group, "memory.stat"), field);
}
