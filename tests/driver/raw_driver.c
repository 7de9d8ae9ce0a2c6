/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH 0x4000u /* of guest memory from DRIVER_DATA on, cleared for each input */
#define ACTS	256u /* of an input */

#define QUEUE_RESET 0x0c0u /* virtio 1.2, 4.2.2 */
#define BATCH	    0x0f0u /* virtio_mmio.c */

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

/* Reset, negotiation and queues as they should be, with features and a size that are anything. */
static void start(struct driver *d, struct input *in)
{
	const uint64_t features = take(in, 8) | 1ull << VIRTIO_F_VERSION_1;
	const uint32_t queue_size = 1u << (take(in, 1) % 9);

	if (!driver_negotiate(d, features))
		return;
	for (unsigned int q = 0; q < d->device->nr_queues; q++)
		driver_setup(d, q, queue_size);
	driver_ok(d);
}

/* A chain as a right driver makes it, of segments and a first segment's bytes that are anything. */
static void offer_chain(struct driver *d, unsigned int q, struct input *in)
{
	const uint8_t shape = (uint8_t)take(in, 1);
	const unsigned int nr_out = shape % 4u, nr = nr_out + shape / 4u % 4u;
	const unsigned int first = shape / 16u % 16u;
	const bool indirect = d->queue[q].size < 16;
	const uint64_t table = indirect ? DRIVER_DATA + 0x3800 : d->queue[q].desc;
	const uint64_t content = DRIVER_DATA + first * 16u;

	if (d->queue[q].size == 0 || nr == 0)
		return;
	for (unsigned int i = 0; i < nr; i++) {
		const uint64_t address = i == 0 && nr_out > 0 ? content : take_address(in);
		const uint32_t len = i == 0 && nr_out > 0 ? 16 : take_length(in);
		const unsigned int index = (first + i) % 16u;

		driver_desc(d, table, index, address, len,
			    (uint16_t)((i >= nr_out ? VRING_DESC_F_WRITE : 0) |
				       (i + 1 < nr ? VRING_DESC_F_NEXT : 0)),
			    (uint16_t)((index + 1) % 16u));
	}
	if (nr_out > 0)
		for (unsigned int i = 0; i < 16; i++)
			*(uint8_t *)driver_at(d, content + i, 1) =
				(uint8_t)(i % 8 < 2 ? take(in, 1) : 0);
	if (indirect)
		driver_desc(d, d->queue[q].desc, 0, table + first * 16, nr * 16,
			    VRING_DESC_F_INDIRECT, 0);
	driver_offer(d, q, (uint16_t)(indirect ? 0 : first));
	driver_notify(d, q);
}

/* A list of register accesses, right or wrong, in scratch memory or in no memory at all. */
static void make_batch(struct driver *d, struct input *in)
{
	const uint8_t shape = (uint8_t)take(in, 1);
	const uint64_t page = DRIVER_DATA + shape % 4u * 4096u;
	const unsigned int nr = shape / 4u % 32u;
	uint32_t words[2] = { shape < 0x80 ? nr : (uint32_t)take(in, 2), 0 };

	mem_write(&d->mem, page, words, sizeof(words));
	for (unsigned int i = 1; i <= nr; i++) {
		words[0] = (uint32_t)take(in, 2);
		words[1] = (uint32_t)take(in, 4);
		mem_write(&d->mem, page + 8u * i, words, sizeof(words));
	}
	driver_set(d, BATCH, shape == 0xff ? (uint32_t)take(in, 4) : (uint32_t)(page / 4096));
}

static void act(struct driver *d, struct input *in, raw_driver_host_fn *host)
{
	const uint8_t what = (uint8_t)take(in, 1);
	const unsigned int q = (unsigned int)(take(in, 1) % d->device->nr_queues);
	struct driver_queue *queue = &d->queue[q];
	uint8_t bytes[8];

	switch (what % 13) {
	case 0: /* a descriptor of the ring */
	case 1: /* or of a table in the scratch memory */
		if (what % 13 == 0 && queue->size == 0)
			break;
		{
			const uint64_t table = what % 13 == 0 ? queue->desc : DRIVER_DATA + 0x3000;
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
	case 8:
		offer_chain(d, q, in);
		break;
	case 9: /* one queue anew */
		driver_set(d, VIRTIO_MMIO_QUEUE_SEL, q);
		driver_set(d, QUEUE_RESET, 1);
		driver_setup(d, q, 1u << (take(in, 1) % 9));
		break;
	case 10: /* all of it anew */
		start(d, in);
		break;
	case 11:
		if (host)
			host(d, (uint8_t)take(in, 1));
		driver_run(d);
		break;
	case 12:
		make_batch(d, in);
		break;
	default:
		break;
	}
}

void raw_driver_run(struct driver *d, const uint8_t *data, size_t size, raw_driver_host_fn *host)
{
	struct input in = { data, size };

	memset(driver_at(d, DRIVER_DATA, SCRATCH), 0, SCRATCH);
	start(d, &in);
	for (unsigned int i = 0; i < ACTS && in.left > 0; i++)
		act(d, &in, host);
	for (unsigned int q = 0; q < d->device->nr_queues; q++)
		if (d->device->queues[q].in_flight > d->device->queues[q].size)
			abort();
	driver_set(d, VIRTIO_MMIO_STATUS, 0);
	driver_run(d);
}
