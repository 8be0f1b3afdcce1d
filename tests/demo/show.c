// SPDX-License-Identifier: GPL-2.0
/*
 * What droppable memory is for, in one picture: this program fills some,
 * another one eats the rest of the machine, and the droppable pages make way.
 * Runs in a guest of tests/vm; `make demo` starts it.  Draws bars on a terminal
 * (DEMO_COLUMNS set) and a plain line per step elsewhere.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/droppable.h>

#define MIB (1UL << 20)

static size_t page_size;
static int columns;		/* of the terminal, 0 for a pipe */

static void die(const char *what)
{
	fprintf(stderr, "demo: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The number behind @key in /proc/@file, or -1. */
static long proc_value(const char *file, const char *key)
{
	char line[256];
	long value = -1;
	size_t len = strlen(key);
	FILE *f = fopen(file, "r");

	if (!f)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len))
			value = strtol(line + len, NULL, 10);
	fclose(f);
	return value;
}

static size_t resident(void *area, size_t len)
{
	static unsigned char *vec;
	size_t i, pages = len / page_size, n = 0;

	if (!vec)
		vec = malloc(pages);
	if (!vec || mincore(area, len, vec))
		die("mincore");
	for (i = 0; i < pages; i++)
		n += vec[i] & 1;
	return n;
}

static void bar(const char *name, size_t mib, size_t of, const char *colour)
{
	int width = columns - 40, full;

	if (width < 10)
		width = 10;
	full = of ? (int)(mib * width / of) : 0;
	printf("  %-16s %s", name, colour);
	for (int i = 0; i < width; i++)
		fputs(i < full ? "█" : "░", stdout);
	printf("\033[0m %4zu of %zu MiB\033[K\n", mib, of);
}

static void draw(size_t droppable, size_t of, size_t hog, size_t hog_of)
{
	static bool drawn;

	if (!columns) {
		printf("  droppable resident %4zu MiB   hog %4zu MiB   MemAvailable %4ld MiB   OOM kills %ld\n",
		       droppable, hog, proc_value("/proc/meminfo", "MemAvailable:") / 1024,
		       proc_value("/proc/vmstat", "oom_kill "));
		fflush(stdout);
		return;
	}
	if (drawn)
		fputs("\033[3A", stdout);
	drawn = true;
	bar("droppable memory", droppable, of, "\033[32m");
	bar("the other one", hog, hog_of, "\033[31m");
	printf("  MemAvailable %ld MiB, OOM kills %ld\033[K\n",
	       proc_value("/proc/meminfo", "MemAvailable:") / 1024,
	       proc_value("/proc/vmstat", "oom_kill "));
	fflush(stdout);
}

/* Every page carries its number in every eighth word. */
static void fill(unsigned long *area, size_t len, size_t hog_len)
{
	size_t words = page_size / sizeof(long);

	for (size_t page = 0; page < len / page_size; page++) {
		if (page % (8 * MIB / page_size) == 0)
			draw(page * page_size / MIB, len / MIB, 0, hog_len / MIB);
		for (size_t i = 0; i < words; i += 8)
			area[page * words + i] = page + 1;
	}
}

/* What takes a while in an emulated machine is said before it begins. */
static void say(const char *what)
{
	printf("  %s ...\n", what);
	fflush(stdout);
}

struct readback {
	size_t whole, zero, torn;
};

static struct readback read_back(unsigned long *area, size_t len)
{
	size_t words = page_size / sizeof(long);
	struct readback r = { 0 };

	for (size_t page = 0; page < len / page_size; page++) {
		size_t good = 0, zero = 0;

		for (size_t i = 0; i < words; i += 8) {
			unsigned long word = area[page * words + i];

			good += word == page + 1;
			zero += !word;
		}
		if (good == words / 8)
			r.whole++;
		else if (zero == words / 8)
			r.zero++;
		else
			r.torn++;
	}
	return r;
}

/* Eats memory a step at a time, says so, and checks in the end that it is all there. */
static int hog(size_t len, size_t step, int report)
{
	char *area = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t at;

	if (area == MAP_FAILED)
		return 2;
	for (at = 0; at < len; at += step) {
		size_t now = at + step < len ? step : len - at;

		memset(area + at, 0x5a, now);
		now += at;
		if (write(report, &now, sizeof(now)) != sizeof(now))
			return 2;
	}
	for (at = 0; at < len; at += page_size)
		if (area[at] != 0x5a)
			return 1;
	return 0;
}

static bool eat(unsigned long *area, size_t len, size_t hog_len)
{
	size_t eaten;
	int fds[2], status;
	pid_t pid;

	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(fds[0]);
		_exit(hog(hog_len, 8 * MIB, fds[1]));
	}
	close(fds[1]);
	while (read(fds[0], &eaten, sizeof(eaten)) == sizeof(eaten))
		draw(resident(area, len) * page_size / MIB, len / MIB,
		     eaten / MIB, hog_len / MIB);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static size_t child_reads(unsigned long *area, size_t len)
{
	size_t nonzero = 0;
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		for (size_t i = 0; i < len / sizeof(long); i += 8)
			nonzero += !!area[i];
		_exit(write(fds[1], &nonzero, sizeof(nonzero)) != sizeof(nonzero));
	}
	if (read(fds[0], &nonzero, sizeof(nonzero)) != sizeof(nonzero))
		die("the child's answer");
	waitpid(pid, NULL, 0);
	return nonzero;
}

/* It may be dropped again at once, so not only the first try counts. */
static bool holds_again(volatile unsigned long *area)
{
	for (int i = 0; i < 8; i++) {
		area[0] = i + 1;
		if (area[0] == (unsigned long)i + 1)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	size_t len = (argc > 1 ? strtoul(argv[1], NULL, 0) : 192) * MIB;
	size_t hog_len = (argc > 2 ? strtoul(argv[2], NULL, 0) : 256) * MIB;
	long kills = proc_value("/proc/vmstat", "oom_kill ");
	const char *width;
	struct readback r;
	size_t before, after, leaked;
	unsigned long *area;
	bool intact, again;
	int fd;

	page_size = sysconf(_SC_PAGESIZE);
	width = getenv("DEMO_COLUMNS");
	columns = width ? atoi(width) : 0;
	fd = open(DROPPABLE_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(DROPPABLE_DEVICE);
	area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED)
		die("mmap");

	printf("\nA machine of %ld MiB, no swap. One program writes %zu MiB of droppable memory;\nthen another eats %zu MiB of ordinary memory.\n\n",
	       proc_value("/proc/meminfo", "MemTotal:") / 1024, len / MIB, hog_len / MIB);
	fill(area, len, hog_len);
	before = resident(area, len);
	draw(before * page_size / MIB, len / MIB, 0, hog_len / MIB);
	intact = eat(area, len, hog_len);
	after = resident(area, len);
	say("it reads every page back");
	r = read_back(area, len);
	say("a forked child reads them");
	leaked = child_reads(area, len);
	again = holds_again(area);
	kills = proc_value("/proc/vmstat", "oom_kill ") - kills;

	printf("\n  pages resident before / after    %zu / %zu\n", before, after);
	printf("  read back whole / zero / torn    %zu / %zu / %zu\n", r.whole, r.zero, r.torn);
	printf("  the other program's memory       %s\n", intact ? "intact" : "LOST");
	printf("  OOM kills                        %ld\n", kills);
	printf("  a forked child read              %s\n", leaked ? "THE PARENT'S DATA" : "zeros only");
	printf("  a dropped page written again     %s\n\n", again ? "holds" : "LOST");
	if (after < before && r.zero && !r.torn && intact && !kills && !leaked &&
	    again)
		return 0;
	printf("This is not what it should be.\n");
	return 1;
}
