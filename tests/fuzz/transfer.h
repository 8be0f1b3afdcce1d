/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages that the kernel copies, out of the area and into it. */
#ifndef FUZZ_TRANSFER_H
#define FUZZ_TRANSFER_H

#include <stdint.h>
#include <sys/types.h>

#include "area.h"
#include "op.h"

/* Moves a page between an address and a buffer; what the call returned. */
typedef ssize_t transfer(void *address, uint64_t *buffer, void *data);

/* The copy is checked.  False if the call did not copy all of the page. */
bool transfer_out(unsigned int area, unsigned int page, transfer *copy,
		  void *data);
/* The buffer is stored. */
bool transfer_in(unsigned int area, unsigned int page, transfer *copy,
		 void *data);

/* In a child, on pages of its parent's, whose owner waits for it. */
bool transfer_from_child(pid_t owner, const struct op *op,
			 struct process *parent);

/* A page of ordinary memory of this thread's own, aligned. */
uint64_t *transfer_buffer(void);

#endif /* FUZZ_TRANSFER_H */
