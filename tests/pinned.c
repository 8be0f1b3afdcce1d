// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that somebody else holds is not dropped while it is held.
 * Contract line 18.
 *
 * Most holders let go in no time.  Those are made to wait half-way: a read of a
 * device by a limit on its speed, process_vm_* by a page on their other side
 * that userfaultfd holds back.
 */
// vm: --mem 256 --swap 16 --smp 2
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 16UL
#define MORE 32UL
#define TAG 0x9133

static int pipe_fds[2];

/* The first pages of the area go into a pipe, as themselves. */
static void hold_in_pipe(char *area, size_t pages)
{
	struct iovec range = { .iov_base = area, .iov_len = pages * PAGE };

	want_ok(pipe(pipe_fds));
	want_ge(fcntl(pipe_fds[1], F_SETPIPE_SZ, (int)(pages * PAGE)),
		pages * PAGE);
	want_eq(vmsplice(pipe_fds[1], &range, 1, SPLICE_F_NONBLOCK),
		pages * PAGE);
}

static void want_in_pipe(size_t pages, unsigned int generation)
{
	static char page[PAGE] __attribute__((aligned(16)));

	for (size_t i = 0; i < pages; i++) {
		want_eq(read(pipe_fds[0], page, PAGE), PAGE);
		want_eq(page_state(page, TAG, generation, i), PAGE_WHOLE);
	}
}

/* Held pages keep their data and stay the same page on both sides. */
static void want_held(void (*drop)(void *, size_t))
{
	char *area = mem_map((PAGES + MORE) * PAGE);

	fill(area, PAGES + MORE, TAG, 1);
	hold_in_pipe(area, PAGES);
	drop(area, (PAGES + MORE) * PAGE);
	want_whole(area, PAGES, TAG, 1);
	want_zero(area + PAGES * PAGE, MORE * PAGE);
	fill(area, PAGES, TAG, 2);
	drop(area, (PAGES + MORE) * PAGE);
	want_whole(area, PAGES, TAG, 2);
	/* The store after the drop is seen by the holder: one page, not two. */
	want_in_pipe(PAGES, 2);
	drop(area, (PAGES + MORE) * PAGE);
	want_zero(area, (PAGES + MORE) * PAGE);
	fill(area, PAGES + MORE, TAG, 3);
	want_whole(area, PAGES + MORE, TAG, 3);
}

TEST(pipe_drop, "line 18: vmspliced pages survive an explicit drop, and go after release")
{
	want_held(mem_drop);
}

/* Until only what is held is left: by then the shrinkers saw each page. */
static void shrink_rest(void *address, size_t length)
{
	for (int i = 0; i < 20; i++) {
		want_ok(present(address, length));
		write_file("/proc/sys/vm/drop_caches", "2");
	}
}

TEST(pipe_shrink, "line 18: vmspliced pages survive the shrinkers, and go after release")
{
	need_device("shrinker");
	want_held(shrink_rest);
}

TEST(pipe_pressure, "line 18: vmspliced pages survive a cgroup's limit")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	pid_t child = spawn();

	if (!child) {
		char *area = mem_map(8 * MIB);

		cgroup_enter(&group);
		fill(area, 8 * MIB / PAGE, TAG, 1);
		hold_in_pipe(area, PAGES);
		cgroup_set(&group, "memory.max", 4 * MIB);
		want_le(resident(area, 8 * MIB), 4 * MIB / PAGE);
		want_whole(area, PAGES, TAG, 1);
		fill(area, PAGES, TAG, 2);
		want_in_pipe(PAGES, 2);
		_exit(0);
	}
	join(child);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

static struct droppable_drop drop_of(void *address, size_t length)
{
	struct droppable_drop drop = {
		.addr = (uintptr_t)address,
		.len = length,
	};
	int fd = mem_open();

	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	close(fd);
	return drop;
}

TEST(counted, "line 18: an explicit drop counts the pages it left because they are held")
{
	struct droppable_drop drop;
	char *area;

	need_device("ioctl");
	area = mem_map((PAGES + MORE) * PAGE);
	fill(area, PAGES + MORE, TAG, 1);
	hold_in_pipe(area, PAGES);
	drop = drop_of(area, (PAGES + MORE) * PAGE);
	want_eq(drop.dropped, MORE);
	want_eq(drop.pinned, PAGES);
	want_in_pipe(PAGES, 1);
	drop = drop_of(area, (PAGES + MORE) * PAGE);
	want_eq(drop.dropped, PAGES);
	want_eq(drop.pinned, 0);
}

TEST(outlives_map, "line 18: the holder keeps the data after munmap and after exit, and the memory is freed after release")
{
	struct cgroup group = cgroup_new(CGROUP_MAX);
	char *area = mem_map(PAGES * PAGE);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	hold_in_pipe(area, PAGES);
	mem_unmap(area, PAGES * PAGE);
	/* Not handed out again meanwhile. */
	char *other = mem_map(4 * MIB);
	memset(other, 0x77, 4 * MIB);
	want_in_pipe(PAGES, 1);
	mem_unmap(other, 4 * MIB);

	want_ok(fcntl(pipe_fds[1], F_SETPIPE_SZ, (int)(PAGES * PAGE)));
	child = spawn();
	if (!child) {
		struct iovec range;

		area = mem_map(PAGES * PAGE);
		cgroup_enter(&group);
		fill(area, PAGES, TAG, 5);
		range.iov_base = area;
		range.iov_len = PAGES * PAGE;
		want_eq(vmsplice(pipe_fds[1], &range, 1, 0), PAGES * PAGE);
		_exit(0);
	}
	join(child);
	want_in_pipe(PAGES, 5);
	want(wait_for(cgroup_get(&group, "memory.current") < 2 * MIB, 5));
}

TEST(dontneed_held, "line 18: MADV_DONTNEED of held pages: the mapping reads zero for good, the holder keeps the data")
{
	char *area = mem_map(PAGES * PAGE);

	fill(area, PAGES, TAG, 1);
	hold_in_pipe(area, PAGES);
	want_ok(madvise(area, PAGES * PAGE, MADV_DONTNEED));
	want_zero(area, PAGES * PAGE);
	fill(area, PAGES / 2, TAG, 2);
	want_in_pipe(PAGES, 1);
	want_whole(area, PAGES / 2, TAG, 2);
	want_zero(area + PAGES / 2 * PAGE, PAGES / 2 * PAGE);
}

TEST(reheld, "line 18: pages dropped around a held one, refaulted, dropped, held again: never old data")
{
	char *area = mem_map(PAGES * PAGE);

	for (unsigned int round = 1; round <= 20; round++) {
		fill(area, PAGES, TAG, round);
		hold_in_pipe(area, PAGES);
		mem_drop(area, PAGES * PAGE);
		want_whole(area, PAGES, TAG, round);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		mem_drop(area, PAGES * PAGE);
		want_zero(area, PAGES * PAGE);
	}
}

/* A ring for one request at a time. */
struct ring {
	int fd;
	struct io_uring_params params;
	char *queues;
	struct io_uring_sqe *entries;
};

static struct ring ring_open(void)
{
	struct ring ring;

	memset(&ring, 0, sizeof(ring));
	ring.fd = (int)syscall(SYS_io_uring_setup, 4, &ring.params);
	if (ring.fd < 0)
		skip("no io_uring here (%s)", tap_errno(errno));
	want(ring.params.features & IORING_FEAT_SINGLE_MMAP);
	ring.queues = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   ring.fd, IORING_OFF_SQ_RING);
	want_ok(ring.queues);
	ring.entries = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    ring.fd, IORING_OFF_SQES);
	want_ok(ring.entries);
	return ring;
}

static void ring_register(struct ring *ring, void *buffer, size_t length)
{
	struct iovec range = { buffer, length };

	if (!syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS,
		     &range, 1))
		return;
	/* "don't support file backed memory" until 6.5. */
	if (errno == EOPNOTSUPP)
		skip("this kernel's io_uring registers no file mapping");
	fail("got %s from IORING_REGISTER_BUFFERS, want success",
	     tap_errno(errno));
}

static unsigned int *ring_word(struct ring *ring, unsigned int offset)
{
	return (void *)(ring->queues + offset);
}

/* Between a file's beginning and the registered buffer, all of it. */
static int ring_move(struct ring *ring, int opcode, int file, void *buffer,
		     size_t length)
{
	const struct io_sqring_offsets *sq = &ring->params.sq_off;
	const struct io_cqring_offsets *cq = &ring->params.cq_off;
	unsigned int *tail = ring_word(ring, sq->tail);
	unsigned int *head = ring_word(ring, cq->head);
	unsigned int at = *tail & *ring_word(ring, sq->ring_mask);
	const struct io_uring_cqe *done = (void *)(ring->queues + cq->cqes);
	int moved;

	ring->entries[at] = (struct io_uring_sqe){
		.opcode = (unsigned char)opcode,
		.fd = file,
		.addr = (uintptr_t)buffer,
		.len = (unsigned int)length,
	};
	ring_word(ring, sq->array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	want_eq(syscall(SYS_io_uring_enter, ring->fd, 1, 1,
			IORING_ENTER_GETEVENTS, NULL, 0), 1);
	want_ne(__atomic_load_n(ring_word(ring, cq->tail), __ATOMIC_ACQUIRE),
		*head);
	moved = done[*head & *ring_word(ring, cq->ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return moved;
}

TEST(io_uring, "line 18: io_uring fixed buffers are not dropped; the kernel and the mapping see the same pages")
{
	char *data = anon_map(PAGES * PAGE);
	struct ring ring = ring_open();
	char *area;
	int file;

	area = mem_map((PAGES + MORE) * PAGE);
	fill(area, PAGES + MORE, TAG, 1);
	ring_register(&ring, area, PAGES * PAGE);
	mem_drop(area, (PAGES + MORE) * PAGE);
	want_whole(area, PAGES, TAG, 1);
	want_zero(area + PAGES * PAGE, MORE * PAGE);

	/* Through the kernel's side of it, after a drop, both ways. */
	file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	want_ok(file);
	fill(data, PAGES, TAG, 5);
	want_eq(pwrite(file, data, PAGES * PAGE, 0), PAGES * PAGE);
	mem_drop(area, PAGES * PAGE);
	want_eq(ring_move(&ring, IORING_OP_READ_FIXED, file, area,
			  PAGES * PAGE), PAGES * PAGE);
	want_whole(area, PAGES, TAG, 5);
	mem_drop(area, PAGES * PAGE);
	fill(area, PAGES, TAG, 6);
	mem_drop(area, PAGES * PAGE);
	want_eq(ring_move(&ring, IORING_OP_WRITE_FIXED, file, area,
			  PAGES * PAGE), PAGES * PAGE);
	want_eq(pread(file, data, PAGES * PAGE, 0), PAGES * PAGE);
	want_whole(data, PAGES, TAG, 6);

	want_ok(syscall(SYS_io_uring_register, ring.fd,
			IORING_UNREGISTER_BUFFERS, NULL, 0));
	/* The kernel may let go of the pages a little later. */
	want(wait_for((mem_drop(area, PAGES * PAGE),
		       resident(area, PAGES * PAGE) == 0), 10));
	want_zero(area, PAGES * PAGE);
}

TEST(filled, "line 12: a page that was only read and then filled by who held it isn't taken for one that is zero")
{
	char *area = mem_map(64 * PAGE);
	struct ring ring = ring_open();
	char *data = anon_map(PAGE);
	int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	want_ok(file);
	fill(data, 1, TAG, 7);
	want_eq(pwrite(file, data, PAGE, 0), PAGE);
	want_zero(area, PAGE);
	ring_register(&ring, area, PAGE);
	want_eq(ring_move(&ring, IORING_OP_READ_FIXED, file, area, PAGE), PAGE);
	want_ok(syscall(SYS_io_uring_register, ring.fd,
			IORING_UNREGISTER_BUFFERS, NULL, 0));
	close(ring.fd);
	/* It lets go a little later; while it holds the page nothing is shown. */
	pause_seconds(1);
	/* A mapping keeps 16 pages that were only read: others take turns. */
	want_zero(area + PAGE, 63 * PAGE);
	want_whole(area, 1, TAG, 7);
}

static volatile bool stop;
static char *raced;

static void *drop_thread(void *unused)
{
	(void)unused;
	while (!stop)
		mem_drop(raced, PAGES * PAGE);
	return NULL;
}

/* ---- holders made to wait ---- */

static volatile bool returned;
static volatile ssize_t result;

/* So many pages of it are held, and stay, whatever asks for them. */
static void want_all_held(char *area)
{
	struct droppable_drop drop;

	for (int i = 0; i < 2; i++) {
		drop = drop_of(area, (PAGES + MORE) * PAGE);
		want_eq(drop.pinned, PAGES);
		write_file("/proc/sys/vm/drop_caches", "2");
	}
	want_zero(area + PAGES * PAGE, MORE * PAGE);
	want(!returned);
}

static void want_let_go(char *area)
{
	fill(area, PAGES, TAG, 9);
	/* The kernel may let go of the pages a little later. */
	want(wait_for(drop_of(area, PAGES * PAGE).pinned == 0, 10));
	want_zero(area, PAGES * PAGE);
}

static int device_fd;

static void *direct_thread(void *area)
{
	result = pread(device_fd, area, PAGES * PAGE, 0);
	returned = true;
	return NULL;
}

/* In there, a read of PAGES from the device takes two seconds. */
static void enter_slow_group(const struct cgroup *group)
{
	struct stat status;
	char path[160], limit[64];

	if (!try_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+io") ||
	    !cgroup_has(group, "io.max"))
		skip("this kernel limits no device's speed");
	want_ok(fstat(device_fd, &status));
	snprintf(path, sizeof(path), "%s/io.max", group->path);
	snprintf(limit, sizeof(limit), "%u:%u rbps=%lu", major(status.st_rdev),
		 minor(status.st_rdev), PAGES * PAGE / 2 / tap_slowness());
	write_file(path, limit);
	cgroup_enter(group);
}

TEST(direct_held, "line 18: pages that a slow O_DIRECT read will write to are not dropped meanwhile, and hold what it read")
{
	const char *device = getenv("SWAPDEV");
	struct cgroup group;
	pthread_t thread;
	char *area, *head;

	need_device("ioctl");
	if (!device)
		skip("SWAPDEV is not set: no device to read");
	device_fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	want_ok(device_fd);
	head = anon_map(PAGES * PAGE);
	want_eq(pread(device_fd, head, PAGES * PAGE, 0), PAGES * PAGE);
	want(!is_zero(head, PAGE));
	area = mem_map((PAGES + MORE) * PAGE);
	fill(area, PAGES + MORE, TAG, 1);
	group = cgroup_new(CGROUP_MAX);
	enter_slow_group(&group);
	want_eq(pthread_create(&thread, NULL, direct_thread, area), 0);
	want(wait_for(drop_of(area, PAGES * PAGE).pinned == PAGES || returned,
		      10));
	want_all_held(area);
	want_eq(pthread_join(thread, NULL), 0);
	want_eq(result, PAGES * PAGE);
	want(!memcmp(area, head, PAGES * PAGE));
	want_let_go(area);
}

/* Memory whose first touch waits until let_through() says what is in it. */
static int uffd;

static char *held_back(size_t length)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *area = anon_map(length);

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		skip("no userfaultfd here (%s)", tap_errno(errno));
	want_ok(ioctl(uffd, UFFDIO_API, &api));
	range.range.start = (uintptr_t)area;
	range.range.len = length;
	want_ok(ioctl(uffd, UFFDIO_REGISTER, &range));
	return area;
}

static void let_through(char *area, const char *from, size_t length)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)area,
		.src = (uintptr_t)from,
		.len = length,
	};

	want_ok(ioctl(uffd, UFFDIO_COPY, &copy));
}

static char *other_side;

static void *readv_thread(void *area)
{
	struct iovec local = { other_side, PAGES * PAGE };
	struct iovec remote = { area, PAGES * PAGE };

	result = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	returned = true;
	return NULL;
}

static void *writev_thread(void *area)
{
	struct iovec local = { other_side, PAGES * PAGE };
	struct iovec remote = { area, PAGES * PAGE };

	result = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	returned = true;
	return NULL;
}

/* A thread that holds the area's first pages and waits. */
static char *held_by(void *(*body)(void *), pthread_t *thread)
{
	char *area = mem_map((PAGES + MORE) * PAGE);
	struct uffd_msg message;

	fill(area, PAGES + MORE, TAG, 1);
	other_side = held_back(PAGES * PAGE);
	want_eq(pthread_create(thread, NULL, body, area), 0);
	want_eq(read(uffd, &message, sizeof(message)), sizeof(message));
	want_eq(message.event, UFFD_EVENT_PAGEFAULT);
	return area;
}

TEST(readv_held, "line 18: pages that a process_vm_readv holds are not dropped, and it reads what is stored to them meanwhile")
{
	pthread_t thread;
	char *area;

	need_device("ioctl");
	area = held_by(readv_thread, &thread);
	want_all_held(area);
	want_whole(area, PAGES, TAG, 1);
	fill(area, PAGES, TAG, 2);
	want_all_held(area);
	let_through(other_side, anon_map(PAGES * PAGE), PAGES * PAGE);
	want_eq(pthread_join(thread, NULL), 0);
	want_eq(result, PAGES * PAGE);
	/* The first words it had read when it began to wait. */
	for (size_t i = 1; i < PAGES; i++)
		want_eq(page_state(other_side + i * PAGE, TAG, 2, i),
			PAGE_WHOLE);
	want_let_go(area);
}

TEST(writev_held, "line 18: pages that a process_vm_writev holds are not dropped, and hold what it writes")
{
	char *data = anon_map(PAGES * PAGE);
	pthread_t thread;
	char *area;

	need_device("ioctl");
	fill(data, PAGES, TAG, 3);
	area = held_by(writev_thread, &thread);
	want_all_held(area);
	want_whole(area, PAGES, TAG, 1);
	want_all_held(area);
	let_through(other_side, data, PAGES * PAGE);
	want_eq(pthread_join(thread, NULL), 0);
	want_eq(result, PAGES * PAGE);
	want_whole(area, PAGES, TAG, 3);
	want_let_go(area);
}

/* ---- and the same in a race ---- */

TEST(direct_read, "line 18: O_DIRECT reads into it while it is dropped all the time: whole or zero")
{
	const char *device = getenv("SWAPDEV");
	size_t whole = 0;
	pthread_t thread;
	char *ordinary;
	int fd;

	if (!device)
		skip("SWAPDEV is not set: no device to read");
	fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	want_ok(fd);
	/* The head of a swap area: it does not change. */
	ordinary = anon_map(PAGE);
	want_eq(pread(fd, ordinary, PAGE, 0), PAGE);
	want(!is_zero(ordinary, PAGE));
	raced = mem_map(PAGES * PAGE);
	want_eq(pthread_create(&thread, NULL, drop_thread, NULL), 0);
	double end = race_end();
	while (race_goes_on(end, whole)) {
		for (size_t i = 0; i < PAGES; i++) {
			memset(raced + i * PAGE, 0x33, PAGE);
			want_eq(pread(fd, raced + i * PAGE, PAGE, 0), PAGE);
		}
		for (size_t i = 0; i < PAGES; i++) {
			char *at = raced + i * PAGE;

			if (!memcmp(at, ordinary, PAGE))
				whole++;
			else
				want_zero(at, PAGE);
		}
	}
	stop = true;
	pthread_join(thread, NULL);
	note("%zu pages seen whole", whole);
	want_ge(whole, 1);
}

TEST(vm_readv, "line 18: process_vm_readv by another process while it is dropped all the time: whole or zero")
{
	unsigned int generation = 0;
	pthread_t thread;
	volatile int *end = shared_map(PAGE);
	pid_t child;

	raced = mem_map(PAGES * PAGE);
	child = spawn();
	if (!child) {
		char *copy = anon_map(PAGES * PAGE);
		struct iovec local = { copy, PAGES * PAGE };
		struct iovec remote = { raced, PAGES * PAGE };

		while (!*end) {
			want_eq(process_vm_readv(getppid(), &local, 1, &remote,
						 1, 0), PAGES * PAGE);
			/*
			 * Each page's generation is its own: the words of a
			 * page are of its place, zero or of one of two
			 * neighbouring generations while it is being filled.
			 */
			for (size_t i = 0; i < PAGES; i++) {
				const uint64_t *word = (void *)(copy + i * PAGE);

				for (unsigned int j = 0; j < 512; j++) {
					if (word[j] &&
					    (word[j] & 0xffff000fffffffff) !=
					    word_of(TAG, 0, i, j))
						fail("got %016llx in word %u of page %zu",
						     (unsigned long long)word[j],
						     j, i);
				}
			}
		}
		_exit(0);
	}
	want_eq(pthread_create(&thread, NULL, drop_thread, NULL), 0);
	double until = race_end();
	while (now() < until)
		fill(raced, PAGES, TAG, ++generation);
	stop = true;
	pthread_join(thread, NULL);
	*end = 1;
	join(child);
}

/*
 * Every other page is held while all are dropped all the time: a drop that has
 * looked for holders unmaps what somebody has come to hold in between.  Nothing
 * but what the module notes of discards tells such a page from a discarded one.
 */
#define APART 64UL

/* Each as soon as it is filled, or a slow kernel would have dropped them all. */
static void hold_apart(char *area, unsigned int generation)
{
	want_ok(pipe(pipe_fds));
	want_ge(fcntl(pipe_fds[1], F_SETPIPE_SZ, (int)(APART * PAGE)),
		APART * PAGE);
	for (size_t i = 0; i < 2 * APART; i += 2) {
		struct iovec page = { area + i * PAGE, PAGE };

		fill_page(area + i * PAGE, TAG, generation, i);
		want_eq(vmsplice(pipe_fds[1], &page, 1, SPLICE_F_NONBLOCK),
			PAGE);
	}
}

/* What went before it was held is zero on both sides.  Returns the others. */
static size_t want_same(const char *area)
{
	static char page[PAGE] __attribute__((aligned(16)));
	static char mapped[PAGE] __attribute__((aligned(16)));
	size_t there = 0;

	for (size_t i = 0; i < APART; i++) {
		/* Before it is read out of the pipe, and nobody holds it. */
		memcpy(mapped, area + 2 * i * PAGE, PAGE);
		want_eq(read(pipe_fds[0], page, PAGE), PAGE);
		if (memcmp(mapped, page, PAGE))
			fail("page %zu is %s in the mapping and %s in the pipe",
			     i, is_zero(mapped, PAGE) ? "zero" : "whole",
			     is_zero(page, PAGE) ? "zero" : "whole");
		there += !is_zero(page, PAGE);
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return there;
}

static void *drop_all_thread(void *unused)
{
	(void)unused;
	while (!stop)
		write_file(DEVICE_SYSFS "drop", "1");
	return NULL;
}

/* Rounds in which @play does something to what is held; it returns where it is. */
static void hold_while_dropped(char *(*play)(char *area, char *other))
{
	char *places[2];
	unsigned int round = 0;
	double end = race_end();
	size_t there = 0;
	pthread_t thread;

	need_device("command to drop everything");
	for (int i = 0; i < 2; i++)
		places[i] = anon_map(2 * APART * PAGE);
	want_eq(pthread_create(&thread, NULL, drop_all_thread, NULL), 0);
	while (race_goes_on(end, there)) {
		char *area = places[round % 2], *at;

		for (int i = 0; i < 2; i++)
			want_ok(mem_try(places[i], 2 * APART * PAGE,
					PROT_READ | PROT_WRITE, MAP_FIXED));
		fill(area, 2 * APART, TAG, ++round % 4096);
		hold_apart(area, round % 4096);
		at = play(area, places[round % 2]);
		there += want_same(at);
	}
	stop = true;
	pthread_join(thread, NULL);
	note("%u rounds, %zu pages were there when they were held", round, there);
	want_ge(there, 1);
}

static char *discard_between(char *area, char *other)
{
	(void)other;
	for (size_t i = 0; i < APART; i++)
		want_ok(madvise(area + (2 * i + 1) * PAGE, PAGE, MADV_DONTNEED));
	return area;
}

TEST(discarded_between, "line 18: held pages stay while the pages between them are discarded one by one and dropped")
{
	hold_while_dropped(discard_between);
}

static char *move_to_discarded(char *area, char *other)
{
	fill_page(other, TAG, 1, 0);
	want_ok(madvise(other, 2 * APART * PAGE, MADV_DONTNEED));
	want_ok(mremap(area, 2 * APART * PAGE, 2 * APART * PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, other));
	return other;
}

TEST(held_and_moved, "line 18: held pages stay when their mapping moves to where another was just discarded")
{
	hold_while_dropped(move_to_discarded);
}
