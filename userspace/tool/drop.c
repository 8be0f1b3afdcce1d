// SPDX-License-Identifier: GPL-2.0-only
/* droppable drop */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "processes.h"
#include "system.h"
#include "tool.h"

static int explain(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		complain("only root may drop the pages of a process, or all");
		hint("A program drops its own pages by droppable_drop(3).");
		return NO_PERMISSION;
	case ENOENT:
		return explain_totals();
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
	printf("%" PRIu64 " pages dropped",
	       after.counts.dropped - before.counts.dropped);
	if (after.resident)
		printf(", %" PRIu64 " resident: held by somebody, or touched since",
		       after.resident);
	putchar('\n');
	return DONE;
}

/* What went is told by what is left: the counters are everybody's. */
static int drop_process(pid_t pid)
{
	struct process before, after = { 0 };
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct totals totals;
	char text[16];
	int err;

	if (!read_totals(&totals))
		return explain(ENOENT);
	err = process_look(pid, &before);
	if (err < 0)
		return explain(-err);
	if (!err) {
		complain("there is no process %d that has droppable memory",
			 (int)pid);
		return FAILED;
	}
	snprintf(text, sizeof(text), "%d", (int)pid);
	err = command_device("drop_process", text);
	if (err == ENOENT && module_loaded()) {
		complain("the module that is loaded is older than this program, and can only drop everything");
		return FAILED;
	}
	if (err == ESRCH) {
		complain("process %d has just ended", (int)pid);
		return FAILED;
	}
	if (err)
		return explain(err);
	if (process_look(pid, &after) <= 0)
		after.resident = 0;
	printf("%" PRIu64 " pages dropped", before.resident < after.resident ?
	       0 : (before.resident - after.resident) / page);
	if (after.resident)
		printf(", %" PRIu64 " resident: held by somebody, or touched since",
		       after.resident / page);
	putchar('\n');
	return DONE;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "pid", required_argument, NULL, 'p' },
		HELP_OPTION, { 0 }
	};
	bool all = false;
	double pid = 0;
	int option;

	while ((option = next_option(argc, argv, "+:ap:h", longs,
				     &drop_command)) != -1) {
		if (option < 0)
			return option == HELPED ? DONE : USAGE;
		if (option == 'a')
			all = true;
		else if (!parse_number(optarg, 1, INT_MAX, &pid) ||
			 pid != (int)pid)
			return bad_usage("drop", "--pid takes a process's number, not '%s'",
					 optarg);
	}
	if (optind < argc)
		return bad_usage("drop", "drop takes no '%s'", argv[optind]);
	if (all == (pid > 0))
		return bad_usage("drop", "drop what? Either --pid PID, or --all");
	return all ? drop_all() : drop_process((pid_t)pid);
}

const struct command drop_command = {
	.name = "drop",
	.summary = "drop the pages of a process, or of all (root)",
	.help =
"drop --pid PID | --all\n\n"
"Drops now what the kernel would drop under pressure, and says how many pages\n"
"went. The programs find zeros, as they have to expect at any time, and make\n"
"their data anew: for some time they are slower.\n\n"
"  -p, --pid PID  the pages of that process\n"
"  -a, --all      the pages of every process\n\n"
"Pages that somebody holds, for I/O, stay. Needs root.\n",
	.run = run,
};
