// SPDX-License-Identifier: GPL-2.0-only
// vm: --mem 256 --smp 2 --append slab_nomerge
/*
 * Line 36: loading and unloading the module leaves nothing over, however often.
 * A slot or a region is seen by the kernel, in a cache that it did not merge with
 * others; what else grows by 1 KiB a time on every kernel; what grows by less, the
 * debug kernels' kmemleak says after the guest's last word.
 */
#include <fcntl.h>
#include <linux/droppable.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x4e10
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define ROUNDS 100

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

/*
 * Bytes of the objects in slabs, and of what slabinfo leaves out: large kmalloc.
 * The slabs themselves come and go by 200 KiB around the same objects, module or
 * no module.
 */
static size_t slab_objects(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	size_t active, size, slab_pages, slabs, objects = 0, pages = 0;
	char line[256];

	want(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line,
			   "%*s %zu %*u %zu %*u %zu : tunables %*u %*u %*u : slabdata %*u %zu",
			   &active, &size, &slab_pages, &slabs) != 4)
			continue;
		objects += active * size;
		pages += slabs * slab_pages;
	}
	fclose(file);
	want(pages);
	return objects + meminfo("Slab") - pages * PAGE;
}

/* What the kernel has of its own, when what is freed late has been freed. */
static size_t taken(void)
{
	empty_caches();
	pause_seconds(0.5);
	empty_caches();
	/* Each processor counts for itself first. */
	write_file("/proc/sys/vm/stat_refresh", "1");
	return slab_objects() + meminfo("Percpu") + meminfo("VmallocUsed") -
	       meminfo("KernelStack");
}

TEST_WITHIN(reloads, 300, "line 36: loaded, used and unloaded 100 times, the module leaves nothing")
{
	size_t before, after;

	need_device("module");
	want(wait_for(module_references() == 0, 10));
	unload();
	/* What the kernel keeps from a first time: caches, names. */
	rounds(20);
	before = taken();
	rounds(ROUNDS);
	after = taken();
	note("kernel memory: %zu KiB before, %zu KiB after", before / KIB,
	     after / KIB);
	want_le(after, before + ROUNDS * PAGE / 4);
	load();
}
