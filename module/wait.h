/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_WAIT_H
#define _DROPPABLE_WAIT_H

void droppable_wait(unsigned long cost, bool again);
void droppable_wait_wake(void);

#endif
