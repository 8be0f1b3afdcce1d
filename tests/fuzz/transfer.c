// SPDX-License-Identifier: GPL-2.0-only
/* See transfer.h: read, write, process_vm, /proc/PID/mem, O_DIRECT. */
#define _GNU_SOURCE
#include "transfer.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../support/memory.h"
#include "../support/tap.h"
#include "op.h"
#include "report.h"
#include "touch.h"

uint64_t *transfer_buffer(void)
{
	static __thread uint64_t buffer[PAGE_WORDS]
		__attribute__((aligned(4096)));

	/* A fault of our own is tried until there is memory, the kernel's not. */
	/* cppcheck-suppress selfAssignment */
	*(volatile uint64_t *)buffer = *(volatile uint64_t *)buffer;
	return buffer;
}

bool transfer_out(unsigned int area, unsigned int page, transfer *copy,
		  void *data)
{
	uint64_t *buffer = transfer_buffer();
	struct access access;
	struct look look;

	access_begin(&access, area, page);
	if (!access.words)
		return false;
	look_begin(&look, access.page);
	if (copy((void *)access.words, buffer, data) != (ssize_t)PAGE)
		return false;
	look_words(&look, buffer);
	look_end(&look);
	return true;
}

bool transfer_in(unsigned int area, unsigned int page, transfer *copy,
		 void *data)
{
	uint64_t *buffer = transfer_buffer();
	struct access access;
	bool all;

	access_begin(&access, area, page);
	if (!access.words)
		return false;
	model_fill_begin(access.page);
	touch_prepare(access.page, buffer);
	all = copy((void *)access.words, buffer, data) == (ssize_t)PAGE;
	touch_stored(access.page, all);
	return all;
}

/* For each page that its thread owns: out or in. */
static bool each(const struct op *op, transfer *out, transfer *in, void *data)
{
	bool any = false;

	for_owned(op, index) {
		if (op_more(op->value, index) & 1)
			any |= transfer_in(op->area, index, in, data);
		else
			any |= transfer_out(op->area, index, out, data);
	}
	return any;
}

/* ---- read(2) and write(2) ---- */

static ssize_t pipe_out(void *address, uint64_t *buffer, void *data)
{
	int *ends = data;
	ssize_t put = write(ends[1], address, PAGE), got;

	if (put <= 0)
		return -1;
	got = read(ends[0], buffer, PAGE);
	want_eq(got, put);
	return got;
}

static ssize_t pipe_in(void *address, uint64_t *buffer, void *data)
{
	int *ends = data;
	ssize_t got;

	want_eq(write(ends[1], buffer, PAGE), PAGE);
	got = read(ends[0], address, PAGE);
	/* What could not be stored stays in the pipe. */
	if (got < (ssize_t)PAGE) {
		ssize_t left = (ssize_t)PAGE - (got > 0 ? got : 0);

		want_eq(read(ends[0], buffer, PAGE), left);
	}
	return got;
}

bool op_pipe(const struct op *op)
{
	bool done;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return false;
	done = each(op, pipe_out, pipe_in, ends);
	close(ends[0]);
	close(ends[1]);
	return done;
}

/* ---- process_vm_readv(2), process_vm_writev(2) ---- */

static ssize_t vm_out(void *address, uint64_t *buffer, void *data)
{
	struct iovec local = { buffer, PAGE }, remote = { address, PAGE };

	return process_vm_readv(*(pid_t *)data, &local, 1, &remote, 1, 0);
}

static ssize_t vm_in(void *address, uint64_t *buffer, void *data)
{
	struct iovec local = { buffer, PAGE }, remote = { address, PAGE };

	return process_vm_writev(*(pid_t *)data, &local, 1, &remote, 1, 0);
}

bool op_vm(const struct op *op)
{
	pid_t self_pid = getpid();

	return each(op, vm_out, vm_in, &self_pid);
}

/* ---- /proc/PID/mem ---- */

static ssize_t mem_out(void *address, uint64_t *buffer, void *data)
{
	return pread(*(int *)data, buffer, PAGE, (off_t)(uintptr_t)address);
}

static ssize_t mem_in(void *address, uint64_t *buffer, void *data)
{
	return pwrite(*(int *)data, buffer, PAGE, (off_t)(uintptr_t)address);
}

bool op_mem(const struct op *op)
{
	int file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	bool done;

	if (file < 0)
		return false;
	done = each(op, mem_out, mem_in, &file);
	close(file);
	return done;
}

/* ---- O_DIRECT ---- */

struct disk {
	int file;
	off_t offset;
};

static ssize_t direct_out(void *address, uint64_t *buffer, void *data)
{
	struct disk *disk = data;

	if (pwrite(disk->file, address, PAGE, disk->offset) != (ssize_t)PAGE)
		return -1;
	return pread(disk->file, buffer, PAGE, disk->offset);
}

static ssize_t direct_in(void *address, uint64_t *buffer, void *data)
{
	struct disk *disk = data;

	if (pwrite(disk->file, buffer, PAGE, disk->offset) != (ssize_t)PAGE)
		return -1;
	return pread(disk->file, address, PAGE, disk->offset);
}

/* Each thread of each process has a block of its own. */
bool op_direct(const struct op *op)
{
	const char *device = getenv("SWAPDEV");
	struct disk disk;
	bool done;

	if (!device)
		return false;
	disk.file = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk.file < 0)
		return false;
	disk.offset = (off_t)(MIB + (model_place() * 16 + self.id) * PAGE);
	done = each(op, direct_out, direct_in, &disk);
	close(disk.file);
	return done;
}

/* ---- by a child, while the owner waits ---- */

bool transfer_from_child(pid_t owner, const struct op *op,
			 struct process *parent)
{
	process = parent;
	return each(op, vm_out, vm_in, &owner);
}
