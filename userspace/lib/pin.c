// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Pins: for code that must have a pointer and can't copy.  Device only. */
#include "internal.h"

#include <errno.h>
#include <sys/ioctl.h>

#include <linux/droppable.h>

int droppable_pin(struct droppable *ctx, void *addr, size_t len,
		  unsigned int flags, uint64_t *pin, size_t *dropped,
		  unsigned char *vec)
{
	struct droppable_pin arg = {
		.addr = (uintptr_t)addr,
		.vec = (uintptr_t)vec,
	};
	int err;

	if (!ctx || !pin || (flags & ~DROPPABLE_PIN_INTACT))
		return -EINVAL;
	err = droppable_check_range(ctx, addr, &len);
	if (err)
		return err;
	if (!(ctx->guarantees & DROPPABLE_G_PIN))
		return -ENOTSUP;
	err = droppable_check_fd(ctx);
	if (err)
		return err;
	arg.len = len;
	if (flags & DROPPABLE_PIN_INTACT)
		arg.flags = DROPPABLE_PIN_WHOLE;
	if (ioctl(ctx->fd, DROPPABLE_IOC_PIN, &arg) < 0)
		return -errno;
	if (dropped)
		*dropped = (size_t)arg.dropped * ctx->page_size;
	if (!arg.id)
		return -ENODATA;
	*pin = arg.id;
	return 0;
}

int droppable_unpin(struct droppable *ctx, uint64_t pin)
{
	struct droppable_unpin arg = { .id = pin };
	int err;

	if (!ctx)
		return -EINVAL;
	if (!(ctx->guarantees & DROPPABLE_G_PIN))
		return -ENOTSUP;
	err = droppable_check_fd(ctx);
	if (err)
		return err;
	return ioctl(ctx->fd, DROPPABLE_IOC_UNPIN, &arg) < 0 ? -errno : 0;
}
