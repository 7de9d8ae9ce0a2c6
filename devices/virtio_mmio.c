/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAGIC	    0x74726976u /* "virt" */
#define VERSION	    2u
#define VENDOR	    0x4e50554cu /* "LUPN" */
#define QUEUE_RESET 0x0c0u /* 4.2.2, newer than the host's headers */

/*
 * Not of the specification: a write of a page's number makes the accesses to registers that are
 * listed in that page, in order, so that a driver that knows it (guest/patches/6.12/0201) sets up
 * its device in three exits instead of forty. One that does not, or a monitor without it, loses
 * nothing.
 */
#define BATCH	   0x0f0u
#define BATCH_READ 1u /* in "at": the value read is stored */
#define BATCH_MAX  511u

struct batch {
	uint32_t count, done; /* done: set to count in the end */
	struct {
		uint32_t at, value;
	} access[BATCH_MAX];
};

struct notifier {
	struct event_source source; /* first: the handler is handed this */
	struct virtio_mmio *mmio;
	unsigned int queue;
};

struct virtio_mmio {
	struct virtio_device *device;
	struct event_loop *loop;
	struct notifier *notifiers;
	int *notify_fds;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
};

static void notified(struct event_source *source, uint32_t events)
{
	struct notifier *n = (struct notifier *)source;
	struct virtio_device *device = n->mmio->device;
	const struct virtqueue *vq = &device->queues[n->queue];

	(void)events;
	/* The eventfd is never read: edge-triggered, each write to it wakes us, at one system call
	 * less.
	 */
	pthread_mutex_lock(&device->lock);
	const uint16_t before = vq->next_avail;
	virtio_device_notify(device, n->queue);
	const uint16_t requests = (uint16_t)(vq->next_avail - before);
	pthread_mutex_unlock(&device->lock);
	event_loop_served(n->mmio->loop, requests);
}

int virtio_mmio_create(struct virtio_device *device, struct event_loop *loop, int irq_fd,
		       struct virtio_mmio **result)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
	int err = -ENOMEM;

	if (!mmio)
		return -ENOMEM;
	mmio->device = device;
	mmio->loop = loop;
	mmio->notifiers = calloc(device->nr_queues, sizeof(*mmio->notifiers));
	mmio->notify_fds = calloc(device->nr_queues, sizeof(*mmio->notify_fds));
	if (!mmio->notifiers || !mmio->notify_fds)
		goto fail;
	for (unsigned int i = 0; i < device->nr_queues; i++)
		mmio->notify_fds[i] = -1;
	for (unsigned int i = 0; i < device->nr_queues; i++) {
		struct notifier *n = &mmio->notifiers[i];
		const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0) {
			err = -errno;
			goto fail;
		}
		mmio->notify_fds[i] = fd;
		*n = (struct notifier){ { fd, notified }, mmio, i };
		if (device->ops->served_elsewhere && device->ops->served_elsewhere(device, i))
			continue;
		err = event_loop_add(loop, &n->source, EPOLLIN | EPOLLET);
		if (err)
			goto fail;
	}
	device->irq_fd = irq_fd;
	device->notify_fds = mmio->notify_fds;
	*result = mmio;
	return 0;
fail:
	mmio->device = NULL;
	if (mmio->notify_fds)
		for (unsigned int i = 0; i < device->nr_queues && mmio->notify_fds[i] >= 0; i++)
			close(mmio->notify_fds[i]); /* which also takes it off the loop */
	free(mmio->notifiers);
	free(mmio->notify_fds);
	free(mmio);
	return err;
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;
	const unsigned int nr_queues = device->nr_queues;

	for (unsigned int i = 0; i < nr_queues; i++)
		(void)event_loop_remove(mmio->loop, &mmio->notifiers[i].source);
	virtio_device_destroy(device);
	for (unsigned int i = 0; i < nr_queues; i++)
		close(mmio->notify_fds[i]);
	free(mmio->notifiers);
	free(mmio->notify_fds);
	free(mmio);
}

int virtio_mmio_quiesce(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;
	int err = 0;

	pthread_mutex_lock(&device->lock);
	virtio_device_reset(device);
	if (device->ops->flush)
		err = device->ops->flush(device);
	pthread_mutex_unlock(&device->lock);
	return err;
}

void virtio_mmio_refresh(struct virtio_mmio *mmio)
{
	if (mmio->device->ops->refresh)
		mmio->device->ops->refresh(mmio->device);
}

const char *virtio_mmio_name(const struct virtio_mmio *mmio)
{
	return mmio->device->name;
}

unsigned int virtio_mmio_nr_queues(const struct virtio_mmio *mmio)
{
	return mmio->device->nr_queues;
}

int virtio_mmio_notify_fd(const struct virtio_mmio *mmio, unsigned int queue)
{
	return mmio->notify_fds[queue];
}

/* FEATURES_OK (3.1.1, step 5): nothing that was not offered, no legacy driver, no contradiction. */
static bool accept_features(struct virtio_device *device)
{
	return (device->negotiated & ~device->offered) == 0 &&
	       virtio_device_has(device, VIRTIO_F_VERSION_1) &&
	       (!device->ops->accept || device->ops->accept(device->negotiated));
}

static bool accept_start(struct virtio_device *device)
{
	device->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	if (virtio_device_live(device) && device->ops->start && device->ops->start(device) < 0)
		virtio_device_fail(device, "the features negotiated cannot be had");
	return false; /* status is set */
}

/* The status register (2.1, 3.1.1): which bits must be there before a bit may be added. */
static const struct transition {
	uint8_t bit, needs;
	/* Optional; false leaves the bit clear. */
	bool (*accept)(struct virtio_device *device);
} transitions[] = {
	{ VIRTIO_CONFIG_S_FAILED, 0, NULL }, /* first: then nothing is started */
	{ VIRTIO_CONFIG_S_ACKNOWLEDGE, 0, NULL },
	{ VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE, NULL },
	{ VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER, accept_features },
	{ VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, accept_start },
};

static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtio_device *device = mmio->device;

	if (value == 0) {
		virtio_device_reset(device);
		mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
		return;
	}
	/* A bit is never taken back but by a reset: one missing from @value stays. */
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		const struct transition *t = &transitions[i];

		if (!(value & t->bit) || (device->status & t->bit))
			continue;
		if ((device->status & t->needs) != t->needs)
			continue;
		if (!t->accept || t->accept(device))
			device->status |= t->bit;
	}
}

static void write_driver_features(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtio_device *device = mmio->device;
	const unsigned int shift = mmio->driver_features_sel * 32;

	if (!(device->status & VIRTIO_CONFIG_S_DRIVER) ||
	    (device->status & VIRTIO_CONFIG_S_FEATURES_OK) || mmio->driver_features_sel > 1)
		return;
	device->negotiated &= ~(0xffffffffull << shift);
	device->negotiated |= (uint64_t)value << shift;
}

static void write_queue_ready(struct virtio_device *device, unsigned int queue, uint32_t value)
{
	struct virtqueue *vq = &device->queues[queue];

	if (value != 1 || vq->running)
		return;
	if (virtqueue_start(vq, device->mem, virtio_device_has(device, VIRTIO_RING_F_EVENT_IDX),
			    virtio_device_has(device, VIRTIO_RING_F_INDIRECT_DESC)) < 0)
		virtio_device_fail_queue(device, queue);
}

static void set_low(uint64_t *field, uint32_t value)
{
	*field = (*field & ~0xffffffffull) | value;
}

static void set_high(uint64_t *field, uint32_t value)
{
	*field = (*field & 0xffffffffull) | (uint64_t)value << 32;
}

/*
 * Whether a queue's registers may be written: between FEATURES_OK and its being ready; after
 * DRIVER_OK only where queues can be reset and set up anew (2.6.1.2).
 */
static bool queue_is_open(const struct virtio_device *device, const struct virtqueue *vq)
{
	uint8_t forbidden = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET;

	if (!virtio_device_has(device, VIRTIO_F_RING_RESET))
		forbidden |= VIRTIO_CONFIG_S_DRIVER_OK;
	return !vq->running && (device->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	       !(device->status & forbidden);
}

/* The registers of the selected queue. */
static void write_queue(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	struct virtio_device *device = mmio->device;

	if (mmio->queue_sel >= device->nr_queues)
		return;
	struct virtqueue *vq = &device->queues[mmio->queue_sel];

	if ((offset == VIRTIO_MMIO_QUEUE_READY && value == 0) ||
	    (offset == QUEUE_RESET && value == 1 &&
	     virtio_device_has(device, VIRTIO_F_RING_RESET))) {
		virtio_device_stop_queue(device, mmio->queue_sel);
		return;
	}
	if (!queue_is_open(device, vq))
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		vq->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&vq->desc_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&vq->desc_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&vq->avail_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&vq->avail_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&vq->used_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&vq->used_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		write_queue_ready(device, mmio->queue_sel, value);
		break;
	default: /* read-only, reserved, or of another version */
		break;
	}
}

static void write_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_driver_features(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (value < mmio->device->nr_queues)
			virtio_device_notify(mmio->device, value);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(mmio, value);
		break;
	default:
		write_queue(mmio, offset, value);
		break;
	}
}

static void acknowledge(struct virtio_device *device, uint32_t causes)
{
	/* No lock, usually: a handler does not wait for a disk. */
	if (atomic_fetch_and(&device->irq_status, ~causes) & causes & VIRTIO_MMIO_INT_CONFIG) {
		pthread_mutex_lock(&device->lock);
		/* Not if it has changed again meanwhile: that has yet to be seen. */
		if (!(atomic_load(&device->irq_status) & VIRTIO_MMIO_INT_CONFIG))
			virtio_device_config_seen(device);
		pthread_mutex_unlock(&device->lock);
	}
}

/* The page is the guest's, which may change it under us: each word is read once. */
static void make_batch(struct virtio_mmio *mmio, uint32_t page)
{
	volatile struct batch *batch =
		mem_at(mmio->device->mem, (uint64_t)page * sizeof(*batch), sizeof(*batch));
	const uint32_t count = batch ? batch->count : 0;

	if (count == 0 || count > BATCH_MAX)
		return;
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t at = batch->access[i].at, offset = at & ~BATCH_READ;
		uint32_t value;

		if (at & BATCH_READ) {
			virtio_mmio_read(mmio, offset, &value, sizeof(value));
			batch->access[i].value = value;
		} else if (offset != BATCH && offset != VIRTIO_MMIO_QUEUE_NOTIFY) {
			/* Neither a batch of batches nor queue upon queue served: an exit's work is
			 * bounded. */
			value = batch->access[i].value;
			virtio_mmio_write(mmio, offset, &value, sizeof(value));
		}
	}
	batch->done = count;
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *data, uint32_t len)
{
	uint32_t value;

	/* Registers are 32 bits wide and aligned (4.2.2.2); no device here has configuration that a
	 * driver may write.
	 */
	if (len != sizeof(value) || offset % sizeof(value) != 0 || offset >= VIRTIO_MMIO_CONFIG)
		return;
	memcpy(&value, data, sizeof(value));
	if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
		acknowledge(mmio->device, value);
		return;
	}
	if (offset == BATCH) {
		make_batch(mmio, value);
		return;
	}
	pthread_mutex_lock(&mmio->device->lock);
	write_register(mmio, offset, value);
	pthread_mutex_unlock(&mmio->device->lock);
}

static uint32_t read_register(const struct virtio_mmio *mmio, uint32_t offset)
{
	const struct virtio_device *device = mmio->device;
	const bool queue = mmio->queue_sel < device->nr_queues;

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return device->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return mmio->device_features_sel > 1
			       ? 0
			       : (uint32_t)(device->offered >> (mmio->device_features_sel * 32));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return queue ? VIRTQUEUE_SIZE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return queue && device->queues[mmio->queue_sel].running;
	case VIRTIO_MMIO_STATUS:
		return device->status;
	case VIRTIO_MMIO_SHM_LEN_LOW: /* no shared memory: length -1 (4.2.2) */
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return device->config_generation;
	default: /* write-only, reserved, or of another version */
		return 0;
	}
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *data, uint32_t len)
{
	struct virtio_device *device = mmio->device;
	uint32_t value;

	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && len == sizeof(value)) {
		value = atomic_load(&device->irq_status);
		memcpy(data, &value, sizeof(value));
		return;
	}
	memset(data, 0, len);
	pthread_mutex_lock(&device->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		const uint32_t at = offset - VIRTIO_MMIO_CONFIG;

		if (at < device->config_len) {
			const uint32_t left = device->config_len - at;

			memcpy(data, (const uint8_t *)device->config + at, len < left ? len : left);
		}
	} else if (len == sizeof(value) && offset % sizeof(value) == 0) {
		value = read_register(mmio, offset);
		memcpy(data, &value, sizeof(value));
	}
	pthread_mutex_unlock(&device->lock);
}
