// SPDX-License-Identifier: GPL-2.0-only
/*
 * A random tester with a model.  Threads and forked processes do random
 * sequences of everything that touches a mapping, while memory comes and goes;
 * a model tells for each page what it may read.  See README.md.  When the module is
 * unloaded at the end, the kernel says if a slot or a region of it is left over: of
 * caches of their own, hence slab_nomerge.
 */
// vm: --mem 384 --smp 2 --swap 16 --timeout 150 --append slab_nomerge
#define _GNU_SOURCE
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/figures.h"
#include "../support/file.h"
#include "../support/memory.h"
#include "../support/process.h"
#include "../support/tap.h"
#include "child.h"
#include "model.h"
#include "pressure.h"
#include "report.h"
#include "run.h"

#define SYSFS "/sys/class/misc/droppable/"
#define SHRINK_SECONDS 120

/* More than this missing afterwards is a leak: up to 1.97 MiB came and went. */
#define LEFT_OVER (2 * MIB)

static void usage(FILE *out)
{
	fputs("usage: fuzz [--seed N] [--ops N] [--seconds N] [--threads N] [--beside COMMAND]\n"
	      "       fuzz --script FILE\n"
	      "\n"
	      "  --seed N     default: TEST_SEED, else from the clock; printed\n"
	      "  --ops N      operations, children's not counted; default 20000\n"
	      "  --seconds N  no more than fit into that time; alone: as many as do\n"
	      "  --threads N  up to 16, default 4; with 1 a seed always means the same\n"
	      "               operations, and a failure is made a short script\n"
	      "  --beside COMMAND  a load that runs meanwhile, by the shell; it must end\n"
	      "               by itself, with status 0\n"
	      "  --script FILE  the lines that a failed run printed\n", out);
}

/* Runs beside it, if given. */
static const char *beside;

static struct plan parse(int argc, char **argv, struct script *script)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "seconds", required_argument, NULL, 'd' },
		{ "threads", required_argument, NULL, 't' },
		{ "script", required_argument, NULL, 'f' },
		{ "beside", required_argument, NULL, 'b' },
		{ "executed", required_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *seed = getenv("TEST_SEED");
	struct plan plan = { .threads = 4 };
	int option;

	plan.seed = seed ? strtoull(seed, NULL, 0) :
			   (uint64_t)(now() * 1e6) + (uint64_t)getpid();
	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case 's':
			plan.seed = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			plan.ops = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			plan.seconds = atof(optarg);
			break;
		case 't':
			plan.threads = (unsigned int)atoi(optarg);
			break;
		case 'f':
			*script = script_read(optarg);
			plan.script = script;
			plan.threads = 1;
			break;
		case 'b':
			beside = optarg;
			break;
		case 'x':
			child_executed(atoi(optarg));
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc || !plan.threads || plan.threads > 16) {
		usage(stderr);
		exit(2);
	}
	return plan;
}

/* ---- shrinking ---- */

static char failure[sizeof(((struct report *)0)->where)];

/* The same check: another failure would be another script. */
static bool fails_again(struct script *script)
{
	struct plan plan = { .script = script, .threads = 1, .quiet = true };
	bool again = false;

	for (int i = 0; i < 3 && !again; i++)
		again = !run_plan(&plan) && !strcmp(report->where, failure);
	/* What comes after the failure is of no use. */
	if (again && *script->at && *script->at < script->count)
		script->count = *script->at;
	return again;
}

static void shrink(struct script *script)
{
	unsigned int tries;

	strcpy(failure, report->where);
	note("it failed in operation %zu of %zu", *script->at, script->count);
	script->count = *script->at;
	if (!fails_again(script)) {
		note("it does not fail when it is run again: no script");
		return;
	}
	tries = script_shrink(script, fails_again, SHRINK_SECONDS);
	note("%zu operations are left after %u tries: write the lines between the dashes to FILE, then fuzz --script FILE",
	     script->count, tries);
	printf("----\n");
	script_print(script);
	printf("----\n");
}

/* ---- what is left ---- */

static size_t device_count(const char *name)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), SYSFS "%s", name);
	if (!try_read_file(path, text, sizeof(text)))
		return 0;
	return strtoul(text, NULL, 10);
}

/* After what is freed a little later. */
static size_t most_free(void)
{
	size_t most = 0, free;
	double end = now() + 2;

	do {
		empty_caches();
		free = memory_free();
		if (free > most)
			most = free;
		pause_seconds(0.2);
	} while (now() < end);
	return most;
}

/* Who may have what is not free, as far as the kernel counts it. */
static const char *const holders[] = {
	"AnonPages", "Cached", "Buffers", "SReclaimable", "SUnreclaim",
	"KernelStack", "PageTables", "Percpu", "VmallocUsed",
};
#define HOLDERS (sizeof(holders) / sizeof(*holders))

struct before {
	size_t free;
	size_t faults, dropped, recycled, waits, pinned;
	size_t held[HOLDERS];
};

static struct before measure(void)
{
	struct before before = {
		most_free(), device_count("faults"), device_count("dropped"),
		device_count("recycled"), device_count("waits"),
		device_count("pinned"), { 0 },
	};

	for (size_t i = 0; i < HOLDERS; i++)
		before.held[i] = meminfo(holders[i]);
	return before;
}

static void summarise(const struct before *before)
{
	struct before after = measure();

	for (unsigned int i = 0; i < op_kinds(); i++) {
		if (report->tried[i])
			note("  %-12s %9llu tried %9llu done", kinds[i].name,
			     report->tried[i], report->done[i]);
	}
	note("total: %llu operations, %llu pages lost, %llu stored anew, %llu SIGSEGVs due, %llu children, %zu killed for memory",
	     report_tried(), report->lost, report->refilled, report->signals,
	     report->children, pressure_oom_kills());
	if (!native)
		note("device: %zu faults, %zu dropped, %zu recycled, %zu waits, %zu passed over as held",
		     after.faults - before->faults,
		     after.dropped - before->dropped,
		     after.recycled - before->recycled,
		     after.waits - before->waits,
		     after.pinned - before->pinned);
}

static int points;
static bool all_passed = true;

static void point(bool passed, const char *text)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++points, text);
	all_passed &= passed;
}

static bool nothing_resident(void)
{
	bool none = wait_for(device_count("resident") == 0, 20);

	if (!none)
		note("got %zu pages resident, want 0",
		     device_count("resident"));
	return none;
}

static bool memory_back(const struct before *before)
{
	long long missing = (long long)before->free - (long long)most_free();

	note("left over: %lld KiB", missing / 1024);
	for (size_t i = 0; i < HOLDERS; i++) {
		long long more = (long long)meminfo(holders[i]) -
				 (long long)before->held[i];

		if (more)
			note("  %s: %+lld KiB", holders[i], more / 1024);
	}
	return missing < (long long)LEFT_OVER;
}

/* ---- */

/* For O_DIRECT: nobody swaps to it. */
static void take_disk(void)
{
	const char *device = getenv("SWAPDEV");

	if (device && swapoff(device) && errno != EINVAL)
		tap_bail("swapoff %s: %s", device, tap_errno(errno));
}

static pid_t start_load(void)
{
	pid_t child = beside ? fork() : 0;

	if (beside && !child) {
		/* Whoever reads our output gets TAP only. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", beside, NULL);
		_exit(127);
	}
	return child;
}

/* The run's end may come before the load's. */
static void end_load(pid_t load)
{
	int status;

	if (!load)
		return;
	want_eq(waitpid(load, &status, 0), load);
	if (status)
		note("got status %#x from the load, want 0", status);
	point(!status, "the load beside it came to its end");
}

/* What a first run leaves in the kernel's caches is not to be counted. */
static bool warm_up(const struct plan *plan)
{
	struct plan first = { .ops = 300, .threads = plan->threads,
			      .seed = 1, .seconds = 20, .quiet = true };

	if (native || run_plan(&first))
		return true;
	note("%s: %s", report->where, report->text);
	note("that was in the short run before: fuzz --seed 1 --ops 300 --threads %u",
	     plan->threads);
	return false;
}

static bool run(struct plan *plan, struct script *script)
{
	/* The same operations, but known before they are run. */
	if (plan->threads == 1 && !plan->script && plan->ops != ~0ULL) {
		*script = script_random(plan->seed, plan->ops);
		plan->script = script;
	}
	if (run_plan(plan))
		return true;
	note("%s: %s", report->where, report->text);
	if (plan->threads > 1)
		note("the seed gives the same operations again, not the same order: --seed %llu",
		     (unsigned long long)plan->seed);
	return false;
}

int main(int argc, char **argv)
{
	struct script script;
	struct before before;
	struct plan plan;
	bool passed, warm;
	pid_t load;

	setvbuf(stdout, NULL, _IOLBF, 0);
	report_make();
	plan = parse(argc, argv, &script);
	printf("TAP version 13\n");
	if (plan.seconds && !plan.ops)
		plan.ops = ~0ULL;
	if (!plan.seconds && !plan.ops)
		plan.ops = 20000;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tap_setup();
	take_disk();
	model_make();
	pressure_make_groups();
	warm = warm_up(&plan);
	before = measure();
	note("fuzz --seed %llu --ops %llu --threads %u",
	     (unsigned long long)plan.seed, plan.ops, plan.threads);

	load = start_load();
	passed = run(&plan, &script);
	end_load(load);
	summarise(&before);
	if (!passed && plan.script)
		shrink(plan.script);
	point(passed && warm, "lines 1-42: no page ever read anything but its last store or zero");
	if (!native) {
		point(nothing_resident(), "line 36: nothing is resident when all have ended");
		/* What a load leaves behind can't be told from what we do. */
		if (beside)
			memory_back(&before);
		else
			point(memory_back(&before), "line 36: the machine has its memory back");
	}
	printf("1..%d\n", points);
	return all_passed ? 0 : 1;
}
