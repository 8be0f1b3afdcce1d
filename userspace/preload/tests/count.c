// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * How many instructions a call takes in user space: the parent steps through
 * the child, from one getppid() to the next.  Prints one line per call.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)

#define RW (PROT_READ | PROT_WRITE)

static const char *const names[] = { "mmap", "madvise", "mremap", "munmap" };

#define CALLS 4

/* The first time each is called it may have to be looked up. */
static void work(void)
{
	for (int i = 0; i < 2; i++) {
		char *p, *q;

		syscall(SYS_getppid);
		p = mmap(NULL, 8192, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		syscall(SYS_getppid);
		madvise(p, 4096, MADV_NORMAL);
		syscall(SYS_getppid);
		q = mremap(p, 8192, 4096, 0);
		syscall(SYS_getppid);
		munmap(q, 4096);
		syscall(SYS_getppid);
	}
}

static int at_marker(pid_t child)
{
	struct user_regs_struct regs;
	long word;

	ptrace(PTRACE_GETREGS, child, NULL, &regs);
	word = ptrace(PTRACE_PEEKTEXT, child, (void *)regs.rip, NULL);
	return (word & 0xffff) == 0x050f && regs.rax == SYS_getppid;
}

int main(void)
{
	pid_t child = fork();
	long count = 0;
	int markers = 0;
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		work();
		_exit(0);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (at_marker(child)) {
			if (markers > CALLS + 1)
				printf("%s %ld\n", names[(markers - CALLS - 2) % CALLS],
				       count);
			markers++;
			count = 0;
		}
		count++;
		ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
	}
	return markers == 2 * (CALLS + 1) ? 0 : 1;
}

#else

int main(void)
{
	return 77;
}

#endif
