// SPDX-License-Identifier: GPL-2.0-only
/*
 * poll(2) and read(2) of the descriptor: who is told of drops, when, and how often.
 * Contract line 40.
 */
// vm: --mem 256 --smp 2
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/droppable.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/cgroup.h"
#include "support/device.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0xc039
#define PAGES 64UL
#define LENGTH (PAGES * PAGE)

static short polled(int fd, int milliseconds)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN | POLLRDNORM };

	want_ok(poll(&entry, 1, milliseconds));
	return entry.revents;
}

static void nonblocking(int fd)
{
	want_ok(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
}

static uint64_t drops_read(int fd)
{
	uint64_t drops = 0;

	want_eq(read(fd, &drops, sizeof(drops)), sizeof(drops));
	return drops;
}

TEST(polling, "line 40: poll(2) says nothing before a drop and POLLIN after it; read(2) gives the number and starts anew")
{
	int fd = device_open(), other = device_open();
	char *area = device_map(fd, LENGTH);
	uint64_t drops[4] = { 0 };

	nonblocking(fd);
	want_eq(polled(fd, 0), 0);
	want_errno(read(fd, drops, sizeof(*drops)), EAGAIN);
	fill(area, PAGES, TAG, 1);
	want_ok(madvise(area, PAGE, MADV_DONTNEED));
	fill(area, 1, TAG, 1);
	want_eq(polled(fd, 0), 0);
	mem_drop(area, 10 * PAGE);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(polled(other, 0), 0);
	mem_drop(area, 12 * PAGE);
	want_eq(drops_read(fd), 12);
	want_eq(polled(fd, 0), 0);
	want_errno(read(fd, drops, sizeof(*drops)), EAGAIN);
	mem_shrink(area, LENGTH);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	/* A longer buffer gets one number as well. */
	want_eq(read(fd, drops, sizeof(drops)), sizeof(*drops));
	want_ge(drops[0], PAGES - 12);
	want_eq(drops[1], 0);
	/* Nothing was resident: nothing to say. */
	mem_drop(area, LENGTH);
	want_eq(polled(fd, 0), 0);
}

TEST(reading_wrong, "line 40: a short buffer is EINVAL, a bad one EFAULT, and neither loses the number; nothing can be written")
{
	void *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	uint64_t drops;

	nonblocking(fd);
	want_errno(read(fd, &drops, 7), EINVAL);
	fill(area, PAGES, TAG, 1);
	mem_drop(area, LENGTH);
	want_errno(read(fd, &drops, 7), EINVAL);
	want_errno(read(fd, &drops, 0), EINVAL);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(drops_read(fd), PAGES);
	fill(area, PAGES, TAG, 2);
	mem_drop(area, LENGTH);
	want_ok(nowhere);
	want_errno(read(fd, nowhere, sizeof(drops)), EFAULT);
	want_eq(polled(fd, 0), POLLIN | POLLRDNORM);
	want_eq(drops_read(fd), PAGES);
	want_eq(write(fd, &drops, sizeof(drops)), -1);
	want_errno(pread(fd, &drops, sizeof(drops), 0), ESPIPE);
}

/* Drops as soon as the other process or thread sleeps. */
static void drop_when_asleep(pid_t child, void *area)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	want(wait_for(try_read_file(path, text, sizeof(text)) &&
		      strstr(text, ") S "), 10));
	pause_seconds(0.05);
	want(alive(child));
	if (area)
		mem_drop(area, LENGTH);
}

/* A process that waits for the drop of a whole mapping. */
static pid_t start_reading(int fd, const struct sigaction *action)
{
	pid_t child = spawn();

	if (!child) {
		if (action)
			want_ok(sigaction(SIGUSR1, action, NULL));
		want_eq(drops_read(fd), PAGES);
		_exit(0);
	}
	return child;
}

TEST(read_blocks, "line 40: a read(2) without O_NONBLOCK sleeps until the next drop")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = start_reading(fd, NULL);
	drop_when_asleep(child, area);
	join(child);
}

TEST(poll_blocks, "line 40: a poll(2) that sleeps is woken by a drop, and so is epoll")
{
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		want_eq(polled(fd, 20000), POLLIN | POLLRDNORM);
		_exit(0);
	}
	drop_when_asleep(child, area);
	join(child);
	want_eq(drops_read(fd), PAGES);

	want_ok(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	fill(area, PAGES, TAG, 2);
	child = spawn();
	if (!child) {
		want_eq(epoll_wait(epoll, &event, 1, 20000), 1);
		want_eq(event.events, EPOLLIN);
		_exit(0);
	}
	drop_when_asleep(child, area);
	join(child);
}

TEST(woken_by_reclaim, "line 40: reclaim wakes a sleeping reader too")
{
	struct cgroup group = cgroup_new(8 * MIB);
	int fd = device_open();
	pid_t child = spawn(), writer;

	if (!child) {
		want_ge(drops_read(fd), 1);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	writer = spawn();
	if (!writer) {
		char *area = device_map(fd, 16 * MIB);

		cgroup_enter(&group);
		fill(area, 16 * MIB / PAGE, TAG, 1);
		_exit(0);
	}
	join(writer);
	want(wait_for(!alive(child), 5));
	join(child);
}

static void handle(int number)
{
	(void)number;
}

static struct {
	int fd;
	char *page;
	volatile bool stop;
	volatile uint64_t told;
} held;

static void *touch_thread(void *unused)
{
	(void)unused;
	while (!held.stop)
		*(volatile char *)held.page = 1;
	return NULL;
}

static void *read_thread(void *unused)
{
	(void)unused;
	while (!held.stop)
		held.told += drops_read(held.fd);
	return NULL;
}

/* Whether the only page was unmapped, and then found held by a fault. */
static bool drop_finds_held(const struct droppable_counter *counter)
{
	struct droppable_drop drop = {
		.addr = (uintptr_t)held.page,
		.len = PAGE,
	};
	uint64_t before = counter->drops;

	want_ok(ioctl(held.fd, DROPPABLE_IOC_DROP, &drop));
	return !drop.dropped && counter->drops != before;
}

TEST(woken_by_held, "line 40: a drop that unmaps a page, and then finds it held, wakes a sleeping reader, since it has counted")
{
	const struct droppable_counter *counter;
	unsigned int found = 0, drops = 0;
	double end = race_end();
	pthread_t toucher, reader;

	held.fd = device_open();
	held.page = device_map(held.fd, PAGE);
	counter = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, held.fd,
		       DROPPABLE_COUNTER_OFFSET);
	want_ok(counter);
	want_eq(pthread_create(&toucher, NULL, touch_thread, NULL), 0);
	want_eq(pthread_create(&reader, NULL, read_thread, NULL), 0);
	for (; race_goes_on(end, found); drops++) {
		if (!drop_finds_held(counter))
			continue;
		found++;
		want(wait_for(held.told == counter->drops, 2));
	}
	note("%u of %u drops found it held", found, drops);
	held.stop = true;
	want_eq(pthread_join(toucher, NULL), 0);
	held.page[0] = 1;
	mem_drop(held.page, PAGE);
	want_eq(pthread_join(reader, NULL), 0);
}

TEST(read_signals, "line 40: a handled signal ends a sleeping read(2) with EINTR, SIGKILL ends its process")
{
	struct sigaction action = { .sa_handler = handle };
	int fd = device_open();
	uint64_t drops;
	pid_t child = spawn();

	if (!child) {
		want_ok(sigaction(SIGUSR1, &action, NULL));
		want_errno(read(fd, &drops, sizeof(drops)), EINTR);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	want_ok(kill(child, SIGUSR1));
	join(child);

	child = spawn();
	if (!child) {
		drops_read(fd);
		_exit(0);
	}
	drop_when_asleep(child, NULL);
	want_ok(kill(child, SIGKILL));
	want(wait_for(!alive(child), 5));
	join_signal(child, SIGKILL);
}

TEST(read_restarts, "line 40: with SA_RESTART it goes on sleeping until the next drop")
{
	struct sigaction action = { .sa_handler = handle,
				    .sa_flags = SA_RESTART };
	int fd = device_open();
	char *area = device_map(fd, LENGTH);
	pid_t child;

	fill(area, PAGES, TAG, 1);
	child = start_reading(fd, &action);
	drop_when_asleep(child, NULL);
	want_ok(kill(child, SIGUSR1));
	drop_when_asleep(child, area);
	join(child);
}
