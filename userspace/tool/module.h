/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel module, as libkmod knows it. */
#ifndef DROPPABLE_TOOL_MODULE_H
#define DROPPABLE_TOOL_MODULE_H

#include <stdbool.h>
#include <stddef.h>

struct module_info {
	bool installed;		/* for the running kernel */
	bool loaded;
	int users;		/* open descriptors and mappings; -1: unknown */
	char version[32];	/* of the loaded one, else the installed; "" */
};

void module_look(struct module_info *info);

/* Is it installed for some other kernel?  Stores that one's release. */
bool module_elsewhere(char *release, size_t size);

#endif /* DROPPABLE_TOOL_MODULE_H */
