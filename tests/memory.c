// SPDX-License-Identifier: GPL-2.0-only
/* See memory.h. */
#define _GNU_SOURCE
#include "memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS (PAGE / sizeof(uint64_t))

bool native;

/* ---- droppable memory ---- */

void tap_setup(void)
{
	const char *backend = getenv("DROPPABLE_BACKEND");
	int fd;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE)
		tap_bail("pages are not of %lu bytes", PAGE);
	native = backend && !strcmp(backend, "native");
	if (native) {
		void *probe = mem_try(NULL, PAGE, PROT_READ, 0);

		if (probe == MAP_FAILED)
			tap_skip_all("this kernel has no MAP_DROPPABLE");
		munmap(probe, PAGE);
		return;
	}
	fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		tap_bail(DROPPABLE_DEVICE ": %s", tap_errno(errno));
	close(fd);
}

void need_device(const char *what)
{
	if (native)
		skip("MAP_DROPPABLE has no %s", what);
}

int mem_open(void)
{
	int fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);

	want_ok(fd);
	return fd;
}

void *mem_try(void *address, size_t length, int protection, int flags)
{
	void *map;
	int error;
	int fd;

	if (native)
		return mmap(address, length, protection,
			    MAP_ANONYMOUS | MAP_DROPPABLE | flags, -1, 0);
	fd = mem_open();
	map = mmap(address, length, protection, MAP_SHARED | flags, fd, 0);
	error = errno;
	close(fd);
	errno = error;
	return map;
}

void *mem_map(size_t length)
{
	void *map = mem_try(NULL, length, PROT_READ | PROT_WRITE, 0);

	want_ok(map);
	/* Huge pages would make native's counts coarse. */
	if (native)
		madvise(map, length, MADV_NOHUGEPAGE);
	return map;
}

void mem_unmap(void *address, size_t length)
{
	want_ok(munmap(address, length));
}

/* A page just touched waits in a list of that CPU: each empties its own only. */
static void drop_native(void *address, size_t length)
{
	cpu_set_t all, one;

	want_ok(sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		want_ok(sched_setaffinity(0, sizeof(one), &one));
		want_ok(madvise(address, length, MADV_PAGEOUT));
	}
	want_ok(sched_setaffinity(0, sizeof(all), &all));
}

void mem_drop(void *address, size_t length)
{
	struct droppable_drop drop = {
		.addr = (uintptr_t)address,
		.len = length,
	};
	int fd;

	if (native) {
		drop_native(address, length);
		return;
	}
	fd = mem_open();
	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	close(fd);
}

/* A page touched a moment ago gets a second chance: ask more than once. */
void mem_shrink(void *address, size_t length)
{
	if (native) {
		mem_drop(address, length);
		return;
	}
	for (int i = 0; i < 20 && present(address, length); i++)
		write_file("/proc/sys/vm/drop_caches", "2");
}

void *anon_map(size_t length)
{
	void *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	want_ok(map);
	/* Set by make matrix: as the machine's settings have it. */
	if (!getenv("TEST_THP"))
		madvise(map, length, MADV_NOHUGEPAGE);
	return map;
}

void *shared_map(size_t length)
{
	void *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	want_ok(map);
	memset(map, 0, length);
	return map;
}

/* ---- patterns ---- */

uint64_t word_of(unsigned int tag, unsigned int generation, size_t index,
		 unsigned int place)
{
	return (uint64_t)(tag & 0xffff) << 48 |
	       (uint64_t)(generation & 0xfff) << 36 |
	       (uint64_t)(index & 0x7ffffff) << 9 | (place & 0x1ff);
}

/*
 * A page that goes while it is written keeps the later stores only: then once
 * more, so that each page was whole at least once.
 */
void fill_page(void *address, unsigned int tag, unsigned int generation,
	       size_t index)
{
	uint64_t first = word_of(tag, generation, index, 0);
	volatile uint64_t *word = address;

	do {
		for (unsigned int i = 0; i < WORDS; i++)
			word[i] = first + i;
	} while (word[0] != first);
}

void fill(void *address, size_t pages, unsigned int tag,
	  unsigned int generation)
{
	for (size_t i = 0; i < pages; i++)
		fill_page((char *)address + i * PAGE, tag, generation, i);
}

bool is_zero(const void *address, size_t length)
{
	const volatile uint64_t *word = address;

	for (size_t i = 0; i < length / sizeof(*word); i++) {
		if (word[i])
			return false;
	}
	return true;
}

/*
 * The page may go at any moment, between two loads of this loop as well: then
 * all that follows is zero, and what was read before is zero as well now.
 */
enum page_state page_state(const void *address, unsigned int tag,
			   unsigned int generation, size_t index)
{
	uint64_t first = word_of(tag, generation, index, 0);
	const volatile uint64_t *word = address;
	unsigned int i = 0;

	while (i < WORDS && word[i] == first + i)
		i++;
	if (i == WORDS)
		return PAGE_WHOLE;
	return is_zero(address, PAGE) ? PAGE_ZERO : PAGE_BAD;
}

struct tally tally(const void *address, size_t pages, unsigned int tag,
		   unsigned int generation)
{
	struct tally sum = { 0, 0, 0 };

	for (size_t i = 0; i < pages; i++) {
		const char *at = (const char *)address + i * PAGE;

		switch (page_state(at, tag, generation, i)) {
		case PAGE_WHOLE:
			sum.whole++;
			break;
		case PAGE_ZERO:
			sum.zero++;
			break;
		case PAGE_BAD:
			if (!sum.bad++) {
				const volatile uint64_t *word = (const void *)at;

				note("page %zu is neither whole nor zero: starts %016llx %016llx, ends %016llx; want %016llx",
				     i, (unsigned long long)word[0],
				     (unsigned long long)word[1],
				     (unsigned long long)word[WORDS - 1],
				     (unsigned long long)word_of(
					     tag, generation, i, 0));
			}
			break;
		}
	}
	return sum;
}

void want_whole(const void *address, size_t pages, unsigned int tag,
		unsigned int generation)
{
	struct tally sum = tally(address, pages, tag, generation);

	want_eq(sum.bad, 0);
	want_eq(sum.whole, pages);
}

void want_zero(const void *address, size_t length)
{
	for (size_t at = 0; at < length; at += PAGE) {
		if (!is_zero((const char *)address + at, PAGE))
			fail("got page %zu with data (%016llx), want zero",
			     at / PAGE,
			     *(const unsigned long long *)((const char *)address +
							   at));
	}
}

size_t count_words(const void *page, unsigned int tag)
{
	const uint64_t *word = page;
	size_t count = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		count += word[i] >> 48 == tag && (word[i] & 0x1ff) == i;
	return count;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* ---- files ---- */

bool try_write_file(const char *path, const char *text)
{
	size_t length = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;
	int error;

	if (fd < 0)
		return false;
	written = write(fd, text, length);
	error = errno;
	close(fd);
	errno = error;
	return written == (ssize_t)length;
}

void write_file(const char *path, const char *text)
{
	if (!try_write_file(path, text))
		fail("got %s, want to write %s to %s", tap_errno(errno), text,
		     path);
}

bool try_read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = 0;

	if (fd < 0)
		return false;
	while (used < size - 1 &&
	       (got = read(fd, buffer + used, size - 1 - used)) > 0)
		used += (size_t)got;
	buffer[used] = 0;
	close(fd);
	return got >= 0;
}

static void read_file(const char *path, char *buffer, size_t size)
{
	if (!try_read_file(path, buffer, size))
		fail("got %s, want to read %s", tap_errno(errno), path);
}

/* The number after a name at the start of a line, "kB" made bytes. */
static bool find_number(const char *text, const char *name, size_t *number)
{
	size_t length = strlen(name);

	for (const char *line = text; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *end;

		if (strncmp(line, name, length) ||
		    !strchr(": \t", line[length]))
			continue;
		*number = strtoul(line + length + 1, &end, 10);
		if (!strncmp(end, " kB", 3))
			*number *= KIB;
		return true;
	}
	return false;
}

static size_t number_in(const char *path, const char *name)
{
	static char buffer[32 * KIB];
	size_t number;

	read_file(path, buffer, sizeof(buffer));
	if (!find_number(buffer, name, &number))
		fail("got no %s in %s", name, path);
	return number;
}

/* ---- the kernel's figures ---- */

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

/* ---- tracepoints ---- */

void tracing_start(void)
{
	mkdir(TRACING, 0700);
	if (mount("tracefs", TRACING, "tracefs", 0, NULL))
		skip("tracefs: %s", tap_errno(errno));
	write_file(TRACING "/tracing_on", "1");
}

void tracing_stop(void)
{
	want_ok(umount2(TRACING, MNT_DETACH));
	rmdir(TRACING);
}

/* ---- processes ---- */

pid_t spawn(void)
{
	pid_t child = fork();

	want_ok(child);
	return child;
}

int wait_status(pid_t child)
{
	int status;
	pid_t reaped;

	do
		reaped = waitpid(child, &status, 0);
	while (reaped < 0 && errno == EINTR);
	want_eq(reaped, child);
	return status;
}

void join(pid_t child)
{
	int status = wait_status(child);

	if (tap_failed())
		_exit(1);
	if (WIFSIGNALED(status))
		fail("got a child dead of signal %d (%s), want exit 0",
		     WTERMSIG(status), strsignal(WTERMSIG(status)));
	want_eq(WEXITSTATUS(status), 0);
}

void join_signal(pid_t child, int signal)
{
	int status = wait_status(child);

	if (tap_failed())
		_exit(1);
	if (!WIFSIGNALED(status))
		fail("got a child with exit status %d, want signal %d",
		     WEXITSTATUS(status), signal);
	want_eq(WTERMSIG(status), signal);
}

bool alive(pid_t child)
{
	siginfo_t info = { .si_pid = 0 };

	want_ok(waitid(P_PID, (id_t)child, &info,
		       WEXITED | WNOHANG | WNOWAIT));
	return info.si_pid == 0;
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double cpu_seconds(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	want_eq(clock_getcpuclockid(pid, &clock), 0);
	want_ok(clock_gettime(clock, &time));
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void pause_seconds(double seconds)
{
	struct timespec time = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	nanosleep(&time, NULL);
}

void become_nobody(void)
{
	want_ok(setgroups(0, NULL));
	want_ok(setresgid(65534, 65534, 65534));
	want_ok(setresuid(65534, 65534, 65534));
	/* Else /proc/self would be root's. */
	want_ok(prctl(PR_SET_DUMPABLE, 1));
}

/* ---- cgroups ---- */

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
