/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Droppable memory from either backend, and ordinary memory beside it.
 *
 * DROPPABLE_BACKEND=native maps the kernel's own MAP_DROPPABLE instead of
 * /dev/droppable, so that the same programs measure both.
 *
 * As every helper here and in the files beside this, they end the test when
 * they can't do their work.
 */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define PAGE 4096UL
#define KIB 1024UL
#define MIB (1024UL * KIB)
#define GIB (1024UL * MIB)

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* True when DROPPABLE_BACKEND=native. */
extern bool native;
void need_device(const char *what);

/* Droppable memory. */
int mem_open(void);
void *mem_map(size_t length);
/* mmap() of the backend with more flags; MAP_FAILED and errno on failure. */
void *mem_try(void *address, size_t length, int protection, int flags);
/* An explicit drop, of all of it. */
void mem_drop(void *address, size_t length);
/* A drop by the way memory pressure comes: the kernel's shrinkers. */
void mem_shrink(void *address, size_t length);
void mem_unmap(void *address, size_t length);

/* Ordinary memory: anonymous, never huge. */
void *anon_map(size_t length);
/* MAP_SHARED between the processes of a test. */
void *shared_map(size_t length);

#endif /* TESTS_MEMORY_H */
