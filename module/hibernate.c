// SPDX-License-Identifier: GPL-2.0
/*
 * No droppable page enters a hibernation image (contract line 23).
 *
 * The PM notifier comes before tasks are frozen, who would fault pages in
 * again.  Devices are frozen after them, so a device of our own, with nothing
 * behind it, is what gets called at the right time.
 */

#include <linux/err.h>
#include <linux/platform_device.h>
#include <linux/pm.h>

#include "hibernate.h"
#include "shrink.h"
#include "stats.h"

/* Passes over what is left: a page may have been locked at the first. */
#define PASSES	4

static int freeze(struct device *dev)
{
	int i;

	for (i = 0; i < PASSES && droppable_total_resident(); i++)
		droppable_shrink_all();
	if (droppable_total_resident())
		dev_warn(dev, "%lu pages are held by somebody and enter the image\n",
			 droppable_total_resident());
	return 0;
}

static const struct dev_pm_ops pm_ops = {
	.freeze = freeze,
};

static struct platform_driver driver = {
	.driver = {
		.name = "droppable",
		.pm = &pm_ops,
	},
};

static struct platform_device *device;

/*
 * What we register is valid: when the core calls it invalid, it had no memory
 * for a name or a directory of it.
 */
static int register_error(int err)
{
	return err == -EINVAL ? -ENOMEM : err;
}

int droppable_hibernate_init(void)
{
	int err = platform_driver_register(&driver);

	if (err)
		return register_error(err);
	device = platform_device_register_simple("droppable", PLATFORM_DEVID_NONE,
						 NULL, 0);
	if (!IS_ERR(device))
		return 0;
	platform_driver_unregister(&driver);
	return register_error(PTR_ERR(device));
}

void droppable_hibernate_exit(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&driver);
}
