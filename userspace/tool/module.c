// SPDX-License-Identifier: GPL-2.0-only
/* droppable load, droppable unload; see module.h. */
#define _GNU_SOURCE
#include "module.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <libkmod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "processes.h"
#include "system.h"
#include "tool.h"

#define NAME "droppable"

/* Its own messages would say the same again, in fewer words. */
static void silent(void *data, int priority, const char *file, int line,
		   const char *function, const char *format, va_list args)
{
	(void)data;
	(void)priority;
	(void)file;
	(void)line;
	(void)function;
	(void)format;
	(void)args;
}

/*
 * @file: the one installed for the running kernel, or NULL.  @any: whatever
 * has that name, loaded or not.  Both are to be unreferenced.
 */
static struct kmod_ctx *open_kmod(struct kmod_module **file,
				  struct kmod_module **any)
{
	struct kmod_list *list = NULL;
	char dir[PATH_SIZE];
	struct kmod_ctx *ctx;

	*file = *any = NULL;
	if (!rooted(dir, "/lib/modules/%s", kernel_release()))
		return NULL;
	ctx = kmod_new(dir, NULL);
	if (!ctx)
		return NULL;
	kmod_set_log_fn(ctx, silent, NULL);
	if (!kmod_module_new_from_lookup(ctx, NAME, &list) && list)
		*file = kmod_module_get_module(list);
	kmod_module_unref_list(list);
	if (*file && !kmod_module_get_path(*file)) {
		kmod_module_unref(*file);
		*file = NULL;
	}
	if (kmod_module_new_from_name(ctx, NAME, any) < 0)
		*any = NULL;
	return ctx;
}

static void close_kmod(struct kmod_ctx *ctx, struct kmod_module *file,
		       struct kmod_module *any)
{
	kmod_module_unref(file);
	kmod_module_unref(any);
	kmod_unref(ctx);
}

static void version_of_file(struct kmod_module *file, char *version,
			    size_t size)
{
	struct kmod_list *list = NULL, *item;

	if (kmod_module_get_info(file, &list) < 0)
		return;
	kmod_list_foreach(item, list)
		if (!strcmp(kmod_module_info_get_key(item), "version"))
			snprintf(version, size, "%s",
				 kmod_module_info_get_value(item));
	kmod_module_info_free_list(list);
}

void module_look(struct module_info *info)
{
	struct kmod_module *file, *any;
	struct kmod_ctx *ctx = open_kmod(&file, &any);
	char users[16];

	memset(info, 0, sizeof(*info));
	info->users = -1;
	info->loaded = module_loaded();
	info->installed = file;
	if (info->loaded) {
		read_line(info->version, sizeof(info->version),
			  "/sys/module/" NAME "/version");
		if (!read_line(users, sizeof(users),
			       "/sys/module/" NAME "/refcnt"))
			info->users = atoi(users);
	} else if (file) {
		version_of_file(file, info->version, sizeof(info->version));
	}
	close_kmod(ctx, file, any);
}

bool module_elsewhere(char *release, size_t size)
{
	static const char *const places[] = { "updates/dkms", "updates", "extra",
					      "kernel/drivers/misc" };
	const char *running = kernel_release();
	bool found = false;

	for (size_t i = 0; i < 4 && !found; i++) {
		char pattern[PATH_SIZE];
		glob_t files;

		if (!rooted(pattern, "/lib/modules/*/%s/" NAME ".ko*",
			    places[i]) ||
		    glob(pattern, 0, NULL, &files))
			continue;
		for (size_t j = 0; j < files.gl_pathc && !found; j++) {
			char *name = strstr(files.gl_pathv[j], "/lib/modules/") +
				     strlen("/lib/modules/");

			name[strcspn(name, "/")] = '\0';
			found = strcmp(name, running);
			if (found)
				snprintf(release, size, "%s", name);
		}
		globfree(&files);
	}
	return found;
}

/* --- what is wrong -------------------------------------------------------- */

static bool exists(const char *path)
{
	char buf[PATH_SIZE];

	return rooted(buf, "%s", path) && !access(buf, F_OK);
}

/* 0 in range, -1 too old, 1 too new. */
static int kernel_range(void)
{
	int major, minor;

	if (sscanf(kernel_release(), "%d.%d", &major, &minor) != 2)
		return 0;
	if (major < 5 || (major == 5 && minor < 10))
		return -1;
	return major > 7 || (major == 7 && minor > 3);
}

static int explain_missing(void)
{
	const char *running = kernel_release();
	char other[128], path[PATH_SIZE];

	complain("the module is not installed for Linux %s", running);
	if (module_elsewhere(other, sizeof(other)))
		hint("It is for Linux %s.", other);
	switch (kernel_range()) {
	case -1:
		hint("Linux before 5.10 is older than it supports.");
		return FAILED;
	case 1:
		hint("Linux after 7.3 is newer than it was tested on. To try it all the same:");
		hint("droppable(4), NEWER KERNELS");
		return FAILED;
	}
	snprintf(path, sizeof(path), "/lib/modules/%s/build/Makefile", running);
	if (!exists(path)) {
		hint("It can't be built without this kernel's headers:");
		hint("  apt-get install linux-headers-%s     (Fedora: dnf install kernel-devel-%s)",
		     running, running);
	}
	if (exists("/var/lib/dkms/" NAME)) {
		hint("DKMS knows it, and builds it by:");
		hint("  sudo dkms autoinstall -k %s", running);
	} else {
		hint("Install it:  sudo make install, or the package droppable-dkms");
	}
	return FAILED;
}

static const char *machine_key(void)
{
	/* Ubuntu's DKMS signs with the one that its installer made, if it did. */
	return exists("/var/lib/shim-signed/mok/MOK.der") ?
		       "/var/lib/shim-signed/mok/MOK.der" :
		       "/var/lib/dkms/mok.pub";
}

static void explain_secure_boot(void)
{
	hint("Secure Boot is on, and the kernel loads no module that is signed with a key it");
	hint("does not know. Enrol the key of this machine's DKMS:");
	hint("  sudo mokutil --import %s     (choose a password)", machine_key());
	hint("  reboot, choose 'Enroll MOK' in the blue screen, type the password");
	hint("  sudo droppable load");
}

static int explain_permission(void)
{
	char text[16];

	if (geteuid()) {
		complain("only root may do that");
		hint("sudo droppable load");
		return NO_PERMISSION;
	}
	complain("the kernel refuses to load any module");
	if (!read_line(text, sizeof(text), "/proc/sys/kernel/modules_disabled") &&
	    !strcmp(text, "1"))
		hint("kernel.modules_disabled is 1; only a reboot changes that.");
	else if (secure_boot())
		explain_secure_boot();
	else
		hint("In a container, or under a lockdown, that is for the host to do.");
	return NO_PERMISSION;
}

/* @err: of kmod_module_probe_insert_module(), negative. */
static int explain_load(int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		return explain_permission();
	case EKEYREJECTED:
	case ENOKEY:
	case EBADMSG:
	case EKEYREVOKED:
	case EKEYEXPIRED:
		complain("the kernel does not accept the module's signature: %s",
			 strerror(-err));
		if (secure_boot())
			explain_secure_boot();
		else
			hint("This kernel wants modules signed (module.sig_enforce, or a lockdown).");
		return FAILED;
	case ENOEXEC:
	case ENOENT:
		complain("the module that is installed was not built for this Linux %s: %s",
			 kernel_release(), strerror(-err));
		hint("Build it anew:  sudo dkms build --force droppable/%s && sudo dkms install --force droppable/%s",
		     DROPPABLE_VERSION, DROPPABLE_VERSION);
		return FAILED;
	default:
		complain("the module did not load: %s", strerror(-err));
		hint("dmesg may say more.");
		return FAILED;
	}
}

/* --- load ----------------------------------------------------------------- */

/* udev or devtmpfs makes it: at once, or a little later. */
static int wait_for_device(void)
{
	struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	struct droppable_info info;
	int fd = -ENOENT;

	for (int i = 0; i < 100 && fd == -ENOENT; i++) {
		if (i)
			nanosleep(&pause, NULL);
		fd = open_device(&info);
	}
	if (fd < 0)
		return explain_device(fd);
	close(fd);
	printf(DROPPABLE_DEVICE " is ready\n");
	return DONE;
}

static int load(void)
{
	struct kmod_module *file, *any;
	struct kmod_ctx *ctx = open_kmod(&file, &any);
	int err, status;

	if (!ctx) {
		complain("libkmod does not start: %s", strerror(errno));
		return FAILED;
	}
	if (!file) {
		status = explain_missing();
	} else {
		err = kmod_module_probe_insert_module(file, 0, NULL, NULL, NULL,
						      NULL);
		status = err < 0 && err != -EEXIST ? explain_load(err) :
						     wait_for_device();
	}
	close_kmod(ctx, file, any);
	return status;
}

static const struct option only_help[] = { HELP_OPTION, { 0 } };

/* No options but --help, no words. */
static int nothing_more(int argc, char **argv, const struct command *command,
			int *status)
{
	int option = next_option(argc, argv, "+:h", only_help, command);

	*status = DONE;
	if (option == MISUSED)
		*status = USAGE;
	else if (option != HELPED && optind < argc)
		*status = bad_usage(command->name, "%s takes no '%s'",
				    command->name, argv[optind]);
	return option != HELPED && *status == DONE;
}

static int run_load(int argc, char **argv)
{
	int status;

	if (!nothing_more(argc, argv, &load_command, &status))
		return status;
	if (module_loaded()) {
		printf("the module is loaded already\n");
		return wait_for_device();
	}
	return load();
}

const struct command load_command = {
	.name = "load",
	.summary = "load the module (root)",
	.help =
"load\n\n"
"Loads the kernel module, and waits for /dev/droppable. If it can't be loaded,\n"
"says what is wrong and what to do: module missing or built for another kernel,\n"
"Secure Boot, no right. Does nothing if it is loaded already.\n\n"
"Needs root.\n",
	.run = run_load,
};

/* --- unload --------------------------------------------------------------- */

static int explain_busy(void)
{
	struct process *list;
	size_t count = 0, hidden = 0;

	complain("the module is in use");
	list = processes_find(&count, &hidden);
	for (size_t i = 0; i < count && i < 10; i++)
		hint("%8d  %s", (int)list[i].pid, list[i].name);
	if (count > 10)
		hint("          and %zu more", count - 10);
	if (hidden)
		hint("(%zu processes may not be looked at)", hidden);
	free(list);
	hint("It can be unloaded when they have ended.");
	return FAILED;
}

static int explain_unload(int err)
{
	switch (-err) {
	case EBUSY:
	case EAGAIN:
		return explain_busy();
	case EPERM:
	case EACCES:
		complain("only root may do that");
		hint("sudo droppable unload");
		return NO_PERMISSION;
	default:
		complain("the module was not unloaded: %s", strerror(-err));
		return FAILED;
	}
}

static int run_unload(int argc, char **argv)
{
	struct kmod_module *file, *any;
	struct kmod_ctx *ctx;
	int err = -ENOENT, status;

	if (!nothing_more(argc, argv, &unload_command, &status))
		return status;
	ctx = module_loaded() ? open_kmod(&file, &any) : NULL;
	if (!ctx) {
		printf("the module is not loaded\n");
		return DONE;
	}
	if (any)
		err = kmod_module_remove_module(any, 0);
	close_kmod(ctx, file, any);
	return err < 0 ? explain_unload(err) : DONE;
}

const struct command unload_command = {
	.name = "unload",
	.summary = "unload the module (root)",
	.help =
"unload\n\n"
"Unloads the kernel module. As long as a process has the device open or mapped\n"
"that is refused, and those processes are listed. Does nothing if it isn't\n"
"loaded.\n\n"
"Needs root.\n",
	.run = run_unload,
};
