/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net (virtio 1.2, 5.1) on a host tap, or on a stream socket such as passt's. */
#ifndef LUPINE_VIRTIO_NET_H
#define LUPINE_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "event_loop.h"
#include "mem.h"
#include "rate_limiter.h"
#include "virtio_device.h"

#define VIRTIO_NET_PAIRS_MAX 8u

/* Not "_config": that is the name of the device's configuration space in linux/virtio_net.h. */
struct virtio_net_options {
	/* The wire: the first of these that is given. */
	const char *tap; /* name of an existing tap interface */
	const char *socket; /* path of passt's socket */
	int fd; /* an open tap or stream socket, which stays the caller's */

	uint8_t mac[6]; /* the guest's address */
	uint16_t mtu; /* for the guest to use; 0: its own choice */
	/*
	 * By the host's kernel (vhost-net), on a tap without limits. Where the host has none, one
	 * line to report says so, and it is done here.
	 */
	bool vhost;
	virtio_report_fn *report; /* or NULL */
	void *report_context;
	unsigned int queue_pairs; /* 1 (also for 0) to VIRTIO_NET_PAIRS_MAX, tap by name only */
	struct rate_limits rx, tx; /* to and from the guest */
	uint64_t without; /* features that are not offered, nor what needs them */
};

/* On failure -errno, and *why a static string fit to follow "net NAME: ". */
int virtio_net_create(const struct virtio_net_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why);

/* Plugs the cable in or out: the guest is told, and while it is out no packet passes. Any thread.
 */
void virtio_net_set_link(struct virtio_device *device, bool up);

#endif
