// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/class/misc/droppable: the device's counters, in pages or events since
 * the module was loaded, and root's command to drop everything.
 */

#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/sysfs.h>

#include "control.h"
#include "device.h"
#include "shrink.h"
#include "stats.h"

static ssize_t resident_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%lu\n", droppable_total_resident());
}
static DEVICE_ATTR_RO(resident);

#define EVENT_ATTR(name, event)						\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%lu\n", droppable_total(event));	\
}									\
static DEVICE_ATTR_RO(name)

EVENT_ATTR(faults, DROPPABLE_FAULTS);
EVENT_ATTR(dropped, DROPPABLE_DROPPED);
EVENT_ATTR(refaulted, DROPPABLE_REFAULTED);
EVENT_ATTR(recycled, DROPPABLE_RECYCLED);
EVENT_ATTR(waits, DROPPABLE_WAITS);
EVENT_ATTR(pinned, DROPPABLE_PINNED);

/* Mode 0200: only root may take everybody's pages (line 22). */
static ssize_t drop_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t len)
{
	unsigned int one;
	int err = kstrtouint(buf, 0, &one);

	if (err)
		return err;
	if (one != 1)
		return -EINVAL;
	droppable_shrink_all();
	return len;
}
static DEVICE_ATTR_WO(drop);

/* A process that is gone, or has no memory of its own: ESRCH. */
static struct mm_struct *mm_of(pid_t nr)
{
	struct pid *pid = find_get_pid(nr);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);
	struct mm_struct *mm = NULL;

	put_pid(pid);
	if (task) {
		mm = get_task_mm(task);
		put_task_struct(task);
	}
	return mm;
}

/* Likewise, the pages of one process, by its number where the writer is. */
static ssize_t drop_process_store(struct device *dev,
				  struct device_attribute *attr,
				  const char *buf, size_t len)
{
	struct mm_struct *mm;
	int nr, err = kstrtoint(buf, 0, &nr);

	if (err)
		return err;
	if (nr <= 0)
		return -EINVAL;
	mm = mm_of(nr);
	if (!mm)
		return -ESRCH;
	err = droppable_device_drop_mm(mm);
	mmput(mm);
	return err ? err : len;
}
static DEVICE_ATTR_WO(drop_process);

static struct attribute *attrs[] = {
	&dev_attr_resident.attr,
	&dev_attr_faults.attr,
	&dev_attr_dropped.attr,
	&dev_attr_refaulted.attr,
	&dev_attr_recycled.attr,
	&dev_attr_waits.attr,
	&dev_attr_pinned.attr,
	&dev_attr_drop.attr,
	&dev_attr_drop_process.attr,
	NULL
};

static const struct attribute_group group = {
	.attrs = attrs,
};

const struct attribute_group *droppable_control_groups[] = {
	&group,
	NULL
};
