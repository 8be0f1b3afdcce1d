// SPDX-License-Identifier: GPL-2.0-only
/* See op.h. */
#define _GNU_SOURCE
#include "op.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../support/memory.h"
#include "../support/pattern.h"
#include "../support/tap.h"
#include "model.h"
#include "report.h"

__thread struct self self = { .threads = 1 };

const struct kind kinds[] = {
	{ "fill", 40, 0, op_fill },
	{ "patch", 40, 0, op_patch },
	{ "load", 60, 0, op_load },
	{ "nudge", 10, 0, op_nudge },
	{ "map", 8, 0, op_map },
	{ "unmap", 4, 0, op_unmap },
	{ "protect", 8, 0, op_protect },
	{ "move", 10, 0, op_move },
	{ "shrink", 2, 0, op_shrink },
	{ "grow", 2, OP_DEVICE, op_grow },
	{ "alias", 2, OP_DEVICE, op_alias },
	{ "dontunmap", 2, OP_DEVICE, op_dontunmap },
	{ "remap", 1, OP_DEVICE, op_remap },
	{ "dontfork", 1, 0, op_dontfork },
	{ "discard", 20, 0, op_discard },
	{ "drop", 12, OP_DEVICE, op_drop },
	{ "dropmapping", 2, OP_DEVICE, op_dropmapping },
	{ "dropfile", 1, OP_DEVICE, op_dropfile },
	{ "advise", 15, 0, op_advise },
	{ "guard", 1, 0, op_guard },
	{ "mlock", 4, 0, op_mlock },
	{ "mlockall", 1, 0, op_mlockall },
	{ "mincore", 3, 0, op_mincore },
	{ "uffd", 2, OP_DEVICE, op_uffd },
	{ "info", 1, OP_DEVICE, op_info },
	{ "badioctl", 2, OP_DEVICE, op_badioctl },
	{ "news", 3, OP_DEVICE, op_news },
	{ "pipe", 8, 0, op_pipe },
	{ "vm", 8, 0, op_vm },
	{ "mem", 4, 0, op_mem },
	{ "direct", 6, OP_ROOT, op_direct },
	{ "hold", 15, 0, op_hold },
	{ "release", 12, 0, op_release },
	{ "register", 5, 0, op_register },
	{ "unregister", 4, 0, op_unregister },
	{ "ring", 6, 0, op_ring },
	{ "pin", 8, OP_DEVICE, op_pin },
	{ "unpin", 6, OP_DEVICE, op_unpin },
	{ "memlock", 2, OP_DEVICE, op_memlock },
	{ "fork", 5, OP_FORKS, op_fork },
	{ "kill", 2, OP_FORKS, op_kill },
	{ "exec", 1, OP_FORKS | OP_DEVICE, op_exec },
	{ "pass", 1, OP_FORKS | OP_DEVICE, op_pass },
	{ "ptrace", 2, OP_FORKS, op_ptrace },
	{ "peek", 2, OP_FORKS, op_peek },
	{ "starve", 2, OP_FORKS | OP_ROOT, op_starve },
	{ "hog", 2, OP_PRESSURE | OP_ROOT, op_hog },
	{ "unhog", 2, OP_PRESSURE | OP_ROOT, op_unhog },
	{ "limit", 3, OP_PRESSURE | OP_ROOT, op_limit },
	{ "cgroup", 2, OP_PRESSURE | OP_ROOT, op_cgroup },
	{ "reclaim", 3, OP_PRESSURE | OP_ROOT, op_reclaim },
	{ "caches", 3, OP_PRESSURE | OP_ROOT, op_caches },
	{ "dropall", 2, OP_PRESSURE | OP_ROOT, op_dropall },
	{ "dropprocess", 4, OP_PRESSURE | OP_ROOT, op_dropprocess },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
_Static_assert(KINDS <= KINDS_MAX, "counts for each kind");

unsigned int op_kinds(void)
{
	return KINDS;
}

static unsigned int impossible(void)
{
	unsigned int flags = 0;

	if (native)
		flags |= OP_DEVICE;
	if (native || geteuid())
		flags |= OP_ROOT;
	return flags;
}

static unsigned int weight(unsigned int kind, unsigned int with,
			   unsigned int without)
{
	unsigned int flags = kinds[kind].flags;

	return (flags & with) == with && !(flags & without) ?
		       kinds[kind].weight : 0;
}

static unsigned int choose(uint64_t random, unsigned int with,
			   unsigned int without)
{
	unsigned int sum = 0, kind;

	for (kind = 0; kind < KINDS; kind++)
		sum += weight(kind, with, without);
	random %= sum;
	for (kind = 0; random >= weight(kind, with, without); kind++)
		random -= weight(kind, with, without);
	return kind;
}

/* Mostly few pages, so that operations meet; sometimes many. */
static unsigned int random_count(uint64_t random)
{
	switch (random % 64) {
	case 0:
		return AREA_PAGES;
	case 1 ... 3:
		return 1 + (unsigned int)(random / 64 % 200);
	case 4 ... 31:
		return 1 + (unsigned int)(random / 64 % 16);
	default:
		return 1 + (unsigned int)(random / 64 % 4);
	}
}

/* Half of the time in a corner, where operations meet more often. */
static unsigned int random_page(uint64_t random)
{
	return random / 2 % (random & 1 ? 24 : AREA_PAGES);
}

struct op op_random(uint64_t *state, unsigned int with, unsigned int without)
{
	struct op op;

	op.kind = (uint8_t)choose(random_next(state) >> 8, with,
				  without | impossible());
	op.area = random_next(state) % 13 % AREAS;
	op.page = (uint16_t)random_page(random_next(state) >> 8);
	op.count = (uint16_t)random_count(random_next(state) >> 8);
	if (op.page + op.count > AREA_PAGES)
		op.count = (uint16_t)(AREA_PAGES - op.page);
	op.value = (uint32_t)(random_next(state) >> 16);
	return op;
}

const char *op_text(const struct op *op, char text[OP_TEXT])
{
	snprintf(text, OP_TEXT, "%s %u %u %u %u", kinds[op->kind].name,
		 op->area, op->page, op->count, op->value);
	return text;
}

bool op_parse(const char *text, struct op *op)
{
	unsigned int area, page, count, value;
	char name[32];

	if (sscanf(text, "%31s %u %u %u %u", name, &area, &page, &count,
		   &value) != 5)
		return false;
	if (area >= AREAS || !count || page >= AREA_PAGES ||
	    count > AREA_PAGES - page)
		return false;
	for (unsigned int kind = 0; kind < KINDS; kind++) {
		if (strcmp(kinds[kind].name, name))
			continue;
		*op = (struct op){ (uint8_t)kind, (uint8_t)area,
				   (uint16_t)page, (uint16_t)count, value };
		return true;
	}
	return false;
}

/*
 * The latest operations of this process, as they began; a child starts with its
 * parent's.
 */
#define HISTORY 32U

static struct past {
	struct op op;
	unsigned int thread;
	char result;
} history[HISTORY];
static atomic_uint happened;

void op_print_history(void)
{
	unsigned int end = happened;
	char text[OP_TEXT];

	for (unsigned int i = end > HISTORY ? end - HISTORY : 0; i < end; i++) {
		struct past *past = &history[i % HISTORY];

		note("  before: [%u] %s%s", past->thread,
		     op_text(&past->op, text),
		     past->result == '-' ? " (failed)" :
		     past->result == '?' ? " (not over)" : "");
	}
}

void op_run(const struct op *op)
{
	struct past *past = &history[happened++ % HISTORY];
	static __thread char text[OP_TEXT];

	*past = (struct past){ *op, self.id, '?' };
	report_doing(op_text(op, text));
	report->tried[op->kind]++;
	if (kinds[op->kind].run(op)) {
		report->done[op->kind]++;
		past->result = '+';
	} else {
		past->result = '-';
	}
}
