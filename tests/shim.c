// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shim, under programs that know nothing of the device: this starts the
 * tests, tests/shim/inside.c, as a dynamic program with the shim preloaded.
 * The guest has no C library; the one that they were linked with comes along.
 */
// vm: --mem 320 --smp 2 --file build/tests/dynamic.tar
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *backend = getenv("DROPPABLE_BACKEND");

	(void)argc;
	if (backend && !strcmp(backend, "native")) {
		puts("1..0 # SKIP the shim maps the device");
		return 0;
	}
	if (system("tar -xf /bin/dynamic.tar -C /")) {
		puts("Bail out! dynamic.tar is not to be unpacked");
		return 1;
	}
	setenv("LD_PRELOAD", "/lib/libdroppable-preload.so", 1);
	execv("/bin/inside", argv);
	perror("/bin/inside");
	return 1;
}
