// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the whole machine runs short, droppable pages go and nobody is killed,
 * with swap and without.
 * Contract line 9.
 */
// vm: --mem 256 --swap 128 --smp 2 --timeout 300
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x610b
#define ANON_TAG 0xa614

/* These fill the machine: not one that anybody works on. */
static void need_guest(bool swap)
{
	const char *device = getenv("SWAPDEV");

	if (!device)
		skip("SWAPDEV is not set: not in a guest of its own");
	if (!swap)
		want(!swapoff(device) || errno == EINVAL);
	else
		want(!swapon(device, 0) || errno == EBUSY);
}

static void write_more_than_memory(void)
{
	size_t pages = meminfo("MemTotal") * 3 / 2 / PAGE;
	size_t kills = vmstat("oom_kill");
	char *area = mem_map(pages * PAGE);
	size_t kept;

	fill(area, pages, TAG, 1);
	want_eq(vmstat("oom_kill"), kills);
	want_eq(smaps(area, pages * PAGE, "Swap"), 0);
	want_le(resident(area, pages * PAGE), meminfo("MemTotal") / PAGE);
	kept = want_sane(area, pages, TAG, 1, 64);
	note("%zu of %zu pages kept", kept, pages);
	want_ge(kept, 1);
	want_eq(vmstat("oom_kill"), kills);
}

TEST_WITHIN(alone, 200, "line 9: 1.5 x RAM of droppable memory, no swap: all stores done, no oom_kill")
{
	need_guest(false);
	write_more_than_memory();
}

/* Pages that are written, and read, as one. */
#define BITE 256UL

/*
 * Anonymous memory, as much as there would be without the droppable.  What was
 * written last is read first: the other way round each page read would put one
 * that is still to be read into the swap.
 */
static void eat(size_t pages)
{
	size_t bites = pages / BITE;
	pid_t child = spawn();

	if (!child) {
		char *anonymous = anon_map(bites * BITE * PAGE);

		for (size_t i = 0; i < bites; i++)
			fill(anonymous + i * BITE * PAGE, BITE, ANON_TAG,
			     (unsigned int)i + 1);
		for (size_t i = bites; i--;)
			want_whole(anonymous + i * BITE * PAGE, BITE, ANON_TAG,
				   (unsigned int)i + 1);
		_exit(0);
	}
	join(child);
}

static void eat_it_up(void)
{
	size_t available = meminfo("MemAvailable");
	size_t pages = available / 10 * 6 / PAGE;
	size_t kills = vmstat("oom_kill");
	char *area = mem_map(pages * PAGE);
	size_t left;

	fill(area, pages, TAG, 1);
	want_ge(resident(area, pages * PAGE), pages * 9 / 10);
	eat(available / 10 * 7 / PAGE);
	want_eq(vmstat("oom_kill"), kills);
	left = resident(area, pages * PAGE);
	note("%zu of %zu droppable pages left", left, pages);
	want_le(left, pages * 7 / 10);
	want_sane(area, pages, TAG, 1, 64);
	/* The mapping lives on. */
	fill(area, pages / 4, TAG, 2);
	want_eq(tally(area, pages / 4, TAG, 2).bad, 0);
	want_eq(vmstat("oom_kill"), kills);
}

TEST_WITHIN(eaten, 200, "line 9: anonymous memory takes what droppable memory holds, no swap: nobody is killed")
{
	need_guest(false);
	eat_it_up();
}

TEST_WITHIN(alone_swap, 200, "line 9: 1.5 x RAM of droppable memory with swap: all stores done, no oom_kill, nothing swapped of it")
{
	need_guest(true);
	write_more_than_memory();
	want_eq(process_status(getpid(), "VmSwap") > 4 * MIB, 0);
}

TEST_WITHIN(eaten_swap, 200, "line 9: anonymous memory beyond RAM with swap: droppable pages go, nobody is killed")
{
	size_t kills, pages, available, swap, beyond, excess;
	char *area;
	size_t left;

	need_guest(true);
	available = meminfo("MemAvailable");
	swap = meminfo("SwapFree");
	pages = available / 10 * 7 / PAGE;
	/* More than there is memory, and more than the swap makes up for. */
	beyond = 32 * MIB;
	if (beyond + pages * PAGE < swap + 16 * MIB)
		beyond = swap + 16 * MIB - pages * PAGE;
	excess = (pages * PAGE + beyond - swap) / PAGE;
	kills = vmstat("oom_kill");
	area = mem_map(pages * PAGE);
	fill(area, pages, TAG, 1);
	eat((available + beyond) / PAGE);
	want_eq(vmstat("oom_kill"), kills);
	left = resident(area, pages * PAGE);
	note("%zu of %zu droppable pages left, %zu had to go", left, pages,
	     excess);
	want_le(left, pages - excess);
	want_le(left, pages * 9 / 10);
	want_sane(area, pages, TAG, 1, 64);
	want_eq(vmstat("oom_kill"), kills);
}

/*
 * Reclaim gets there before the OOM killer in all of the above, so that is
 * called by hand, as the key for it does.  (From 5.17 on it kills all the same
 * then, whatever was freed.)
 */
TEST(last_look, "line 9: the OOM killer, before it picks a victim, has some droppable pages dropped, line 15: not all")
{
	const size_t pages = 32 * MIB / PAGE;
	size_t kills, dropped;
	pid_t victim;
	char *area;

	need_device("a call before the OOM killer");
	need_guest(false);
	area = mem_map(pages * PAGE);
	fill(area, pages, TAG, 1);
	victim = spawn();
	if (!victim) {
		write_file("/proc/self/oom_score_adj", "1000");
		for (;;)
			pause();
	}
	want(wait_for(process_status(victim, "VmRSS"), 10));
	pause_seconds(0.2);
	kills = vmstat("oom_kill");
	write_file("/proc/sysrq-trigger", "f");
	want(wait_for(resident(area, pages * PAGE) < pages, 10));
	/* Whoever is killed by it, it is by choice. */
	pause_seconds(0.5);
	dropped = pages - resident(area, pages * PAGE);
	note("%zu of %zu pages dropped, %zu killed", dropped, pages,
	     vmstat("oom_kill") - kills);
	want_ge(dropped, 512);
	want_le(dropped, 2048);
	want_eq(tally(area, pages, TAG, 1).bad, 0);
	want_le(vmstat("oom_kill") - kills, 1);
	if (vmstat("oom_kill") > kills)
		join_signal(victim, SIGKILL);
	else
		kill(victim, SIGKILL);
}

TEST(control, "line 9: control: an OOM kill is counted")
{
	size_t before = vmstat("oom_kill");
	struct cgroup group = cgroup_new(8 * MIB);
	pid_t child = spawn();

	if (!child) {
		cgroup_enter(&group);
		memset(anon_map(16 * MIB), 1, 16 * MIB);
		_exit(0);
	}
	join_signal(child, SIGKILL);
	want_eq(vmstat("oom_kill"), before + 1);
}
