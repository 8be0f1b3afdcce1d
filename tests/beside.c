// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that was pinned before it was touched stays, whatever is discarded
 * beside it before the first touch: the module notes down only some of many
 * small discards apart, and must not take its page for one of them.
 * Contract line 43.
 */
// vm: --mem 256 --smp 1
#define _GNU_SOURCE
#include <linux/droppable.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "support/device.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/tap.h"

#define TAG 0xbe51
#define PAGES 256U
#define ROUNDS 20U

/* Every fourth, so none is another's neighbour, and none is pinned. */
static void discard_around(char *area)
{
	for (unsigned int i = 0; i < PAGES; i += 4)
		want_ok(madvise(area + i * PAGE, PAGE, MADV_DONTNEED));
}

#define for_pinned(i) for (unsigned int i = 2; i < PAGES; i += 4)

static unsigned int lost_of(char *area, int fd, unsigned int round)
{
	uint64_t ids[PAGES] = { 0 };
	unsigned int lost = 0;

	for_pinned(i) {
		struct droppable_pin pin = {
			.addr = (uintptr_t)area + i * PAGE,
			.len = PAGE,
		};

		want_ok(ioctl(fd, DROPPABLE_IOC_PIN, &pin));
		ids[i] = pin.id;
	}
	discard_around(area);
	for_pinned(i)
		fill(area + i * PAGE, 1, TAG, round);
	write_file(DEVICE_SYSFS "drop", "1");
	for_pinned(i)
		lost += tally(area + i * PAGE, 1, TAG, round).whole != 1;
	for_pinned(i) {
		struct droppable_unpin unpin = { .id = ids[i] };

		want_ok(ioctl(fd, DROPPABLE_IOC_UNPIN, &unpin));
	}
	return lost;
}

TEST(pinned_absent, "line 43: pages pinned before their first touch stay, whatever is discarded between them")
{
	unsigned int lost = 0;
	int fd;

	need_device("pin");
	fd = mem_open();
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, fd, 0);

		want_ok(area);
		area[0] = 1;
		lost += lost_of(area, fd, round);
		want_ok(munmap(area, PAGES * PAGE));
	}
	note("%u pages lost in %u rounds", lost, ROUNDS);
	want_eq(lost, 0);
}
