// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program written for MAP_DROPPABLE sees under the shim.
 *
 * Where the kernel has MAP_DROPPABLE itself, native() asks it, by the system
 * call, which nobody interposes: there the tables below are measured twice.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/file.h"
#include "../support/memory.h"
#include "../support/pattern.h"
#include "../support/process.h"
#include "../support/tap.h"

#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define TAG 0x5417

#define RW (PROT_READ | PROT_WRITE)
#define DROP (MAP_ANONYMOUS | MAP_DROPPABLE)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

typedef void *map_fn(void *, size_t, int, int, int, off_t);
typedef int advise_fn(void *, size_t, int);

static void *native_map(void *address, size_t length, int protection,
			int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, address, length, protection, flags,
			       fd, offset);
}

static int native_advise(void *address, size_t length, int advice)
{
	return (int)syscall(SYS_madvise, address, length, advice);
}

static bool kernel_has_it(void)
{
	void *map = native_map(NULL, PAGE, RW, DROP, -1, 0);

	if (map == MAP_FAILED)
		return false;
	munmap(map, PAGE);
	return true;
}

/* From /proc/self/maps: is it the device that is mapped there? */
static bool is_device(const void *address)
{
	static char maps[1 << 16];
	char start[32];
	char *line, *end;

	want(try_read_file("/proc/self/maps", maps, sizeof(maps)));
	for (line = maps; *line; line = end + 1) {
		unsigned long from, to;

		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 &&
		    from <= (unsigned long)address &&
		    (unsigned long)address < to)
			return strstr(line, DROPPABLE_DEVICE);
	}
	snprintf(start, sizeof(start), "%p", address);
	fail("nothing is mapped at %s", start);
	return false;
}

static char *map_droppable(size_t length)
{
	char *map = mmap(NULL, length, RW, DROP, -1, 0);

	want_ok(map);
	return map;
}

/* ---- mmap ---- */

struct map_row {
	const char *what;
	int flags;
	int error;
	int fd;
	off_t offset;
	size_t length;
	int protection;
	bool at_page; /* the address is that of a mapping of LENGTH */
};

#define FILE_FD -2

static const struct map_row map_rows[] = {
	{ "alone", DROP, 0, -1, 0, PAGE, RW, false },
	{ "any descriptor", DROP, 0, 12345, 0, PAGE, RW, false },
	{ "a file's descriptor", DROP, 0, FILE_FD, 0, PAGE, RW, false },
	{ "STACK", DROP | MAP_STACK, 0, -1, 0, PAGE, RW, false },
	{ "NORESERVE", DROP | MAP_NORESERVE, 0, -1, 0, PAGE, RW, false },
	{ "POPULATE", DROP | MAP_POPULATE, 0, -1, 0, PAGE, RW, false },
	{ "32BIT", DROP | MAP_32BIT, 0, -1, 0, PAGE, RW, false },
	{ "SYNC", DROP | MAP_SYNC, 0, -1, 0, PAGE, RW, false },
	{ "an unknown flag", DROP | 1 << 27, 0, -1, 0, PAGE, RW, false },
	{ "PROT_READ", DROP, 0, -1, 0, PAGE, PROT_READ, false },
	{ "PROT_NONE", DROP, 0, -1, 0, PAGE, PROT_NONE, false },
	{ "an offset", DROP, 0, -1, 16 * PAGE, PAGE, RW, false },
	{ "the counter's offset", DROP, 0, -1, DROPPABLE_COUNTER_OFFSET, PAGE,
	  RW, false },
	{ "an odd length", DROP, 0, -1, 0, 3 * PAGE + 5, RW, false },
	{ "256 GiB", DROP, 0, -1, 0, 256 * GIB, RW, false },
	{ "FIXED", DROP | MAP_FIXED, 0, -1, 0, PAGE, RW, true },
	{ "FIXED_NOREPLACE", DROP | MAP_FIXED_NOREPLACE, EEXIST, -1, 0, PAGE,
	  RW, true },
	{ "SHARED", DROP | MAP_SHARED, EINVAL, -1, 0, PAGE, RW, false },
	{ "PRIVATE", DROP | MAP_PRIVATE, EINVAL, -1, 0, PAGE, RW, false },
	{ "SHARED_VALIDATE", DROP | MAP_SHARED_VALIDATE, EINVAL, -1, 0, PAGE,
	  RW, false },
	{ "types above it", DROP | 4, EINVAL, -1, 0, PAGE, RW, false },
	{ "GROWSDOWN", DROP | MAP_GROWSDOWN, EINVAL, -1, 0, PAGE, RW, false },
	{ "HUGETLB", DROP | MAP_HUGETLB, EINVAL, -1, 0, 2 * MIB, RW, false },
	{ "LOCKED", DROP | MAP_LOCKED, EINVAL, -1, 0, PAGE, RW, false },
	{ "no ANONYMOUS", MAP_DROPPABLE, EBADF, -1, 0, PAGE, RW, false },
	{ "a file", MAP_DROPPABLE, EINVAL, FILE_FD, 0, PAGE, RW, false },
	{ "an odd offset", DROP, EINVAL, -1, 5, PAGE, RW, false },
	{ "no length", DROP, EINVAL, -1, 0, 0, RW, false },
	{ "too great a length", DROP, ENOMEM, -1, 0, SIZE_MAX, RW, false },
	{ "more than there is", DROP, ENOMEM, -1, 0, 1UL << 47, RW, false },
};

static int map_result(map_fn *map, const struct map_row *row)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *at = row->at_page ? anon_map(LENGTH) : NULL;
	int fd = row->fd == FILE_FD ? file : row->fd;
	void *p;
	int error;

	errno = ELOOP;
	p = map(at, row->length, row->protection, row->flags, fd,
		row->offset);
	error = errno;
	close(file);
	if (p == MAP_FAILED)
		return error;
	if (error != ELOOP)
		fail("%s: errno was changed to %s by success", row->what,
		     tap_errno(error));
	if (at && p != at)
		fail("%s: not where it was wanted", row->what);
	munmap(p, row->length);
	return 0;
}

static void check_map_rows(map_fn *map)
{
	for (size_t i = 0; i < sizeof(map_rows) / sizeof(map_rows[0]); i++) {
		const struct map_row *row = &map_rows[i];
		int got = map_result(map, row);

		if (got != row->error)
			fail("%s: got %s, want %s", row->what,
			     got ? tap_errno(got) : "success",
			     row->error ? tap_errno(row->error) : "success");
	}
}

TEST(errors, "shim: mmap() accepts and refuses what native does, with the same errno")
{
	check_map_rows(mmap);
	check_map_rows(mmap64);
}

TEST(errors_native, "shim: control: the kernel's own MAP_DROPPABLE does just that")
{
	if (!kernel_has_it())
		skip("this kernel has no MAP_DROPPABLE");
	check_map_rows(native_map);
}

TEST(locked, "shim: MAP_LOCKED beyond the limit is EAGAIN, without a right EPERM")
{
	struct rlimit none = { 0, 0 }, page = { PAGE, PAGE };

	want_ok(setrlimit(RLIMIT_MEMLOCK, &page));
	become_nobody();
	want_errno(mmap(NULL, LENGTH, RW, DROP | MAP_LOCKED, -1, 0), EAGAIN);
	want_ok(setrlimit(RLIMIT_MEMLOCK, &none));
	want_errno(mmap(NULL, LENGTH, RW, DROP | MAP_LOCKED, -1, 0), EPERM);
	want(is_device(map_droppable(LENGTH)));
}

TEST(served, "shim: it is the device that is mapped; zero at first, wiped in a child, dropped by the shrinkers")
{
	char *map = map_droppable(LENGTH);
	pid_t child;

	want(is_device(map));
	want_zero(map, LENGTH);
	fill(map, PAGES, TAG, 1);
	want_whole(map, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		want_zero(map, LENGTH);
		want(is_device(map_droppable(PAGE)));
		_exit(0);
	}
	join(child);
	want_whole(map, PAGES, TAG, 1);
	mem_shrink(map, LENGTH);
	want_zero(map, LENGTH);
}

TEST(exec, "shim: PROT_EXEC, which native grants, is EPERM")
{
	want_errno(mmap(NULL, PAGE, RW | PROT_EXEC, DROP, -1, 0), EPERM);
}

/* ---- madvise ---- */

struct advice_row {
	const char *what;
	int advice;
	int error;
	int wiped; /* 1: reads zero afterwards; 0: as before */
};

static const struct advice_row advice_rows[] = {
	{ "NORMAL", MADV_NORMAL, 0, 0 },
	{ "RANDOM", MADV_RANDOM, 0, 0 },
	{ "SEQUENTIAL", MADV_SEQUENTIAL, 0, 0 },
	{ "COLD", MADV_COLD, 0, 0 },
	{ "FREE", MADV_FREE, 0, 0 },
	{ "DONTFORK", MADV_DONTFORK, 0, 0 },
	{ "DONTDUMP", MADV_DONTDUMP, 0, 0 },
	{ "WIPEONFORK", MADV_WIPEONFORK, 0, 0 },
	{ "MERGEABLE", MADV_MERGEABLE, 0, 0 },
	{ "UNMERGEABLE", MADV_UNMERGEABLE, 0, 0 },
	{ "HUGEPAGE", MADV_HUGEPAGE, 0, 0 },
	{ "NOHUGEPAGE", MADV_NOHUGEPAGE, 0, 0 },
	{ "KEEPONFORK", MADV_KEEPONFORK, EINVAL, 0 },
	{ "DODUMP", MADV_DODUMP, EINVAL, 0 },
	{ "REMOVE", MADV_REMOVE, EINVAL, 0 },
	{ "an unknown advice", 4711, EINVAL, 0 },
	{ "DONTNEED", MADV_DONTNEED, 0, 1 },
	{ "PAGEOUT", MADV_PAGEOUT, 0, 1 },
};

static void check_advice_rows(map_fn *map, advise_fn *advise)
{
	for (size_t i = 0; i < sizeof(advice_rows) / sizeof(advice_rows[0]);
	     i++) {
		const struct advice_row *row = &advice_rows[i];
		char *p = map(NULL, LENGTH, RW, DROP, -1, 0);
		int got;

		want_ok(p);
		native_advise(p, LENGTH, MADV_NOHUGEPAGE);
		fill(p, PAGES, TAG, 1);
		errno = ELOOP;
		got = advise(p, LENGTH, row->advice) ? errno : 0;
		if (got != row->error)
			fail("%s: got %s, want %s", row->what,
			     got ? tap_errno(got) : "success",
			     row->error ? tap_errno(row->error) : "success");
		if (!got && errno != ELOOP)
			fail("%s: errno was changed by success", row->what);
		/* Native leaves what waits in some CPU's list: ask again. */
		for (int j = 0; row->wiped && j < 100 && !is_zero(p, LENGTH);
		     j++) {
			pause_seconds(0.05);
			advise(p, LENGTH, row->advice);
		}
		if (row->wiped)
			want_zero(p, LENGTH);
		else
			want_whole(p, PAGES, TAG, 1);
		munmap(p, LENGTH);
	}
}

TEST(advice, "shim: madvise() does what it does natively, with the same errno")
{
	check_advice_rows(mmap, madvise);
}

TEST(advice_native, "shim: control: the kernel's own MAP_DROPPABLE does just that")
{
	if (!kernel_has_it())
		skip("this kernel has no MAP_DROPPABLE");
	check_advice_rows(native_map, native_advise);
}

TEST(pageout, "shim: MADV_PAGEOUT drops at once, and only what it is told to")
{
	char *map = map_droppable(LENGTH);

	fill(map, PAGES, TAG, 1);
	want_ok(madvise(map + PAGE, PAGE, MADV_PAGEOUT));
	want_whole(map, 1, TAG, 1);
	want_zero(map + PAGE, PAGE);
	want_eq(tally(map, PAGES, TAG, 1).whole, PAGES - 1);
	want_ok(madvise(map, LENGTH, MADV_PAGEOUT));
	want_zero(map, LENGTH);
}

TEST(pageout_held, "shim: MADV_PAGEOUT leaves a page alone that a pipe holds")
{
	char *map = map_droppable(2 * PAGE);
	struct iovec iov = { .iov_base = map, .iov_len = PAGE };
	int pipes[2];

	fill(map, 2, TAG, 1);
	want_ok(pipe(pipes));
	want_eq(vmsplice(pipes[1], &iov, 1, 0), PAGE);
	want_ok(madvise(map, 2 * PAGE, MADV_PAGEOUT));
	want_whole(map, 1, TAG, 1);
	want_zero(map + PAGE, PAGE);
}

TEST(mixed, "shim: a range of droppable and other memory: each gets what is its own")
{
	char *area = anon_map(4 * PAGE);

	memset(area, 'a', 4 * PAGE);
	want(mmap(area + PAGE, PAGE, RW, DROP | MAP_FIXED, -1, 0) ==
	     area + PAGE);
	memset(area + PAGE, 'd', PAGE);
	want_ok(madvise(area, 4 * PAGE, MADV_PAGEOUT));
	want_zero(area + PAGE, PAGE);
	want_eq(area[0], 'a');
	want_eq(area[3 * PAGE], 'a');
	want_errno(madvise(area, 4 * PAGE, MADV_KEEPONFORK), EINVAL);
	want_ok(madvise(area, PAGE, MADV_KEEPONFORK));
	want_ok(munmap(area + 2 * PAGE, PAGE));
	memset(area + PAGE, 'd', PAGE);
	/* On over the hole, as the kernel. */
	want_errno(madvise(area, 4 * PAGE, MADV_PAGEOUT), ENOMEM);
	want_zero(area + PAGE, PAGE);
	want_errno(madvise(area + 1, PAGE, MADV_PAGEOUT), EINVAL);
}

TEST(forgets, "shim: what is unmapped, mapped over or moved away is ordinary again")
{
	char *map = map_droppable(8 * PAGE);
	char *to = anon_map(2 * PAGE);

	/* KEEPONFORK tells the two apart, on every kernel. */
	want_errno(madvise(map, PAGE, MADV_KEEPONFORK), EINVAL);
	want_ok(munmap(map, PAGE));
	want(mmap(map, PAGE, RW,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
	     map);
	want_ok(madvise(map, PAGE, MADV_KEEPONFORK));
	want(mmap(map + PAGE, PAGE, RW,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     map + PAGE);
	want_ok(madvise(map + PAGE, PAGE, MADV_KEEPONFORK));
	fill(map + 2 * PAGE, 2, TAG, 1);
	want(mremap(map + 2 * PAGE, 2 * PAGE, 2 * PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	want_whole(to, 2, TAG, 1);
	want_errno(madvise(to, 2 * PAGE, MADV_KEEPONFORK), EINVAL);
	want(mmap(map + 2 * PAGE, PAGE, RW,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     map + 2 * PAGE);
	want_ok(madvise(map + 2 * PAGE, PAGE, MADV_KEEPONFORK));
	want(mremap(map, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    map + 5 * PAGE) == map + 5 * PAGE);
	want_ok(madvise(map + 5 * PAGE, PAGE, MADV_KEEPONFORK));
	want_errno(madvise(map + 6 * PAGE, 2 * PAGE, MADV_KEEPONFORK), EINVAL);
	/* A call that fails changes nothing. */
	want_errno(munmap(map + 6 * PAGE + 1, PAGE), EINVAL);
	want_errno(munmap(map + 5 * PAGE, SIZE_MAX / 2), EINVAL);
	want_ok(madvise(map + 5 * PAGE, PAGE, MADV_KEEPONFORK));
	want_errno(madvise(map + 6 * PAGE, 2 * PAGE, MADV_KEEPONFORK), EINVAL);
}

/* At @at, which is free, as mmap() and mremap() choose it by themselves. */
static char *map_ordinary(char *at, size_t length)
{
	char *map = mmap(at, length, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	want(map == at);
	return map;
}

TEST(unseen, "shim: so is what takes the place of what was unmapped by the system call")
{
	char *map = map_droppable(8 * PAGE);
	pid_t child;

	want_ok(syscall(SYS_munmap, map, 8 * PAGE));
	map_ordinary(map, 2 * PAGE);
	want_ok(madvise(map, 2 * PAGE, MADV_KEEPONFORK));
	/* Nothing of what it asks for is done if the shim answers. */
	memset(map, 'a', PAGE);
	want_ok(madvise(map, PAGE, MADV_WIPEONFORK));
	child = spawn();
	if (!child)
		_exit(map[0] != 0);
	join(child);
	want(mremap(map + PAGE, PAGE, 4 * PAGE, 0) == map + PAGE);
	want_ok(madvise(map, 5 * PAGE, MADV_KEEPONFORK));
}

TEST(resized, "shim: mremap() shrinks, and can't grow, which native can")
{
	char *map = map_droppable(4 * PAGE);

	want_errno(mremap(map, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
	want_errno(madvise(map, 4 * PAGE, MADV_KEEPONFORK), EINVAL);
	want(mremap(map, 4 * PAGE, 2 * PAGE, 0) == map);
	want_errno(madvise(map, 2 * PAGE, MADV_KEEPONFORK), EINVAL);
}

/* ---- where it may be called ---- */

static char *early;
static int early_errno;

/* Before every constructor, also the shim's own. */
static void map_early(int argc, char **argv, char **env)
{
	(void)env;
	/* A child's first mapping is to be after main() began. */
	if (argc > 1 && !strcmp(argv[1], "--child"))
		return;
	errno = ELOOP;
	early = mmap(NULL, PAGE, RW, DROP, -1, 0);
	early_errno = errno;
}

static void (*preinit)(int, char **, char **)
	__attribute__((section(".preinit_array"), used)) = map_early;

TEST(before_main, "shim: works before main(), before any constructor")
{
	want(early != MAP_FAILED);
	want_eq(early_errno, ELOOP);
	want(is_device(early));
	want_errno(madvise(early, PAGE, MADV_KEEPONFORK), EINVAL);
}

/*
 * A malloc() of our own, for the whole program, whose memory is mapped anew at
 * every call while armed.  If the shim called it, it would come back here.
 */
/* volatile: the compiler believes that malloc() looks at nothing of ours. */
static _Thread_local volatile bool in_malloc;
static volatile bool armed;
static volatile bool came_back;
static volatile int mapped_in_malloc;
static void *volatile memory; /* so that no call is optimised away */

static char heap[4 * MIB] __attribute__((aligned(16)));
static size_t heap_used;

void *malloc(size_t size)
{
	size_t at;

	if (in_malloc)
		came_back = true;
	if (armed && !in_malloc) {
		char *map;

		in_malloc = true;
		map = mmap(NULL, LENGTH, RW, DROP, -1, 0);
		if (map != MAP_FAILED) {
			map[0] = 1;
			madvise(map, LENGTH, MADV_PAGEOUT);
			munmap(map, LENGTH);
			mapped_in_malloc++;
		}
		in_malloc = false;
	}
	size = (size + 31) & ~15UL;
	at = __atomic_fetch_add(&heap_used, size, __ATOMIC_SEQ_CST);
	if (at + size > sizeof(heap))
		abort();
	*(size_t *)(heap + at) = size - 16;
	return heap + at + 16;
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t count, size_t size)
{
	return malloc(count * size);
}

void *realloc(void *old, size_t size)
{
	void *p = malloc(size);

	if (old) {
		size_t had = *(size_t *)((char *)old - 16);

		memcpy(p, old, had < size ? had : size);
	}
	return p;
}

TEST(in_malloc_, "shim: works inside malloc(), and never calls it")
{
	armed = true;
	for (int i = 0; i < 100; i++)
		want((memory = malloc(100)));
	armed = false;
	want_eq(mapped_in_malloc, 100);
	want(!came_back);
	/* The control: it would have been seen. */
	in_malloc = true;
	memory = malloc(1);
	in_malloc = false;
	want(came_back);
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	char *map = mmap(NULL, PAGE, RW, DROP, -1, 0);

	(void)number;
	if (map == MAP_FAILED)
		_exit(1);
	map[0] = 1;
	if (madvise(map, PAGE, MADV_PAGEOUT) || map[0] || munmap(map, PAGE))
		_exit(1);
	signals++;
}

TEST(in_signal, "shim: works in a signal handler that interrupts it")
{
	struct sigaction action = { .sa_handler = on_signal };
	pid_t parent = getpid(), child;
	double end;

	want_ok(sigaction(SIGUSR1, &action, NULL));
	child = spawn();
	if (!child) {
		while (!kill(parent, SIGUSR1))
			;
		_exit(0);
	}
	end = race_end();
	while (now() < end || signals < 100) {
		char *map = map_droppable(LENGTH);

		map[PAGE] = 1;
		want_ok(madvise(map, LENGTH, MADV_PAGEOUT));
		want_eq(map[PAGE], 0);
		want_errno(madvise(map, LENGTH, MADV_KEEPONFORK), EINVAL);
		want_ok(munmap(map, LENGTH));
	}
	want_ok(kill(child, SIGKILL));
	wait_status(child);
	note("%d signals", (int)signals);
}

static void *map_for_ever(void *unused)
{
	for (;;) {
		char *map = map_droppable(LENGTH);

		map[0] = 1;
		want_ok(madvise(map, LENGTH, MADV_PAGEOUT));
		want_ok(munmap(map, LENGTH));
	}
	return unused;
}

TEST(after_fork, "shim: works in a child that was forked while other threads were in it")
{
	pthread_t thread;

	for (int i = 0; i < 3; i++)
		want(!pthread_create(&thread, NULL, map_for_ever, NULL));
	for (int i = 0; i < 50; i++) {
		pid_t child = spawn();

		if (!child) {
			char *map = map_droppable(LENGTH);

			map[0] = 1;
			want_ok(madvise(map, LENGTH, MADV_PAGEOUT));
			want_eq(map[0], 0);
			want_errno(madvise(map, LENGTH, MADV_KEEPONFORK),
				   EINVAL);
			want_ok(munmap(map, LENGTH));
			_exit(0);
		}
		join(child);
	}
}

/* ---- sandboxes and descriptors ---- */

#define ALLOW(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What a program that only computes needs, beside what the shim is about. */
static void lock_up(unsigned int otherwise)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		ALLOW(mmap), ALLOW(munmap), ALLOW(madvise), ALLOW(exit_group),
		ALLOW(write),
		BPF_STMT(BPF_RET | BPF_K, otherwise),
	};
	struct sock_fprog filter = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	want_ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	want_ok(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
}

/* In a program that hasn't mapped before: the device is open all the same. */
static void map_locked_up(void)
{
	char *map;

	lock_up(SECCOMP_RET_KILL);
	map = mmap(NULL, LENGTH, RW, DROP, -1, 0);
	syscall(SYS_exit_group, map == MAP_FAILED);
}

TEST(seccomp_first, "shim: in a sandbox that kills for any call but mmap, munmap, madvise and write: the first mapping works")
{
	pid_t child = spawn();

	if (!child) {
		execl("/bin/inside", "inside", "--child", "locked up", NULL);
		_exit(127);
	}
	join(child);
}

TEST(seccomp_kill, "shim: in a sandbox that kills for any other call: maps, forgets, unmaps")
{
	char *map;

	lock_up(SECCOMP_RET_KILL);
	map = mmap(NULL, LENGTH, RW, DROP, -1, 0);
	want_ok(map);
	fill(map, PAGES, TAG, 1);
	want_whole(map, PAGES, TAG, 1);
	want_ok(madvise(map, LENGTH, MADV_DONTNEED));
	want_zero(map, LENGTH);
	want_ok(madvise(map, LENGTH, MADV_FREE));
	want_errno(madvise(map, LENGTH, MADV_KEEPONFORK), EINVAL);
	want_ok(munmap(map, LENGTH));
}

TEST(seccomp_fail, "shim: in one that fails such calls MADV_PAGEOUT drops as well")
{
	char *map;

	lock_up(SECCOMP_RET_ERRNO | EPERM);
	map = map_droppable(LENGTH);
	fill(map, PAGES, TAG, 1);
	want_ok(madvise(map, LENGTH, MADV_PAGEOUT));
	want_zero(map, LENGTH);
}

TEST(closed, "shim: goes on when the program closes every descriptor, and when another file takes the number")
{
	char path[] = "/tmp/file";
	char byte = 'x';
	char *map;
	int file;

	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	map = map_droppable(PAGE);
	want(is_device(map));
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	want_ok(file);
	want_ok(ftruncate(file, LENGTH));
	for (int fd = 3; fd < 1024; fd++)
		if (fd != file)
			want_ok(dup2(file, fd));
	map = mmap(NULL, LENGTH, RW, DROP, -1, 0);
	if (map != MAP_FAILED)
		memset(map, 'd', LENGTH);
	want_eq(pread(file, &byte, 1, 0), 1);
	want_eq(byte, 0);
	for (int fd = 3; fd < 1024; fd++)
		if (fd != file)
			close(fd);
	want_ok(unlink(path));
}

TEST(scattered, "shim: a munmap() of what is the device's here and there forgets all of it")
{
	char *map = map_droppable(80 * PAGE);

	for (size_t i = 0; i < 80; i += 2)
		want(mmap(map + i * PAGE, PAGE, RW,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		     map + i * PAGE);
	want_ok(munmap(map, 80 * PAGE));
	map_ordinary(map, 80 * PAGE);
	for (size_t i = 0; i < 80; i++)
		want_ok(madvise(map + i * PAGE, PAGE, MADV_KEEPONFORK));
}

TEST(closed_secret, "shim: likewise a file that refuses MAP_PRIVATE as the device does")
{
	int file = (int)syscall(SYS_memfd_secret, 0);
	char *map;

	if (file < 0)
		skip("memfd_secret: %s", tap_errno(errno));
	want_ok(ftruncate(file, LENGTH));
	for (int fd = 3; fd < 256; fd++)
		if (fd != file)
			want_ok(dup2(file, fd));
	map = map_droppable(PAGE);
	want(is_device(map));
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

TEST(no_room, "shim: without address space it is ENOMEM, and costs no descriptor")
{
	struct rlimit none = { 0, 0 };
	int before = open_descriptors();

	want_ok(setrlimit(RLIMIT_AS, &none));
	for (int i = 0; i < 100; i++)
		want_errno(mmap(NULL, PAGE, RW, DROP, -1, 0), ENOMEM);
	want_eq(open_descriptors(), before);
}

TEST(no_lock, "shim: beyond what may be locked it is EAGAIN, as natively, and costs none either")
{
	struct rlimit none = { 0, 0 };
	int before = open_descriptors();

	want_ok(mlockall(MCL_FUTURE));
	want_ok(setrlimit(RLIMIT_MEMLOCK, &none));
	become_nobody();
	for (int i = 0; i < 100; i++)
		want_errno(mmap(NULL, PAGE, RW, DROP, -1, 0), EAGAIN);
	want_eq(open_descriptors(), before);
}

/* ---- other programs ---- */

static int run(const char *program, char *said, size_t size)
{
	size_t length = 0;
	ssize_t got;
	int pipes[2];
	pid_t child;

	want_ok(pipe(pipes));
	child = spawn();
	if (!child) {
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		execl(program, program, NULL);
		_exit(127);
	}
	close(pipes[1]);
	while (length < size - 1 &&
	       (got = read(pipes[0], said + length, size - 1 - length)) > 0)
		length += (size_t)got;
	said[length] = '\0';
	close(pipes[0]);
	return wait_status(child);
}

static void need_program(const char *program)
{
	if (access(program, X_OK))
		skip("there is no %s: tests/selftests could not fetch it",
		     program);
}

static void selftest(const char *program)
{
	char said[4096];
	int status;

	need_program(program);
	status = run(program, said, sizeof(said));
	for (char *line = said; (line = strchr(line, '\n')); line++)
		*line = ';';
	note("%s", said);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail("got status %#x, want 0", status);
	want(strstr(said, "ok 1 "));
	want(!strstr(said, "not ok"));
	want(!strstr(said, "# SKIP"));
}

TEST_WITHIN(selftest_first, 600, "shim: the kernel's own test of 6.11, which waits for pressure, passes")
{
	selftest("/bin/droppable-6.11");
}

TEST(selftest_today, "shim: the kernel's own test of 7.3, which pages out, passes")
{
	selftest("/bin/droppable-7.3");
}

TEST(selftest_control, "shim: control: without the shim the one of 7.3 says that there is no such thing, where there is none")
{
	char said[4096];
	int status;

	if (kernel_has_it())
		skip("this kernel has MAP_DROPPABLE");
	need_program("/bin/droppable-7.3");
	unsetenv("LD_PRELOAD");
	status = run("/bin/droppable-7.3", said, sizeof(said));
	want(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	want(strstr(said, "not supported"));
}

TEST(selftest_mlock, "shim: the kernel's own test of mlock passes: droppable memory isn't locked, all other is")
{
	selftest("/bin/mlock2-tests");
}

/* The names of the points that a test program fails, an empty one at the end. */
struct points {
	char names[32][96];
};

static void failed_points(const char *program, struct points *points)
{
	static char said[32768];
	unsigned int count = 0, ran = 0;
	char *line, *save;

	run(program, said, sizeof(said));
	memset(points, 0, sizeof(*points));
	for (line = strtok_r(said, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		ran += !strncmp(line, "ok ", 3) && !strstr(line, "# SKIP");
		if (sscanf(line, "not ok %*u %95[^\n]",
			   points->names[count]) == 1 && ++count == 31)
			fail("%s fails 31 points", program);
	}
	if (!ran)
		skip("%s does nothing on this kernel", program);
}

static bool names(const struct points *points, const char *name)
{
	for (int i = 0; points->names[i][0]; i++)
		if (!strcmp(points->names[i], name))
			return true;
	return false;
}

/*
 * A test of ordinary memory, on droppable memory: it fails what it fails
 * otherwise, where the kernel has no such feature, and nothing else but what the
 * device refuses or does differently: @refused, by a part of each point's name.
 */
static void want_as_ordinary(const char *ordinary, const char *droppable,
			     const char *const *refused, size_t count)
{
	struct points control, points;

	need_program(ordinary);
	failed_points(ordinary, &control);
	failed_points(droppable, &points);
	for (int i = 0; points.names[i][0]; i++) {
		size_t which = 0;

		if (names(&control, points.names[i]))
			continue;
		while (which < count && !strstr(points.names[i], refused[which]))
			which++;
		if (which == count)
			fail("got '%s' failed, which ordinary memory passes",
			     points.names[i]);
		note("%s", points.names[i]);
	}
}

TEST_WITHIN(selftest_mremap, 300, "shim: the kernel's own test of mremap passes on it, but for growing, for MREMAP_DONTUNMAP and for userfaultfd")
{
	static const char *const refused[] = { "expand merge", "[dontunnmap]",
					       "multiple invalid vmas" };

	want_as_ordinary("/bin/mremap_test", "/bin/mremap_test-droppable",
			 refused, 3);
}

TEST_WITHIN(selftest_madvise, 300, "shim: the kernel's own test of MADV_POPULATE passes on it, but for reads, which leave no more than a few zero pages")
{
	static const char *const refused[] = { "read range is populated" };

	want_as_ordinary("/bin/madv_populate", "/bin/madv_populate-droppable",
			 refused, 1);
}

/* In a new program: what is decided is decided once. */
static int in_new_program(const char *what)
{
	pid_t child = spawn();

	if (!child) {
		execl("/bin/inside", "inside", "--child", what, NULL);
		_exit(127);
	}
	return WEXITSTATUS(wait_status(child));
}

enum { SAW_DEVICE = 10, SAW_NATIVE, SAW_EINVAL, SAW_OTHER };

static void __attribute__((constructor)) as_child(int argc, char **argv)
{
	char *map;

	if (argc < 2 || strcmp(argv[1], "--child"))
		return;
	if (!strcmp(argv[2], "locked up"))
		map_locked_up();
	map = mmap(NULL, PAGE, RW, DROP, -1, 0);
	if (map == MAP_FAILED)
		_exit(errno == EINVAL ? SAW_EINVAL : SAW_OTHER);
	_exit(is_device(map) ? SAW_DEVICE : SAW_NATIVE);
}

TEST(preference, "shim: DROPPABLE_PRELOAD=native: the kernel's own where it has it, else the device; device: the device")
{
	want_eq(in_new_program(""), SAW_DEVICE);
	setenv("DROPPABLE_PRELOAD", "device", 1);
	want_eq(in_new_program(""), SAW_DEVICE);
	setenv("DROPPABLE_PRELOAD", "native", 1);
	want_eq(in_new_program(""),
		kernel_has_it() ? SAW_NATIVE : SAW_DEVICE);
}

TEST(absent, "shim: without a device the kernel answers: with its own, or EINVAL")
{
	int saw;

	want_ok(rename(DROPPABLE_DEVICE, "/dev/away"));
	saw = in_new_program("");
	want_ok(rename("/dev/away", DROPPABLE_DEVICE));
	want_eq(saw, kernel_has_it() ? SAW_NATIVE : SAW_EINVAL);
	want_ok(rename(DROPPABLE_DEVICE, "/dev/away"));
	want_ok(symlink("/dev/null", DROPPABLE_DEVICE));
	saw = in_new_program("");
	want_ok(rename("/dev/away", DROPPABLE_DEVICE));
	want_eq(saw, kernel_has_it() ? SAW_NATIVE : SAW_EINVAL);
}
