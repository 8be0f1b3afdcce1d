// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program pins its own pages: DROPPABLE_IOC_PIN and _UNPIN.
 * Contract line 43.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <linux/droppable.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x9149
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)
#define RW (PROT_READ | PROT_WRITE)

static struct droppable_pin range_of(void *address, size_t length)
{
	return (struct droppable_pin){
		.addr = (uintptr_t)address,
		.len = length,
	};
}

static int try_pin(int fd, struct droppable_pin *pin)
{
	return ioctl(fd, DROPPABLE_IOC_PIN, pin);
}

static int try_unpin(int fd, uint64_t id)
{
	struct droppable_unpin unpin = { .id = id };

	return ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin);
}

/* Pins all of it; so many pages were not there. */
static uint64_t pinned_of(int fd, void *address, size_t length, size_t dropped)
{
	struct droppable_pin pin = range_of(address, length);

	want_ok(try_pin(fd, &pin));
	want_eq(pin.dropped, dropped);
	want_ne(pin.id, 0);
	return pin.id;
}

static struct droppable_drop drop_of(int fd, void *address, size_t length)
{
	struct droppable_drop drop = {
		.addr = (uintptr_t)address,
		.len = length,
	};

	want_ok(ioctl(fd, DROPPABLE_IOC_DROP, &drop));
	return drop;
}

static size_t vm_pin(void)
{
	return process_status(getpid(), "VmPin");
}

TEST(keeps, "line 43: pinned pages outlast drops, the shrinkers and root's drop; unpinned ones don't, nor do their neighbours")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	struct droppable_drop drop;
	uint64_t id;

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	id = pinned_of(fd, area + 8 * PAGE, 16 * PAGE, 0);
	want_eq(vm_pin(), 16 * PAGE);
	want_eq(file_counter(fd, "locked"), 16);
	write_file("/proc/sys/vm/drop_caches", "2");
	want_eq(file_counter(fd, "resident"), 16);
	write_file(DEVICE_SYSFS "drop", "1");
	drop = drop_of(fd, area, LENGTH);
	want_eq(drop.dropped, 0);
	want_eq(drop.pinned, 16);
	want_zero(area, 8 * PAGE);
	for (size_t i = 8; i < 24; i++)
		want_eq(page_state(area + i * PAGE, TAG, 1, i), PAGE_WHOLE);
	want_zero(area + 24 * PAGE, 8 * PAGE);
	want_ok(try_unpin(fd, id));
	want_errno(try_unpin(fd, id), ENOENT);
	want_eq(vm_pin(), 0);
	want_eq(file_counter(fd, "locked"), 0);
	mem_drop(area, LENGTH);
	want_zero(area, LENGTH);
}

TEST(unseen, "line 43: reclaim doesn't even look at pinned pages, however many, until their last pin is over")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	uint64_t all, some, again;

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	all = pinned_of(fd, area, LENGTH, 0);
	some = pinned_of(fd, area, 16 * PAGE, 0);
	again = pinned_of(fd, area, 16 * PAGE, 0);
	want_ok(try_unpin(fd, again));
	write_file("/proc/sys/vm/drop_caches", "2");
	want_eq(file_counter(fd, "resident"), PAGES);
	want_eq(file_counter(fd, "pinned"), 0);
	want_ok(try_unpin(fd, all));
	write_file("/proc/sys/vm/drop_caches", "2");
	want_eq(file_counter(fd, "resident"), 16);
	want_eq(file_counter(fd, "pinned"), 0);
	want_ok(try_unpin(fd, some));
	write_file("/proc/sys/vm/drop_caches", "2");
	want_eq(file_counter(fd, "resident"), 0);
}

TEST(tells, "line 43: it tells how many pages were not there, and which; those are zero and pinned then")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	struct droppable_pin pin = range_of(area, 32 * PAGE);
	unsigned char vec[33];

	need_device("pin");
	memset(vec, 7, sizeof(vec));
	pin.vec = (uintptr_t)vec;
	fill(area, 24, TAG, 1);
	mem_drop(area + 4 * PAGE, 3 * PAGE);
	/* Dropped or discarded, and only read since: nothing is there either. */
	want_zero(area + 4 * PAGE, PAGE);
	want_ok(madvise(area + 8 * PAGE, 2 * PAGE, MADV_DONTNEED));
	want_zero(area + 8 * PAGE, PAGE);
	want_ok(try_pin(fd, &pin));
	want_eq(pin.dropped, 3 + 2 + 8);
	for (size_t i = 0; i < 32; i++)
		want_eq(vec[i], i < 4 || i == 7 || (i >= 10 && i < 24));
	want_eq(vec[32], 7);
	want_zero(area + 4 * PAGE, 3 * PAGE);
	want_zero(area + 8 * PAGE, 2 * PAGE);
	want_zero(area + 24 * PAGE, 8 * PAGE);
	fill(area, 32, TAG, 2);
	mem_drop(area, LENGTH);
	want_whole(area, 32, TAG, 2);
	want_ok(try_unpin(fd, pin.id));
}

TEST(whole, "line 43: with DROPPABLE_PIN_WHOLE all is pinned, or nothing, and no page is made")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	struct droppable_pin pin = range_of(area, LENGTH);

	need_device("pin");
	pin.flags = DROPPABLE_PIN_WHOLE;
	fill(area, PAGES, TAG, 1);
	want_ok(try_pin(fd, &pin));
	want_eq(pin.dropped, 0);
	want_ne(pin.id, 0);
	want_ok(try_unpin(fd, pin.id));
	mem_drop(area + PAGE, PAGE);
	want_ok(try_pin(fd, &pin));
	want_eq(pin.dropped, 1);
	want_eq(pin.id, 0);
	want_eq(vm_pin(), 0);
	want_eq(file_counter(fd, "locked"), 0);
	want_eq(file_counter(fd, "resident"), PAGES - 1);
	mem_drop(area, LENGTH);
	want_zero(area, LENGTH);
}

TEST(zeros, "line 43: zeros that were stored are there, though the page was read before")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	struct droppable_pin pin = range_of(area, 2 * PAGE);

	need_device("pin");
	want_zero(area, 2 * PAGE);
	memset(area, 0, PAGE);
	want_ok(try_pin(fd, &pin));
	want_eq(pin.dropped, 1);
	want_ok(try_unpin(fd, pin.id));
	memset(area + PAGE, 0, PAGE);
	pin.flags = DROPPABLE_PIN_WHOLE;
	want_ok(try_pin(fd, &pin));
	want_ne(pin.id, 0);
	want_ok(try_unpin(fd, pin.id));
	/* And not, once they are gone. */
	mem_drop(area, PAGE);
	want_zero(area, PAGE);
	want_ok(try_pin(fd, &pin));
	want_eq(pin.dropped, 1);
	want_eq(pin.id, 0);
}

TEST(untouched, "line 43: what was never touched can be pinned, and stored to then")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);

	need_device("pin");
	pinned_of(fd, area, LENGTH, PAGES);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, LENGTH);
	want_whole(area, PAGES, TAG, 1);
}

TEST(many, "line 43: a page may be pinned several times, and stays until the last is over")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	uint64_t ids[50];

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	for (size_t i = 0; i < 50; i++)
		ids[i] = pinned_of(fd, area + i % 4 * PAGE, 8 * PAGE, 0);
	want_eq(vm_pin(), 400 * PAGE);
	for (size_t i = 0; i < 50; i++) {
		mem_drop(area, LENGTH);
		want_eq(page_state(area + 4 * PAGE, TAG, 1, 4), PAGE_WHOLE);
		want_ok(try_unpin(fd, ids[i]));
	}
	want_eq(vm_pin(), 0);
	mem_drop(area, LENGTH);
	want_zero(area, LENGTH);
}

TEST(split, "line 43: also in a mapping that mprotect split, and what mremap moved stays pinned")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH), *place = anon_map(LENGTH);
	uint64_t id;

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	want_ok(mprotect(area + 8 * PAGE, 8 * PAGE, PROT_READ));
	id = pinned_of(fd, area, LENGTH, 0);
	want_ok(mprotect(area, LENGTH, RW));
	want_eq(mremap(area + 16 * PAGE, 48 * PAGE, 48 * PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, place), place);
	mem_drop(area, 16 * PAGE);
	mem_drop(place, 48 * PAGE);
	want_whole(area, 16, TAG, 1);
	for (size_t i = 0; i < 48; i++)
		want_eq(page_state(place + i * PAGE, TAG, 1, i + 16),
			PAGE_WHOLE);
	want_ok(try_unpin(fd, id));
	mem_drop(area, 16 * PAGE);
	mem_drop(place, 48 * PAGE);
	want_zero(area, 16 * PAGE);
	want_zero(place, 48 * PAGE);
}

TEST(discarded, "line 43: MADV_DONTNEED and munmap take pinned pages out; when the pin ends the memory is returned")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	uint64_t id;

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	id = pinned_of(fd, area, LENGTH, 0);
	want_ok(madvise(area, 8 * PAGE, MADV_DONTNEED));
	want_zero(area, 8 * PAGE);
	fill(area, 4, TAG, 2);
	want_whole(area, 4, TAG, 2);
	mem_unmap(area + 32 * PAGE, 8 * PAGE);
	want_ok(try_unpin(fd, id));
	want_whole(area, 4, TAG, 2);
	/* The zeros that were read may stay, a few of them. */
	want(wait_for(file_counter(fd, "resident") <= PAGES - 8, 5));
	want_eq(vm_pin(), 0);
	mem_drop(area, 32 * PAGE);
	mem_drop(area + 40 * PAGE, 24 * PAGE);
	want_eq(file_counter(fd, "resident"), 0);
}

TEST(limit, "line 43: an unprivileged user pins as much as RLIMIT_MEMLOCK allows, each page counted each time, and gets EPERM beyond")
{
	struct rlimit limit = { 10 * PAGE, 10 * PAGE };
	struct droppable_pin pin;
	uint64_t first;
	char *area;
	int fd;

	need_device("pin");
	want_ok(setrlimit(RLIMIT_MEMLOCK, &limit));
	become_nobody();
	fd = mem_open();
	area = device_map(fd, LENGTH);
	fill(area, PAGES, TAG, 1);
	pin = range_of(area, 11 * PAGE);
	want_errno(try_pin(fd, &pin), EPERM);
	want_eq(vm_pin(), 0);
	first = pinned_of(fd, area, 6 * PAGE, 0);
	pin = range_of(area, 5 * PAGE);
	want_errno(try_pin(fd, &pin), EPERM);
	pinned_of(fd, area, 4 * PAGE, 0);
	pin = range_of(area, PAGE);
	want_errno(try_pin(fd, &pin), EPERM);
	want_eq(vm_pin(), 10 * PAGE);
	want_ok(try_unpin(fd, first));
	want_ok(try_pin(fd, &pin));
	/* More than the machine has, and further than what is mapped. */
	pin = range_of(area, 1UL << 32);
	want_errno(try_pin(fd, &pin), EPERM);
}

static struct {
	const char *what;
	struct droppable_pin pin;
	int error;
	bool relative;
} wrong[] = {
	{ "half a page", { .len = PAGE / 2 }, EINVAL, true },
	{ "an odd address", { .addr = 1, .len = PAGE }, EINVAL, true },
	{ "nothing", { .len = 0 }, EINVAL, true },
	{ "the end of the address space", { .addr = -PAGE, .len = PAGE },
	  EINVAL, false },
	{ "around the address space", { .addr = PAGE, .len = -PAGE }, EINVAL,
	  false },
	{ "2^63", { .addr = 1ULL << 63, .len = PAGE }, EINVAL, false },
	{ "2^63 bytes", { .len = 1ULL << 63 }, EINVAL, true },
	{ "nothing mapped", { .addr = PAGE, .len = PAGE }, ENXIO, false },
	{ "beyond the mapping", { .addr = LENGTH - PAGE, .len = 2 * PAGE },
	  ENXIO, true },
	{ "a vec that is nowhere", { .len = PAGE, .vec = 8 }, EFAULT, true },
};

TEST(wrong_arguments, "line 43: every wrong argument has its errno, and pins nothing")
{
	char *around = anon_map(3 * LENGTH), *area = around + LENGTH;
	int fd = mem_open(), other = mem_open();
	struct droppable_pin pin;

	need_device("pin");
	want_eq(mmap(area, LENGTH, RW, MAP_SHARED | MAP_FIXED, fd, 0), area);
	fill(area, PAGES, TAG, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		pin = wrong[i].pin;
		if (wrong[i].relative)
			pin.addr += (uintptr_t)area;
		errno = 0;
		if (try_pin(fd, &pin) != -1 || errno != wrong[i].error)
			fail("got %s, want %s from a pin of %s",
			     tap_errno(errno), tap_errno(wrong[i].error),
			     wrong[i].what);
	}
	pin = range_of(area, LENGTH);
	want_errno(try_pin(other, &pin), ENXIO);
	pin = range_of(around, LENGTH);
	want_errno(try_pin(fd, &pin), ENXIO);
	want_errno(ioctl(fd, DROPPABLE_IOC_PIN, 8), EFAULT);
	want_errno(ioctl(fd, DROPPABLE_IOC_UNPIN, 8), EFAULT);
	want_errno(try_unpin(fd, 0), ENOENT);
	want_errno(try_unpin(fd, 1), ENOENT);
	want_errno(try_unpin(fd, 1ULL << 32 | 1), ENOENT);
	want_errno(try_unpin(fd, UINT64_MAX), ENOENT);
	want_eq(vm_pin(), 0);
	want_eq(file_counter(fd, "locked"), 0);
	mem_drop(area, LENGTH);
	want_zero(area, LENGTH);
}

TEST(unknown_bits, "line 43: every flag but DROPPABLE_PIN_WHOLE, and every bit of a reserved field, is EINVAL, to pin and to unpin")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH);
	struct droppable_unpin good = { 0 }, unpin;
	struct droppable_pin pin;

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	good.id = pinned_of(fd, area, PAGE, 0);
	for (unsigned int bit = 0; bit < 32; bit++) {
		pin = range_of(area, PAGE);
		pin.flags = 1U << bit | DROPPABLE_PIN_WHOLE;
		if (pin.flags != DROPPABLE_PIN_WHOLE)
			want_errno(try_pin(fd, &pin), EINVAL);
		pin = range_of(area, PAGE);
		pin.reserved0 = 1U << bit;
		want_errno(try_pin(fd, &pin), EINVAL);
		unpin = good;
		unpin.flags = 1U << bit;
		want_errno(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin), EINVAL);
		unpin = good;
		unpin.reserved0 = 1U << bit;
		want_errno(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin), EINVAL);
	}
	for (unsigned int bit = 0; bit < 2 * 64; bit++) {
		pin = range_of(area, PAGE);
		pin.reserved[bit / 64] = 1ULL << bit % 64;
		want_errno(try_pin(fd, &pin), EINVAL);
		unpin = good;
		unpin.reserved[bit / 64] = 1ULL << bit % 64;
		want_errno(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin), EINVAL);
	}
	/* None of that pinned anything, or ended the pin. */
	want_eq(vm_pin(), PAGE);
	want_ok(ioctl(fd, DROPPABLE_IOC_UNPIN, &good));
	want_eq(vm_pin(), 0);
}

TEST(unwritable, "line 43: where the answer can't be written, it is EFAULT and nothing stays pinned")
{
	int fd = mem_open();
	char *area = device_map(fd, LENGTH), *edge = anon_map(2 * PAGE);
	struct droppable_pin *pin = (void *)edge;

	need_device("pin");
	fill(area, PAGES, TAG, 1);
	want_ok(munmap(edge + PAGE, PAGE));
	for (size_t in = 8; in < sizeof(*pin); in += 8)
		want_errno(ioctl(fd, DROPPABLE_IOC_PIN, edge + PAGE - in),
			   EFAULT);
	for (size_t in = 8; in < sizeof(struct droppable_unpin); in += 8)
		want_errno(ioctl(fd, DROPPABLE_IOC_UNPIN, edge + PAGE - in),
			   EFAULT);
	/* Room for half of the bytes. */
	*pin = range_of(area, LENGTH);
	pin->vec = (uintptr_t)edge + PAGE - PAGES / 2;
	want_errno(try_pin(fd, pin), EFAULT);
	want_eq(vm_pin(), 0);
	*pin = range_of(area, LENGTH);
	want_ok(mprotect(edge, PAGE, PROT_READ));
	want_errno(try_pin(fd, pin), EFAULT);
	want_eq(vm_pin(), 0);
	want_eq(file_counter(fd, "locked"), 0);
	mem_drop(area, LENGTH);
	want_zero(area, LENGTH);
}

TEST(closed, "line 43: closing a descriptor of the open file ends the process's pins, and no other's")
{
	int fd = mem_open(), copy = dup(fd), second = mem_open();
	char *area = device_map(fd, LENGTH), *other = device_map(second, LENGTH);
	int to_child[2], to_parent[2];
	char byte = 0;
	uint64_t id;
	pid_t child;

	need_device("pin");
	want_ok(copy);
	want_ok(pipe(to_child));
	want_ok(pipe(to_parent));
	child = spawn();
	if (!child) {
		/* Its own pages and its own pins, in the same open file. */
		fill(area, PAGES, TAG, 2);
		pinned_of(fd, area, LENGTH, 0);
		want_eq(write(to_parent[1], &byte, 1), 1);
		want_eq(read(to_child[0], &id, sizeof(id)), sizeof(id));
		want_errno(try_unpin(fd, id), ENOENT);
		close(copy);
		want_eq(vm_pin(), 0);
		want_eq(write(to_parent[1], &byte, 1), 1);
		_exit(0);
	}
	fill(area, PAGES, TAG, 1);
	fill(other, PAGES, TAG, 3);
	want_eq(read(to_parent[0], &byte, 1), 1);
	id = pinned_of(fd, area, LENGTH, 0);
	pinned_of(second, other, LENGTH, 0);
	want_eq(file_counter(fd, "locked"), 2 * PAGES);
	want_eq(write(to_child[1], &id, sizeof(id)), sizeof(id));
	want_eq(read(to_parent[0], &byte, 1), 1);
	join(child);
	/* The child's close was not ours. */
	want_eq(file_counter(fd, "locked"), PAGES);
	want_eq(vm_pin(), 2 * LENGTH);
	mem_drop(area, LENGTH);
	want_whole(area, PAGES, TAG, 1);
	close(copy);
	want_eq(vm_pin(), LENGTH);
	mem_drop(area, LENGTH);
	want_zero(area, LENGTH);
	mem_drop(other, LENGTH);
	want_whole(other, PAGES, TAG, 3);
}

#define CLOSINGS 400

struct closing {
	struct droppable_pin pin;
	int fd;
	int started;
	int err;
};

static void *pin_while_closing(void *arg)
{
	struct closing *closing = arg;

	__atomic_store_n(&closing->started, 1, __ATOMIC_RELEASE);
	closing->err = try_pin(closing->fd, &closing->pin) ? errno : 0;
	return NULL;
}

TEST(closing, "line 43: a pin that is being made while another thread closes the descriptor ends with it, or isn't made")
{
	unsigned int made = 0;

	need_device("pin");
	for (int i = 0; i < CLOSINGS; i++) {
		struct closing closing = { .fd = device_open() };
		char *area = device_map(closing.fd, LENGTH);
		pthread_t thread;

		fill(area, PAGES, TAG, 1);
		closing.pin = range_of(area, LENGTH);
		want_ok(pthread_create(&thread, NULL, pin_while_closing, &closing));
		while (!__atomic_load_n(&closing.started, __ATOMIC_ACQUIRE))
			sched_yield();
		for (volatile int wait = i % 40 * 100; wait; wait--)
			;
		close(closing.fd);
		want_ok(pthread_join(thread, NULL));
		want(!closing.err || closing.err == EBADF);
		made += !closing.err;
		want_eq(vm_pin(), 0);
		want_ok(munmap(area, LENGTH));
	}
	note("%u of %d were made, and ended", made, CLOSINGS);
}

TEST(ended, "line 43: exit, exec, SIGKILL and munmap end the pins too, though another process keeps the open file")
{
	int fd = mem_open();
	char *area;
	pid_t child;

	need_device("pin");
	want(wait_for(!device_counter("resident"), 10));
	for (int way = 0; way < 3; way++) {
		child = spawn();
		if (!child) {
			area = device_map(fd, LENGTH);
			fill(area, PAGES, TAG, 1);
			pinned_of(fd, area, LENGTH, 0);
			want_eq(file_counter(fd, "locked"), PAGES);
			if (way == 1) {
				execl("/bin/busybox", "busybox", "true", NULL);
				fail("got %s from execl", tap_errno(errno));
			}
			if (way == 2)
				raise(SIGKILL);
			_exit(0);
		}
		if (way == 2)
			join_signal(child, SIGKILL);
		else
			join(child);
		want_eq(file_counter(fd, "locked"), 0);
		want(wait_for(!device_counter("resident"), 5));
	}
	area = device_map(fd, LENGTH);
	fill(area, PAGES, TAG, 1);
	pinned_of(fd, area, LENGTH, 0);
	mem_unmap(area, LENGTH);
	want_eq(file_counter(fd, "locked"), 0);
	want_eq(vm_pin(), 0);
	want_eq(device_counter("resident"), 0);
}

TEST(stale, "line 43: the id of a pin that munmap ended is ENOENT, and no later pin's")
{
	int fd = mem_open();
	uint64_t id, later;
	char *area;

	need_device("pin");
	area = device_map(fd, LENGTH);
	id = pinned_of(fd, area, LENGTH, PAGES);
	mem_unmap(area, LENGTH);
	area = device_map(fd, LENGTH);
	later = pinned_of(fd, area, LENGTH, PAGES);
	want_errno(try_unpin(fd, id), ENOENT);
	want_eq(file_counter(fd, "locked"), PAGES);
	want_ok(try_unpin(fd, later));
	want_errno(try_unpin(fd, later), ENOENT);
	want_eq(file_counter(fd, "locked"), 0);
}

/* Between the ids of a file's only pin and of the next only one. */
#define NEXT_ID (1ULL << 32)

static struct {
	int fd;
	volatile uint64_t next;
	volatile bool stop;
	unsigned int hits;
} guessed;

static void on_one_processor(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	want_ok(sched_setaffinity(0, sizeof(one), &one));
}

static void *guess_thread(void *unused)
{
	(void)unused;
	while (!guessed.stop)
		guessed.hits += !try_unpin(guessed.fd, guessed.next);
	return NULL;
}

/*
 * Both on one processor, which goes from one to the other when a lock is let go
 * of.  What the call read of a pin that had ended KASAN knows; else it may be
 * seen by an id that is none.
 */
TEST(guessed_id, "line 43: another thread may guess the id of a pin and end it before the call returns")
{
	unsigned int rounds = 0;
	double end = race_end();
	pthread_t thread;
	char *area;

	need_device("pin");
	on_one_processor();
	guessed.fd = mem_open();
	guessed.next = NEXT_ID;
	area = device_map(guessed.fd, LENGTH);
	want_eq(pthread_create(&thread, NULL, guess_thread, NULL), 0);
	while (now() < end) {
		struct droppable_pin pin = range_of(area, LENGTH);

		want_ok(try_pin(guessed.fd, &pin));
		want_eq(pin.id, guessed.next);
		if (try_unpin(guessed.fd, pin.id))
			want_eq(errno, ENOENT);
		guessed.next += NEXT_ID;
		rounds++;
	}
	guessed.stop = true;
	want_eq(pthread_join(thread, NULL), 0);
	note("%u of %u pins were ended by who guessed", guessed.hits, rounds);
	want_eq(file_counter(guessed.fd, "locked"), 0);
	want_eq(vm_pin(), 0);
}

TEST(pressure, "line 43: at a cgroup's limit the pinned pages stay and the others go")
{
	struct cgroup group = cgroup_new(24 * MIB);
	size_t pages = 16 * MIB / PAGE, kept = 4 * MIB / PAGE;
	pid_t child = spawn();

	need_device("pin");
	if (!child) {
		char *area, *anonymous;
		int fd;

		cgroup_enter(&group);
		fd = mem_open();
		area = device_map(fd, 16 * MIB);
		fill(area, pages, TAG, 1);
		pinned_of(fd, area, 4 * MIB, 0);
		anonymous = anon_map(16 * MIB);
		for (size_t at = 0; at < 16 * MIB; at += PAGE)
			anonymous[at] = 1;
		want_le(file_counter(fd, "resident"), pages - kept);
		want_whole(area, kept, TAG, 1);
		_exit(0);
	}
	join(child);
	want_eq(cgroup_event(&group, "oom_kill"), 0);
}

/* Pinned and unpinned while others drop, discard and fault. */
static struct {
	char *area;
	int fd;
	volatile bool stop;
} raced;

static void *drop_thread(void *unused)
{
	(void)unused;
	while (!raced.stop) {
		mem_drop(raced.area, LENGTH);
		write_file("/proc/sys/vm/drop_caches", "2");
	}
	return NULL;
}

static void *discard_thread(void *unused)
{
	(void)unused;
	while (!raced.stop) {
		want_ok(madvise(raced.area + LENGTH / 2, LENGTH / 2,
				MADV_DONTNEED));
		fill(raced.area + LENGTH / 2, PAGES / 2, TAG, 9);
	}
	return NULL;
}

TEST(races, "line 43: what was stored under a pin is there until it ends, while others drop, and discard and fault its neighbours")
{
	pthread_t threads[2];
	double end = race_end();
	unsigned int rounds = 0;

	need_device("pin");
	raced.fd = mem_open();
	raced.area = device_map(raced.fd, LENGTH);
	want_eq(pthread_create(&threads[0], NULL, drop_thread, NULL), 0);
	want_eq(pthread_create(&threads[1], NULL, discard_thread, NULL), 0);
	while (now() < end || rounds < 10) {
		struct droppable_pin pin = range_of(raced.area, LENGTH);
		size_t first = rounds % (PAGES / 2);
		size_t pages = PAGES / 2 - first;

		want_ok(try_pin(raced.fd, &pin));
		fill(raced.area + first * PAGE, pages, TAG, ++rounds);
		if (rounds % 4 == 0)
			pause_seconds(0.002);
		want_whole(raced.area + first * PAGE, pages, TAG, rounds);
		want_ok(try_unpin(raced.fd, pin.id));
	}
	raced.stop = true;
	for (int i = 0; i < 2; i++)
		want_eq(pthread_join(threads[i], NULL), 0);
	note("%u rounds", rounds);
	want_eq(vm_pin(), 0);
	mem_drop(raced.area, LENGTH);
	want_zero(raced.area, LENGTH);
}
