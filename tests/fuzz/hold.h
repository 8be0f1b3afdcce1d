/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages that somebody holds: a pipe, or an io_uring. */
#ifndef FUZZ_HOLD_H
#define FUZZ_HOLD_H

/* In a child: what the parent's thread holds is not ours. */
void hold_forget(void);
/* Lets go of all that this thread holds, with a last look at it. */
void hold_release_all(void);

#endif /* FUZZ_HOLD_H */
