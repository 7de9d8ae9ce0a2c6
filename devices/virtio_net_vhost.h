/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-net device's queue pairs in the hands of vhost-net (net_vhost.h), and what that tells by
 * eventfds: interrupts that need a bit in InterruptStatus, and rings that make no sense.
 *
 * Called with the device's lock held, but for create and destroy.
 */
#ifndef LUPINE_VIRTIO_NET_VHOST_H
#define LUPINE_VIRTIO_NET_VHOST_H

#include "event_loop.h"
#include "virtio_device.h"

struct virtio_net_vhost;

/*
 * A vhost for each of the @nr_pairs pairs of @device, on @taps, descriptors that stay the caller's.
 * All of them or none: -errno and *why, a static string.
 */
int virtio_net_vhost_create(struct virtio_device *device, struct event_loop *loop, const int *taps,
			    unsigned int nr_pairs, struct virtio_net_vhost **vhost,
			    const char **why);
void virtio_net_vhost_destroy(struct virtio_net_vhost *vhost); /* or NULL */

/* DRIVER_OK: takes the queues that run. */
int virtio_net_vhost_start(struct virtio_net_vhost *vhost, bool link_up);
/* Lets packets pass where there is a queue, or nowhere. */
void virtio_net_vhost_switch(struct virtio_net_vhost *vhost, bool on);
/* Takes its hands off one queue. */
void virtio_net_vhost_stop(struct virtio_net_vhost *vhost, unsigned int queue);

#endif
