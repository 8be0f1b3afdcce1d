// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The shim's descriptor: when is the device opened anew, and what does that
 * leave open?  The device is a file of memory whose answers are made up here;
 * what other descriptors answer, the kernel says itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long answer(long number, ...);
#define syscall answer
#include "../device.c"
#undef syscall

#define RW (PROT_READ | PROT_WRITE)
#define TIMES 20

/* What a call to the device is refused with, or 0. */
static struct {
	int mmap, ioctl;
} refused;

/* Calls, other than mmap() and munmap(), by their first letters. */
static char others[64];

static int tests, failed;

static void ok(int good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failed |= !good;
}

static int the_device = -1;

static int is_device(int fd)
{
	struct stat device, it;

	return !fstat(the_device, &device) && !fstat(fd, &it) &&
	       it.st_dev == device.st_dev && it.st_ino == device.st_ino;
}

static long fail(int err)
{
	errno = err;
	return -1;
}

/* As the module answers, if nobody answers in its place. */
static long map_device(size_t len, int prot, int flags, long offset)
{
	if (refused.mmap)
		return fail(refused.mmap);
	if (flags & MAP_PRIVATE)
		return fail(EINVAL);
	if (offset)
		return fail(prot & PROT_WRITE ? EPERM : EINVAL);
	return syscall(SYS_mmap, NULL, len, prot, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0L);
}

static long answer_mmap(va_list args)
{
	void *addr = va_arg(args, void *);
	size_t len = va_arg(args, size_t);
	int prot = va_arg(args, int), flags = va_arg(args, int);
	int fd = va_arg(args, int);
	long offset = va_arg(args, long);

	if (is_device(fd))
		return map_device(len, prot, flags, offset);
	return syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static long answer_munmap(va_list args)
{
	void *addr = va_arg(args, void *);

	return munmap(addr, va_arg(args, size_t));
}

static long answer_ioctl(va_list args)
{
	int fd = va_arg(args, int);
	unsigned long request = va_arg(args, unsigned long);

	if (is_device(fd))
		return refused.ioctl ? fail(refused.ioctl) : 0;
	return syscall(SYS_ioctl, fd, request, va_arg(args, void *));
}

static long answer_fcntl(va_list args)
{
	int fd = va_arg(args, int), command = va_arg(args, int);

	return fcntl(fd, command, va_arg(args, int));
}

static void note(char letter)
{
	size_t length = strlen(others);

	if (length < sizeof(others) - 1)
		others[length] = letter;
}

static void forget(void)
{
	memset(others, 0, sizeof(others));
}

static long answer(long number, ...)
{
	va_list args;
	long result;

	va_start(args, number);
	switch (number) {
	case SYS_mmap:
		result = answer_mmap(args);
		break;
	case SYS_munmap:
		result = answer_munmap(args);
		break;
	case SYS_openat:
		note('o');
		result = dup(the_device);
		break;
	case SYS_ioctl:
		note('i');
		result = answer_ioctl(args);
		break;
	case SYS_fcntl:
		note('f');
		result = answer_fcntl(args);
		break;
	case SYS_close:
		note('c');
		result = close(va_arg(args, int));
		break;
	default:
		abort();
	}
	va_end(args);
	return result;
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* What a mapping fails with; 0 if it is there, and gone again. */
static int try(void)
{
	void *p;

	if (!device_map(NULL, 4096, RW, MAP_SHARED, &p))
		return ENOSYS;
	if (p == MAP_FAILED)
		return errno;
	munmap(p, 4096);
	return 0;
}

static void maps(const char *what)
{
	int before;

	ok(!try(), what);
	before = open_descriptors();
	forget();
	for (int i = 0; i < TIMES; i++)
		try();
	ok(!*others && open_descriptors() == before,
	   "by nothing but mmap() and munmap()");
}

/* Somebody stands between, who lets nobody map the device. */
static void refuses(int map_error, int ioctl_error, const char *what)
{
	int before = open_descriptors(), had = device_fd, good = 1;

	forget();
	refused.mmap = map_error;
	refused.ioctl = ioctl_error;
	for (int i = 0; i < TIMES; i++)
		good &= try() == map_error;
	ok(good && device_fd == had && open_descriptors() == before, what);
	ok(!others[strspn(others, "i")], "by no other call than ioctl()");
	refused.mmap = refused.ioctl = 0;
	ok(!try() && device_fd == had, "and when that is over, it maps");
}

/* --- what may have taken the number --------------------------------------- */

static char path[] = "/tmp/droppable-preload-XXXXXX";

static int write_only(void)
{
	return open(path, O_WRONLY);
}

static int read_only(void)
{
	return open(path, O_RDONLY);
}

static int only_a_path(void)
{
	return open(path, O_PATH);
}

static int directory(void)
{
	return open("/", O_RDONLY | O_DIRECTORY);
}

static int null(void)
{
	return open("/dev/null", O_WRONLY);
}

/* An end of a pipe, or of two sockets, whose other end is closed. */
static int end_of(int ends[2], int which)
{
	close(ends[!which]);
	return ends[which];
}

static int pipe_to_read(void)
{
	int ends[2];

	return pipe(ends) ? -1 : end_of(ends, 0);
}

static int pipe_to_write(void)
{
	int ends[2];

	return pipe(ends) ? -1 : end_of(ends, 1);
}

static int local_socket(void)
{
	int ends[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? -1 : end_of(ends, 0);
}

static const struct {
	int (*make)(void);
	const char *what;
} successors[] = {
	{ write_only, "a file to be written, whose mapping is EACCES too" },
	{ read_only, "a file to be read" },
	{ only_a_path, "a path" },
	{ directory, "a directory" },
	{ null, "/dev/null to be written" },
	{ pipe_to_read, "a pipe's end to read" },
	{ pipe_to_write, "a pipe's end to write" },
	{ local_socket, "a socket" },
};

/* It is the program's, and stays open. */
static void succeeds(int (*make)(void), const char *what)
{
	int was = device_fd, other = make(), before = open_descriptors();
	char text[128];

	snprintf(text, sizeof(text), "in its place there is %s", what);
	if (other < 0 || dup2(other, was) != was) {
		ok(0, text);
		return;
	}
	close(other);
	/* One more now is the program's, and one more the shim's. */
	ok(!try() && device_fd != was && is_device(device_fd) &&
		   !is_device(was) && open_descriptors() == before,
	   text);
	close(was);
}

int main(void)
{
	int file = mkstemp(path);

	the_device = memfd_create("device", 0);
	if (file < 0 || write(file, "text", 4) != 4 || the_device < 0)
		return 1;
	device_start();
	ok(is_device(device_fd), "opened at the start");
	maps("maps");
	refuses(EACCES, 0,
		"EACCES of mmap() is handed on, and costs no descriptor");
	refuses(EACCES, EACCES, "nor where ioctl() is EACCES as well");
	refuses(EACCES, EPERM, "nor where that is EPERM");
	refuses(ENOSYS, ENOSYS,
		"nor where a sandbox has it that there are no such calls");
	refuses(EPERM, EPERM, "nor EPERM of both");
	refuses(ENOMEM, ENOSYS, "nor ENOMEM");
	refuses(EAGAIN, ENOSYS, "nor EAGAIN");
	close(device_fd);
	forget();
	ok(!try() && !strcmp(others, "oifc"),
	   "closed, it takes openat(), ioctl(), fcntl() and close()");
	close(device_fd);
	maps("closed, it is opened anew");
	for (size_t i = 0; i < sizeof(successors) / sizeof(successors[0]); i++)
		succeeds(successors[i].make, successors[i].what);
	maps("and then as at first");
	unlink(path);
	printf("1..%d\n", tests);
	return failed;
}
