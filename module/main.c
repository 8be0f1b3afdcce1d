// SPDX-License-Identifier: GPL-2.0
/*
 * droppable - memory that is never swapped and vanishes under pressure,
 * after Linux 6.11's MAP_DROPPABLE, for kernels that lack it or do it badly.
 */

#include <linux/module.h>

#include "device.h"
#include "file.h"
#include "hibernate.h"
#include "reap.h"
#include "region.h"
#include "shrink.h"
#include "slot.h"

static int __init droppable_init(void)
{
	int err;

	err = droppable_slot_init();
	if (err)
		return err;
	err = droppable_region_init();
	if (err)
		goto exit_slot;
	err = droppable_reap_init();
	if (err)
		goto exit_region;
	err = droppable_shrink_init();
	if (err)
		goto exit_reap;
	err = droppable_hibernate_init();
	if (err)
		goto exit_shrink;
	err = droppable_file_init();
	if (err)
		goto exit_hibernate;
	err = droppable_device_init();
	if (err)
		goto exit_file;
	return 0;

exit_file:
	droppable_file_exit();
exit_hibernate:
	droppable_hibernate_exit();
exit_shrink:
	droppable_shrink_exit();
exit_reap:
	droppable_reap_exit();
exit_region:
	droppable_region_exit();
exit_slot:
	droppable_slot_exit();
	return err;
}

/* No file is open and nothing is mapped: each of them holds the module. */
static void __exit droppable_exit(void)
{
	droppable_device_exit();
	droppable_file_exit();
	droppable_hibernate_exit();
	droppable_shrink_exit();
	droppable_reap_exit();
	droppable_region_exit();
	droppable_slot_exit();
}

module_init(droppable_init);
module_exit(droppable_exit);

MODULE_DESCRIPTION("Memory that the kernel may drop under pressure");
MODULE_AUTHOR("the droppable authors");
MODULE_VERSION(DROPPABLE_VERSION);
MODULE_LICENSE("GPL");
