// SPDX-License-Identifier: GPL-2.0-only
/* See script.h. */
#define _GNU_SOURCE
#include "script.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/memory.h"
#include "../support/process.h"
#include "../support/tap.h"

static struct script script_new(size_t room)
{
	struct script script = {
		.ops = shared_map(room * sizeof(struct op)),
		.at = shared_map(PAGE),
	};

	return script;
}

struct script script_random(uint64_t seed, size_t count)
{
	struct script script = script_new(count);
	uint64_t state = seed;

	while (script.count < count)
		script.ops[script.count++] = op_random(&state, 0, 0);
	return script;
}

static size_t count_lines(FILE *file)
{
	size_t lines = 1;
	int character;

	while ((character = getc(file)) != EOF)
		lines += character == '\n';
	rewind(file);
	return lines;
}

struct script script_read(const char *path)
{
	FILE *file = fopen(path, "re");
	struct script script;
	size_t number = 0;
	char line[256];

	if (!file)
		tap_bail("%s: %s", path, tap_errno(errno));
	script = script_new(count_lines(file));
	while (fgets(line, sizeof(line), file)) {
		number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!op_parse(line, &script.ops[script.count]))
			tap_bail("%s:%zu: want KIND AREA PAGE COUNT VALUE, as a failed run prints it",
				 path, number);
		script.count++;
	}
	fclose(file);
	return script;
}

void script_print(const struct script *script)
{
	char text[OP_TEXT];

	for (size_t i = 0; i < script->count; i++)
		printf("%s\n", op_text(&script->ops[i], text));
	fflush(stdout);
}

/* ---- making it shorter ---- */

struct shrinking {
	struct script *script;
	bool (*fails)(struct script *script);
	double end;
	unsigned int tries;
};

static bool over(const struct shrinking *shrinking)
{
	return now() > shrinking->end;
}

/* Keeps @new if it fails too. */
static bool try_instead(struct shrinking *shrinking, const struct op *new,
			size_t count)
{
	struct script *script = shrinking->script;
	struct op *old = malloc((script->count + 1) * sizeof(*old));
	size_t old_count = script->count;
	bool fails;

	memcpy(old, script->ops, old_count * sizeof(*old));
	memcpy(script->ops, new, count * sizeof(*new));
	script->count = count;
	shrinking->tries++;
	fails = shrinking->fails(script);
	if (!fails) {
		memcpy(script->ops, old, old_count * sizeof(*old));
		script->count = old_count;
	}
	free(old);
	return fails;
}

static bool try_without(struct shrinking *shrinking, size_t first, size_t some)
{
	struct script *script = shrinking->script;
	struct op *new = malloc((script->count + 1) * sizeof(*new));
	bool fails;

	memcpy(new, script->ops, first * sizeof(*new));
	memcpy(new + first, script->ops + first + some,
	       (script->count - first - some) * sizeof(*new));
	fails = try_instead(shrinking, new, script->count - some);
	free(new);
	return fails;
}

/* Pieces of half its length, of a quarter..., from the end. */
static void leave_out(struct shrinking *shrinking)
{
	struct script *script = shrinking->script;

	for (size_t some = (script->count + 1) / 2; some; some /= 2) {
		size_t end = script->count;

		while (end && !over(shrinking)) {
			size_t first = end > some ? end - some : 0;

			try_without(shrinking, first, end - first);
			end = first;
		}
	}
}

/* One page is easier to follow than many. */
static void narrow(struct shrinking *shrinking)
{
	struct script *script = shrinking->script;

	for (size_t i = 0; i < script->count; i++) {
		size_t size = script->count * sizeof(struct op);
		struct op *new = malloc(size);

		memcpy(new, script->ops, size);
		while (new[i].count > 1 && !over(shrinking)) {
			new[i].count = (uint16_t)((new[i].count + 1) / 2);
			if (!try_instead(shrinking, new, script->count))
				break;
		}
		free(new);
	}
}

unsigned int script_shrink(struct script *script,
			   bool (*fails)(struct script *script),
			   double seconds)
{
	struct shrinking shrinking = { script, fails, now() + seconds, 0 };
	size_t before;

	do {
		before = script->count;
		leave_out(&shrinking);
	} while (script->count < before && !over(&shrinking));
	narrow(&shrinking);
	return shrinking.tries;
}
