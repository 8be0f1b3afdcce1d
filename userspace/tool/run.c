// SPDX-License-Identifier: GPL-2.0-only
/* droppable run */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "system.h"
#include "tool.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* As env(1) and timeout(1) have them. */
enum { OURSELVES = 125, CANT_RUN = 126, NOT_FOUND = 127 };

/* The whole path of the program that execvp() would run; false if none. */
static bool find_program(const char *name, char *path)
{
	const char *dirs = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, PATH_SIZE, "%s", name);
		return true;
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin";; dirs++) {
		int length = (int)strcspn(dirs, ":");

		/* An empty one is the working directory. */
		snprintf(path, PATH_SIZE, "%.*s/%s", length ? length : 1,
			 length ? dirs : ".", name);
		if (!access(path, X_OK))
			return true;
		dirs += length;
		if (!*dirs)
			return false;
	}
}

/* A 64 bit program without an interpreter: no loader would preload anything. */
static bool is_static(int fd, const Elf64_Ehdr *header)
{
	for (int i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr part;

		if (pread(fd, &part, sizeof(part),
			  (off_t)(header->e_phoff +
				  (uint64_t)i * header->e_phentsize)) !=
		    (ssize_t)sizeof(part))
			return false;
		if (part.p_type == PT_INTERP)
			return false;
	}
	return true;
}

/* Why the shim can't work in this program; NULL if it can, as far as we see. */
static const char *out_of_reach(const char *path)
{
	const char *reason = NULL;
	Elf64_Ehdr header;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	if (read(fd, &header, sizeof(header)) == (ssize_t)sizeof(header) &&
	    !memcmp(header.e_ident, ELFMAG, SELFMAG)) {
		if (header.e_ident[EI_CLASS] != ELFCLASS64)
			reason = "it is no 64 bit program";
		else if (is_static(fd, &header))
			reason = "it is linked statically";
		else if (!fstat(fd, &st) && (st.st_mode & (S_ISUID | S_ISGID)))
			reason = "it is setuid or setgid";
		else if (fgetxattr(fd, "security.capability", NULL, 0) >= 0)
			reason = "it has file capabilities";
	}
	close(fd);
	return reason;
}

static bool kernel_has_it(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_NONE, MAP_ANONYMOUS | MAP_DROPPABLE,
		       -1, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, page);
	return true;
}

/* Something has to serve the program, or why run it here? */
static bool something_serves(const char *backend)
{
	bool native = kernel_has_it();
	struct droppable_info info;
	int fd;

	if (native && !strcmp(backend, "native"))
		return true;
	fd = open_device(&info);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	/* No device, with a node left behind or without. */
	if (native && (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO))
		return true;
	explain_device(fd);
	return false;
}

static bool preload(const char *shim)
{
	const char *others = getenv("LD_PRELOAD");
	/* Whole: a bare name would be looked for among the system's libraries. */
	char path[PATH_MAX], *list;

	if (!realpath(shim, path) || access(path, R_OK)) {
		complain("%s: %s", shim, strerror(errno));
		hint("It comes with this program; --shim says where it is.");
		return false;
	}
	if (strpbrk(path, " :")) {
		complain("%s: LD_PRELOAD can't hold a path with blanks or colons",
			 path);
		return false;
	}
	if (asprintf(&list, "%s%s%s", path, others && *others ? ":" : "",
		     others ? others : "") < 0) {
		complain("%s", strerror(ENOMEM));
		return false;
	}
	setenv("LD_PRELOAD", list, 1);
	free(list);
	return true;
}

static int run_program(char **argv, const char *shim, const char *backend)
{
	char path[PATH_SIZE];
	const char *reason;

	if (!find_program(argv[0], path)) {
		complain("%s: not found", argv[0]);
		return NOT_FOUND;
	}
	reason = out_of_reach(path);
	if (reason) {
		complain("%s: can't be served: %s", argv[0], reason);
		return OURSELVES;
	}
	if (!something_serves(backend) || !preload(shim))
		return OURSELVES;
	setenv("DROPPABLE_PRELOAD", backend, 1);
	fflush(stdout);
	execvp(argv[0], argv);
	complain("%s: %s", argv[0], strerror(errno));
	return errno == ENOENT ? NOT_FOUND : CANT_RUN;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "native", no_argument, NULL, 'n' },
		{ "shim", required_argument, NULL, 's' },
		HELP_OPTION, { 0 }
	};
	const char *shim = PRELOAD_PATH, *backend = "device";
	int option;

	while ((option = next_option(argc, argv, "+:ns:h", longs,
				     &run_command)) != -1) {
		switch (option) {
		case 'n':
			backend = "native";
			break;
		case 's':
			shim = optarg;
			break;
		default:
			return option == HELPED ? DONE : OURSELVES;
		}
	}
	if (optind == argc) {
		bad_usage("run", "which program?");
		return OURSELVES;
	}
	return run_program(argv + optind, shim, backend);
}

const struct command run_command = {
	.name = "run",
	.summary = "run a program that asks for MAP_DROPPABLE, on the device",
	.help =
"run [--native] [--shim FILE] PROGRAM [ARGUMENT...]\n\n"
"Runs a program, and what it starts, with libdroppable-preload.so: its mmap()\n"
"with MAP_DROPPABLE is served from /dev/droppable, on kernels that know no such\n"
"thing and on those that do. Without a device the kernel's own is used, if it has\n"
"one.\n\n"
"  -n, --native     the kernel's own where it has it, else the device\n"
"  -s, --shim FILE  the library, if not the one that was installed\n\n"
"Out of reach: programs that are static, setuid, of 32 bit or with capabilities,\n"
"which are refused; and those that don't use the C library's mmap() (Go's).\n\n"
"Exit status: the program's; 125 it was not run, and why was said; 126 it can't\n"
"be run; 127 it wasn't found.\n",
	.run = run,
};
