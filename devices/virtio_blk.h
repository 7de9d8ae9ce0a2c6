/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk (virtio 1.2, 5.2) on a raw image file or block device. */
#ifndef LUPINE_VIRTIO_BLK_H
#define LUPINE_VIRTIO_BLK_H

#include <stdbool.h>

#include "event_loop.h"
#include "mem.h"
#include "virtio_device.h"

/* Not "_config": that is the name of the device's configuration space in linux/virtio_blk.h. */
struct virtio_blk_options {
	const char *path;
	bool read_only;
};

/*
 * Opens the image and makes the device. On failure -errno, and *why a static string fit to follow
 * "disk PATH: " (a directory, not a multiple of 512, read-only without ro, in use by another...).
 */
int virtio_blk_create(const struct virtio_blk_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why);

#endif
