/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive side of a virtio-net queue pair: buffers popped ahead of the packets that will be
 * read straight into them. With mergeable buffers (virtio 1.2, 5.1.6.4) a packet may take several.
 */
#ifndef LUPINE_VIRTIO_NET_RX_H
#define LUPINE_VIRTIO_NET_RX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net_backend.h"
#include "virtqueue.h"

struct virtio_net_rx {
	bool mergeable;
	uint32_t want; /* room to have before a packet is read */

	struct {
		uint16_t head;
		uint16_t nr; /* of its segments in iov */
		uint32_t len;
	} buffer[VIRTQUEUE_SIZE_MAX];
	unsigned int nr_buffers;
	struct iovec iov[2 * VIRTQUEUE_SIZE_MAX + 1]; /* all their segments, and the spill */
	unsigned int nr_iov;
	uint64_t room; /* all their bytes */

	/*
	 * Where a packet ends that is larger than the buffers at hand; it waits for more. Nothing
	 * is lost, and nothing waits for buffers it does not need.
	 */
	uint32_t waiting; /* length of the packet that waits, or 0 */
	uint64_t placed; /* how much of it is in buffers; the rest is in the spill */
	uint8_t spill[NET_PACKET_MAX];
	struct virtqueue_chain chain;
};

void virtio_net_rx_init(struct virtio_net_rx *rx, bool mergeable, bool segments);
/* Forgets the buffers: the queue was stopped. */
void virtio_net_rx_drop(struct virtio_net_rx *rx);

/*
 * Moves one packet from @backend into @vq, not yet published. Its length; 0 when the driver has too
 * few buffers; -EAGAIN when there is no packet (or no wire any more); -EINVAL when the queue is
 * broken.
 */
ssize_t virtio_net_rx_packet(struct virtio_net_rx *rx, struct virtqueue *vq,
			     struct net_backend *backend);

#endif
