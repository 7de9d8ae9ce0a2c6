/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_net_vhost.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net_vhost.h"

/* Something vhost tells us, by an eventfd. */
struct signal {
	struct event_source source; /* first: the handler is handed this */
	struct virtio_net_vhost *vhost;
};

struct virtio_net_vhost {
	struct virtio_device *device;
	struct signal call, error;
	unsigned int nr_pairs;
	struct {
		int fd, tap;
	} pairs[];
};

static void called(struct event_source *source, uint32_t events)
{
	struct virtio_device *device = ((struct signal *)source)->vhost->device;

	(void)events;
	pthread_mutex_lock(&device->lock);
	if (virtio_device_live(device))
		virtio_device_interrupt(device);
	pthread_mutex_unlock(&device->lock);
}

static void failed(struct event_source *source, uint32_t events)
{
	struct virtio_net_vhost *vhost = ((struct signal *)source)->vhost;
	struct virtio_device *device = vhost->device;

	(void)events;
	pthread_mutex_lock(&device->lock);
	if (virtio_device_live(device)) {
		virtio_net_vhost_switch(vhost, false);
		virtio_device_fail(device, "vhost: rings or buffers that make no sense");
	}
	pthread_mutex_unlock(&device->lock);
}

static int listen_to(struct virtio_net_vhost *vhost, struct event_loop *loop, struct signal *signal,
		     void (*ready)(struct event_source *source, uint32_t events))
{
	signal->vhost = vhost;
	signal->source = (struct event_source){ eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ready };
	if (signal->source.fd < 0)
		return -errno;
	return event_loop_add(loop, &signal->source, EPOLLIN | EPOLLET);
}

int virtio_net_vhost_create(struct virtio_device *device, struct event_loop *loop, const int *taps,
			    unsigned int nr_pairs, struct virtio_net_vhost **result,
			    const char **why)
{
	struct virtio_net_vhost *vhost =
		calloc(1, sizeof(*vhost) + nr_pairs * sizeof(vhost->pairs[0]));
	int err;

	*why = "no memory";
	if (!vhost)
		return -ENOMEM;
	vhost->device = device;
	vhost->call.source.fd = vhost->error.source.fd = -1;
	*why = "no eventfd";
	err = listen_to(vhost, loop, &vhost->call, called);
	if (!err)
		err = listen_to(vhost, loop, &vhost->error, failed);
	while (!err && vhost->nr_pairs < nr_pairs) {
		const int fd = net_vhost_open(device->mem, why);

		if (fd < 0) {
			err = fd;
			break;
		}
		vhost->pairs[vhost->nr_pairs].fd = fd;
		vhost->pairs[vhost->nr_pairs].tap = taps[vhost->nr_pairs];
		vhost->nr_pairs++;
	}
	if (err) {
		virtio_net_vhost_destroy(vhost);
		return err;
	}
	*result = vhost;
	return 0;
}

static void forget(const struct signal *signal)
{
	if (signal->source.fd >= 0)
		close(signal->source.fd); /* which also takes it off the loop */
}

void virtio_net_vhost_destroy(struct virtio_net_vhost *vhost)
{
	if (!vhost)
		return;
	for (unsigned int i = 0; i < vhost->nr_pairs; i++)
		close(vhost->pairs[i].fd);
	forget(&vhost->call);
	forget(&vhost->error);
	free(vhost);
}

/*
 * vhost interrupts through one eventfd and sets no bit in InterruptStatus. Where the driver looks
 * there, the eventfd is ours, and its handler sets the bit.
 */
static int start_pair(struct virtio_net_vhost *vhost, unsigned int pair, bool link_up)
{
	struct virtio_device *device = vhost->device;
	const bool quiet = virtio_device_has(device, VIRTIO_F_QUIET_INTERRUPTS);
	int err = net_vhost_set_features(vhost->pairs[pair].fd, device->negotiated);

	for (unsigned int i = 0; i < 2 && !err; i++) {
		const unsigned int queue = 2 * pair + i;
		const struct net_vhost_wires wires = {
			.kick = device->notify_fds[queue],
			.call = quiet ? device->irq_fd : vhost->call.source.fd,
			.error = vhost->error.source.fd,
			.tap = link_up ? vhost->pairs[pair].tap : -1,
		};

		if (device->queues[queue].running)
			err = net_vhost_start(vhost->pairs[pair].fd, i, &device->queues[queue],
					      &wires);
	}
	return err;
}

/* Without MQ negotiated the third queue is the control queue, not the second pair's. */
static unsigned int used_pairs(const struct virtio_net_vhost *vhost)
{
	return virtio_device_has(vhost->device, VIRTIO_NET_F_MQ) ? vhost->nr_pairs : 1;
}

int virtio_net_vhost_start(struct virtio_net_vhost *vhost, bool link_up)
{
	const struct virtio_device *device = vhost->device;
	int err = 0;

	/* Without EVENT_IDX the flags of a used ring are vhost's, and ours would be lost. */
	if (virtio_device_has(device, VIRTIO_F_QUIET_INTERRUPTS) &&
	    !virtio_device_has(device, VIRTIO_RING_F_EVENT_IDX))
		return -EINVAL;
	for (unsigned int i = 0; i < used_pairs(vhost) && !err; i++)
		err = start_pair(vhost, i, link_up);
	return err;
}

void virtio_net_vhost_switch(struct virtio_net_vhost *vhost, bool on)
{
	for (unsigned int i = 0; i < 2 * used_pairs(vhost); i++)
		if (vhost->device->queues[i].running)
			(void)net_vhost_set_tap(vhost->pairs[i / 2].fd, i % 2,
						on ? vhost->pairs[i / 2].tap : -1);
}

void virtio_net_vhost_stop(struct virtio_net_vhost *vhost, unsigned int queue)
{
	(void)net_vhost_set_tap(vhost->pairs[queue / 2].fd, queue % 2, -1);
}
