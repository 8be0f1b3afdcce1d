/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations: what a thread does next, as numbers and as a line of a script.
 * An operation needs nothing of those before it, so any of them can be left
 * out of a script.
 */
#ifndef FUZZ_OP_H
#define FUZZ_OP_H

#include <stdbool.h>
#include <stdint.h>

#define OP_TEXT 64

struct op {
	uint8_t kind;
	uint8_t area;
	uint16_t page;
	uint16_t count;
	uint32_t value;
};

/* What kinds are not for everybody. */
#define OP_PRESSURE (1U << 0)	/* the storm's, where there are threads */
#define OP_FORKS (1U << 1)	/* not in a child of a child */
#define OP_DEVICE (1U << 2)	/* not with native memory */
#define OP_ROOT (1U << 3)

/**
 * struct kind - a kind of operation
 * @name:	in scripts
 * @weight:	how often
 * @flags:	OP_*
 * @run:	true if it did what it was to do
 */
struct kind {
	const char *name;
	unsigned int weight;
	unsigned int flags;
	bool (*run)(const struct op *op);
};

extern const struct kind kinds[];
unsigned int op_kinds(void);

/* The next of a sequence; of kinds with these flags, and without those. */
struct op op_random(uint64_t *state, unsigned int with, unsigned int without);
/* False if it is no operation. */
bool op_parse(const char *text, struct op *op);
const char *op_text(const struct op *op, char text[OP_TEXT]);
/* Counts it, and remembers it for a failure. */
void op_run(const struct op *op);
void op_print_history(void);

/**
 * struct self - what a thread is and has
 * @id:		which pages it owns: each @threads-th
 * @threads:	of its process
 * @depth:	forks since the first process
 * @alone:	nobody else touches its process's memory, so more is known
 */
struct self {
	unsigned int id;
	unsigned int threads;
	unsigned int depth;
	bool alone;
};

extern __thread struct self self;

/* The pages of an operation that its thread owns. */
#define for_owned(op, index) \
	for (unsigned int index = (op)->page; \
	     index < (unsigned int)(op)->page + (op)->count; index++) \
		if (index % self.threads == self.id)

/* An operation's own random numbers. */
static inline uint32_t op_more(uint32_t value, uint32_t salt)
{
	uint32_t x = value ^ (salt * 0x9e3779b9u);

	x ^= x >> 16;
	x *= 0x85ebca6bu;
	x ^= x >> 13;
	x *= 0xc2b2ae35u;
	return x ^ (x >> 16);
}

/* touch.c */
bool op_fill(const struct op *op);
bool op_patch(const struct op *op);
bool op_load(const struct op *op);
bool op_nudge(const struct op *op);
/* mapping.c */
bool op_map(const struct op *op);
bool op_unmap(const struct op *op);
bool op_protect(const struct op *op);
bool op_move(const struct op *op);
bool op_shrink(const struct op *op);
bool op_grow(const struct op *op);
bool op_alias(const struct op *op);
bool op_dontunmap(const struct op *op);
bool op_remap(const struct op *op);
bool op_dontfork(const struct op *op);
/* advice.c */
bool op_discard(const struct op *op);
bool op_drop(const struct op *op);
bool op_dropmapping(const struct op *op);
bool op_dropfile(const struct op *op);
bool op_advise(const struct op *op);
bool op_guard(const struct op *op);
bool op_mlock(const struct op *op);
bool op_mlockall(const struct op *op);
bool op_mincore(const struct op *op);
bool op_uffd(const struct op *op);
bool op_info(const struct op *op);
bool op_badioctl(const struct op *op);
bool op_news(const struct op *op);
/* transfer.c */
bool op_pipe(const struct op *op);
bool op_vm(const struct op *op);
bool op_mem(const struct op *op);
bool op_direct(const struct op *op);
/* hold.c */
bool op_hold(const struct op *op);
bool op_release(const struct op *op);
bool op_register(const struct op *op);
bool op_unregister(const struct op *op);
bool op_ring(const struct op *op);
/* pin.c */
bool op_pin(const struct op *op);
bool op_unpin(const struct op *op);
bool op_memlock(const struct op *op);
/* child.c */
bool op_fork(const struct op *op);
bool op_kill(const struct op *op);
bool op_exec(const struct op *op);
bool op_pass(const struct op *op);
bool op_ptrace(const struct op *op);
bool op_peek(const struct op *op);
bool op_starve(const struct op *op);
/* pressure.c */
bool op_hog(const struct op *op);
bool op_unhog(const struct op *op);
bool op_limit(const struct op *op);
bool op_cgroup(const struct op *op);
bool op_reclaim(const struct op *op);
bool op_caches(const struct op *op);
bool op_dropall(const struct op *op);
bool op_dropprocess(const struct op *op);

#endif /* FUZZ_OP_H */
