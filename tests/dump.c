// SPDX-License-Identifier: GPL-2.0-only
/*
 * Core dumps hold none of it.
 * Contract line 30.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 32UL
#define TAG 0xd407
#define ANON_TAG 0xd40a

static char old_pattern[256];

static void restore_pattern(void)
{
	write_file("/proc/sys/kernel/core_pattern", old_pattern);
}

struct found {
	size_t droppable;
	size_t anonymous;
};

/* Memory in a core file starts at page boundaries; be safe, look at words. */
static struct found scan(const char *path)
{
	struct found found = { 0, 0 };
	FILE *file = fopen(path, "re");
	uint64_t word;

	if (!file)
		fail("got %s for %s, want a core file", tap_errno(errno), path);
	while (fread(&word, sizeof(word), 1, file) == 1) {
		found.droppable += word >> 48 == TAG;
		found.anonymous += word >> 48 == ANON_TAG;
	}
	fclose(file);
	return found;
}

static void want_not_dumped(const char *filter, void (*prepare)(char *area))
{
	char directory[] = "/tmp/droppable-core.XXXXXX";
	char pattern[64], core[128];
	struct found found;
	pid_t child;
	int status;

	want(mkdtemp(directory));
	want(try_read_file("/proc/sys/kernel/core_pattern", old_pattern,
			   sizeof(old_pattern)));
	snprintf(pattern, sizeof(pattern), "%s/core.%%p", directory);
	if (!try_write_file("/proc/sys/kernel/core_pattern", pattern))
		skip("core_pattern can't be set here");

	child = spawn();
	if (!child) {
		struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
		char *anonymous = anon_map(PAGES * PAGE);
		char *area = mem_map(PAGES * PAGE);

		if (setrlimit(RLIMIT_CORE, &unlimited) ||
		    prctl(PR_SET_DUMPABLE, 1) ||
		    !try_write_file("/proc/self/coredump_filter", filter))
			_exit(1);
		fill(anonymous, PAGES, ANON_TAG, 1);
		fill(area, PAGES, TAG, 1);
		if (prepare)
			prepare(area);
		abort();
	}
	status = wait_status(child);
	restore_pattern();
	want(WIFSIGNALED(status));
	want_eq(WTERMSIG(status), SIGABRT);
	want(WCOREDUMP(status));
	snprintf(core, sizeof(core), "%s/core.%d", directory, child);
	found = scan(core);
	unlink(core);
	rmdir(directory);
	/* One word of each may be in the registers of the loop that wrote it. */
	note("the core file holds %zu words of anonymous, %zu of droppable memory",
	     found.anonymous, found.droppable);
	want_ge(found.anonymous, PAGES * 512);
	want_le(found.droppable, 4);
}

TEST(plain, "line 30: a core dump with coredump_filter 0xff holds the ordinary pages and none of the droppable")
{
	want_not_dumped("0xff", NULL);
}

TEST(no_filter, "line 30: nor with coredump_filter 0x1ff, with DAX pages")
{
	want_not_dumped("0x1ff", NULL);
}

static void ask_for_dump(char *area)
{
	madvise(area, PAGES * PAGE, MADV_DODUMP);
	madvise(area + PAGE, PAGE, MADV_DODUMP);
	madvise(area, PAGES * PAGE, MADV_DOFORK);
	mprotect(area, 4 * PAGE, PROT_READ);
}

TEST(dodump, "line 30: nor after MADV_DODUMP")
{
	want_not_dumped("0xff", ask_for_dump);
}

static void move(char *area)
{
	mremap(area, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	       anon_map(PAGES * PAGE));
}

TEST(moved, "line 30: nor after mremap")
{
	want_not_dumped("0xff", move);
}

TEST(dodump_refused, "line 30: MADV_DODUMP is EINVAL, of all and of a part")
{
	char *area = mem_map(PAGES * PAGE);

	want_errno(madvise(area, PAGES * PAGE, MADV_DODUMP), EINVAL);
	want_errno(madvise(area + PAGE, PAGE, MADV_DODUMP), EINVAL);
	fill(area, PAGES, TAG, 1);
	want_errno(madvise(area, PAGES * PAGE, MADV_DODUMP), EINVAL);
	want(smaps_flag(area, "dd"));
	want_whole(area, PAGES, TAG, 1);
}
