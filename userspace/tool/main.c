// SPDX-License-Identifier: GPL-2.0-only
/* droppable(1): picks the command. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const struct command *const commands[] = {
	&status_command, &load_command, &unload_command, &top_command,
	&drop_command, &bench_command, &run_command,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void say(const char *before, const char *format, va_list args)
{
	fputs(before, stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("droppable: ", format, args);
	va_end(args);
}

void hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("  ", format, args);
	va_end(args);
}

int see_help(const char *command)
{
	hint("See:  droppable %s%s--help", command, *command ? " " : "");
	return USAGE;
}

int bad_usage(const char *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("droppable: ", format, args);
	va_end(args);
	return see_help(command);
}

int print_help(const struct command *command)
{
	printf("usage: droppable %s", command->help);
	return DONE;
}

int next_option(int argc, char **argv, const char *shorts,
		const struct option *longs, const struct command *command)
{
	/* Of several letters in one word, all but the last leave optind alone. */
	int option, at = optind;

	opterr = 0;
	option = getopt_long(argc, argv, shorts, longs, NULL);
	switch (option) {
	case 'h':
		print_help(command);
		return HELPED;
	case ':':
		bad_usage(command->name, "%s takes a value", argv[at]);
		return MISUSED;
	case '?':
		bad_usage(command->name, "%s: there is no such option '%s'",
			  command->name, argv[at]);
		return MISUSED;
	default:
		return option;
	}
}

bool parse_number(const char *text, double least, double most, double *number)
{
	char *end;

	errno = 0;
	*number = strtod(text, &end);
	return end != text && !*end && !errno && isfinite(*number) &&
	       *number >= least && *number <= most;
}

static void help(void)
{
	puts("usage: droppable COMMAND [OPTION...]\n\n"
	     "Memory that the kernel may take back at any time: /dev/droppable.\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "  droppable COMMAND --help   its options\n"
	     "  droppable --version\n\n"
	     "Exit status: 0 done; 1 failed, and said why; 2 wrong usage; 3 no device, so\n"
	     "the module isn't loaded; 4 no permission. droppable run: that of the program.\n\n"
	     "Read DANGERS in droppable(4) before you program with it.");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(name, commands[i]->name))
			return commands[i];
	return NULL;
}

/* What couldn't be written isn't done. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		if (errno != EPIPE)
			complain("can't write: %s", strerror(errno));
		return FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct command *command;
	const char *word = argc > 1 ? argv[1] : "";

	/* Numbers are written and read with a point, everywhere. */
	setlocale(LC_CTYPE, "");
	if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
		puts("droppable " DROPPABLE_VERSION);
		return finish(DONE);
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h") ||
	    (!strcmp(word, "help") && argc == 2)) {
		help();
		return finish(DONE);
	}
	if (!strcmp(word, "help")) {
		command = find_command(argv[2]);
		return command ? finish(print_help(command)) :
				 bad_usage("", "there is no command '%s'",
					   argv[2]);
	}
	if (!*word)
		return bad_usage("", "which command?");
	command = find_command(word);
	if (!command)
		return bad_usage("", word[0] == '-' ?
				 "there is no option '%s'" :
				 "there is no command '%s'", word);
	return finish(command->run(argc - 1, argv + 1));
}
