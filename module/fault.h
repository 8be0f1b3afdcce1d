/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_FAULT_H
#define _DROPPABLE_FAULT_H

struct vm_operations_struct;

extern const struct vm_operations_struct droppable_vm_ops;

#endif
