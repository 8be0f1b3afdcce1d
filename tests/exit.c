// SPDX-License-Identifier: GPL-2.0-only
/*
 * However a process ends, nothing of it is left.
 * Contract line 36.
 *
 * When the module is unloaded at the end, the kernel says if a slot or a region of
 * it is left over: of caches of their own, hence slab_nomerge.
 */
// vm: --mem 256 --smp 2 --append slab_nomerge
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 256UL
#define LENGTH (PAGES * PAGE)
#define TAG 0xe817

/*
 * Rounds of 1 MiB each: what one of eight leaves behind is well above the
 * noise: up to half a MiB, of tables and names that the kernel keeps; a debug
 * kernel keeps up to 1.3.
 */
#define ROUNDS 100
#define NOISE (2 * MIB)

struct figures {
	size_t reclaimable;
	size_t unreclaimable;
	size_t used;
};

static struct figures figures_now(void)
{
	struct figures figures;

	sync();
	empty_caches();
	figures.reclaimable = meminfo("KReclaimable");
	figures.unreclaimable = meminfo("SUnreclaim");
	figures.used = meminfo("MemTotal") - memory_free();
	return figures;
}

static bool is_back(struct figures *after, const struct figures *before)
{
	*after = figures_now();
	return after->used < before->used + NOISE &&
	       after->reclaimable < before->reclaimable + NOISE &&
	       after->unreclaimable < before->unreclaimable + NOISE;
}

/* Freed a little later is freed as well. */
static void want_returned(const struct cgroup *group, struct figures before)
{
	struct figures after;

	if (!wait_for(cgroup_get(group, "memory.current") < 2 * MIB, 10))
		fail("got memory.current %zu KiB of an empty cgroup, want less than 2 MiB",
		     cgroup_get(group, "memory.current") / KIB);
	if (!native) {
		want(wait_for(module_references() == 0, 10));
		want(wait_for(!device_counter("resident"), 10));
	}
	if (!wait_for(is_back(&after, &before), 20))
		fail("got KiB used %zu, KReclaimable %zu, SUnreclaim %zu, want about %zu, %zu, %zu",
		     after.used / KIB, after.reclaimable / KIB,
		     after.unreclaimable / KIB, before.used / KIB,
		     before.reclaimable / KIB, before.unreclaimable / KIB);
	note("left over: %zd KiB, reclaimable %zd, unreclaimable %zd",
	     (ssize_t)(after.used - before.used) / (ssize_t)KIB,
	     (ssize_t)(after.reclaimable - before.reclaimable) / (ssize_t)KIB,
	     (ssize_t)(after.unreclaimable - before.unreclaimable) / (ssize_t)KIB);
}

/* Fills and ends in many ways; never returns. */
static void live_and_end(int way)
{
	char *area = mem_map(LENGTH);

	fill(area, PAGES, TAG, 1);
	switch (way % 8) {
	case 0:
		_exit(0);
	case 1:
		kill(getpid(), SIGKILL);
		break;
	case 2:
		mem_drop(area, LENGTH / 2);
		mem_unmap(area, LENGTH / 4);
		_exit(0);
	case 3:
		want_ok(madvise(area, LENGTH, MADV_DONTNEED));
		fill(area, PAGES / 2, TAG, 2);
		_exit(0);
	case 4: {
		pid_t child = spawn();

		if (!child) {
			fill(area, PAGES, TAG, 2);
			_exit(0);
		}
		_exit(0);
	}
	case 5:
		execl("/proc/self/exe", "exit", "--exec", NULL);
		_exit(1);
	case 6:
		want_ok(mremap(area, LENGTH / 2, LENGTH / 2,
			       MREMAP_MAYMOVE | MREMAP_FIXED,
			       anon_map(LENGTH / 2)));
		mem_open();
		_exit(0);
	case 7:
		mprotect(area, LENGTH / 2, PROT_READ);
		*(volatile char *)area = 1;
	}
	_exit(1);
}

static void __attribute__((constructor)) end_exec(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--exec"))
		_exit(0);
}

TEST(all_ways, "line 36: exit, fork, exec, signals and SIGKILL leave nothing: memory.current, KReclaimable, the resident pages and the module's references return")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct figures before = figures_now();

	for (int round = 0; round < ROUNDS; round++) {
		pid_t child = spawn();

		if (!child) {
			cgroup_enter(&group);
			live_and_end(round);
		}
		wait_status(child);
		want(!tap_failed());
	}
	want_returned(&group, before);
}

TEST(control, "line 36: control: the figures do show what is not returned")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct figures before = figures_now();
	char *area = mem_map(16 * MIB);

	cgroup_enter(&group);
	fill(area, 16 * MIB / PAGE, TAG, 1);
	cgroup_enter_root();
	want_ge(cgroup_get(&group, "memory.current"), 15 * MIB);
	want_ge(meminfo("MemTotal") - memory_free(),
		before.used + 10 * MIB);
	if (!native) {
		want_ge(module_references(), 1);
		want(!!device_counter("resident"));
	}
	mem_unmap(area, 16 * MIB);
	want_returned(&group, before);
}

static void *fault_thread(void *argument)
{
	char *area = argument;

	for (unsigned int generation = 1;; generation++) {
		fill(area, PAGES, TAG, generation);
		mem_drop(area, LENGTH / 2);
	}
	return NULL;
}

TEST(killed_anywhere, "line 36: SIGKILL at any point of faults and drops in two threads leaves nothing")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct figures before = figures_now();
	volatile int *running = shared_map(PAGE);
	uint64_t seed = 4711;

	for (int round = 0; round < ROUNDS; round++) {
		pid_t child;

		*running = 0;
		child = spawn();
		if (!child) {
			char *area = mem_map(LENGTH);
			pthread_t thread;

			cgroup_enter(&group);
			pthread_create(&thread, NULL, fault_thread, area);
			*running = 1;
			fault_thread(area);
		}
		want(wait_for(*running, 20));
		pause_seconds((double)(random_next(&seed) % 5000) / 1e6);
		want_ok(kill(child, SIGKILL));
		join_signal(child, SIGKILL);
	}
	want_returned(&group, before);
}

TEST(oom_killed, "line 36: processes killed by the OOM killer leave nothing")
{
	struct cgroup group = cgroup_new(8 * MIB);
	struct figures before = figures_now();

	for (int round = 0; round < 12; round++) {
		pid_t child = spawn();

		if (!child) {
			char *area = mem_map(2 * MIB);

			cgroup_enter(&group);
			fill(area, 2 * MIB / PAGE, TAG, 1);
			/* Held pages can't make room. */
			memset(anon_map(16 * MIB), 1, 16 * MIB);
			_exit(0);
		}
		join_signal(child, SIGKILL);
	}
	want_ge(cgroup_event(&group, "oom_kill"), 12);
	want_returned(&group, before);
}

TEST(full_group, "line 36: fork and exec with no memory left fail or work, and leave nothing")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct figures before = figures_now();
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(LENGTH);
		int forked = 0, failed = 0;

		cgroup_enter(&group);
		fill(area, PAGES, TAG, 1);
		/* Beyond this a fork finds nothing but droppable pages. */
		cgroup_set(&group, "memory.max",
			   cgroup_get(&group, "memory.current"));
		for (int round = 0; round < 50; round++) {
			pid_t grandchild = fork();

			if (grandchild < 0) {
				failed++;
				continue;
			}
			if (!grandchild) {
				want_zero(area, PAGE);
				area[PAGE] = 1;
				_exit(0);
			}
			forked++;
			waitpid(grandchild, NULL, 0);
			fill(area, PAGES, TAG, 2);
		}
		note("%d forks, %d refused", forked, failed);
		_exit(0);
	}
	wait_status(child);
	want_returned(&group, before);
}

TEST(opened, "line 36: descriptors opened, mapped, passed on and closed leave nothing")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct figures before;
	pid_t child;

	need_device("descriptor");
	before = figures_now();
	child = spawn();
	if (!child) {
		cgroup_enter(&group);
		for (int round = 0; round < 2000; round++) {
			int fd = mem_open();
			int copy = dup(fd);
			char *area = mmap(NULL, 2 * PAGE,
					  PROT_READ | PROT_WRITE, MAP_SHARED,
					  copy, 0);

			want_ok(area);
			area[0] = 1;
			close(fd);
			mem_unmap(area, PAGE);
			close(copy);
			area[PAGE] = 1;
			mem_unmap(area, 2 * PAGE);
			/* Refused mappings too. */
			want_errno(mem_try(NULL, PAGE, PROT_READ, MAP_LOCKED),
				   EINVAL);
		}
		_exit(0);
	}
	join(child);
	want_returned(&group, before);
}

/* Last: it takes the module away and brings it back. */
TEST(unloads, "line 36: the module unloads after all that, and loads again")
{
	char *area;

	need_device("module");
	want(wait_for(module_references() == 0, 10));
	area = mem_map(LENGTH);
	fill(area, PAGES, TAG, 1);
	mem_unmap(area, LENGTH);
	want_ok(syscall(SYS_delete_module, "droppable", O_NONBLOCK));
	want_errno(open(DROPPABLE_DEVICE, O_RDWR), ENOENT);
	if (system("modprobe droppable"))
		fail("modprobe fails, want the module back");
	want(wait_for(access(DROPPABLE_DEVICE, R_OK | W_OK) == 0, 10));
	area = mem_map(LENGTH);
	fill(area, PAGES, TAG, 2);
	want_whole(area, PAGES, TAG, 2);
	mem_shrink(area, LENGTH);
	want_zero(area, LENGTH);
}
