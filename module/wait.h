/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_WAIT_H
#define _DROPPABLE_WAIT_H

void droppable_wait(void);
void droppable_wait_wake(void);

#endif
