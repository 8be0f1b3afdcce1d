// SPDX-License-Identifier: GPL-2.0-only
/* See system.h. */
#define _GNU_SOURCE
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "json.h"
#include "tool.h"

static const char *root(void)
{
	const char *root = getenv("DROPPABLE_ROOT");

	return root ? root : "";
}

static bool vrooted(char *buf, const char *format, va_list args)
{
	int used = snprintf(buf, PATH_SIZE, "%s", root());
	int more;

	if (used < 0 || used >= PATH_SIZE)
		return false;
	more = vsnprintf(buf + used, (size_t)(PATH_SIZE - used), format, args);
	return more >= 0 && more < PATH_SIZE - used;
}

bool rooted(char *buf, const char *format, ...)
{
	va_list args;
	bool fits;

	va_start(args, format);
	fits = vrooted(buf, format, args);
	va_end(args);
	return fits;
}

static int read_path(char *buf, size_t size, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;
	int err = 0;

	if (fd < 0)
		return -errno;
	got = read(fd, buf, size - 1);
	if (got < 0)
		err = -errno;
	close(fd);
	if (err)
		return err;
	buf[got] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

int read_line(char *buf, size_t size, const char *format, ...)
{
	char path[PATH_SIZE];
	va_list args;
	bool fits;

	va_start(args, format);
	fits = vrooted(path, format, args);
	va_end(args);
	return fits ? read_path(buf, size, path) : -ENAMETOOLONG;
}

const char *kernel_release(void)
{
	static char release[128];

	if (read_line(release, sizeof(release), "/proc/sys/kernel/osrelease"))
		return "?";
	return release;
}

/* The variable's value is one byte, after four of attributes. */
static bool variable_is_one(const char *name)
{
	char path[PATH_SIZE];
	unsigned char value[5] = { 0 };
	ssize_t got;
	int fd;

	if (!rooted(path, "/sys/firmware/efi/efivars/%s", name))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, value, sizeof(value));
	close(fd);
	return got == sizeof(value) && value[4] == 1;
}

bool secure_boot(void)
{
	char path[PATH_SIZE];
	struct dirent *entry;
	bool on = false;
	DIR *dir;

	if (!rooted(path, "/sys/firmware/efi/efivars"))
		return false;
	dir = opendir(path);
	while (dir && !on && (entry = readdir(dir)))
		on = !strncmp(entry->d_name, "SecureBoot-", 11) &&
		     variable_is_one(entry->d_name);
	if (dir)
		closedir(dir);
	return on;
}

bool module_loaded(void)
{
	char path[PATH_SIZE];

	return rooted(path, "/sys/module/droppable") && !access(path, F_OK);
}

static bool read_total(const char *name, uint64_t *number)
{
	char text[32], *end;

	if (read_line(text, sizeof(text), "/sys/class/misc/droppable/%s", name))
		return false;
	*number = strtoull(text, &end, 10);
	return end != text && !*end;
}

bool read_totals(struct totals *totals)
{
	return read_total("resident", &totals->resident) &&
	       read_total("faults", &totals->counts.faults) &&
	       read_total("dropped", &totals->counts.dropped) &&
	       read_total("refaulted", &totals->counts.refaulted) &&
	       read_total("recycled", &totals->counts.recycled) &&
	       read_total("waits", &totals->counts.waits) &&
	       read_total("pinned", &totals->counts.pinned);
}

void json_counts(const struct counts *counts)
{
	json_number("faults", counts->faults);
	json_number("dropped", counts->dropped);
	json_number("refaulted", counts->refaulted);
	json_number("recycled", counts->recycled);
	json_number("waits", counts->waits);
	json_number("pinned", counts->pinned);
}

int open_device(struct droppable_info *info)
{
	char path[PATH_SIZE];
	int fd, err;

	if (!rooted(path, "%s", DROPPABLE_DEVICE))
		return -ENAMETOOLONG;
	/* O_NONBLOCK: don't wait for a FIFO's other end. */
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	memset(info, 0, sizeof(*info));
	if (ioctl(fd, DROPPABLE_IOC_INFO, info) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int explain_device(int err)
{
	switch (-err) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		complain("there is no %s", DROPPABLE_DEVICE);
		if (module_loaded())
			hint("The module is loaded: is /dev a devtmpfs?  In a container, the device has to be passed in.");
		else
			hint("The module isn't loaded:  sudo droppable load");
		return NO_DEVICE;
	case EACCES:
	case EPERM:
		complain("no permission to open %s", DROPPABLE_DEVICE);
		hint("Everybody may, where the udev rule 60-droppable.rules is installed; or a sandbox forbids it.");
		return NO_PERMISSION;
	case ENOTTY:
		complain("%s is something else than this device",
			 DROPPABLE_DEVICE);
		return FAILED;
	default:
		complain("%s: %s", DROPPABLE_DEVICE, strerror(-err));
		return FAILED;
	}
}

int explain_totals(void)
{
	struct droppable_info info;
	int fd = open_device(&info);

	if (fd < 0)
		return explain_device(fd);
	close(fd);
	complain("/sys/class/misc/droppable isn't there, or not all of it");
	hint("Is /sys mounted?  Or the module that is loaded is older than this program.");
	return FAILED;
}
