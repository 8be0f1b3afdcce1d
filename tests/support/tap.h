/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small TAP 13 producer.  Each TEST runs in a process of its own, with a
 * time limit: a crash or a hang of one is its "not ok", and the rest go on.
 *
 *	TEST(zeroes, "line 1: a fresh mapping reads zero")
 *	{
 *		want_eq(p[0], 0);
 *	}
 *
 * The text starts with the line of the contract that the test proves.  The
 * checks end the test when they fail, from whatever process or thread of it
 * they are called in.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <errno.h>
#include <stdbool.h>

typedef void tap_test(void);

void tap_register(const char *text, unsigned int seconds, tap_test *run);

#define TAP_SECONDS 90

/*
 * How many times slower than a stock kernel's guest this one may be: limits of
 * time are multiplied by it.  TEST_SLOW in the environment, set by the rig.
 */
unsigned int tap_slowness(void);

/*
 * For how many seconds a test lets threads or processes race: TEST_RACE in the
 * environment, or 1.5.  What such a test may take grows by as much.
 */
double tap_race(void);

#define TEST_WITHIN(name, seconds, text) \
	static void name(void); \
	static void __attribute__((constructor)) register_##name(void) \
	{ \
		tap_register(text, seconds, name); \
	} \
	static void name(void)

#define TEST(name, text) TEST_WITHIN(name, TAP_SECONDS, text)

/* What a program may do before its first test and after each of them. */
void tap_setup(void);
void tap_cleanup(void);

/* Only from tap_setup(). */
void tap_skip_all(const char *reason) __attribute__((noreturn));
void tap_bail(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

/* A line of diagnosis below the test's own line. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* End the test. */
void skip(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
void tap_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

/* A child that failed has said so itself: end without another word. */
bool tap_failed(void);

#define fail(...) tap_fail(__FILE__, __LINE__, __VA_ARGS__)

#define want(condition) \
	do { \
		if (!(condition)) \
			fail("got false, want %s", #condition); \
	} while (0)

#define TAP_COMPARE(got, operator, wanted) \
	do { \
		long long got_ = (long long)(got), wanted_ = (long long)(wanted); \
		if (!(got_ operator wanted_)) \
			fail("got %s = %lld, want " #operator " %lld", #got, \
			     got_, wanted_); \
	} while (0)

#define want_eq(got, wanted) TAP_COMPARE(got, ==, wanted)
#define want_ne(got, wanted) TAP_COMPARE(got, !=, wanted)
#define want_le(got, wanted) TAP_COMPARE(got, <=, wanted)
#define want_ge(got, wanted) TAP_COMPARE(got, >=, wanted)

/* For calls that return -1 (or MAP_FAILED) and set errno. */
#define want_ok(call) \
	do { \
		if ((long)(call) == -1) \
			fail("got %s, want success from %s", tap_errno(errno), \
			     #call); \
	} while (0)

#define want_errno(call, error) \
	do { \
		errno = 0; \
		long got_ = (long)(call); \
		int errno_ = errno; \
		if (got_ != -1) \
			fail("got %ld, want %s from %s", got_, \
			     tap_errno(error), #call); \
		if (errno_ != (error)) \
			fail("got %s, want %s from %s", tap_errno(errno_), \
			     tap_errno(error), #call); \
	} while (0)

const char *tap_errno(int error);

#endif /* TESTS_TAP_H */
