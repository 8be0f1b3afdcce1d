// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 32-bit program on a 64-bit kernel: the same device, the same structures.
 * Contract line 38.
 *
 * Freestanding, with system calls of its own: no 32-bit C library is needed to
 * build it, and none of the other tests' code, which could hide a difference.
 */
// vm: --mem 256
// cc: -m32 -ffreestanding -nostdlib -fno-stack-protector -fno-pie -no-pie
#include <linux/droppable.h>

#include <asm/unistd_32.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/poll.h>

#define PAGE 4096UL
#define PAGES 32UL
#define EINVAL 22
#define ENOTTY 25
#define ENOENT 2
#define RW (PROT_READ | PROT_WRITE)

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	/* The sixth argument goes in ebp, which the compiler may be using. */
	long six[2] = { number, f };
	long result;

	__asm__ volatile("push %%ebp\n\t"
			 "mov 4(%%eax), %%ebp\n\t"
			 "mov (%%eax), %%eax\n\t"
			 "int $0x80\n\t"
			 "pop %%ebp"
			 : "=a"(result)
			 : "a"(six), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "cc");
	return result;
}

static void say(const char *text)
{
	unsigned long length = 0;

	while (text[length])
		length++;
	call(__NR_write, 1, (long)text, length, 0, 0, 0);
}

static int count, failed, broken;

/* One want() per fact; its text is printed when it isn't true. */
#define want(condition)							\
	do {								\
		if (!(condition) && !broken++)				\
			say("# got false, want " #condition "\n");	\
	} while (0)

static void point(const char *text)
{
	char number[] = "1 - ";

	count++;
	number[0] = '0' + count;
	failed += broken != 0;
	say(broken ? "not ok " : "ok ");
	say(number);
	say(text);
	say("\n");
	broken = 0;
}

static char *map(int fd, unsigned long length, int prot, unsigned long page)
{
	return (char *)call(__NR_mmap2, 0, length, prot, MAP_SHARED, fd, page);
}

static int is_error(const void *address)
{
	return (unsigned long)address > -4096UL;
}

static int all(const char *area, unsigned long length, char value)
{
	for (unsigned long i = 0; i < length; i++)
		if (area[i] != value)
			return 0;
	return 1;
}

static void set(char *area, unsigned long length, char value)
{
	for (unsigned long i = 0; i < length; i++)
		((volatile char *)area)[i] = value;
}

static void info(int fd)
{
	struct droppable_info info = { .flags = 0 };

	want(sizeof(long) == 4);
	want(call(__NR_ioctl, fd, DROPPABLE_IOC_INFO, (long)&info, 0, 0, 0) ==
	     0);
	want(info.abi == DROPPABLE_ABI);
	want(info.page_size == PAGE);
	want(info.features & DROPPABLE_FEATURE_DROP);
	info = (struct droppable_info){ .reserved = { [4] = 1 } };
	want(call(__NR_ioctl, fd, DROPPABLE_IOC_INFO, (long)&info, 0, 0, 0) ==
	     -EINVAL);
	want(call(__NR_ioctl, fd, _IO(DROPPABLE_IOC_MAGIC, 99), 0, 0, 0, 0) ==
	     -ENOTTY);
	point("line 38: a 32-bit process gets the module's information, and the errors for what it got wrong");
}

static long drop_of(int fd, struct droppable_drop *drop)
{
	return call(__NR_ioctl, fd, DROPPABLE_IOC_DROP, (long)drop, 0, 0, 0);
}

static void drop(int fd, char *area)
{
	struct droppable_drop range = {
		.addr = (unsigned long)area,
		.len = PAGES / 2 * PAGE,
	};
	struct droppable_drop beyond = {
		.addr = (unsigned long)area,
		.len = 1ULL << 32,
	};

	want(all(area, PAGES * PAGE, 0));
	set(area, PAGES * PAGE, 'a');
	want(all(area, PAGES * PAGE, 'a'));
	want(drop_of(fd, &range) == 0);
	want(range.dropped == PAGES / 2);
	want(range.pinned == 0);
	want(all(area, PAGES / 2 * PAGE, 0));
	want(all(area + PAGES / 2 * PAGE, PAGES / 2 * PAGE, 'a'));
	want(drop_of(fd, &beyond) < 0);
	want(all(area + PAGES / 2 * PAGE, PAGES / 2 * PAGE, 'a'));
	point("line 38: it maps the device, stores, and drops a range; no length is cut to 32 bits");
}

static void counter(int fd, char *area)
{
	volatile struct droppable_counter *counter =
		(void *)map(fd, PAGE, PROT_READ,
			    DROPPABLE_COUNTER_OFFSET / PAGE);
	struct droppable_drop file = { .flags = DROPPABLE_DROP_FILE };
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	unsigned long long news = 0;
	__u64 before;

	want(!is_error((void *)counter));
	if (is_error((void *)counter))
		goto out;
	call(__NR_read, fd, (long)&news, sizeof(news), 0, 0, 0);
	before = counter->drops;
	set(area, PAGES * PAGE, 'b');
	want(call(__NR_poll, (long)&ready, 1, 0, 0, 0, 0) == 0);
	want(drop_of(fd, &file) == 0);
	want(file.dropped == PAGES);
	want(counter->drops == before + PAGES);
	want(call(__NR_poll, (long)&ready, 1, 0, 0, 0, 0) == 1);
	want(call(__NR_read, fd, (long)&news, sizeof(news), 0, 0, 0) == 8);
	want(news == PAGES);
	want(all(area, PAGES * PAGE, 0));
out:
	point("line 38: it sees the drop counter, and poll(2) and read(2) tell it of drops");
}

static void child(char *area)
{
	int status = -1;
	long pid;

	set(area, PAGES * PAGE, 'c');
	pid = call(__NR_fork, 0, 0, 0, 0, 0, 0);
	if (!pid)
		call(__NR_exit, all(area, PAGES * PAGE, 0) ? 0 : 1, 0, 0, 0, 0,
		     0);
	want(call(__NR_waitpid, pid, (long)&status, 0, 0, 0, 0) == pid);
	want(status == 0);
	want(all(area, PAGES * PAGE, 'c'));
	point("line 38: its child reads zeros, it keeps its data");
}

__attribute__((force_align_arg_pointer, noreturn)) void _start(void)
{
	int fd = call(__NR_open, (long)DROPPABLE_DEVICE, O_RDWR, 0, 0, 0, 0);
	char *area;

	say("TAP version 13\n");
	if (fd == -ENOENT) {
		say("1..0 # SKIP no " DROPPABLE_DEVICE "\n");
		call(__NR_exit, 0, 0, 0, 0, 0, 0);
	}
	area = map(fd, PAGES * PAGE, RW, 0);
	want(!is_error(area));
	info(fd);
	if (!is_error(area)) {
		drop(fd, area);
		counter(fd, area);
		child(area);
	}
	say("1..4\n");
	call(__NR_exit, failed != 0, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}
