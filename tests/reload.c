// SPDX-License-Identifier: GPL-2.0-only
// vm: --mem 256 --smp 2
/*
 * Line 36: loading and unloading the module leaves nothing over, however often.
 * What grows by half a page a time is seen on every kernel; what grows by less,
 * the debug kernels' kmemleak says after the guest's last word.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"

#define TAG 0x4e10
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define ROUNDS 60
#define PARTS 6

static void load(void)
{
	if (system("modprobe droppable"))
		fail("modprobe fails, want the module loaded");
	want(wait_for(access(DROPPABLE_DEVICE, R_OK | W_OK) == 0, 10));
}

static void unload(void)
{
	want_ok(syscall(SYS_delete_module, "droppable", O_NONBLOCK));
}

/* Something of everything that the module allocates. */
static void use(void)
{
	int fd = mem_open();
	char *area = mem_map(LENGTH);
	void *counter = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			     DROPPABLE_COUNTER_OFFSET);
	pid_t child;

	want_ok(counter);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, LENGTH / 2);
	child = spawn();
	if (!child) {
		fill(area, PAGES, TAG, 2);
		want_whole(area, PAGES, TAG, 2);
		_exit(0);
	}
	join(child);
	want_ok(madvise(area, LENGTH, MADV_DONTNEED));
	fill(area, PAGES, TAG, 3);
	mem_shrink(area, LENGTH);
	/* Not zero for sure: the reaper may have held a page just then. */
	want_eq(tally(area, PAGES, TAG, 3).bad, 0);
	want_ok(munmap(counter, PAGE));
	mem_unmap(area, LENGTH);
	close(fd);
}

static void rounds(int count)
{
	while (count--) {
		pid_t child = spawn();

		if (!child) {
			load();
			use();
			_exit(0);
		}
		join(child);
		want(wait_for(module_references() == 0, 10));
		unload();
	}
}

static size_t taken(void)
{
	empty_caches();
	return meminfo("Slab") + meminfo("Percpu") + meminfo("VmallocUsed");
}

TEST_WITHIN(reloads, 300, "line 36: loaded, used and unloaded 60 times, the module leaves nothing")
{
	size_t before, after, grown, least = SIZE_MAX;

	need_device("module");
	want(wait_for(module_references() == 0, 10));
	unload();
	/* What the kernel keeps from a first time: caches, names. */
	rounds(10);
	before = taken();
	for (int part = 0; part < PARTS; part++, before = after) {
		rounds(ROUNDS / PARTS);
		after = taken();
		grown = after > before ? after - before : 0;
		note("kernel memory: %zu KiB before, %zu KiB after", before / KIB,
		     after / KIB);
		if (grown < least)
			least = grown;
	}
	/* A leak shows in every part; slabs come to lie otherwise in some. */
	want_le(least, ROUNDS / PARTS * PAGE / 2);
	load();
}
