// SPDX-License-Identifier: GPL-2.0-only
/*
 * droppable bench: does droppable memory work on this machine, and how fast?
 *
 * Each check could fail, and each time is of work that was checked.
 */
#define _GNU_SOURCE
#include <droppable.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "system.h"
#include "tool.h"

#define MIB ((size_t)1 << 20)

struct bench {
	struct droppable *ctx;
	unsigned char *map;
	size_t size, page;
	bool json;
	bool failed;
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check(struct bench *bench, const char *name, const char *text,
		  bool good)
{
	if (bench->json)
		json_bool(name, good);
	else
		printf("%-6s %s\n", good ? "ok" : "FAILED", text);
	bench->failed |= !good;
}

/* Per page, as that is what is dropped and made again. */
static void report(struct bench *bench, const char *name, const char *text,
		   double started)
{
	double pages = (double)bench->size / (double)bench->page;
	double each = (seconds() - started) / pages * 1e9;

	if (bench->json)
		json_decimal(name, each);
	else
		printf("%9.0f ns a page: %s\n", each, text);
}

static void touch(const struct bench *bench, unsigned char *map,
		  unsigned char byte)
{
	for (size_t at = 0; at < bench->size; at += bench->page)
		((volatile unsigned char *)map)[at] = byte;
}

/* How many pages begin with that byte. */
static size_t count(const struct bench *bench, unsigned char byte)
{
	const volatile unsigned char *map = bench->map;
	size_t pages = 0;

	for (size_t at = 0; at < bench->size; at += bench->page)
		pages += map[at] == byte;
	return pages;
}

/* What count() has read is mapped, and a store to it is no first one any more. */
static void unmap_all(struct bench *bench)
{
	droppable_drop(bench->ctx, bench->map, bench->size, NULL);
}

static void fill_and_drop(struct bench *bench)
{
	size_t pages = bench->size / bench->page, dropped = 0;
	double start;
	bool whole;
	int err;

	check(bench, "zero_at_first", "reads zero at first",
	      count(bench, 0) == pages);
	unmap_all(bench);
	start = seconds();
	touch(bench, bench->map, 'd');
	report(bench, "fill_ns", "first store to a page", start);
	start = seconds();
	whole = count(bench, 'd') == pages;
	report(bench, "read_ns", "load from a page that is there", start);
	/* Pressure may have taken some: that is no fault, but to be known. */
	if (!whole && !bench->json)
		printf("note   this machine is so short of memory that pages went already\n");

	start = seconds();
	err = droppable_drop(bench->ctx, bench->map, bench->size, &dropped);
	report(bench, "drop_ns", "an explicit drop", start);
	check(bench, "dropped", "dropped pages read zero",
	      !err && count(bench, 0) == pages);
	unmap_all(bench);
	start = seconds();
	touch(bench, bench->map, 'e');
	report(bench, "refill_ns", "first store to a page that was dropped",
	       start);
}

static void fork_and_look(struct bench *bench)
{
	int status = 1;
	pid_t child;

	bench->map[0] = 'f';
	child = fork();
	if (!child)
		_exit(count(bench, 0) != bench->size / bench->page);
	check(bench, "wiped_on_fork", "a child process reads zeros",
	      child > 0 && waitpid(child, &status, 0) == child && !status);
}

/* Held against the same work on ordinary memory, in pages of the same size. */
static void compare(struct bench *bench)
{
	unsigned char *map = mmap(NULL, bench->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start;

	if (map == MAP_FAILED)
		return;
	madvise(map, bench->size, MADV_NOHUGEPAGE);
	start = seconds();
	touch(bench, map, 'o');
	report(bench, "ordinary_fill_ns",
	       "for comparison: first store to a page of ordinary memory",
	       start);
	munmap(map, bench->size);
}

static int measure(struct bench *bench)
{
	const char *backend =
		droppable_backend_name(droppable_backend(bench->ctx));
	void *map;
	int err = droppable_map(bench->ctx, bench->size, &map);

	if (err) {
		complain("can't map %zu MiB: %s", bench->size / MIB,
			 strerror(-err));
		return FAILED;
	}
	bench->map = map;
	bench->page = (size_t)sysconf(_SC_PAGESIZE);
	/* Huge pages would make native something else than what is compared. */
	if (droppable_backend(bench->ctx) == DROPPABLE_BACKEND_NATIVE)
		madvise(map, bench->size, MADV_NOHUGEPAGE);
	if (bench->json) {
		json_begin(NULL, '{');
		json_string("backend", backend);
		json_number("bytes", bench->size);
	} else {
		printf("%zu MiB, %s\n", bench->size / MIB,
		       strcmp(backend, "native") ? DROPPABLE_DEVICE :
						   "MAP_DROPPABLE");
	}
	fill_and_drop(bench);
	fork_and_look(bench);
	compare(bench);
	if (bench->json) {
		json_end('}');
		json_done();
	}
	droppable_unmap(bench->ctx, map, bench->size);
	return bench->failed ? FAILED : DONE;
}

/* Why there is no device to try, and what could be tried instead. */
static int explain_start(int err)
{
	int status = explain_device(err);
	struct droppable *ctx;

	if (!droppable_open(&ctx, DROPPABLE_NATIVE_ONLY)) {
		droppable_close(ctx);
		hint("This kernel has MAP_DROPPABLE itself:  droppable bench --native");
	}
	return status;
}

static int start(struct bench *bench, bool native)
{
	int err = droppable_open(&bench->ctx, native ? DROPPABLE_NATIVE_ONLY :
						       DROPPABLE_DEVICE_ONLY);
	int status;

	if (err == -ENOTSUP && native) {
		complain("this kernel has no MAP_DROPPABLE");
		return NO_DEVICE;
	}
	if (err && native) {
		complain("MAP_DROPPABLE: %s", strerror(-err));
		return err == -EPERM || err == -EACCES ? NO_PERMISSION : FAILED;
	}
	if (err)
		return explain_start(err);
	status = measure(bench);
	droppable_close(bench->ctx);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "native", no_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 's' },
		HELP_OPTION, { 0 }
	};
	struct bench bench = { .size = 64 * MIB };
	bool native = false;
	double mib;
	int option;

	while ((option = next_option(argc, argv, "+:jns:h", longs,
				     &bench_command)) != -1) {
		switch (option) {
		case 'j':
			bench.json = true;
			break;
		case 'n':
			native = true;
			break;
		case 's':
			if (!parse_number(optarg, 1, 1 << 20, &mib) ||
			    mib != (size_t)mib)
				return bad_usage("bench", "--size takes 1 to 1048576 whole MiB, not '%s'",
						 optarg);
			bench.size = (size_t)mib * MIB;
			break;
		default:
			return option == HELPED ? DONE : USAGE;
		}
	}
	if (optind < argc)
		return bad_usage("bench", "bench takes no '%s'", argv[optind]);
	return start(&bench, native);
}

const struct command bench_command = {
	.name = "bench",
	.summary = "a self-test of some seconds: does it work here, how fast?",
	.help =
"bench [--size MIB] [--native] [--json]\n\n"
"Maps droppable memory, fills it, reads it, drops it, fills it again and forks;\n"
"checks what it finds, and says what each costs per page. Leaves nothing behind.\n\n"
"  -s, --size MIB  how much; default 64\n"
"  -n, --native    the kernel's own MAP_DROPPABLE instead of the device\n"
"  -j, --json      one JSON object; times in nanoseconds per page\n\n"
"One run is no measurement: a busy machine, or a virtual one, varies by half.\n\n"
"Exit status: 0 all checks passed; 1 one failed, or couldn't be made; 3 there is\n"
"no such memory here; 4 no permission.\n",
	.run = run,
};
