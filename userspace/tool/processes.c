// SPDX-License-Identifier: GPL-2.0-only
/* See processes.h. */
#define _GNU_SOURCE
#include "processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

/* "/dev/droppable", "/dev/droppable (deleted)", and nothing longer. */
static bool is_device(const char *path)
{
	size_t length = strlen(DROPPABLE_DEVICE);

	return !strncmp(path, DROPPABLE_DEVICE, length) &&
	       (!path[length] || !strcmp(path + length, " (deleted)"));
}

static FILE *open_of(pid_t pid, const char *file)
{
	char path[PATH_SIZE];

	if (!rooted(path, "/proc/%d/%s", (int)pid, file)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "re");
}

/* Where in a line of maps the path stands; what it is a mapping of. */
static bool device_mapping(char *line, uint64_t *size)
{
	uint64_t start, end, offset;
	int at = -1;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %*s %*u %n",
		   &start, &end, &offset, &at) < 3 || at < 0)
		return false;
	if (!is_device(line + at) || offset == DROPPABLE_COUNTER_OFFSET)
		return false;
	*size = end - start;
	return true;
}

/* Cheap, where smaps is not: most processes have no such mapping. */
static int count_mappings(pid_t pid)
{
	FILE *maps = open_of(pid, "maps");
	char *line = NULL;
	size_t size = 0;
	uint64_t length;
	int mappings = 0;

	if (!maps)
		return -errno;
	while (getline(&line, &size, maps) > 0)
		mappings += device_mapping(line, &length);
	if (ferror(maps))
		mappings = -errno;
	free(line);
	fclose(maps);
	return mappings;
}

static void measure_mappings(struct process *process)
{
	FILE *smaps = open_of(process->pid, "smaps");
	char *line = NULL;
	size_t size = 0;
	bool ours = false;

	while (smaps && getline(&line, &size, smaps) > 0) {
		uint64_t number;

		/* A field's name begins with a capital, an address doesn't. */
		if (!isupper((unsigned char)line[0])) {
			ours = device_mapping(line, &number);
			if (ours)
				process->mapped += number;
		} else if (ours &&
			   sscanf(line, "Rss: %" SCNu64 " kB", &number) == 1) {
			process->resident += number * 1024;
		}
	}
	free(line);
	if (smaps)
		fclose(smaps);
}

static void add_field(struct process *process, const char *line)
{
	const struct {
		const char *format;
		uint64_t *sum;
	} fields[] = {
		{ "faults: %" SCNu64, &process->counts.faults },
		{ "dropped: %" SCNu64, &process->counts.dropped },
		{ "refaulted: %" SCNu64, &process->counts.refaulted },
		{ "recycled: %" SCNu64, &process->counts.recycled },
		{ "waits: %" SCNu64, &process->counts.waits },
		{ "pinned: %" SCNu64, &process->counts.pinned },
		{ "locked: %" SCNu64, &process->locked },
	};
	uint64_t number;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (sscanf(line, fields[i].format, &number) == 1)
			*fields[i].sum += number;
}

static void read_descriptor(struct process *process, const char *fd)
{
	char name[64], line[256];
	FILE *info;

	snprintf(name, sizeof(name), "fdinfo/%.32s", fd);
	info = open_of(process->pid, name);
	if (!info)
		return;
	process->descriptors++;
	while (fgets(line, sizeof(line), info))
		add_field(process, line);
	fclose(info);
}

static void read_descriptors(struct process *process)
{
	char path[PATH_SIZE], target[64];
	struct dirent *entry;
	ssize_t length;
	DIR *dir;

	if (!rooted(path, "/proc/%d/fd", (int)process->pid))
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		length = readlinkat(dirfd(dir), entry->d_name, target,
				    sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		if (is_device(target))
			read_descriptor(process, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

/* The 22nd field; the second, a name, may hold blanks and brackets. */
static uint64_t start_time(pid_t pid)
{
	char text[1024], *at;
	uint64_t started;

	if (read_line(text, sizeof(text), "/proc/%d/stat", (int)pid))
		return 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, " %" SCNu64, &started) == 1 ? started : 0;
}

/*
 * The control characters of 8 bits: in UTF-8 U+0080 to 9f, else such a byte.
 * In other characters of UTF-8 such bytes are only parts.
 */
static bool is_c1(const unsigned char *s, int length)
{
	if (length == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	return !length && s[0] < 0xa0;
}

/* No control characters to a terminal, which may take C1 from UTF-8 or bytes. */
static void replace_controls(char *name)
{
	for (char *c = name; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	while (*name) {
		const unsigned char *s = (const unsigned char *)name;
		int length = utf8_length(s);
		int bytes = length ? length : 1;

		if (is_c1(s, length))
			memset(name, '?', (size_t)bytes);
		name += bytes;
	}
}

/* A process chooses its name itself. */
static void read_name(struct process *process)
{
	if (read_line(process->name, sizeof(process->name), "/proc/%d/comm",
		      (int)process->pid))
		strcpy(process->name, "?");
	replace_controls(process->name);
}

int process_look(pid_t pid, struct process *process)
{
	int mappings = count_mappings(pid);

	if (mappings == -ENOENT || mappings == -ESRCH)
		return 0;
	if (mappings < 0)
		return mappings;
	memset(process, 0, sizeof(*process));
	process->pid = pid;
	read_descriptors(process);
	if (!mappings && !process->descriptors)
		return 0;
	if (mappings)
		measure_mappings(process);
	process->started = start_time(pid);
	read_name(process);
	return 1;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct process *)a)->pid;
	pid_t y = ((const struct process *)b)->pid;

	return (x > y) - (x < y);
}

struct process *processes_find(size_t *count, size_t *hidden)
{
	struct process *list = NULL;
	char path[PATH_SIZE];
	struct dirent *entry;
	DIR *dir;

	*count = *hidden = 0;
	dir = rooted(path, "/proc") ? opendir(path) : NULL;
	while (dir && (entry = readdir(dir))) {
		struct process process;
		char *end;
		long pid = strtol(entry->d_name, &end, 10);
		int found;

		if (*end || pid <= 0)
			continue;
		found = process_look((pid_t)pid, &process);
		*hidden += found < 0;
		if (found <= 0)
			continue;
		/* Grows by doubling, at each power of two. */
		if (!(*count & (*count - 1))) {
			size_t room = *count ? 2 * *count : 1;
			void *more = reallocarray(list, room, sizeof(*list));

			if (!more)
				break;
			list = more;
		}
		list[(*count)++] = process;
	}
	if (dir)
		closedir(dir);
	if (list)
		qsort(list, *count, sizeof(*list), by_pid);
	return list;
}
