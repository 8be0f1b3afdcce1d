// SPDX-License-Identifier: GPL-2.0-only
/* droppable status */
#define _GNU_SOURCE
#include <droppable.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "module.h"
#include "system.h"
#include "tool.h"

struct status {
	struct module_info module;
	struct droppable_info device;
	int device_error;	/* 0, or negative */
	uint64_t promised[2];	/* by the device, natively; 0 if not there */
	bool native;
	bool have_totals;
	struct totals totals;
};

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ DROPPABLE_FEATURE_DROP, "drop" },
	{ DROPPABLE_FEATURE_COUNTER, "counter" },
	{ DROPPABLE_FEATURE_POLL, "poll" },
	{ DROPPABLE_FEATURE_SCRUB, "scrub" },
	{ DROPPABLE_FEATURE_PIN, "pin" },
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

/* What memory of that kind is guaranteed to be; 0 if there is none. */
static uint64_t guarantees(unsigned int flags)
{
	struct droppable *ctx;
	uint64_t mask;

	if (droppable_open(&ctx, flags))
		return 0;
	mask = droppable_guarantees(ctx);
	droppable_close(ctx);
	return mask;
}

static void look(struct status *status)
{
	int fd;

	memset(status, 0, sizeof(*status));
	module_look(&status->module);
	fd = open_device(&status->device);
	if (fd < 0) {
		status->device_error = fd;
	} else {
		close(fd);
		status->promised[0] = guarantees(DROPPABLE_DEVICE_ONLY);
	}
	status->promised[1] = guarantees(DROPPABLE_NATIVE_ONLY);
	status->native = status->promised[1];
	status->have_totals = read_totals(&status->totals);
}

static int exit_status(const struct status *status)
{
	switch (-status->device_error) {
	case 0:
		return DONE;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return NO_DEVICE;
	case EACCES:
	case EPERM:
		return NO_PERMISSION;
	default:
		return FAILED;
	}
}

/* --- for people ----------------------------------------------------------- */

static void print_module(const struct module_info *module)
{
	char other[128];

	printf("module      ");
	if (module->loaded) {
		printf("%s, loaded", *module->version ? module->version : "?");
		if (module->users >= 0)
			printf(", %d in use", module->users);
		putchar('\n');
	} else if (module->installed) {
		printf("%s, installed, not loaded:  sudo droppable load\n",
		       *module->version ? module->version : "?");
	} else if (module_elsewhere(other, sizeof(other))) {
		printf("not installed for this kernel, but for Linux %s: droppable load says more\n",
		       other);
	} else {
		printf("not installed: droppable load says what to do\n");
	}
}

static void print_device(const struct status *status)
{
	printf("device      ");
	if (status->device_error) {
		printf("%s: %s\n", DROPPABLE_DEVICE,
		       status->device_error == -ENOTTY ?
			       "something else" :
			       strerror(-status->device_error));
		return;
	}
	printf("%s, ABI %u, features:", DROPPABLE_DEVICE,
	       status->device.abi);
	for (size_t i = 0; i < FEATURES; i++)
		if (status->device.features & features[i].bit)
			printf(" %s", features[i].name);
	putchar('\n');
}

static void print_totals(const struct status *status)
{
	const struct totals *totals = &status->totals;
	const struct counts *counts = &totals->counts;
	double page = (double)sysconf(_SC_PAGESIZE);

	if (!status->have_totals)
		return;
	printf("resident    %.1f MiB\n",
	       (double)totals->resident * page / (1 << 20));
	printf("since load  %" PRIu64 " faults, %" PRIu64 " dropped, %" PRIu64
	       " refaulted, %" PRIu64 " recycled, %" PRIu64 " waits, %" PRIu64 " pinned\n",
	       counts->faults, counts->dropped, counts->refaulted,
	       counts->recycled, counts->waits, counts->pinned);
}

static void print_guarantees(const struct status *status)
{
	printf("\nguarantee         device  native\n");
	for (int i = 0; i < 64; i++) {
		uint64_t bit = UINT64_C(1) << i;
		const char *name = droppable_guarantee_name(bit);

		if (name)
			printf("%-17s %-7s %s\n", name,
			       status->promised[0] & bit ? "yes" : "-",
			       status->promised[1] & bit ? "yes" : "-");
	}
}

static void print_text(const struct status *status)
{
	printf("kernel      %s\n", kernel_release());
	print_module(&status->module);
	print_device(status);
	printf("native      %s\n", status->native ?
	       "this kernel has MAP_DROPPABLE" :
	       "this kernel has no MAP_DROPPABLE");
	if (!status->module.loaded && secure_boot())
		printf("boot        Secure Boot is on: the module has to be signed\n");
	print_totals(status);
	if (!status->device_error || status->native)
		print_guarantees(status);
}

/* --- for programs --------------------------------------------------------- */

static void json_guarantees(const char *name, uint64_t mask)
{
	json_begin(name, '[');
	for (int i = 0; i < 64; i++) {
		uint64_t bit = UINT64_C(1) << i;

		if ((mask & bit) && droppable_guarantee_name(bit))
			json_string(NULL, droppable_guarantee_name(bit));
	}
	json_end(']');
}

static void json_module(const struct module_info *module)
{
	json_begin("module", '{');
	json_bool("installed", module->installed);
	json_bool("loaded", module->loaded);
	json_string("version", *module->version ? module->version : NULL);
	if (module->users < 0)
		json_null("users");
	else
		json_number("users", (uint64_t)module->users);
	json_end('}');
}

static void json_device(const struct status *status)
{
	json_begin("device", '{');
	json_string("path", DROPPABLE_DEVICE);
	json_bool("usable", !status->device_error);
	json_string("error", status->device_error ?
			     strerror(-status->device_error) : NULL);
	json_number("abi", status->device.abi);
	json_begin("features", '[');
	for (size_t i = 0; i < FEATURES; i++)
		if (status->device.features & features[i].bit)
			json_string(NULL, features[i].name);
	json_end(']');
	json_end('}');
}

static void json_totals(const struct totals *totals)
{
	json_begin("totals", '{');
	json_number("resident", totals->resident);
	json_counts(&totals->counts);
	json_end('}');
}

static void print_json(const struct status *status)
{
	json_begin(NULL, '{');
	json_string("version", DROPPABLE_VERSION);
	json_string("kernel", kernel_release());
	json_module(&status->module);
	json_device(status);
	json_bool("native", status->native);
	json_bool("secure_boot", secure_boot());
	json_number("page_size", (uint64_t)sysconf(_SC_PAGESIZE));
	if (status->have_totals)
		json_totals(&status->totals);
	else
		json_null("totals");
	json_begin("guarantees", '{');
	json_guarantees("device", status->promised[0]);
	json_guarantees("native", status->promised[1]);
	json_end('}');
	json_end('}');
	json_done();
}

static int run(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		HELP_OPTION, { 0 }
	};
	struct status status;
	bool json = false;
	int option;

	while ((option = next_option(argc, argv, "+:jh", longs,
				     &status_command)) != -1) {
		if (option < 0)
			return option == HELPED ? DONE : USAGE;
		json = true;
	}
	if (optind < argc)
		return bad_usage("status", "status takes no '%s'",
				 argv[optind]);
	look(&status);
	if (json)
		print_json(&status);
	else
		print_text(&status);
	return exit_status(&status);
}

const struct command status_command = {
	.name = "status",
	.summary = "the module, the device, what this kernel has, what is guaranteed",
	.help =
"status [--json]\n\n"
"Shows whether the module is installed and loaded, in which version; the device;\n"
"whether this kernel has MAP_DROPPABLE itself; how much droppable memory there is\n"
"and what happened to it since the module was loaded, in pages and events; and\n"
"what either kind of memory guarantees, in libdroppable's words.\n\n"
"  -j, --json  the same as one JSON object; resident in pages\n\n"
"Exit status: 0 the device can be used; 1 it can't, or is something else; 3 there\n"
"is none; 4 no permission.\n",
	.run = run,
};
