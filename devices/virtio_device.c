/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops,
		       const struct guest_mem *mem, unsigned int nr_queues)
{
	device->queues = calloc(nr_queues, sizeof(*device->queues));
	if (!device->queues)
		return -ENOMEM;
	device->ops = ops;
	device->mem = mem;
	device->nr_queues = nr_queues;
	device->irq_fd = -1;
	pthread_mutex_init(&device->lock, NULL);
	return 0;
}

void virtio_device_fini(struct virtio_device *device)
{
	free(device->queues);
	pthread_mutex_destroy(&device->lock);
}

void virtio_device_destroy(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	virtio_device_reset(device);
	pthread_mutex_unlock(&device->lock);
	device->ops->destroy(device);
}

void virtio_device_set_report(struct virtio_device *device, virtio_report_fn *report, void *context)
{
	device->report = report;
	device->report_context = context;
}

bool virtio_device_live(const struct virtio_device *device)
{
	return (device->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET |
				  VIRTIO_CONFIG_S_FAILED)) == VIRTIO_CONFIG_S_DRIVER_OK;
}

static void raise_irq(const struct virtio_device *device)
{
	const uint64_t one = 1;

	(void)!write(device->irq_fd, &one, sizeof(one)); /* full counter: pending anyway */
}

static void interrupt(struct virtio_device *device, uint32_t cause)
{
	/* A cause that is already set has not been acknowledged: the handler has yet to look at the
	 * rings, and the edge that will make it is on its way. Sequentially consistent with the
	 * handler's acknowledgement, which comes before its look.
	 */
	if (!(atomic_fetch_or(&device->irq_status, cause) & cause))
		raise_irq(device);
}

void virtio_device_notify(struct virtio_device *device, unsigned int queue)
{
	if (virtio_device_live(device) && device->queues[queue].running)
		device->ops->notify(device, queue);
}

void virtio_device_requeue(struct virtio_device *device, unsigned int queue)
{
	const uint64_t one = 1;

	(void)!write(device->notify_fds[queue], &one, sizeof(one));
}

void virtio_device_publish(struct virtio_device *device, unsigned int queue)
{
	if (virtqueue_publish(&device->queues[queue]))
		virtio_device_interrupt(device);
}

void virtio_device_interrupt(struct virtio_device *device)
{
	if (virtio_device_has(device, VIRTIO_F_QUIET_INTERRUPTS))
		raise_irq(device);
	else
		interrupt(device, VIRTIO_MMIO_INT_VRING);
}

static void set_config_flag(struct virtio_device *device, bool on)
{
	if (!virtio_device_has(device, VIRTIO_F_QUIET_INTERRUPTS))
		return;
	for (unsigned int i = 0; i < device->nr_queues; i++)
		if (device->queues[i].running)
			virtqueue_set_flag(&device->queues[i], VRING_USED_F_CONFIG, on);
}

void virtio_device_config_changed(struct virtio_device *device)
{
	device->config_generation++;
	if (!(device->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	set_config_flag(device, true);
	interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_device_config_seen(struct virtio_device *device)
{
	set_config_flag(device, false);
}

void virtio_device_reset(struct virtio_device *device)
{
	for (unsigned int i = 0; i < device->nr_queues; i++)
		virtio_device_stop_queue(device, i);
	device->negotiated = 0;
	device->status = 0;
	atomic_store(&device->irq_status, 0);
}

void virtio_device_stop_queue(struct virtio_device *device, unsigned int queue)
{
	if ((device->status & VIRTIO_CONFIG_S_DRIVER_OK) && device->queues[queue].running &&
	    device->ops->stop_queue)
		device->ops->stop_queue(device, queue);
	virtqueue_stop(&device->queues[queue]);
}

void virtio_device_say(struct virtio_device *device, const char *what)
{
	char line[240];

	if (!device->report)
		return;
	snprintf(line, sizeof(line), "%s: %s", device->name, what);
	device->report(device->report_context, line);
}

void virtio_device_fail(struct virtio_device *device, const char *why)
{
	if (device->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_device_config_changed(device); /* 2.1.2 */

	/* A guest that does it in a loop gets a line each time the count doubles. */
	device->mistakes++;
	if ((device->mistakes & (device->mistakes - 1)) == 0) {
		char what[160];

		snprintf(what, sizeof(what), "guest error: %s; it needs a reset (mistake %llu)",
			 why, (unsigned long long)device->mistakes);
		virtio_device_say(device, what);
	}
}

void virtio_device_fail_queue(struct virtio_device *device, unsigned int queue)
{
	char why[100];

	snprintf(why, sizeof(why), "queue %u: %s", queue, device->queues[queue].error);
	virtio_device_fail(device, why);
}

void virtio_device_drain(struct virtio_device *device, unsigned int queue,
			 struct virtqueue_chain *chain)
{
	const struct virtio_device_ops *ops = device->ops;
	struct virtqueue *vq = &device->queues[queue];
	uint32_t budget = vq->size;
	bool ready = true;

	virtqueue_mute(vq);
	do {
		int got = 0;

		while (budget > 0 && virtio_device_live(device) &&
		       (ready = !ops->ready || ops->ready(device, queue)) &&
		       (got = virtqueue_pop(vq, chain)) > 0) {
			const uint16_t head = chain->head;
			const int64_t written = ops->serve(device, queue, chain);

			if (written != VIRTIO_PENDING)
				virtqueue_push(vq, head, (uint32_t)written);
			budget--;
		}
		virtio_device_publish(device, queue);
		if (got < 0)
			virtio_device_fail_queue(device, queue);
		if (!virtio_device_live(device) || !ready)
			return;
		if (budget == 0) {
			virtio_device_requeue(device, queue);
			return;
		}
	} while (virtqueue_listen(vq));
}
