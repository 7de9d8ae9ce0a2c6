/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_net.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net_tap.h"

enum { QUEUE_RX, QUEUE_TX, NR_QUEUES };

#define HEADER_LEN sizeof(struct virtio_net_hdr_v1)

struct virtio_net {
	struct virtio_device base; /* first: operations are handed this */
	struct event_source tap; /* edge-triggered: readable is told once */
	struct event_loop *loop;
	struct virtio_net_config config;
	struct virtqueue_chain rx; /* the buffer for the next packet, if have_rx */
	bool have_rx;
	struct virtqueue_chain tx;
};

static struct virtio_net *net_of(struct event_source *tap)
{
	return (struct virtio_net *)((char *)tap - offsetof(struct virtio_net, tap));
}

/* Packets from the guest. What the host does not take is lost, as on any wire. */
static int64_t net_serve(struct virtio_device *device, unsigned int queue,
			 struct virtqueue_chain *chain)
{
	const struct virtio_net *net = (struct virtio_net *)device;

	(void)queue;
	if (chain->out_len < HEADER_LEN) {
		virtio_device_fail(device, "packet shorter than its header");
		return 0;
	}
	(void)!writev(net->tap.fd, chain->iov, chain->nr_out);
	return 0;
}

/* The tap leaves num_buffers alone, which a driver may rely on being 1 (5.1.6.4.1). */
static void set_num_buffers(const struct virtqueue_chain *chain, uint16_t value)
{
	size_t at = offsetof(struct virtio_net_hdr_v1, num_buffers);
	const uint8_t bytes[sizeof(value)] = { (uint8_t)value, (uint8_t)(value >> 8) };
	size_t done = 0;

	for (const struct iovec *iov = chain->iov; done < sizeof(bytes); iov++) {
		for (; at < iov->iov_len && done < sizeof(bytes); at++, done++)
			((uint8_t *)iov->iov_base)[at] = bytes[done];
		at -= iov->iov_len;
	}
}

/* Makes sure of a buffer for the next packet. 1, 0 when the driver has none, -EINVAL. */
static int get_rx_buffer(struct virtio_net *net)
{
	struct virtqueue *vq = &net->base.queues[QUEUE_RX];

	if (net->have_rx)
		return 1;
	const int got = virtqueue_pop(vq, &net->rx);
	if (got <= 0)
		return got;
	if (net->rx.nr_out > 0 || net->rx.in_len < HEADER_LEN) {
		vq->error = "receive buffer that cannot hold a header";
		return -EINVAL;
	}
	net->have_rx = true;
	return 1;
}

/*
 * Packets to the guest: until the tap has no more, the driver no more buffers, or the budget is
 * spent. Waiting for the tap ends with its edge, waiting for buffers with a notify.
 */
static void receive(struct virtio_net *net)
{
	struct virtqueue *vq = &net->base.queues[QUEUE_RX];
	uint32_t budget = vq->size;
	int got = 1;

	virtqueue_mute(vq);
	for (;;) {
		ssize_t n = 0;

		while (budget > 0 && (got = get_rx_buffer(net)) > 0) {
			n = readv(net->tap.fd, net->rx.iov, net->rx.nr_in);
			if (n < (ssize_t)HEADER_LEN)
				break;
			set_num_buffers(&net->rx, 1);
			virtqueue_push(vq, net->rx.head, (uint32_t)n);
			net->have_rx = false;
			budget--;
		}
		virtio_device_publish(&net->base, QUEUE_RX);
		if (got < 0) {
			virtio_device_fail_queue(&net->base, QUEUE_RX);
			return;
		}
		if (budget == 0) {
			virtio_device_requeue(&net->base, QUEUE_RX);
			return;
		}
		if (got > 0) /* the tap is empty: stay deaf to new buffers, they are not needed */
			return;
		if (!virtqueue_listen(vq))
			return;
	}
}

static void tap_ready(struct event_source *tap, uint32_t events)
{
	struct virtio_net *net = net_of(tap);

	(void)events;
	pthread_mutex_lock(&net->base.lock);
	virtio_device_notify(&net->base, QUEUE_RX);
	pthread_mutex_unlock(&net->base.lock);
}

static void net_notify(struct virtio_device *device, unsigned int queue)
{
	struct virtio_net *net = (struct virtio_net *)device;

	if (queue == QUEUE_RX)
		receive(net);
	else
		virtio_device_drain(device, QUEUE_TX, &net->tx);
}

/* 5.1.3.1: segmentation needs checksums, ECN needs segmentation. */
static bool net_accept(uint64_t features)
{
	static const struct {
		uint64_t feature, needs_one_of;
	} rules[] = {
#define F(name) (1ull << VIRTIO_NET_F_##name)
		{ F(HOST_TSO4), F(CSUM) },
		{ F(HOST_TSO6), F(CSUM) },
		{ F(HOST_ECN), F(HOST_TSO4) | F(HOST_TSO6) },
		{ F(GUEST_TSO4), F(GUEST_CSUM) },
		{ F(GUEST_TSO6), F(GUEST_CSUM) },
		{ F(GUEST_ECN), F(GUEST_TSO4) | F(GUEST_TSO6) },
#undef F
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if ((features & rules[i].feature) && !(features & rules[i].needs_one_of))
			return false;
	return true;
}

static int net_start(struct virtio_device *device)
{
	struct virtio_net *net = (struct virtio_net *)device;
	const int err = net_tap_set_offloads(net->tap.fd, device->negotiated);

	if (err)
		return err;
	/* Packets that came before now have had their edge. */
	virtio_device_notify(device, QUEUE_RX);
	return 0;
}

static void net_stop_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_net *net = (struct virtio_net *)device;

	if (queue == QUEUE_RX)
		net->have_rx = false;
}

static void net_destroy(struct virtio_device *device)
{
	struct virtio_net *net = (struct virtio_net *)device;

	(void)event_loop_remove(net->loop, &net->tap);
	close(net->tap.fd);
	virtio_device_fini(device);
	free(net);
}

static const struct virtio_device_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.accept = net_accept,
	.start = net_start,
	.notify = net_notify,
	.serve = net_serve,
	.stop_queue = net_stop_queue,
	.destroy = net_destroy,
};

int virtio_net_create(const struct virtio_net_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why)
{
	struct virtio_net *net = calloc(1, sizeof(*net));
	int err;

	*why = "out of memory";
	if (!net)
		return -ENOMEM;
	err = net_tap_open(options->tap, why);
	if (err < 0)
		goto free_net;
	net->tap = (struct event_source){ .fd = err, .ready = tap_ready };
	err = virtio_device_init(&net->base, &net_ops, mem, NR_QUEUES);
	if (err)
		goto close_tap;

	snprintf(net->base.name, sizeof(net->base.name), "net %s", options->tap);
	memcpy(net->config.mac, options->mac, sizeof(net->config.mac));
	net->base.config = &net->config;
	net->base.config_len = sizeof(net->config);
	net->base.offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			    1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_NET_F_MAC |
			    1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN |
			    1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			    1ull << VIRTIO_NET_F_GUEST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_ECN;
	net->loop = loop;
	err = event_loop_add(loop, &net->tap, EPOLLIN | EPOLLET);
	if (err) {
		*why = "cannot be waited for";
		goto fini;
	}
	*device = &net->base;
	return 0;

fini:
	virtio_device_fini(&net->base);
close_tap:
	close(net->tap.fd);
free_net:
	free(net);
	return err;
}
