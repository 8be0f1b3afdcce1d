// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The shim's descriptor of /dev/droppable.
 *
 * It is opened before main(): later a sandbox may be in the way.  Mapping is
 * done by nothing but mmap(), as the program itself does it, so a seccomp
 * filter that lets the program have its mapping lets us have ours.
 *
 * The descriptor is the process's, and a program may close it, or all that it
 * finds, and open something else in its place: it is looked at before each use.
 * Other system calls follow only where that fails: see is_anothers().
 */
#define _GNU_SOURCE
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/droppable.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/*
 * Out of the way of programs that count on getting 3, and of the number that
 * the next open() gets; but below 64, up to where a process needs no larger
 * table of descriptors.
 */
#define FD_LOWEST 56

enum { FD_UNDECIDED = -2, FD_NONE = -1 };

static atomic_int device_fd = FD_UNDECIDED;

/* By the system call: mmap() is ours. */
static void *map(void *addr, size_t len, int prot, int flags, int fd,
		 long offset)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

/* What a mapping of a page fails with; 0 if it doesn't, and is gone again. */
static int refusal(int prot, int flags, int fd, long offset)
{
	size_t page = (size_t)getpagesize();
	void *p = map(NULL, page, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return errno;
	syscall(SYS_munmap, p, page);
	return 0;
}

static bool kernel_has_it(void)
{
	return !refusal(PROT_NONE, MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);
}

static bool kernel_is_preferred(void)
{
	const char *wish = getenv("DROPPABLE_PRELOAD");

	return wish && !strcmp(wish, "native") && kernel_has_it();
}

static int open_device(void)
{
	struct droppable_info info = { 0 };
	int fd, high;

	/* O_NONBLOCK: should something else be there, a FIFO, don't wait. */
	fd = (int)syscall(SYS_openat, AT_FDCWD, DROPPABLE_DEVICE,
			  O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return FD_NONE;
	if (syscall(SYS_ioctl, fd, DROPPABLE_IOC_INFO, &info) < 0) {
		syscall(SYS_close, fd);
		return FD_NONE;
	}
	high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_LOWEST);
	if (high < 0)
		return fd;
	syscall(SYS_close, fd);
	return high;
}

/* Opens it in place of @was, unless another thread has done so already. */
static void open_anew(int was)
{
	int fd = open_device();

	if (!atomic_compare_exchange_strong(&device_fd, &was, fd) && fd >= 0)
		syscall(SYS_close, fd);
}

/*
 * Is @fd the device still?  Asked by mmap(): the device refuses MAP_PRIVATE
 * with EINVAL, always; a file would be mapped, what can't be mapped is ENODEV,
 * a closed descriptor EBADF.  Some others refuse that likewise (memfd_secret(2),
 * perf_event_open(2)), but not to write the counter page with EPERM as well.
 * Returns 0 for the device, else an errno value.
 */
static int ask_device(int fd)
{
	int err = refusal(PROT_READ, MAP_PRIVATE, fd, 0);

	if (err == EINVAL)
		err = refusal(PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      (long)DROPPABLE_COUNTER_OFFSET);
	else if (!err)
		err = EBADF;
	switch (err) {
	case EPERM:
		return 0;
	case 0:
	case EINVAL:
		return EBADF;
	default:
		return err;
	}
}

/*
 * ask_device() said @err of @fd: does that mean that it is another's by now?
 * ENOMEM and EAGAIN, of address space and of what may be locked, say nothing
 * of it.  Nor do the rest: EACCES is said by a security module or a sandbox, and
 * of a file that is open for writing only.  Then the descriptor is asked itself,
 * and if that is refused as well, it stays.  To open the device anew for what
 * will be said again would lose a descriptor each time.
 */
static bool is_anothers(int fd, int err)
{
	struct droppable_info info = { 0 };

	switch (err) {
	case EBADF:
	case ENODEV:
		return true;
	case ENOMEM:
	case EAGAIN:
		return false;
	}
	return syscall(SYS_ioctl, fd, DROPPABLE_IOC_INFO, &info) < 0 &&
	       (errno == ENOTTY || errno == EINVAL || errno == EBADF);
}

/* Whoever maps before device_start() may come before the environment, too. */
static void device_open(void)
{
	int saved = errno;

	if (atomic_load(&device_fd) != FD_UNDECIDED)
		return;
	if (kernel_is_preferred())
		atomic_store(&device_fd, FD_NONE);
	else
		open_anew(FD_UNDECIDED);
	errno = saved;
}

void device_start(void)
{
	int saved = errno, fd;

	device_open();
	if (kernel_is_preferred()) {
		fd = atomic_exchange(&device_fd, FD_NONE);
		if (fd >= 0)
			syscall(SYS_close, fd);
	}
	errno = saved;
}

bool device_map(void *addr, size_t len, int prot, int flags, void **p)
{
	int saved = errno;
	int fd, err = 0;

	device_open();
	fd = atomic_load(&device_fd);
	if (fd != FD_NONE)
		err = ask_device(fd);
	if (err && !is_anothers(fd, err)) {
		errno = err;
		*p = MAP_FAILED;
		return true;
	}
	if (err) {
		open_anew(fd);
		fd = atomic_load(&device_fd);
	}
	errno = saved;
	if (fd == FD_NONE)
		return false;
	*p = map(addr, len, prot, flags, fd, 0);
	return true;
}

int device_drop(void *addr, size_t len)
{
	struct droppable_drop arg = {
		.addr = (uintptr_t)addr,
		.len = len,
	};
	int saved = errno, err = 0;

	/* No harm in a descriptor that is another's by now: ENOTTY. */
	if (syscall(SYS_ioctl, atomic_load(&device_fd), DROPPABLE_IOC_DROP,
		    &arg) < 0)
		err = errno;
	errno = saved;
	return err;
}
