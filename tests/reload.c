// SPDX-License-Identifier: GPL-2.0-only
// vm: --mem 256 --smp 2
/*
 * Line 36: loading and unloading the module leaves nothing over, however often.
 * What grows by pages a time is seen on every kernel; what grows by less, the
 * debug kernels' kmemleak says after the guest's last word.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"

#define TAG 0x4e10
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define ROUNDS 50

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
	write_file("/proc/sys/vm/drop_caches", "3");
	return meminfo("Slab") + meminfo("Percpu") + meminfo("VmallocUsed");
}

TEST_WITHIN(reloads, 300, "line 36: loaded, used and unloaded 50 times, the module leaves nothing")
{
	size_t taken_then[3], grown[2];

	need_device("module");
	want(wait_for(module_references() == 0, 10));
	unload();
	/* What the kernel keeps from a first time: caches, names. */
	rounds(20);
	taken_then[0] = taken();
	rounds(ROUNDS / 2);
	taken_then[1] = taken();
	rounds(ROUNDS / 2);
	taken_then[2] = taken();
	for (int i = 0; i < 2; i++) {
		note("kernel memory: %zu KiB before, %zu KiB after",
		     taken_then[i] / KIB, taken_then[i + 1] / KIB);
		grown[i] = taken_then[i + 1] > taken_then[i] ?
				   taken_then[i + 1] - taken_then[i] : 0;
	}
	/*
	 * A leak shows in both halves.  Slabs, and memory for modules' code,
	 * come to lie otherwise in the meantime: up to 160 KiB in the better
	 * half.  So this finds what leaks pages; a leak of objects is found on
	 * the debug kernels, by kmemleak after the test.
	 */
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	/* Where kmemleak looks it takes notes itself, and KASAN keeps the freed. */
	if (access("/sys/kernel/debug/kmemleak", F_OK))
		want_le(grown[0] < grown[1] ? grown[0] : grown[1],
			ROUNDS / 2 * PAGE * 4);
	load();
}
