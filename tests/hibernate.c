// SPDX-License-Identifier: GPL-2.0-only
/*
 * No droppable page enters a hibernation image; suspending to RAM costs none.
 * Contract lines 4 and 23.
 *
 * The machine hibernates to a raw disk, uncompressed, and is to resume from it
 * at once (test_resume); then the disk is searched for what was in memory.
 */
// vm: --mem 384 --swap 384 --smp 2 --append hibernate=nocompress
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/device.h"
#include "support/disk.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define TAG 0x41be
#define ANON_TAG 0x41ba
#define SIZE (8 * MIB)
#define PAGES (SIZE / PAGE)


static void need_power(const char *file, const char *mode)
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "/sys/power/%s", file);
	if (!try_read_file(path, text, sizeof(text)))
		skip("%s: %s", path, tap_errno(errno));
	if (!strstr(text, mode))
		skip("this kernel has no '%s' in %s", mode, path);
}

static void choose(const char *file, const char *mode)
{
	char path[64];

	need_power(file, mode);
	snprintf(path, sizeof(path), "/sys/power/%s", file);
	write_file(path, mode);
}

static volatile bool stop;

/* Writes all the time, up to the moment when it is frozen. */
static void *write_thread(void *area)
{
	unsigned int generation = 0;

	while (!stop)
		fill(area, PAGES / 4, TAG, ++generation % 4095);
	return NULL;
}

TEST_WITHIN(image, 300, "line 23: a hibernation image holds anonymous memory and not one droppable page, also of a thread that writes until it is frozen")
{
	char *area, *busy, *anonymous;
	struct on_disk found;
	pthread_t thread;
	bool resumed;

	need_device("hibernation");
	need_power("state", "disk");
	choose("pm_test", "none");
	choose("disk", "test_resume");
	/* All may stay: else most of it would be gone already for want of room. */
	write_file("/sys/power/image_size", "1000000000");
	area = mem_map(SIZE);
	busy = mem_map(SIZE);
	anonymous = anon_map(SIZE);
	fill(anonymous, PAGES, ANON_TAG, 1);
	fill(area, PAGES, TAG, 1);
	want_eq(pthread_create(&thread, NULL, write_thread, busy), 0);
	found = search_disk(getenv("SWAPDEV"), TAG, ANON_TAG);
	want_eq(found.droppable + found.anonymous, 0);

	/*
	 * Before 6.3 the image is written, but can't be resumed from while its
	 * disk is swapped to: EBUSY, and the machine goes on as it was.
	 */
	resumed = try_write_file("/sys/power/state", "disk");
	if (!resumed && errno != EBUSY)
		skip("this kernel does not hibernate: %s", tap_errno(errno));
	note("image written, %sresumed from", resumed ? "" : "not ");
	stop = true;
	want_eq(pthread_join(thread, NULL), 0);
	found = search_disk(getenv("SWAPDEV"), TAG, ANON_TAG);
	note("the disk holds %zu pages of anonymous, %zu of droppable memory",
	     found.anonymous, found.droppable);
	want_ge(found.anonymous, PAGES * 9 / 10);
	want_eq(found.droppable, 0);
	want_zero(area, SIZE);
	want_whole(anonymous, PAGES, ANON_TAG, 1);
	fill(area, PAGES, TAG, 2);
	want_whole(area, PAGES, TAG, 2);
}

/* As far as all devices are asleep, and back. */
static void sleep_devices(const char *state)
{
	need_power("state", state);
	choose("pm_test", "devices");
	/* In seconds. */
	write_file("/sys/module/suspend/parameters/pm_test_delay", "1");
	if (!strcmp(state, "disk"))
		choose("disk", "shutdown");
	write_file("/sys/power/state", state);
	choose("pm_test", "none");
}

/* Before and after, in two processes of two users. */
static void want_after_sleep(const char *state, bool dropped)
{
	char *area, byte = 0;
	int ready[2], go[2];
	pid_t child;

	want_ok(pipe(ready));
	want_ok(pipe(go));
	child = spawn();
	if (!child)
		become_nobody();
	area = mem_map(SIZE);
	fill(area, PAGES, TAG, 1);
	if (!child) {
		want_eq(write(ready[1], &byte, 1), 1);
		want_eq(read(go[0], &byte, 1), 1);
	} else {
		want_eq(read(ready[0], &byte, 1), 1);
		want_eq(device_counter("resident"), 2 * PAGES);
		sleep_devices(state);
		want_eq(device_counter("resident"), dropped ? 0 : 2 * PAGES);
		want_eq(write(go[1], &byte, 1), 1);
	}
	if (dropped)
		want_zero(area, SIZE);
	else
		want_whole(area, PAGES, TAG, 1);
	fill(area, PAGES, TAG, 2);
	want_whole(area, PAGES, TAG, 2);
	if (!child)
		_exit(0);
	join(child);
	mem_unmap(area, SIZE);
}

TEST_WITHIN(all_dropped, 120, "line 23: on the way into hibernation all of it is dropped, whoever's it is, and can be written again")
{
	need_device("hibernation");
	want(wait_for(!device_counter("resident"), 10));
	want_after_sleep("disk", true);
}

TEST_WITHIN(suspended, 120, "line 4: suspending to RAM, or to idle, takes nothing")
{
	need_device("counter");
	want(wait_for(!device_counter("resident"), 10));
	want_after_sleep("freeze", false);
	want_after_sleep("mem", false);
}
