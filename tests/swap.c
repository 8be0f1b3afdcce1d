// SPDX-License-Identifier: GPL-2.0-only
/*
 * No byte of it reaches swap.
 * Contract line 14.
 */
// vm: --mem 256 --swap 48 --smp 2 --append swapaccount=1
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/disk.h"
#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x5a9d
#define ANON_TAG 0x5a9a
#define SIZE (8 * MIB)

static const char *need_swap(void)
{
	const char *device = getenv("SWAPDEV");

	if (!device)
		skip("SWAPDEV is not set: no swap to look at");
	want_ge(meminfo("SwapTotal"), 16 * MIB);
	return device;
}

static struct on_disk search(const char *device)
{
	struct on_disk found = search_disk(device, TAG, ANON_TAG);

	want_ge(found.bytes, meminfo("SwapTotal"));
	return found;
}

static struct cgroup swapping_group(void)
{
	struct cgroup group = cgroup_new(CGROUP_MAX);

	if (cgroup_has(&group, "memory.swap.max"))
		cgroup_set(&group, "memory.swap.max", CGROUP_MAX);
	return group;
}

TEST(raw_device, "line 14: a scan of the raw swap device finds anonymous memory and no byte of droppable memory")
{
	const char *device = need_swap();
	struct cgroup group = swapping_group();
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(SIZE);
		char *anonymous = anon_map(SIZE);
		struct on_disk found;

		cgroup_enter(&group);
		fill(area, SIZE / PAGE, TAG, 1);
		fill(anonymous, SIZE / PAGE, ANON_TAG, 1);
		/* Written once more, so that both are the newest there is. */
		fill(area, SIZE / PAGE, TAG, 2);
		cgroup_set(&group, "memory.max", 4 * MIB);
		want_ge(process_status(getpid(), "VmSwap"), MIB);
		found = search(device);
		note("swap holds %zu pages of anonymous, %zu of droppable memory",
		     found.anonymous, found.droppable);
		want_ge(found.anonymous, MIB / PAGE);
		want_eq(found.droppable, 0);
		want_eq(smaps(area, SIZE, "Swap"), 0);
		want_ge(smaps(anonymous, SIZE, "Swap"), MIB);
		want_le(process_status(getpid(), "VmSwap"),
			smaps(anonymous, SIZE, "Swap") + 2 * MIB);
		cgroup_set(&group, "memory.max", CGROUP_MAX);
		want_whole(anonymous, SIZE / PAGE, ANON_TAG, 1);
		want_eq(tally(area, SIZE / PAGE, TAG, 2).bad, 0);
		_exit(0);
	}
	join(child);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

/* What a group with nothing but this memory has in swap after a squeeze. */
static size_t swapped(bool droppable)
{
	struct cgroup group = swapping_group();
	pid_t child;

	if (!cgroup_has(&group, "memory.swap.current"))
		skip("this kernel does not count swap per cgroup");
	child = spawn();
	if (!child) {
		char *area = droppable ? mem_map(SIZE) : anon_map(SIZE);

		/* What was there before stays charged where it was. */
		cgroup_enter(&group);
		fill(area, SIZE / PAGE, TAG + 1, 1);
		cgroup_set(&group, "memory.max", 2 * MIB);
		_exit(0);
	}
	/* Looked at while it lives. */
	siginfo_t info;
	size_t peak = 0;

	do {
		size_t current = cgroup_get(&group, "memory.swap.current");

		peak = current > peak ? current : peak;
		memset(&info, 0, sizeof(info));
		want_ok(waitid(P_PID, (id_t)child, &info,
			       WEXITED | WNOHANG | WNOWAIT));
	} while (!info.si_pid);
	join(child);
	return peak;
}

TEST(cgroup_swap, "line 14: memory.swap.current does not count it, and counts anonymous memory")
{
	need_swap();
	want_ge(swapped(false), MIB);
	/* A few pages of the process itself may go. */
	want_le(swapped(true), 256 * KIB);
}

TEST(pageout, "line 14: MADV_PAGEOUT and MADV_COLD put nothing into swap")
{
	const char *device = need_swap();
	char *area = mem_map(MIB);
	char *anonymous = anon_map(MIB);
	struct on_disk found;

	fill(area, MIB / PAGE, TAG, 1);
	fill(anonymous, MIB / PAGE, ANON_TAG, 7);
	madvise(area, MIB, MADV_COLD);
	madvise(area, MIB, MADV_PAGEOUT);
	want_ok(madvise(anonymous, MIB, MADV_PAGEOUT));
	want_ge(smaps(anonymous, MIB, "Swap"), MIB / 2);
	want_eq(smaps(area, MIB, "Swap"), 0);
	found = search(device);
	want_ge(found.anonymous, MIB / 2 / PAGE);
	want_eq(found.droppable, 0);
	want_eq(tally(area, MIB / PAGE, TAG, 1).bad, 0);
}
