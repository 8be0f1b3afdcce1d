/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_CHILD_H
#define FUZZ_CHILD_H

/* What the program does that op_exec() starts. */
void child_executed(int file) __attribute__((noreturn));

#endif /* FUZZ_CHILD_H */
