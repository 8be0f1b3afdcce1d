// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded: libkmod and the caller's rights as the test wants them.
 * FAKE_ERROR is what loading and unloading end with, FAKE_UID who asks.
 */
#include <stdlib.h>
#include <sys/types.h>

static int number(const char *name)
{
	const char *text = getenv(name);

	return text ? atoi(text) : 0;
}

int kmod_module_probe_insert_module(void);
int kmod_module_probe_insert_module(void)
{
	return -number("FAKE_ERROR");
}

int kmod_module_remove_module(void);
int kmod_module_remove_module(void)
{
	return -number("FAKE_ERROR");
}

uid_t geteuid(void)
{
	return (uid_t)number("FAKE_UID");
}
