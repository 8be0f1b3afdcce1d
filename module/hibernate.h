/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_HIBERNATE_H
#define _DROPPABLE_HIBERNATE_H

int droppable_hibernate_init(void);
void droppable_hibernate_exit(void);

#endif
