// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program droppable, on a machine that has the device: what it says is
 * what is so, and what it does is done.
 * Contract lines 22, 39.
 */
// vm: --mem 320 --smp 2 --file build/tests/dynamic.tar
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/droppable.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/figures.h"
#include "support/file.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/process.h"
#include "support/tap.h"

#define PAGES 256UL
#define LENGTH (PAGES * PAGE)
#define TAG 0x7001

static char said[1 << 16];

static void __attribute__((constructor)) unpack(void)
{
	if (access("/bin/droppable", X_OK) &&
	    system("tar -xf /bin/dynamic.tar -C /"))
		tap_bail("dynamic.tar is not to be unpacked");
}

/* Its exit status; what it says, on stdout or stderr, is in said[]. */
static int as(bool nobody, const char *const *words)
{
	size_t length = 0;
	ssize_t got;
	int pipes[2];
	int status;
	pid_t child;

	want_ok(pipe(pipes));
	child = spawn();
	if (!child) {
		if (nobody)
			become_nobody();
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		close(pipes[0]);
		close(pipes[1]);
		execv("/bin/droppable", (char *const *)words);
		_exit(111);
	}
	close(pipes[1]);
	while (length < sizeof(said) - 1 &&
	       (got = read(pipes[0], said + length,
			   sizeof(said) - 1 - length)) > 0)
		length += (size_t)got;
	said[length] = '\0';
	close(pipes[0]);
	status = wait_status(child);
	if (!WIFEXITED(status))
		fail("got status %#x, want an exit", status);
	return WEXITSTATUS(status);
}

#define TOOL(...) \
	as(false, (const char *const[]){ "droppable", __VA_ARGS__, NULL })
#define TOOL_AS_NOBODY(...) \
	as(true, (const char *const[]){ "droppable", __VA_ARGS__, NULL })

#define want_said(text) \
	do { \
		if (!strstr(said, text)) \
			fail("got \"%.300s\", want \"%s\" in it", said, text); \
	} while (0)

/* The number that follows @name in JSON, from @at on. */
static double number(const char *at, const char *name)
{
	char field[64];

	snprintf(field, sizeof(field), "\"%s\":", name);
	at = at ? strstr(at, field) : NULL;
	if (!at)
		fail("got \"%.300s\", want %s in it", said, name);
	return atof(at + strlen(field));
}

static const char *entry_of(pid_t pid)
{
	char field[32];

	snprintf(field, sizeof(field), "\"pid\":%d,", (int)pid);
	return strstr(said, field);
}

TEST(status, "line 39: status shows the module, the device and how much is resident")
{
	char *area = mem_map(LENGTH);

	need_device("tool");
	want_eq(TOOL("status", "--json"), 0);
	want_said("\"loaded\":true");
	want_said("\"usable\":true");
	want_said("\"features\":[\"drop\",\"counter\",\"poll\",\"scrub\",\"pin\"]");
	want_said("\"guarantees\":{\"device\":[\"never-swapped\",");
	want_eq(number(said, "resident"), 0);
	want_eq(number(said, "users"), 1);
	fill(area, PAGES, TAG, 1);
	want_eq(TOOL("status", "--json"), 0);
	want_eq(number(said, "resident"), PAGES);
	want_eq(TOOL_AS_NOBODY("status"), 0);
	want_said("loaded, 1 in use");
	want_said("1.0 MiB");
}

/* Fills and drops for ever. */
static pid_t start_busy(void)
{
	int ready[2];
	pid_t child;
	char byte;

	want_ok(pipe(ready));
	child = spawn();
	if (!child) {
		int fd = mem_open();
		char *area = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
				  MAP_SHARED, fd, 0);

		want_ok(area);
		fill(area, PAGES, TAG, 1);
		want_eq(write(ready[1], "", 1), 1);
		for (;;) {
			mem_drop(area, LENGTH / 2);
			fill(area, PAGES / 2, TAG, 1);
		}
	}
	want_eq(read(ready[0], &byte, 1), 1);
	return child;
}

TEST(top, "line 39: top shows who has droppable memory, how much, and how fast it comes and goes")
{
	char *area = mem_map(LENGTH);
	pid_t busy;
	const char *entry;

	need_device("tool");
	fill(area, PAGES / 4, TAG, 1);
	busy = start_busy();
	want_eq(TOOL("top", "-n", "1", "-d", "1", "--json"), 0);
	entry = entry_of(busy);
	want_ge(number(entry, "resident_bytes"), LENGTH / 2);
	/* Its own, and that it has from its parent. */
	want_eq(number(entry, "mapped_bytes"), 2 * LENGTH);
	want_ge(number(entry, "dropped_per_s"), 100);
	want_ge(number(entry, "faults_per_s"), 100);
	want_ge(number(entry, "refaulted_per_s"), 100);
	want_ge(number(said, "dropped_per_s"), 100);
	/* The mapping alone, its descriptor is closed. */
	entry = entry_of(getpid());
	want_eq(number(entry, "resident_bytes"), LENGTH / 4);
	want_eq(number(entry, "descriptors"), 0);

	want_eq(TOOL("top", "-n", "2", "-d", "0.2"), 0);
	want_said("RESIDENT");
	want_said(" 256K      1024K       -        -        -         -      - tool\n");
	want_eq(TOOL_AS_NOBODY("top", "-n", "1", "-d", "0.2", "--json"), 0);
	want(!entry_of(busy));
	want_ge(number(said, "hidden_processes"), 1);
	want_ok(kill(busy, SIGKILL));
	wait_status(busy);
}

TEST(drop, "line 22: drop --all drops every page, says how many, and only for root")
{
	char *area = mem_map(LENGTH);
	char text[64];

	need_device("tool");
	fill(area, PAGES, TAG, 1);
	want_eq(TOOL_AS_NOBODY("drop", "--all"), 4);
	want_said("only root");
	want_whole(area, PAGES, TAG, 1);
	want_eq(TOOL("drop", "--all"), 0);
	snprintf(text, sizeof(text), "%lu pages dropped\n", PAGES);
	want_said(text);
	want_zero(area, LENGTH);
}

TEST(drop_process, "line 22: drop --pid drops every page of that process, and no other's")
{
	char *area = mem_map(LENGTH);
	char *told = shared_map(PAGE), pid[16], text[64];
	pid_t child;

	need_device("tool");
	fill(area, PAGES, TAG, 1);
	child = spawn();
	if (!child) {
		/* Two files, and what the parent has; one page is held. */
		char *first = mem_map(LENGTH), *second = mem_map(LENGTH);
		struct iovec held = { .iov_base = second, .iov_len = PAGE };
		int pipes[2];

		fill(first, PAGES, TAG, 2);
		fill(second, PAGES, TAG, 3);
		fill(area, PAGES, TAG, 4);
		want_ok(pipe(pipes));
		want_eq(vmsplice(pipes[1], &held, 1, 0), PAGE);
		told[0] = 1;
		want(wait_for(told[1], 60));
		want_zero(first, LENGTH);
		want_zero(area, LENGTH);
		want_eq(tally(second, PAGES, TAG, 3).whole, 1);
		_exit(0);
	}
	want(wait_for(told[0], 20));
	snprintf(pid, sizeof(pid), "%d", (int)child);
	want_eq(TOOL_AS_NOBODY("drop", "--pid", pid), 4);
	want_eq(TOOL("drop", "--pid", pid), 0);
	snprintf(text, sizeof(text), "%lu pages dropped, 1 resident", 3 * PAGES - 1);
	want_said(text);
	told[1] = 1;
	join(child);
	want_whole(area, PAGES, TAG, 1);
	want_eq(TOOL("drop", "--pid", pid), 1);
	want_said("there is no process");
	want(!try_write_file("/sys/class/misc/droppable/drop_process", pid));
	want_eq(errno, ESRCH);
	want(!try_write_file("/sys/class/misc/droppable/drop_process", "2"));
	want_eq(errno, ESRCH);
	want(!try_write_file("/sys/class/misc/droppable/drop_process", "0"));
	want_eq(errno, EINVAL);
	want(!try_write_file("/sys/class/misc/droppable/drop_process", "x"));
	want_eq(errno, EINVAL);
}

TEST(bench, "the tool: bench passes here")
{
	need_device("tool");
	want_eq(TOOL("bench", "--size", "8"), 0);
	note("%s", strtok(said, "\n"));
	for (char *line; (line = strtok(NULL, "\n"));)
		note("%s", line);
	want_eq(TOOL_AS_NOBODY("bench", "--size", "8", "--json"), 0);
	want_said("\"dropped\":true,");
	want_said("\"wiped_on_fork\":true,");
	want(!strstr(said, "false"));
}

TEST(run, "the tool: run serves a program that pages out MAP_DROPPABLE")
{
	need_device("tool");
	if (access("/bin/droppable-7.3", X_OK))
		skip("there is no droppable-7.3: tests/selftests could not fetch it");
	want_eq(TOOL_AS_NOBODY("run", "/bin/droppable-7.3"), 0);
	want_said("ok 1 madvise(MADV_PAGEOUT) behavior");
	want_eq(TOOL("run", "busybox", "true"), 125);
	want_said("linked statically");
}

TEST(busy, "the tool: unload is refused while somebody uses the device, and says who")
{
	char *area = mem_map(LENGTH);
	char text[32];

	need_device("tool");
	want_eq(TOOL("unload"), 1);
	snprintf(text, sizeof(text), "%8d  tool", (int)getpid());
	want_said(text);
	want_eq(TOOL_AS_NOBODY("unload"), 4);
	fill(area, PAGES, TAG, 1);
	want_whole(area, PAGES, TAG, 1);
}

/* The places of the module's file; false if the file isn't there. */
static bool module_file(char *path, size_t size)
{
	struct utsname name;

	want_ok(uname(&name));
	snprintf(path, size, "/lib/modules/%s/updates/dkms/droppable.ko",
		 name.release);
	return !access(path, F_OK);
}

static void copy_part(const char *from, const char *to, size_t length)
{
	static char buffer[1 << 20];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0644);
	ssize_t got = read(in, buffer, length);

	want(got > 0);
	want_eq(write(out, buffer, (size_t)got), got);
	close(in);
	close(out);
}

/* Last: it takes the module away and brings it back. */
TEST(loads, "the tool: unloads and loads; a missing, damaged or forbidden module is told in words")
{
	char path[256], away[] = "/tmp/droppable.ko", modules[300];

	need_device("tool");
	want(wait_for(module_references() == 0, 10));
	want(module_file(path, sizeof(path)));
	want_eq(TOOL("load"), 0);
	want_said("loaded already");
	want_eq(TOOL("unload"), 0);
	want_errno(open(DROPPABLE_DEVICE, O_RDWR), ENOENT);
	want_eq(TOOL("unload"), 0);
	want_said("is not loaded");
	want_eq(TOOL("status"), 3);
	want_said("installed, not loaded");
	want_eq(TOOL("bench"), 3);
	want_eq(TOOL_AS_NOBODY("load"), 4);
	want_said("only root");

	copy_part(path, away, 1 << 20);
	want_ok(unlink(path));
	copy_part(away, path, 2000);
	want_eq(TOOL("load"), 1);
	want_said("was not built for this Linux");
	snprintf(modules, sizeof(modules), "%.*s", (int)(strstr(path, "/updates") - path), path);
	want_ok(rename(modules, "/lib/modules/4.9.0-other"));
	want_eq(TOOL("load"), 1);
	want_said("is not installed for Linux");
	want_said("for Linux 4.9.0-other");
	want_ok(rename("/lib/modules/4.9.0-other", modules));
	want_ok(unlink(path));
	copy_part(away, path, 1 << 20);

	want_eq(TOOL("load"), 0);
	want_said("/dev/droppable is ready");
	want_zero(mem_map(LENGTH), LENGTH);
}
