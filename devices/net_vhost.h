/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of a tap served by the host's kernel (vhost-net, Documentation/virt and
 * linux/vhost.h): it takes notifications from an eventfd and interrupts through one, and this
 * process sees no packet. One descriptor serves a pair of queues, receive 0 and transmit 1.
 *
 * All return -errno.
 */
#ifndef LUPINE_NET_VHOST_H
#define LUPINE_NET_VHOST_H

#include <stdint.h>

#include "mem.h"
#include "virtqueue.h"

/* A descriptor; or -errno and *why, a static string: the host has none, or may not be asked. */
int net_vhost_open(const struct guest_mem *mem, const char **why);

/* What was negotiated; while no queue runs. */
int net_vhost_set_features(int vhost, uint64_t negotiated);

struct net_vhost_wires {
	int kick; /* the driver's notifications */
	int call; /* written to for an interrupt */
	int error; /* written to when the rings make no sense */
	int tap;
};

/* From here on the host's kernel works on @vq, which has just been started; it goes on its own. */
int net_vhost_start(int vhost, unsigned int index, const struct virtqueue *vq,
		    const struct net_vhost_wires *wires);
/* Lets no packet pass, and on again: @tap or -1. With -1 it has left the rings and buffers. */
int net_vhost_set_tap(int vhost, unsigned int index, int tap);

#endif
