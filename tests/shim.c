// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shim, under programs that know nothing of the device: this starts the
 * tests, tests/shim/inside.c, as a dynamic program with the shim preloaded.
 * The guest has no C library; the one that they were linked with comes along.
 */
// vm: --mem 320 --smp 2 --file build/tests/shim.d/inside --file build/tests/shim.d/libdroppable-preload.so --file build/tests/shim.d/ld-linux-x86-64.so.2 --file build/tests/shim.d/libc.so.6 --file build/tests/shim.d/droppable-6.11 --file build/tests/shim.d/droppable-7.3
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *backend = getenv("DROPPABLE_BACKEND");

	(void)argc;
	if (backend && !strcmp(backend, "native")) {
		puts("1..0 # SKIP the shim maps the device");
		return 0;
	}
	mkdir("/lib64", 0755);
	if (symlink("/bin/ld-linux-x86-64.so.2",
		    "/lib64/ld-linux-x86-64.so.2"))
		perror("/lib64/ld-linux-x86-64.so.2");
	setenv("LD_LIBRARY_PATH", "/bin", 1);
	setenv("LD_PRELOAD", "/bin/libdroppable-preload.so", 1);
	execv("/bin/inside", argv);
	perror("/bin/inside");
	return 1;
}
