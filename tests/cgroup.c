// SPDX-License-Identifier: GPL-2.0-only
/*
 * A cgroup's limit: droppable pages of that cgroup go, nobody is killed, and
 * what is resident is charged to the task that touched it.
 * Contract lines 10, 11, 20 and 4.
 */
// vm: --mem 384 --smp 2
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/figures.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0xc604
#define ANON_TAG 0xa404
#define PAGES_OF(bytes) ((bytes) / PAGE)

static void want_no_kill(const struct cgroup *group)
{
	want_eq(cgroup_event(group, "oom_kill"), 0);
}

TEST(control, "line 10: control: anonymous memory beyond the limit is an oom_kill event")
{
	struct cgroup group = cgroup_new(16 * MIB);
	size_t before = vmstat("oom_kill");
	pid_t child = spawn();

	if (!child) {
		cgroup_enter(&group);
		memset(anon_map(24 * MIB), 1, 24 * MIB);
		_exit(0);
	}
	join_signal(child, SIGKILL);
	want(wait_for(cgroup_event(&group, "oom_kill") == 1, 5));
	want_ge(vmstat("oom_kill"), before + 1);
}

TEST(mixed, "line 10: 48 MB droppable + 40 MB anonymous in 64 MB without swap: the anonymous is intact, no oom_kill")
{
	struct cgroup group = cgroup_new(64 * MIB);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(48 * MIB);
		char *anonymous = anon_map(40 * MIB);
		size_t left;

		cgroup_enter(&group);
		fill(area, PAGES_OF(48 * MIB), TAG, 1);
		want_eq(resident(area, 48 * MIB), PAGES_OF(48 * MIB));
		fill(anonymous, PAGES_OF(40 * MIB), ANON_TAG, 1);
		left = resident(area, 48 * MIB);
		note("%zu of %lu droppable pages left, %lu would fit", left,
		     PAGES_OF(48 * MIB), PAGES_OF(24 * MIB));
		want_le(left, PAGES_OF(24 * MIB));
		want_whole(anonymous, PAGES_OF(40 * MIB), ANON_TAG, 1);
		want_eq(tally(area, PAGES_OF(48 * MIB), TAG, 1).bad, 0);
		want_whole(anonymous, PAGES_OF(40 * MIB), ANON_TAG, 1);
		_exit(0);
	}
	join(child);
	want_no_kill(&group);
}

TEST(interleaved, "line 10: droppable and anonymous stores in turn, more than the limit together: no oom_kill")
{
	struct cgroup group = cgroup_new(24 * MIB);
	pid_t child = spawn();

	if (!child) {
		size_t pages = PAGES_OF(16 * MIB);
		char *area = mem_map(16 * MIB);
		char *anonymous = anon_map(16 * MIB);

		cgroup_enter(&group);
		for (size_t i = 0; i < pages; i++) {
			fill_page(area + i * PAGE, TAG, 1, i);
			fill_page(anonymous + i * PAGE, ANON_TAG, 1, i);
		}
		want_whole(anonymous, pages, ANON_TAG, 1);
		want_eq(tally(area, pages, TAG, 1).bad, 0);
		_exit(0);
	}
	join(child);
	want_no_kill(&group);
}

TEST(overcommitted, "line 11: 160 MB written into a 64 MB cgroup just works")
{
	struct cgroup group = cgroup_new(64 * MIB);
	pid_t child = spawn();

	if (!child) {
		size_t pages = PAGES_OF(160 * MIB);
		char *area = mem_map(160 * MIB);
		size_t kept;

		cgroup_enter(&group);
		for (size_t i = 0; i < pages; i++) {
			fill_page(area + i * PAGE, TAG, 1, i);
			if (i % 1024 == 0)
				want_le(cgroup_get(&group, "memory.current"),
					64 * MIB + CGROUP_AHEAD);
		}
		kept = want_sane(area, pages, TAG, 1, 16);
		note("%zu of %zu pages whole", kept, pages);
		want_ge(kept, 1);
		/* And it can be written all over again. */
		for (size_t i = 0; i < pages; i += 4)
			fill_page(area + i * PAGE, TAG, 2, i);
		_exit(0);
	}
	join(child);
	want_no_kill(&group);
}

/* A child that fills an area in the group and then holds it. */
struct holder {
	pid_t pid;
	volatile struct {
		int filled;
		int asked;
		int answered;
		size_t resident;
	} *shared;
};

static struct holder hold(const struct cgroup *group, size_t length)
{
	struct holder holder = { .shared = shared_map(PAGE) };

	holder.pid = spawn();
	if (!holder.pid) {
		char *area = mem_map(length);

		cgroup_enter(group);
		fill(area, PAGES_OF(length), TAG, 1);
		holder.shared->filled = 1;
		for (int turn = 1;; turn++) {
			while (holder.shared->asked < turn)
				pause_seconds(0.005);
			if (holder.shared->asked >= 1000)
				break;
			holder.shared->resident = resident(area, length);
			holder.shared->answered = turn;
		}
		want_eq(tally(area, PAGES_OF(length), TAG, 1).bad, 0);
		_exit(0);
	}
	want(wait_for(holder.shared->filled || !alive(holder.pid), 60));
	want(holder.shared->filled);
	return holder;
}

static size_t held(struct holder *holder)
{
	int turn = ++holder->shared->asked;

	want(wait_for(holder->shared->answered == turn || !alive(holder->pid),
		      60));
	want_eq(holder->shared->answered, turn);
	return holder->shared->resident;
}

static void let_go(struct holder *holder)
{
	holder->shared->asked = 1000;
	join(holder->pid);
}

TEST(lowered, "line 10: memory.max lowered below what is resident drops pages and kills nobody")
{
	struct cgroup group = cgroup_new(64 * MIB);
	struct holder holder = hold(&group, 24 * MIB);

	want_eq(held(&holder), PAGES_OF(24 * MIB));
	cgroup_set(&group, "memory.max", 12 * MIB);
	want_le(cgroup_get(&group, "memory.current"), 12 * MIB);
	want_le(held(&holder), PAGES_OF(12 * MIB));
	want_no_kill(&group);
	let_go(&holder);
	want_no_kill(&group);
}

TEST(high, "line 10: memory.high drops pages as well")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct holder holder;

	cgroup_set(&group, "memory.high", 12 * MIB);
	holder = hold(&group, 32 * MIB);
	want_le(held(&holder), PAGES_OF(20 * MIB));
	want_no_kill(&group);
	let_go(&holder);
}

TEST(reclaim, "line 10: memory.reclaim drops pages")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct holder holder;
	size_t left;

	if (!cgroup_has(&group, "memory.reclaim"))
		skip("this kernel has no memory.reclaim (5.19)");
	holder = hold(&group, 24 * MIB);
	/* Where the kernel counts nothing freed by a shrinker: EAGAIN. */
	if (!cgroup_try_set(&group, "memory.reclaim", 8 * MIB))
		want_eq(errno, EAGAIN);
	left = held(&holder);
	note("%zu of %lu pages left after 8 of 24 MB were asked for", left,
	     PAGES_OF(24 * MIB));
	want_le(left, PAGES_OF(17 * MIB));
	let_go(&holder);
	want_no_kill(&group);
}

TEST(reclaim_anew, "line 10: what one reclaimer got is not counted against the next, in a group made anew each time")
{
	for (int round = 0; round < 10; round++) {
		struct cgroup group = cgroup_new(CGROUP_MAX);
		struct holder holder;
		pid_t child;

		if (!cgroup_has(&group, "memory.reclaim"))
			skip("this kernel has no memory.reclaim (5.19)");
		holder = hold(&group, 8 * MIB);
		child = spawn();
		if (!child) {
			if (!cgroup_try_set(&group, "memory.reclaim", 2 * MIB))
				want_eq(errno, EAGAIN);
			_exit(0);
		}
		join(child);
		want_le(held(&holder), PAGES_OF(6 * MIB + MIB / 2));
		let_go(&holder);
		want_ok(rmdir(group.path));
	}
}

TEST(sibling_kept, "line 4: pressure in one cgroup takes nothing from another")
{
	struct cgroup group = cgroup_new(16 * MIB);
	struct cgroup other = cgroup_new(CGROUP_MAX);
	struct holder holder = hold(&other, 8 * MIB);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(40 * MIB);

		cgroup_enter(&group);
		fill(area, PAGES_OF(40 * MIB), TAG + 1, 1);
		_exit(0);
	}
	join(child);
	want_eq(held(&holder), PAGES_OF(8 * MIB));
	let_go(&holder);
	want_no_kill(&group);
}

TEST(nested, "line 10: a limit on the parent drops a child group's pages for its sibling's anonymous memory")
{
	struct cgroup parent = cgroup_new(32 * MIB);
	struct cgroup first = cgroup_under(&parent, CGROUP_MAX);
	struct cgroup second = cgroup_under(&parent, CGROUP_MAX);
	struct holder holder = hold(&first, 24 * MIB);
	pid_t child = spawn();

	if (!child) {
		char *anonymous = anon_map(20 * MIB);

		cgroup_enter(&second);
		fill(anonymous, PAGES_OF(20 * MIB), ANON_TAG, 1);
		want_whole(anonymous, PAGES_OF(20 * MIB), ANON_TAG, 1);
		_exit(0);
	}
	join(child);
	want_le(held(&holder), PAGES_OF(12 * MIB));
	let_go(&holder);
	want_no_kill(&parent);
}

/* memory.current is exact to a batch of 64 pages per CPU. */
#define SLACK (2 * MIB)

static void want_current(const struct cgroup *group, size_t low, size_t high)
{
	if (!wait_for(cgroup_get(group, "memory.current") <= high &&
		      cgroup_get(group, "memory.current") + SLACK >= low, 5))
		fail("got memory.current %zu KiB, want %zu to %zu KiB",
		     cgroup_get(group, "memory.current") / KIB, low / KIB,
		     high / KIB);
}

TEST(charged, "line 20: memory.current rises with what is touched and falls after drop and munmap")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	size_t size = 16 * MIB;
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(size);
		size_t base;

		cgroup_enter(&group);
		base = cgroup_get(&group, "memory.current");
		fill(area, PAGES_OF(size) / 2, TAG, 1);
		want_current(&group, base + size / 2,
			     base + size / 2 + size / 32 + SLACK);
		fill(area, PAGES_OF(size), TAG, 1);
		want_current(&group, base + size,
			     base + size + size / 32 + SLACK);
		mem_drop(area, size / 2);
		want_current(&group, base + size / 2,
			     base + size / 2 + size / 32 + SLACK);
		mem_shrink(area, size);
		want_current(&group, base, base + SLACK);
		fill(area, PAGES_OF(size), TAG, 2);
		want_current(&group, base + size,
			     base + size + size / 32 + SLACK);
		mem_unmap(area, size / 4);
		want_current(&group, base + size * 3 / 4,
			     base + size * 3 / 4 + size / 32 + SLACK);
		mem_unmap(area, size);
		want_current(&group, base, base + SLACK);
		_exit(0);
	}
	join(child);
}

TEST(charged_exit, "line 20: memory.current falls after exit, whoever is left")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	struct holder holder = hold(&group, 8 * MIB);
	struct holder second = hold(&group, 8 * MIB);

	want_ge(cgroup_get(&group, "memory.current"), 16 * MIB);
	let_go(&holder);
	want_current(&group, 8 * MIB, 8 * MIB + SLACK);
	want_ok(kill(second.pid, SIGKILL));
	join_signal(second.pid, SIGKILL);
	want_current(&group, 0, SLACK);
}

TEST(charged_toucher, "line 20: a page is charged to the cgroup its toucher is in at that time")
{
	struct cgroup first = cgroup_new(CGROUP_MAX);
	struct cgroup second = cgroup_new(CGROUP_MAX);
	pid_t child = spawn();

	if (!child) {
		char *area;

		/* Opened and mapped in one, touched in the other. */
		cgroup_enter(&first);
		area = mem_map(16 * MIB);
		fill(area, PAGES_OF(4 * MIB), TAG, 1);
		cgroup_enter(&second);
		for (size_t i = PAGES_OF(4 * MIB); i < PAGES_OF(16 * MIB); i++)
			fill_page(area + i * PAGE, TAG, 1, i);
		want_current(&first, 4 * MIB, 4 * MIB + SLACK);
		want_current(&second, 12 * MIB, 12 * MIB + SLACK);
		want_whole(area, PAGES_OF(16 * MIB), TAG, 1);
		mem_drop(area, 16 * MIB);
		want_current(&first, 0, SLACK);
		want_current(&second, 0, SLACK);
		_exit(0);
	}
	join(child);
}

TEST(emptied_group, "line 20: pages charged to a cgroup that was removed are dropped and written like any")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	char *area = mem_map(8 * MIB);

	cgroup_enter(&group);
	fill(area, PAGES_OF(8 * MIB), TAG, 1);
	cgroup_enter_root();
	want_ok(rmdir(group.path));
	want_whole(area, PAGES_OF(8 * MIB), TAG, 1);
	mem_shrink(area, 8 * MIB);
	want_eq(present(area, 8 * MIB), 0);
	want_zero(area, 8 * MIB);
	fill(area, PAGES_OF(8 * MIB), TAG, 2);
	want_whole(area, PAGES_OF(8 * MIB), TAG, 2);
	mem_drop(area, 8 * MIB);
	want_zero(area, 8 * MIB);
}
