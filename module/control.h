/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_CONTROL_H
#define _DROPPABLE_CONTROL_H

struct attribute_group;

extern const struct attribute_group *droppable_control_groups[];

#endif
