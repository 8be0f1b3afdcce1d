/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests share: droppable memory from either backend, patterns that
 * tell a page's own data from anything else, the kernel's own figures, and
 * cgroups.  Every helper ends the test when it can't do its work.
 *
 * DROPPABLE_BACKEND=native maps the kernel's own MAP_DROPPABLE instead of
 * /dev/droppable, so that the same programs measure both.
 */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H

#include <linux/droppable.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "tap.h"

#define PAGE 4096UL
#define KIB 1024UL
#define MIB (1024UL * KIB)
#define GIB (1024UL * MIB)

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* True when DROPPABLE_BACKEND=native. */
extern bool native;
void need_device(const char *what);

/* Droppable memory. */
int mem_open(void);
void *mem_map(size_t length);
/* mmap() of the backend with more flags; MAP_FAILED and errno on failure. */
void *mem_try(void *address, size_t length, int protection, int flags);
/* An explicit drop, of all of it. */
void mem_drop(void *address, size_t length);
/* A drop by the way memory pressure comes: the kernel's shrinkers. */
void mem_shrink(void *address, size_t length);
void mem_unmap(void *address, size_t length);

/* Ordinary memory: anonymous, never huge. */
void *anon_map(size_t length);
/* MAP_SHARED between the processes of a test. */
void *shared_map(size_t length);

/*
 * Every word of a page tells whose it is: tag (of the mapping, 16 bits, not
 * 0), generation (12 bits), page index (27 bits) and place in the page.
 */
uint64_t word_of(unsigned int tag, unsigned int generation, size_t index,
		 unsigned int place);
void fill_page(void *address, unsigned int tag, unsigned int generation,
	       size_t index);
void fill(void *address, size_t pages, unsigned int tag,
	  unsigned int generation);

enum page_state { PAGE_WHOLE, PAGE_ZERO, PAGE_BAD };

/* Looks at every byte.  A page dropped while it is looked at is PAGE_ZERO. */
enum page_state page_state(const void *address, unsigned int tag,
			   unsigned int generation, size_t index);

struct tally {
	size_t whole;
	size_t zero;
	size_t bad;
};

struct tally tally(const void *address, size_t pages, unsigned int tag,
		   unsigned int generation);
/* No page may be bad, and exactly (or at least) so many be whole. */
void want_whole(const void *address, size_t pages, unsigned int tag,
		unsigned int generation);
void want_zero(const void *address, size_t length);
bool is_zero(const void *address, size_t length);
/* How many words of a buffer stand at their place of a page with this tag. */
size_t count_words(const void *page, unsigned int tag);

/* The kernel's figures.  Sizes in bytes. */
size_t resident(const void *address, size_t length);	/* pages, by mincore */
size_t present(const void *address, size_t length);	/* pages, by pagemap */
size_t smaps(const void *address, size_t length, const char *field);
bool smaps_flag(const void *address, const char *flag);
size_t meminfo(const char *field);
size_t vmstat(const char *field);
size_t zoneinfo(const char *field);	/* as it stands there, of all zones */
/*
 * With the pages that processors keep on lists of their own, up to an eighth of
 * the machine each since 6.7: MemFree goes up and down by that.
 */
size_t memory_free(void);
/* Caches of files and names, and slabs that have no object in them. */
void empty_caches(void);
size_t process_status(pid_t pid, const char *field);
size_t file_counter(int fd, const char *name);	/* by fdinfo */
long module_references(void);

/* Files. */
bool try_write_file(const char *path, const char *text);
void write_file(const char *path, const char *text);
bool try_read_file(const char *path, char *buffer, size_t size);

/* The kernel's tracepoints, while they are mounted; skips where they are not. */
#define TRACING "/tmp/droppable-tracing"
void tracing_start(void);
void tracing_stop(void);

/* Processes.  join() wants an exit status of 0. */
pid_t spawn(void);
void join(pid_t child);
/* Waits for a death by this signal. */
void join_signal(pid_t child, int signal);
int wait_status(pid_t child);
bool alive(pid_t child);
double now(void);

/* When a race that starts now is over. */
static inline double race_end(void)
{
	return now() + tap_race();
}

double cpu_seconds(pid_t pid);
void pause_seconds(double seconds);
void become_nobody(void);

/* Polls; false when the time, longer in a slow guest, is over. */
#define wait_for(condition, seconds) \
	({ \
		double end_ = now() + (seconds) * tap_slowness(); \
		bool met_; \
		while (!(met_ = (condition)) && now() < end_) \
			pause_seconds(0.005); \
		met_; \
	})

/* A xorshift generator: the same on every machine. */
uint64_t random_next(uint64_t *state);

/*
 * cgroup2, memory controller.  A new group may not swap.  All groups are
 * removed after each test.
 */
struct cgroup {
	char path[128];
};

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

#define CGROUP_MAX SIZE_MAX

/*
 * By how much memory.current may be beyond the limit for a moment, for each who
 * charges: the core adds a batch of 64 pages before it looks.
 */
#define CGROUP_AHEAD (64 * PAGE)

#endif /* TESTS_MEMORY_H */
