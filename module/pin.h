/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_PIN_H
#define _DROPPABLE_PIN_H

#include <linux/fs.h>

struct droppable_file;
struct droppable_pin;
struct droppable_region;
struct droppable_unpin;

long droppable_pin_ioctl(struct file *file, struct droppable_pin __user *arg);
long droppable_unpin_ioctl(struct file *file,
			   struct droppable_unpin __user *arg);
void droppable_pin_flush(struct droppable_file *df, fl_owner_t owner);
void droppable_pin_release(struct droppable_region *region);

#endif
