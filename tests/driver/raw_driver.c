/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH 0x4000u /* of guest memory from DRIVER_DATA on, cleared for each input */
#define ACTS	256u /* of an input */

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && in->left > 0; i++, in->left--)
		value |= (uint64_t)*in->data++ << (8 * i);
	return value;
}

/* Addresses that matter: data mostly, rings, the ends of memory, anything. */
static uint64_t take_address(struct input *in)
{
	const uint8_t kind = (uint8_t)take(in, 1);

	switch (kind % 8) {
	case 0:
		return take(in, 8);
	case 1:
		return DRIVER_MEM - take(in, 1);
	case 2:
		return DRIVER_RINGS + take(in, 2);
	case 3:
		return 0xd0001000 + take(in, 2);
	default:
		return DRIVER_DATA + take(in, 2) % SCRATCH;
	}
}

static uint32_t take_length(struct input *in)
{
	const uint8_t kind = (uint8_t)take(in, 1);

	if (kind == 0xff)
		return (uint32_t)take(in, 4);
	if (kind >= 0xf0)
		return 512u * (kind & 0xfu);
	return kind;
}

static void act(struct driver *d, struct input *in)
{
	const uint8_t what = (uint8_t)take(in, 1);
	const unsigned int q = (unsigned int)(take(in, 1) % d->device->nr_queues);
	struct driver_queue *queue = &d->queue[q];
	uint8_t bytes[8];

	switch (what % 8) {
	case 0: /* a descriptor of the ring */
	case 1: /* or of a table in the scratch memory */
		if (what % 8 == 0 && queue->size == 0)
			break;
		{
			const uint64_t table = what % 8 == 0 ? queue->desc : DRIVER_DATA + 0x3000;
			const unsigned int index = (unsigned int)(take(in, 1) % 64);
			const uint64_t address = take_address(in);
			const uint32_t len = take_length(in);
			const uint16_t flags = (uint16_t)take(in, 1);

			driver_desc(d, table, index, address, len, flags, (uint16_t)take(in, 1));
		}
		break;
	case 2:
		if (queue->size)
			driver_offer(d, q, (uint16_t)take(in, 1));
		break;
	case 3:
		if (d->queue[q].size)
			driver_notify(d, q);
		break;
	case 4: { /* guest memory */
		const uint32_t at = (uint32_t)(take(in, 2) % (SCRATCH - 16));

		for (unsigned int i = 0; i < 16; i++)
			*(uint8_t *)driver_at(d, DRIVER_DATA + at + i, 1) = (uint8_t)take(in, 1);
		break;
	}
	case 5: { /* a register access of any kind */
		const uint32_t offset = (uint32_t)(take(in, 2) % VIRTIO_MMIO_WINDOW);
		const uint32_t len = 1u << (take(in, 1) % 4);
		const uint64_t value = take(in, 4);

		memcpy(bytes, &value, sizeof(bytes));
		virtio_mmio_write(d->mmio, offset, bytes, len);
		virtio_mmio_read(d->mmio, offset, bytes, len);
		break;
	}
	case 6: /* a register, in its width */
		driver_set(d, (uint32_t)(take(in, 1) * 4), (uint32_t)take(in, 2));
		break;
	case 7: /* avail->idx */
		if (queue->size) {
			queue->avail_idx = (uint16_t)take(in, 2);
			mem_write(&d->mem, queue->avail + 2, &queue->avail_idx, 2);
		}
		break;
	default:
		break;
	}
}

void raw_driver_run(struct driver *d, const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	const uint64_t features = take(&in, 8) | 1ull << VIRTIO_F_VERSION_1;
	const uint32_t queue_size = 1u << (take(&in, 1) % 9);

	memset(driver_at(d, DRIVER_DATA, SCRATCH), 0, SCRATCH);
	if (driver_negotiate(d, features)) {
		for (unsigned int q = 0; q < d->device->nr_queues; q++)
			driver_setup(d, q, queue_size);
		driver_ok(d);
	}
	for (unsigned int i = 0; i < ACTS && in.left > 0; i++)
		act(d, &in);
	for (unsigned int q = 0; q < d->device->nr_queues; q++)
		if (d->device->queues[q].in_flight > d->device->queues[q].size)
			abort();
	driver_set(d, VIRTIO_MMIO_STATUS, 0);
	driver_run(d);
}
