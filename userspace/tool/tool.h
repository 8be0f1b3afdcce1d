/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands of droppable(1) share. */
#ifndef DROPPABLE_TOOL_H
#define DROPPABLE_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses, as droppable(1) has them. */
enum {
	DONE = 0,
	FAILED = 1,	/* and said why */
	USAGE = 2,
	NO_DEVICE = 3,	/* the module isn't loaded */
	NO_PERMISSION = 4,
};

/* A command: its arguments, without the options of droppable itself. */
struct command {
	const char *name;
	const char *summary;
	const char *help;
	int (*run)(int argc, char **argv);
};

extern const struct command status_command, load_command, unload_command,
	top_command, drop_command, bench_command, run_command;

/* "droppable: ..." on stderr; hint() is what to do about it, indented. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An option that getopt didn't like, or too many words: says so, USAGE. */
int bad_usage(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* getopt's own complaint has been printed: USAGE. */
int see_help(const char *command);
/* Prints the command's help on stdout, DONE. */
int print_help(const struct command *command);

/*
 * The options of @command: returns what getopt_long() does, having dealt with
 * --help (HELPED) and with what there is not (MISUSED).
 */
enum { HELPED = -2, MISUSED = -3 };
struct option;
int next_option(int argc, char **argv, const char *shorts,
		const struct option *longs, const struct command *command);
#define HELP_OPTION { "help", no_argument, NULL, 'h' }

/* A positive number, whole or not; false if it isn't one, or above @most. */
bool parse_number(const char *text, double least, double most, double *number);

#endif /* DROPPABLE_TOOL_H */
