// SPDX-License-Identifier: GPL-2.0-only
/* droppable top */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "processes.h"
#include "system.h"
#include "tool.h"

/* What was so at one moment. */
struct sample {
	double when;		/* monotonic, seconds */
	struct totals totals;
	struct process *list;
	size_t count, hidden;
};

/* Per second, between two samples. */
struct rates {
	double faults, dropped, refaulted, recycled, waits;
};

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool take(struct sample *sample)
{
	if (!read_totals(&sample->totals))
		return false;
	sample->list = processes_find(&sample->count, &sample->hidden);
	sample->when = seconds(CLOCK_MONOTONIC);
	return true;
}

/* Counters only grow, but a descriptor that is closed takes its own along. */
static double rate(uint64_t now, uint64_t before, double elapsed)
{
	return now > before && elapsed > 0 ? (double)(now - before) / elapsed :
					     0;
}

static struct rates rates_of(const struct counts *now,
			     const struct counts *before, double elapsed)
{
	return (struct rates){
		rate(now->faults, before->faults, elapsed),
		rate(now->dropped, before->dropped, elapsed),
		rate(now->refaulted, before->refaulted, elapsed),
		rate(now->recycled, before->recycled, elapsed),
		rate(now->waits, before->waits, elapsed),
	};
}

static struct rates total_rates(const struct sample *now,
				const struct sample *before)
{
	return rates_of(&now->totals.counts, &before->totals.counts,
			now->when - before->when);
}

static int same_process(const void *key, const void *entry)
{
	pid_t a = ((const struct process *)key)->pid;
	pid_t b = ((const struct process *)entry)->pid;

	return (a > b) - (a < b);
}

static struct rates process_rates(const struct process *process,
				  const struct sample *now,
				  const struct sample *before)
{
	const struct process *was = NULL;

	if (before->count)
		was = bsearch(process, before->list, before->count,
			      sizeof(*was), same_process);
	if (!was || was->started != process->started)
		return (struct rates){ 0 };
	return rates_of(&process->counts, &was->counts,
			now->when - before->when);
}

static int by_resident(const void *a, const void *b)
{
	const struct process *x = *(const struct process *const *)a;
	const struct process *y = *(const struct process *const *)b;

	if (x->resident != y->resident)
		return x->resident < y->resident ? 1 : -1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* The largest first.  To be freed; NULL if there are none. */
static const struct process **ranking(const struct sample *sample)
{
	const struct process **order;

	if (!sample->count)
		return NULL;
	order = calloc(sample->count, sizeof(*order));
	for (size_t i = 0; order && i < sample->count; i++)
		order[i] = &sample->list[i];
	if (order)
		qsort(order, sample->count, sizeof(*order), by_resident);
	return order;
}

/* --- for people: a terminal, or rows --------------------------------------- */

static void print_header(void)
{
	printf("%7s %9s %10s %7s %8s %8s %9s %6s %s\n", "PID", "RESIDENT",
	       "MAPPED", "LOCKED", "FAULT/s", "DROP/s", "REFAULT/s", "WAIT/s",
	       "COMMAND");
}

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of a mapping whose descriptor is closed nobody counts these. */
static void print_locked(const struct process *process)
{
	if (process->descriptors)
		printf(" %6" PRIu64 "K", process->locked * page_size() / 1024);
	else
		printf(" %7s", "-");
}

static void print_rate(const struct process *process, int width, double number)
{
	if (process->descriptors)
		printf(" %*.0f", width, number);
	else
		printf(" %*s", width, "-");
}

/* In KiB, so that another program needs no units to read it. */
static void print_row(const struct process *process, struct rates rates)
{
	printf("%7d %8" PRIu64 "K %9" PRIu64 "K", (int)process->pid,
	       process->resident / 1024, process->mapped / 1024);
	print_locked(process);
	print_rate(process, 8, rates.faults);
	print_rate(process, 8, rates.dropped);
	print_rate(process, 9, rates.refaulted);
	print_rate(process, 6, rates.waits);
	printf(" %s\n", process->name);
}

static void print_rows(const struct sample *now, const struct sample *before,
		       size_t most)
{
	const struct process **order = ranking(now);

	for (size_t i = 0; order && i < now->count && i < most; i++)
		print_row(order[i], process_rates(order[i], now, before));
	free(order);
}

#define HIDDEN "%zu processes are somebody else's: root sees them all"

static void print_total(const struct sample *now, const struct sample *before)
{
	struct rates rates = total_rates(now, before);

	printf("all %" PRIu64 "K resident, %.0f faults/s, %.0f drops/s, %.0f refaults/s,\n"
	       "%.0f recycled/s, %.0f waits/s\n",
	       now->totals.resident * page_size() / 1024, rates.faults, rates.dropped,
	       rates.refaulted, rates.recycled, rates.waits);
	if (now->hidden)
		printf(HIDDEN "\n", now->hidden);
}

/* What is left of the window below draw()'s other lines, and above the last. */
static size_t terminal_rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row)
		return 16;
	return size.ws_row > 7 ? size.ws_row - 6u : 1;
}

static void draw(const struct sample *now, const struct sample *before)
{
	/* Home, and erase what is below: no flicker. */
	printf("\033[H\033[J");
	print_total(now, before);
	puts("Press q to end it.");
	print_header();
	print_rows(now, before, terminal_rows());
}

/* --- for programs ----------------------------------------------------------- */

static void json_rates(struct rates rates)
{
	json_decimal("faults_per_s", rates.faults);
	json_decimal("dropped_per_s", rates.dropped);
	json_decimal("refaulted_per_s", rates.refaulted);
	json_decimal("recycled_per_s", rates.recycled);
	json_decimal("waits_per_s", rates.waits);
}

static void json_process(const struct process *process, struct rates rates)
{
	json_begin(NULL, '{');
	json_number("pid", (uint64_t)process->pid);
	json_string("command", process->name);
	json_number("resident_bytes", process->resident);
	json_number("mapped_bytes", process->mapped);
	json_number("descriptors", process->descriptors);
	if (process->descriptors) {
		json_counts(&process->counts);
		json_number("locked_bytes", process->locked * page_size());
		json_rates(rates);
	}
	json_end('}');
}

static void print_json(const struct sample *now, const struct sample *before)
{
	const struct process **order = ranking(now);

	json_begin(NULL, '{');
	json_decimal("time", seconds(CLOCK_REALTIME));
	json_number("resident_bytes", now->totals.resident * page_size());
	json_number("hidden_processes", now->hidden);
	json_rates(total_rates(now, before));
	json_begin("processes", '[');
	for (size_t i = 0; order && i < now->count; i++)
		json_process(order[i], process_rates(order[i], now, before));
	json_end(']');
	json_end('}');
	json_done();
	free(order);
}

/* --- again and again -------------------------------------------------------- */

struct top {
	double interval;
	long rounds;		/* 0: until somebody ends it */
	bool json;
	bool terminal;
};

static struct termios terminal_before;
static sigset_t signals_before;
static volatile sig_atomic_t ended, suspended;

static void on_signal(int signal)
{
	if (signal == SIGTSTP)
		suspended = true;
	else if (signal != SIGWINCH) /* which only ends the wait */
		ended = true;
}

/* Keys come one by one, and aren't shown. */
static void enter_terminal(void)
{
	struct termios raw = terminal_before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	/*
	 * The other screen, so that what was there comes back; lines end at the
	 * edge of the window, instead of going on below.
	 */
	printf("\033[?1049h\033[?7l");
}

static void leave_terminal(void)
{
	printf("\033[?7h\033[?1049l");
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static void begin_terminal(void)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTERM,
				       SIGHUP, SIGTSTP, SIGWINCH };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t ours;

	/* They come while it waits: none is missed before, and no write cut off. */
	sigemptyset(&ours);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaddset(&ours, signals[i]);
		sigaction(signals[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &ours, &signals_before);
	tcgetattr(STDIN_FILENO, &terminal_before);
	/* A screen at a time, not a line: that flickers. */
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	enter_terminal();
}

/* Stops as if nothing had caught the signal, with the terminal as it was. */
static void suspend(void)
{
	leave_terminal();
	raise(SIGSTOP);
	suspended = false;
	enter_terminal();
}

static struct timespec pause_of(double interval)
{
	return (struct timespec){
		.tv_sec = (time_t)interval,
		.tv_nsec = (long)((interval - (double)(time_t)interval) * 1e9),
	};
}

/* False when it is to end. */
static bool wait_terminal(double interval)
{
	struct pollfd key = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec pause = pause_of(interval);
	char pressed = 0;
	int ready = ppoll(&key, 1, &pause, &signals_before);

	if (ready > 0 && (read(STDIN_FILENO, &pressed, 1) <= 0 ||
			  pressed == 'q'))
		return false;
	if (suspended)
		suspend();
	return !ended;
}

static void wait_plain(double interval)
{
	struct timespec pause = pause_of(interval);

	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
}

/* The other screen goes with all that it showed; this is to stay. */
static void show_last(struct top *top, const struct sample *now,
		      const struct sample *before)
{
	leave_terminal();
	top->terminal = false;
	print_header();
	print_rows(now, before, SIZE_MAX);
	print_total(now, before);
}

/* Whoever reads the rows reads nothing else: what explains them is on stderr. */
static void show_rows(const struct sample *now, const struct sample *before,
		      bool first)
{
	if (first && now->hidden)
		complain(HIDDEN, now->hidden);
	if (first)
		print_header();
	else
		putchar('\n');
	print_rows(now, before, SIZE_MAX);
}

static void show(struct top *top, const struct sample *now,
		 const struct sample *before, long round)
{
	if (top->json)
		print_json(now, before);
	else if (top->terminal && round + 1 == top->rounds)
		show_last(top, now, before);
	else if (top->terminal)
		draw(now, before);
	else
		show_rows(now, before, !round);
}

/*
 * Rates need two moments, so the first is only the beginning.  False if there is
 * nothing to be seen: no module, or not any more.
 */
static bool watch(struct top *top)
{
	struct sample before, now;

	if (!take(&before))
		return false;
	for (long round = 0; !top->rounds || round < top->rounds; round++) {
		if (top->terminal && !round)
			draw(&before, &before);
		if (fflush(stdout))
			break;
		if (!top->terminal)
			wait_plain(top->interval);
		else if (!wait_terminal(top->interval))
			break;
		if (!take(&now)) {
			free(before.list);
			return false;
		}
		show(top, &now, &before, round);
		free(before.list);
		before = now;
	}
	free(before.list);
	return true;
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "iterations", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		HELP_OPTION, { 0 }
	};
	struct top top = { .interval = 1 };
	double number;
	bool seen;
	int option;

	while ((option = next_option(argc, argv, "+:d:n:jh", longs,
				     &top_command)) != -1) {
		switch (option) {
		case 'd':
			if (!parse_number(optarg, 0.05, 86400, &top.interval))
				return bad_usage("top", "--delay takes 0.05 to 86400 seconds, not '%s'",
						 optarg);
			break;
		case 'n':
			if (!parse_number(optarg, 1, 1e9, &number) ||
			    number != (long)number)
				return bad_usage("top", "--iterations takes a whole number from 1 on, not '%s'",
						 optarg);
			top.rounds = (long)number;
			break;
		case 'j':
			top.json = true;
			break;
		default:
			return option == HELPED ? DONE : USAGE;
		}
	}
	if (optind < argc)
		return bad_usage("top", "top takes no '%s'", argv[optind]);
	top.terminal = !top.json && isatty(STDOUT_FILENO) &&
		       isatty(STDIN_FILENO);
	if (top.terminal)
		begin_terminal();
	seen = watch(&top);
	/* First, or what there is to say would go with the other screen. */
	if (top.terminal)
		leave_terminal();
	return seen ? DONE : explain_totals();
}

const struct command top_command = {
	.name = "top",
	.summary = "who has droppable memory, and what happens to it, live",
	.help =
"top [--delay SECONDS] [--iterations N] [--json]\n\n"
"Shows the processes that have droppable memory, the largest first: how much of\n"
"it is in memory, how much mapped, how much pinned by the program (LOCKED); how\n"
"many pages per second are made resident (FAULT/s), dropped, and wanted again\n"
"after that (REFAULT/s, among the faults), and how often somebody waited for\n"
"memory. In a terminal it redraws until you press q; piped, it prints rows, and\n"
"an empty line between two looks.\n\n"
"  -d, --delay SECONDS   between two looks; default 1\n"
"  -n, --iterations N    end after so many; of a terminal's, the last one stays\n"
"  -j, --json            one JSON object a line for each look\n\n"
"Your own processes; as root, everybody's. Processes that share an open file\n"
"share its counts; \"-\" where the descriptor was closed, so that nothing counts.\n",
	.run = run,
};
