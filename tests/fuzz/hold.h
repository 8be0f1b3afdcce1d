/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages that somebody holds: a pipe, an io_uring, or the program by a pin. */
#ifndef FUZZ_HOLD_H
#define FUZZ_HOLD_H

#include <stdbool.h>

/*
 * Pins a page by @take, if that is given, and looks at it: what is there now
 * must stay.  Nothing is known of it if the look fails, or if somebody discards
 * it meanwhile.
 */
bool hold_pin(unsigned int area, unsigned int index,
	      bool (*take)(void *address, void *data), void *data);

/* In a child: what the parent's thread holds is not ours. */
void hold_forget(void);
/* Lets go of all that this thread holds, with a last look at it. */
void hold_release_all(void);
/* The same of the program's own pins. */
void pin_forget(void);
void pin_release_all(void);

#endif /* FUZZ_HOLD_H */
