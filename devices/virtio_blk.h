/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk (virtio 1.2, 5.2) on a raw image file or block device. */
#ifndef LUPINE_VIRTIO_BLK_H
#define LUPINE_VIRTIO_BLK_H

#include <stdbool.h>

#include "event_loop.h"
#include "mem.h"
#include "rate_limiter.h"
#include "virtio_device.h"

#define VIRTIO_BLK_QUEUES_MAX 16u

/* Not "_config": that is the name of the device's configuration space in linux/virtio_blk.h. */
struct virtio_blk_options {
	const char *path;
	bool read_only;
	bool direct; /* past the host's page cache (O_DIRECT) */
	/*
	 * A write is on stable storage when it completes. Otherwise (writeback) when the flush that
	 * follows it does. A driver that knows no flushes gets the former in any case.
	 */
	bool writethrough;
	/*
	 * Requests that come several at once are under way at once, by io_uring; one that comes
	 * alone is done as it is seen, which is faster. Otherwise all are.
	 */
	bool uring;
	bool or_sync; /* without a ring, and reported, where the host allows none */
	virtio_report_fn *report; /* of the making; or NULL */
	void *report_context;
	unsigned int queues; /* 1 (also for 0) to VIRTIO_BLK_QUEUES_MAX: one a vCPU is best */
	struct rate_limits limits;
	uint64_t without; /* features that are not offered */
};

/*
 * Opens the image and makes the device. On failure -errno, and *why a static string fit to follow
 * "disk PATH: " (a directory, not a multiple of 512, read-only without ro, in use by another...).
 */
int virtio_blk_create(const struct virtio_blk_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why);

/*
 * The image's size was changed: the guest is told. A disk that shrank fails requests behind its new
 * end. Any thread. -errno, and a line to the reporter, when the size cannot be read or is no
 * disk's; then nothing changed.
 */
int virtio_blk_resize(struct virtio_device *device);

#endif
