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

#include "net_backend.h"
#include "virtio_net_rx.h"
#include "virtio_net_vhost.h"

/* Queues: receive 0, transmit 0, receive 1, ...; with several pairs a control queue at the end. */
struct pair {
	struct event_source source; /* first: the handler is handed this */
	struct virtio_net *net;
	unsigned int index;
	struct net_backend *backend;
	bool gone; /* the other end, and that was said */
	struct virtio_net_rx rx;
};

struct virtio_net {
	struct virtio_device base; /* first: operations are handed this */
	struct event_loop *loop;
	struct virtio_net_config config;
	struct rate_limiter rx_limiter, tx_limiter;
	struct virtqueue_chain chain; /* the packet or command at hand */
	struct virtio_net_vhost *vhost; /* who serves the pairs' queues; or NULL: we do */
	unsigned int nr_pairs;
	struct pair pairs[];
};

#define BIT(name) (1ull << VIRTIO_NET_F_##name)

static bool is_control(const struct virtio_net *net, unsigned int queue)
{
	/* Without MQ negotiated it is the third (5.1.2), where the second pair would be. */
	const unsigned int pairs =
		virtio_device_has(&net->base, VIRTIO_NET_F_MQ) ? net->nr_pairs : 1;

	return queue == 2 * pairs && virtio_device_has(&net->base, VIRTIO_NET_F_CTRL_VQ);
}

static bool link_up(const struct virtio_net *net)
{
	return (net->config.status & VIRTIO_NET_S_LINK_UP) != 0;
}

/* A packet from the guest. What the host does not take is lost, as on any wire. */
static void transmit(struct virtio_net *net, struct net_backend *backend,
		     const struct virtqueue_chain *chain)
{
	if (chain->out_len < NET_HEADER_LEN) {
		virtio_device_fail(&net->base, "packet shorter than its header");
		return;
	}
	rate_limiter_charge(&net->tx_limiter, chain->out_len - NET_HEADER_LEN);
	if (link_up(net))
		backend->ops->send(backend, chain->iov, chain->nr_out, (size_t)chain->out_len);
}

/* Steers packets to the first @count pairs. */
static bool use_pairs(struct virtio_net *net, unsigned int count)
{
	bool ok = true;

	for (unsigned int i = 0; i < net->nr_pairs && net->nr_pairs > 1; i++) {
		struct net_backend *backend = net->pairs[i].backend;

		ok = backend->ops->enable(backend, i < count) == 0 && ok;
	}
	return ok;
}

/* A command (5.1.6.5): class, number, data; answered with one byte. */
static int64_t control(struct virtio_net *net, struct virtqueue_chain *chain)
{
	uint8_t *ack = virtqueue_chain_take_last(chain);
	struct virtio_net_ctrl_hdr header;
	uint16_t count;

	if (!ack || !virtqueue_chain_take(chain, &header, sizeof(header))) {
		virtio_device_fail(&net->base, "command without room for header and answer");
		return 0;
	}
	*ack = VIRTIO_NET_ERR;
	if (header.class == VIRTIO_NET_CTRL_MQ && header.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET &&
	    virtio_device_has(&net->base, VIRTIO_NET_F_MQ) &&
	    virtqueue_chain_take(chain, &count, sizeof(count)) && count >= 1 &&
	    count <= net->nr_pairs && use_pairs(net, count))
		*ack = VIRTIO_NET_OK;
	return chain->in_len == 0;
}

static int64_t net_serve(struct virtio_device *device, unsigned int queue,
			 struct virtqueue_chain *chain)
{
	struct virtio_net *net = (struct virtio_net *)device;

	if (is_control(net, queue))
		return control(net, chain);
	transmit(net, net->pairs[queue / 2].backend, chain);
	return 0;
}

static bool net_ready(struct virtio_device *device, unsigned int queue)
{
	struct virtio_net *net = (struct virtio_net *)device;

	if (is_control(net, queue))
		return true;
	struct net_backend *backend = net->pairs[queue / 2].backend;
	return rate_limiter_ready(&net->tx_limiter) &&
	       (!backend->ops->can_send || backend->ops->can_send(backend));
}

/* Once: it does not come back. */
static void say_gone(struct pair *pair)
{
	if (!pair->gone)
		virtio_device_say(
			&pair->net->base,
			pair->backend->dead == -EPROTO
				? "the other end sends what is no packet: it is left alone"
				: "the other end is gone: no packet passes");
	pair->gone = true;
}

/*
 * Packets to the guest: until the wire has no more, the driver no more buffers, or the budget is
 * spent. Waiting for the wire ends with its edge, waiting for buffers with a notify.
 */
static void receive(struct virtio_net *net, struct pair *pair)
{
	const unsigned int queue = 2 * pair->index;
	struct virtqueue *vq = &net->base.queues[queue];
	uint32_t budget = vq->size;

	if (!link_up(net))
		return;
	virtqueue_mute(vq);
	do {
		ssize_t n = -EAGAIN;

		while (budget > 0 && rate_limiter_ready(&net->rx_limiter) &&
		       (n = virtio_net_rx_packet(&pair->rx, vq, pair->backend)) > 0) {
			rate_limiter_charge(&net->rx_limiter, (uint64_t)n - NET_HEADER_LEN);
			budget--;
		}
		virtio_device_publish(&net->base, queue);
		if (n == -EINVAL)
			virtio_device_fail_queue(&net->base, queue);
		if (budget == 0)
			virtio_device_requeue(&net->base, queue);
		if (pair->backend->dead)
			say_gone(pair);
		if (n != 0) /* the driver's new buffers are not needed to go on: stay deaf */
			return;
	} while (virtqueue_listen(vq));
}

static void net_notify(struct virtio_device *device, unsigned int queue)
{
	struct virtio_net *net = (struct virtio_net *)device;

	if (net->vhost && !is_control(net, queue)) {
		if (queue / 2 < net->nr_pairs)
			virtio_device_requeue(device, queue); /* vhost waits for it */
		return;
	}
	if (queue % 2 == 1 || is_control(net, queue))
		virtio_device_drain(device, queue, &net->chain);
	else if (queue / 2 < net->nr_pairs)
		receive(net, &net->pairs[queue / 2]);
	/* A command broke a rule: the other queues are not served either. */
	if (net->vhost && !virtio_device_live(device))
		virtio_net_vhost_switch(net->vhost, false);
}

static void wire_ready(struct event_source *source, uint32_t events)
{
	struct pair *pair = (struct pair *)source;
	struct virtio_device *device = &pair->net->base;

	pthread_mutex_lock(&device->lock);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		virtio_device_notify(device, 2 * pair->index);
	if (events & EPOLLOUT)
		virtio_device_notify(device, 2 * pair->index + 1);
	if (events & (EPOLLHUP | EPOLLERR))
		say_gone(pair);
	pthread_mutex_unlock(&device->lock);
}

static void notify_all(struct virtio_net *net)
{
	for (unsigned int i = 0; i < 2 * net->nr_pairs; i++)
		virtio_device_notify(&net->base, i);
}

static void refilled(void *context)
{
	struct virtio_net *net = context;

	pthread_mutex_lock(&net->base.lock);
	notify_all(net);
	pthread_mutex_unlock(&net->base.lock);
}

/* Of @features those that lack what they need: checksums for segmentation, ... (5.1.3.1) */
static uint64_t unmet(uint64_t features)
{
	static const struct {
		uint64_t feature, needs_one_of;
	} rules[] = {
		{ BIT(HOST_TSO4), BIT(CSUM) },
		{ BIT(HOST_TSO6), BIT(CSUM) },
		{ BIT(HOST_ECN), BIT(HOST_TSO4) | BIT(HOST_TSO6) },
		{ BIT(GUEST_TSO4), BIT(GUEST_CSUM) },
		{ BIT(GUEST_TSO6), BIT(GUEST_CSUM) },
		{ BIT(GUEST_ECN), BIT(GUEST_TSO4) | BIT(GUEST_TSO6) },
		{ BIT(MQ), BIT(CTRL_VQ) },
	};

	uint64_t lacking = 0;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (!(features & rules[i].needs_one_of))
			lacking |= features & rules[i].feature;
	return lacking;
}

static bool net_accept(uint64_t features)
{
	return unmet(features) == 0;
}

static int net_start(struct virtio_device *device)
{
	struct virtio_net *net = (struct virtio_net *)device;
	const bool mergeable = virtio_device_has(device, VIRTIO_NET_F_MRG_RXBUF);
	const bool segments = (device->negotiated & (BIT(GUEST_TSO4) | BIT(GUEST_TSO6))) != 0;

	for (unsigned int i = 0; i < net->nr_pairs; i++) {
		struct net_backend *backend = net->pairs[i].backend;
		const int err = backend->ops->set_offloads(backend, device->negotiated);

		if (err)
			return err;
		virtio_net_rx_init(&net->pairs[i].rx, mergeable, segments);
	}
	const int err = net->vhost ? virtio_net_vhost_start(net->vhost, link_up(net)) : 0;
	if (err)
		return err;
	if (!use_pairs(net, 1))
		return -EIO;
	notify_all(net); /* packets that came before now have had their edge */
	return 0;
}

static void net_stop_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_net *net = (struct virtio_net *)device;

	if (queue / 2 >= net->nr_pairs)
		return;
	if (net->vhost)
		virtio_net_vhost_stop(net->vhost, queue);
	if (queue % 2 == 0)
		virtio_net_rx_drop(&net->pairs[queue / 2].rx);
}

static void net_refresh(struct virtio_device *device)
{
	struct net_backend *backend = ((struct virtio_net *)device)->pairs[0].backend;

	if (backend->ops->is_up)
		virtio_net_set_link(device, backend->ops->is_up(backend));
}

static bool net_served_elsewhere(const struct virtio_device *device, unsigned int queue)
{
	const struct virtio_net *net = (const struct virtio_net *)device;

	return net->vhost && queue / 2 < net->nr_pairs;
}

static void net_destroy(struct virtio_device *device)
{
	struct virtio_net *net = (struct virtio_net *)device;

	virtio_net_vhost_destroy(net->vhost);
	for (unsigned int i = 0; i < net->nr_pairs && net->pairs[i].backend; i++) {
		(void)event_loop_remove(net->loop, &net->pairs[i].source);
		net->pairs[i].backend->ops->close(net->pairs[i].backend);
	}
	rate_limiter_fini(&net->rx_limiter);
	rate_limiter_fini(&net->tx_limiter);
	virtio_device_fini(device);
	free(net);
}

static const struct virtio_device_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.accept = net_accept,
	.start = net_start,
	.notify = net_notify,
	.serve = net_serve,
	.ready = net_ready,
	.refresh = net_refresh,
	.served_elsewhere = net_served_elsewhere,
	.stop_queue = net_stop_queue,
	.destroy = net_destroy,
};

static int open_backend(const struct virtio_net_options *options, bool multi_queue,
			struct net_backend **backend, const char **why)
{
	if (options->tap)
		return net_tap_open(options->tap, multi_queue, backend, why);
	if (multi_queue) {
		*why = "can have several queues only as a tap given by name";
		return -EINVAL;
	}
	if (options->socket)
		return net_stream_connect(options->socket, backend, why);
	return net_tap_adopt(options->fd, backend, why) == 0
		       ? 0
		       : net_stream_adopt(options->fd, backend, why);
}

static int open_pair(struct virtio_net *net, unsigned int index,
		     const struct virtio_net_options *options, const char **why)
{
	struct pair *pair = &net->pairs[index];
	const int err = open_backend(options, net->nr_pairs > 1, &pair->backend, why);

	if (err)
		return err;
	pair->net = net;
	pair->index = index;
	pair->source = (struct event_source){ pair->backend->fd, wire_ready };
	return 0;
}

/* Where the host has none, packets go through us. */
static void open_vhost(struct virtio_net *net, const struct virtio_net_options *options)
{
	int taps[VIRTIO_NET_PAIRS_MAX];
	char line[256];
	const char *why;

	for (unsigned int i = 0; i < net->nr_pairs; i++)
		taps[i] = net->pairs[i].backend->fd;
	if (virtio_net_vhost_create(&net->base, net->loop, taps, net->nr_pairs, &net->vhost,
				    &why) == 0 ||
	    !options->report)
		return;
	snprintf(line, sizeof(line), "net %s: %s: its packets go through this process",
		 options->tap ? options->tap : "(inherited)", why);
	options->report(options->report_context, line);
}

static int open_wires(struct virtio_net *net, const struct virtio_net_options *options,
		      const char **why)
{
	const struct rate_limit *limits[] = { &options->rx.bytes, &options->rx.ops,
					      &options->tx.bytes, &options->tx.ops };
	int err = 0;

	for (unsigned int i = 0; i < net->nr_pairs && !err; i++)
		err = open_pair(net, i, options, why);
	if (err)
		return err;
	if (options->vhost) {
		*why = "can have vhost=on only on a tap, and without limits";
		for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
			if (limits[i]->rate || !net->pairs[0].backend->tap)
				return -EINVAL;
		open_vhost(net, options);
	}
	*why = "cannot be waited for";
	for (unsigned int i = 0; i < net->nr_pairs && !err && !net->vhost; i++)
		err = event_loop_add(net->loop, &net->pairs[i].source,
				     net->pairs[i].backend->events | EPOLLET);
	return err;
}

static void describe(struct virtio_net *net, const struct virtio_net_options *options)
{
	struct virtio_device *base = &net->base;

	snprintf(base->name, sizeof(base->name), "net %s",
		 options->tap	   ? options->tap
		 : options->socket ? options->socket
				   : "(inherited)");
	memcpy(net->config.mac, options->mac, sizeof(net->config.mac));
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.max_virtqueue_pairs = (uint16_t)net->nr_pairs;
	net->config.mtu = options->mtu;
	base->config = &net->config;
	base->config_len = offsetof(struct virtio_net_config, mtu) + sizeof(net->config.mtu);
	base->offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_QUIET_INTERRUPTS |
			1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
			BIT(MAC) | BIT(STATUS) | BIT(MRG_RXBUF) | net->pairs[0].backend->features;
	/* A queue that starts after DRIVER_OK is noticed by its first notification; not by vhost.
	 */
	if (!net->vhost)
		base->offered |= 1ull << VIRTIO_F_RING_RESET;
	if (options->mtu)
		base->offered |= BIT(MTU);
	/* A control queue costs the boot a few exits: only where it has a use. */
	if (net->nr_pairs > 1)
		base->offered |= BIT(CTRL_VQ) | BIT(MQ);
	base->offered &= ~options->without;
	/* See virtio_net_vhost_start(). */
	if (net->vhost && !(base->offered & 1ull << VIRTIO_RING_F_EVENT_IDX))
		base->offered &= ~(1ull << VIRTIO_F_QUIET_INTERRUPTS);
	while (unmet(base->offered))
		base->offered &= ~unmet(base->offered);
	if (!(base->offered & BIT(MQ))) /* all that commands are for */
		base->offered &= ~BIT(CTRL_VQ);
}

int virtio_net_create(const struct virtio_net_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why)
{
	const unsigned int nr_pairs = options->queue_pairs ? options->queue_pairs : 1;
	struct virtio_net *net;
	int err;

	if (nr_pairs > VIRTIO_NET_PAIRS_MAX) {
		*why = "cannot have so many queues";
		return -EINVAL;
	}
	*why = "out of memory";
	net = calloc(1, sizeof(*net) + nr_pairs * sizeof(net->pairs[0]));
	if (!net)
		return -ENOMEM;
	net->loop = loop;
	net->nr_pairs = nr_pairs;
	net->rx_limiter.timer.fd = net->tx_limiter.timer.fd = -1;
	err = virtio_device_init(&net->base, &net_ops, mem, nr_pairs > 1 ? 2 * nr_pairs + 1 : 2);
	if (err) {
		free(net);
		return err;
	}
	*why = "has no timer for its rate limit";
	err = rate_limiter_init(&net->rx_limiter, &options->rx, loop, refilled, net);
	if (!err)
		err = rate_limiter_init(&net->tx_limiter, &options->tx, loop, refilled, net);
	if (!err)
		err = open_wires(net, options, why);
	if (err) {
		net_destroy(&net->base);
		return err;
	}
	describe(net, options);
	*device = &net->base;
	return 0;
}

void virtio_net_set_link(struct virtio_device *device, bool up)
{
	struct virtio_net *net = (struct virtio_net *)device;

	pthread_mutex_lock(&device->lock);
	if (up != link_up(net)) {
		net->config.status = up ? VIRTIO_NET_S_LINK_UP : 0;
		/* vhost first: it sets a ring's flags as it begins, and the change is one. */
		if (net->vhost)
			virtio_net_vhost_switch(net->vhost, up);
		virtio_device_config_changed(device);
		notify_all(net);
	}
	pthread_mutex_unlock(&device->lock);
}
