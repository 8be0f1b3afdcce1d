// SPDX-License-Identifier: GPL-2.0-only
/* droppable drop */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "system.h"
#include "tool.h"

static int explain(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		complain("only root may drop other people's pages");
		return NO_PERMISSION;
	case ENOENT:
		return explain_device(-ENOENT);
	default:
		complain("the kernel did not drop: %s", strerror(err));
		return FAILED;
	}
}

/* 0, or an errno value. */
static int command_device(const char *file, const char *text)
{
	char path[PATH_SIZE];
	size_t length = strlen(text);
	int fd, err = 0;

	if (!rooted(path, "/sys/class/misc/droppable/%s", file))
		return ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (write(fd, text, length) != (ssize_t)length)
		err = errno;
	close(fd);
	return err;
}

static int drop_all(void)
{
	struct totals before, after;
	int err;

	if (!read_totals(&before))
		return explain(ENOENT);
	err = command_device("drop", "1");
	if (err)
		return explain(err);
	if (!read_totals(&after))
		return explain(ENOENT);
	printf("%" PRIu64 " pages dropped", after.dropped - before.dropped);
	if (after.resident)
		printf(", %" PRIu64 " resident: held by somebody, or touched since",
		       after.resident);
	putchar('\n');
	return DONE;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		HELP_OPTION, { 0 }
	};
	bool all = false;
	int option;

	while ((option = next_option(argc, argv, "+:ah", longs,
				     &drop_command)) != -1) {
		if (option < 0)
			return option == HELPED ? DONE : USAGE;
		all = true;
	}
	if (optind < argc)
		return bad_usage("drop", "drop takes no '%s'", argv[optind]);
	if (!all)
		return bad_usage("drop", "drop what? --all drops the pages of every process");
	return drop_all();
}

const struct command drop_command = {
	.name = "drop",
	.summary = "drop every page that nobody holds (root)",
	.help =
"drop --all\n\n"
"Drops now what the kernel would drop under pressure, and says how many pages\n"
"went. The programs find zeros, as they have to expect at any time, and make\n"
"their data anew: for some time they are slower.\n\n"
"  -a, --all  the pages of every process\n\n"
"Pages that somebody holds, for I/O, stay. Needs root.\n",
	.run = run,
};
