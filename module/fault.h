/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_FAULT_H
#define _DROPPABLE_FAULT_H

#include <linux/types.h>

struct droppable_region;
struct folio;
struct vm_operations_struct;

extern const struct vm_operations_struct droppable_vm_ops;

bool droppable_fault_revives(struct droppable_region *region,
			     struct folio *folio, unsigned long address);

#endif
