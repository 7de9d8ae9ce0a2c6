/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net (virtio 1.2, 5.1) on a host tap. */
#ifndef LUPINE_VIRTIO_NET_H
#define LUPINE_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "event_loop.h"
#include "mem.h"
#include "virtio_device.h"

/* Not "_config": that is the name of the device's configuration space in linux/virtio_net.h. */
struct virtio_net_options {
	const char *tap; /* name of an existing tap interface */
	uint8_t mac[6]; /* the guest's address */
};

/* On failure -errno, and *why a static string fit to follow "net NAME: ". */
int virtio_net_create(const struct virtio_net_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why);

#endif
