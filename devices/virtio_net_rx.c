/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_net_rx.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#define FRAME_USUAL 1518u

void virtio_net_rx_init(struct virtio_net_rx *rx, bool mergeable, bool segments)
{
	rx->mergeable = mergeable;
	rx->want = segments ? NET_PACKET_MAX : NET_HEADER_LEN + FRAME_USUAL;
}

void virtio_net_rx_drop(struct virtio_net_rx *rx)
{
	rx->nr_buffers = rx->nr_iov = 0;
	rx->room = 0;
	rx->waiting = 0;
}

/* Pops buffers until there is @room; without mergeable buffers, one. 0, or -EINVAL. */
static int fill(struct virtio_net_rx *rx, struct virtqueue *vq, uint64_t room)
{
	while (rx->room < room && (rx->mergeable || rx->nr_buffers == 0) &&
	       rx->nr_buffers < VIRTQUEUE_SIZE_MAX && rx->nr_iov < VIRTQUEUE_SIZE_MAX) {
		struct virtqueue_chain *chain = &rx->chain;
		const int got = virtqueue_pop(vq, chain);

		if (got <= 0)
			return got;
		if (chain->nr_out > 0 || chain->in_len < NET_HEADER_LEN ||
		    chain->in_len > UINT32_MAX) {
			vq->error = "receive buffer that cannot hold a header";
			return -EINVAL;
		}
		rx->buffer[rx->nr_buffers].head = chain->head;
		rx->buffer[rx->nr_buffers].nr = chain->nr_in;
		rx->buffer[rx->nr_buffers].len = (uint32_t)chain->in_len;
		rx->nr_buffers++;
		memcpy(rx->iov + rx->nr_iov, chain->iov, sizeof(chain->iov[0]) * chain->nr_in);
		rx->nr_iov += chain->nr_in;
		rx->room += chain->in_len;
	}
	return 0;
}

/* Copies @len bytes into the buffers from their byte @at on. They have room. */
static void put(struct virtio_net_rx *rx, uint64_t at, const uint8_t *from, size_t len)
{
	for (const struct iovec *iov = rx->iov; len > 0; iov++) {
		if (at >= iov->iov_len) {
			at -= iov->iov_len;
			continue;
		}
		const size_t left = iov->iov_len - at;
		const size_t n = left < len ? left : len;

		memcpy((uint8_t *)iov->iov_base + at, from, n);
		from += n;
		len -= n;
		at = 0;
	}
}

/* Hands the driver the packet of @len bytes, which is all in the buffers. */
static void deliver(struct virtio_net_rx *rx, struct virtqueue *vq, uint32_t len)
{
	unsigned int count = 0, segments = 0;
	uint32_t left = len;

	do {
		const uint32_t n = left < rx->buffer[count].len ? left : rx->buffer[count].len;

		virtqueue_push(vq, rx->buffer[count].head, n);
		segments += rx->buffer[count].nr;
		rx->room -= rx->buffer[count].len;
		left -= n;
		count++;
	} while (left > 0);
	/* Back ends leave it alone; 1 also where buffers are not merged (5.1.6.4.1). */
	const uint8_t num_buffers[2] = { (uint8_t)count, (uint8_t)(count >> 8) };
	put(rx, offsetof(struct virtio_net_hdr_v1, num_buffers), num_buffers, sizeof(num_buffers));

	rx->nr_buffers -= count;
	rx->nr_iov -= segments;
	memmove(rx->buffer, rx->buffer + count, sizeof(rx->buffer[0]) * rx->nr_buffers);
	memmove(rx->iov, rx->iov + segments, sizeof(rx->iov[0]) * rx->nr_iov);
}

/* A packet that was larger than its buffers, once there are enough. */
static ssize_t deliver_waiting(struct virtio_net_rx *rx, struct virtqueue *vq)
{
	const uint32_t len = rx->waiting;
	const int err = fill(rx, vq, len);

	if (err)
		return err;
	if (rx->room < len) {
		/* Held as many buffers as can be, and still too small: it cannot be had. */
		if (vq->in_flight == vq->size || rx->nr_buffers == VIRTQUEUE_SIZE_MAX ||
		    rx->nr_iov >= VIRTQUEUE_SIZE_MAX) {
			rx->waiting = 0;
			return len;
		}
		return 0;
	}
	put(rx, rx->placed, rx->spill, (size_t)(len - rx->placed));
	rx->waiting = 0;
	deliver(rx, vq, len);
	return len;
}

ssize_t virtio_net_rx_packet(struct virtio_net_rx *rx, struct virtqueue *vq,
			     struct net_backend *backend)
{
	if (rx->waiting > 0)
		return deliver_waiting(rx, vq);

	const int err = fill(rx, vq, rx->want);
	if (err)
		return err;
	if (rx->nr_buffers == 0)
		return 0;
	const uint64_t spill_len = rx->room < NET_PACKET_MAX ? NET_PACKET_MAX - rx->room : 0;
	rx->iov[rx->nr_iov] = (struct iovec){ rx->spill, spill_len };
	const ssize_t n =
		backend->ops->receive(backend, rx->iov, rx->nr_iov + (spill_len > 0 ? 1 : 0));
	if (n < (ssize_t)NET_HEADER_LEN)
		return -EAGAIN;
	if ((uint64_t)n <= rx->room) {
		deliver(rx, vq, (uint32_t)n);
	} else if (rx->mergeable) {
		rx->waiting = (uint32_t)n;
		rx->placed = rx->room;
		return deliver_waiting(rx, vq);
	}
	/* else: without mergeable buffers one that is too large for its buffer is lost */
	return n;
}
