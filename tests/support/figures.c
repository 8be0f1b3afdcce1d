// SPDX-License-Identifier: GPL-2.0-only
/* See figures.h. */
#define _GNU_SOURCE
#include "figures.h"

#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "tap.h"

size_t resident(const void *address, size_t length)
{
	size_t pages = (length + PAGE - 1) / PAGE;
	unsigned char *vector = malloc(pages);
	size_t count = 0;

	want_ok(mincore((void *)address, length, vector));
	for (size_t i = 0; i < pages; i++)
		count += vector[i] & 1;
	free(vector);
	return count;
}

size_t present(const void *address, size_t length)
{
	size_t pages = (length + PAGE - 1) / PAGE;
	size_t first = (uintptr_t)address / PAGE;
	size_t count = 0;
	uint64_t entry[512];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	want_ok(fd);
	for (size_t done = 0; done < pages;) {
		size_t wanted = pages - done < 512 ? pages - done : 512;
		ssize_t got = pread(fd, entry, wanted * sizeof(*entry),
				    (off_t)((first + done) * sizeof(*entry)));

		want_ok(got);
		want_ne(got, 0);
		for (size_t i = 0; i < (size_t)got / sizeof(*entry); i++)
			count += entry[i] >> 63;
		done += (size_t)got / sizeof(*entry);
	}
	close(fd);
	return count;
}

/* Calls back for each line of each mapping that overlaps the range. */
static void walk_smaps(const void *address, size_t length,
		       bool (*see)(const char *line, void *data), void *data)
{
	uintptr_t start = (uintptr_t)address;
	uintptr_t end = start + length;
	FILE *file = fopen("/proc/self/smaps", "re");
	bool inside = false;
	bool found = false;
	char line[512];

	want(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long low, high;

		if (sscanf(line, "%lx-%lx ", &low, &high) == 2) {
			inside = low < end && high > start;
			found |= inside;
		} else if (inside && !see(line, data)) {
			break;
		}
	}
	fclose(file);
	if (!found)
		fail("got no mapping at %p in smaps", address);
}

struct smaps_sum {
	const char *field;
	size_t sum;
};

static bool add_field(const char *line, void *data)
{
	struct smaps_sum *sum = data;
	size_t number;

	if (find_number(line, sum->field, &number))
		sum->sum += number;
	return true;
}

size_t smaps(const void *address, size_t length, const char *field)
{
	struct smaps_sum sum = { field, 0 };

	walk_smaps(address, length, add_field, &sum);
	return sum.sum;
}

struct smaps_flags {
	const char *flag;
	bool seen;
	bool set;
};

static bool find_flag(const char *line, void *data)
{
	struct smaps_flags *flags = data;
	const char *at;

	if (strncmp(line, "VmFlags:", 8))
		return true;
	flags->seen = true;
	for (at = line + 8; (at = strstr(at, flags->flag)); at++) {
		if (at[-1] == ' ' && strchr(" \n", at[2]))
			flags->set = true;
	}
	return false;
}

bool smaps_flag(const void *address, const char *flag)
{
	struct smaps_flags flags = { flag, false, false };

	walk_smaps(address, PAGE, find_flag, &flags);
	want(flags.seen);
	return flags.set;
}

size_t meminfo(const char *field)
{
	return number_in("/proc/meminfo", field);
}

size_t vmstat(const char *field)
{
	return number_in("/proc/vmstat", field);
}

size_t zoneinfo(const char *field)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	size_t length = strlen(field);
	char line[256];
	size_t sum = 0;

	want(file);
	while (fgets(line, sizeof(line), file)) {
		const char *at = line + strspn(line, " ");

		if (!strncmp(at, field, length) && at[length] == ' ')
			sum += strtoul(at + length, NULL, 10);
	}
	fclose(file);
	return sum;
}

size_t memory_free(void)
{
	return meminfo("MemFree") + zoneinfo("count:") * PAGE;
}

void empty_caches(void)
{
	glob_t caches;

	write_file("/proc/sys/vm/drop_caches", "3");
	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches))
		return;
	for (size_t i = 0; i < caches.gl_pathc; i++)
		write_file(caches.gl_pathv[i], "1");
	globfree(&caches);
}

size_t process_status(pid_t pid, const char *field)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return number_in(path, field);
}

size_t file_counter(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return number_in(path, name);
}

long module_references(void)
{
	char text[32];

	read_file("/sys/module/droppable/refcnt", text, sizeof(text));
	return atol(text);
}
