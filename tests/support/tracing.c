// SPDX-License-Identifier: GPL-2.0-only
/* See tracing.h. */
#define _GNU_SOURCE
#include "tracing.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "tap.h"

void tracing_start(void)
{
	mkdir(TRACING, 0700);
	if (mount("tracefs", TRACING, "tracefs", 0, NULL))
		skip("tracefs: %s", tap_errno(errno));
	write_file(TRACING "/tracing_on", "1");
}

void tracing_stop(void)
{
	want_ok(umount2(TRACING, MNT_DETACH));
	rmdir(TRACING);
}
