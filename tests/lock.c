// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nothing locks it, and nobody needs the right to lock.
 * Contract line 31.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 64UL
#define TAG 0x10c4

static void want_unlocked(char *area)
{
	want(!smaps_flag(area, "lo"));
	want_eq(smaps(area, PAGES * PAGE, "Locked"), 0);
	/* Still droppable, by the shrinkers too. */
	fill(area, PAGES, TAG, 1);
	mem_shrink(area, PAGES * PAGE);
	want_eq(smaps(area, PAGES * PAGE, "Rss"), 0);
	want_zero(area, PAGES * PAGE);
}

TEST(control, "line 31: control: mlock of anonymous memory is seen")
{
	char *area = anon_map(PAGES * PAGE);

	want_ok(mlock(area, PAGES * PAGE));
	want(smaps_flag(area, "lo"));
	want_eq(process_status(getpid(), "VmLck"), PAGES * PAGE);
}

TEST(mlock_range, "line 31: mlock and munlock return 0 and lock nothing")
{
	char *area = mem_map(PAGES * PAGE);

	want_ok(mlock(area, PAGES * PAGE));
	want_eq(process_status(getpid(), "VmLck"), 0);
	want_unlocked(area);
	want_ok(mlock(area + PAGE, PAGE));
	want_eq(process_status(getpid(), "VmLck"), 0);
	want_ok(munlock(area, PAGES * PAGE));
	want_unlocked(area);
	want_eq(process_status(getpid(), "VmLck"), 0);
}

TEST(mlock_onfault, "line 31: mlock2 returns 0 and locks nothing")
{
	char *area = mem_map(PAGES * PAGE);

	want_ok(syscall(SYS_mlock2, area, PAGES * PAGE, 0));
	want_ok(syscall(SYS_mlock2, area, PAGES * PAGE, MLOCK_ONFAULT));
	want_eq(process_status(getpid(), "VmLck"), 0);
	want_unlocked(area);
}

TEST(mlock_all, "line 31: mlockall(MCL_CURRENT) returns 0 and locks nothing of it")
{
	char *area = mem_map(PAGES * PAGE);
	size_t locked;

	want_ok(mlockall(MCL_CURRENT));
	locked = process_status(getpid(), "VmLck");
	want_ge(locked, PAGE);
	want_unlocked(area);
	mem_unmap(area, PAGES * PAGE);
	want_eq(process_status(getpid(), "VmLck"), locked);
	want_ok(munlockall());
	want_eq(process_status(getpid(), "VmLck"), 0);
}

TEST(mlock_future, "line 31: after mlockall(MCL_FUTURE) a new mapping is not locked and VmLck does not move")
{
	int modes[] = { MCL_FUTURE, MCL_CURRENT | MCL_FUTURE,
			MCL_FUTURE | MCL_ONFAULT };

	for (unsigned int i = 0; i < 3; i++) {
		size_t locked;
		char *area;

		want_ok(mlockall(modes[i]));
		area = anon_map(PAGE);
		want(smaps_flag(area, "lo"));
		locked = process_status(getpid(), "VmLck");
		area = mem_map(PAGES * PAGE);
		want_eq(process_status(getpid(), "VmLck"), locked);
		want_unlocked(area);
		/* A child starts unlocked; what it has still works. */
		pid_t child = spawn();
		if (!child) {
			want_unlocked(area);
			_exit(0);
		}
		join(child);
		mem_unmap(area, PAGES * PAGE);
		want_ok(munlockall());
	}
}

TEST(no_limit_needed, "line 31: RLIMIT_MEMLOCK 0 and no capability are enough")
{
	char *area;

	want_ok(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ 0, 0 }));
	become_nobody();
	want_errno(mlock(anon_map(PAGE), PAGE), EPERM);
	area = mem_map(PAGES * PAGE);
	fill(area, PAGES, TAG, 1);
	want_whole(area, PAGES, TAG, 1);
	mem_drop(area, PAGES * PAGE);
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 2);
	want_whole(area, PAGES, TAG, 2);
	want_eq(process_status(getpid(), "VmLck"), 0);
	mem_unmap(area, PAGES * PAGE);
}
