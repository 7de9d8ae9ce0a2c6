/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7). Knows neither KVM nor any device.
 *
 * The rings are the driver's and may change under us at any time: each index and descriptor is
 * fetched once, checked, and then used from our copy. A ring that breaks the rules makes pop
 * return -EINVAL and leaves the reason in ->error; the queue then stays broken until stopped.
 *
 * Not thread-safe: the owner (virtio_device.h) serialises.
 */
#ifndef LUPINE_VIRTQUEUE_H
#define LUPINE_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem.h"

struct vring_desc;
struct vring_avail;
struct vring_used;

#define VIRTQUEUE_SIZE_MAX 256u /* descriptors of a queue, and segments of a chain */

struct virtqueue {
	/* What the driver asked for; written by the transport while the queue is not running. */
	uint32_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;

	/* Valid while running. */
	bool running;
	bool event_idx, indirect; /* as negotiated */
	uint16_t flags; /* used->flags as last written */
	const char *error; /* why the queue is broken, or NULL */
	const struct guest_mem *mem;
	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail; /* the next avail entry to take */
	uint16_t seen_avail; /* avail->idx as last read */
	uint16_t next_used; /* the next used entry to fill */
	uint16_t published; /* used->idx as last written */
	uint16_t in_flight; /* popped, not yet pushed */
};

/* One request: the driver's buffers as host memory. Empty segments are left out. */
struct virtqueue_chain {
	uint16_t head; /* to be handed back by virtqueue_push() */
	uint16_t nr_out; /* iov[0 .. nr_out): ours to read */
	uint16_t nr_in; /* iov[nr_out .. nr_out + nr_in): ours to write */
	uint64_t out_len, in_len; /* sums; together at most 4 GiB (2.7.5.2) */
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
};

/*
 * Checks what the driver asked for and maps the rings. -EINVAL (and ->error) when the size is not a
 * power of two up to VIRTQUEUE_SIZE_MAX or a ring is misaligned, not in RAM or overlaps another.
 */
int virtqueue_start(struct virtqueue *vq, const struct guest_mem *mem, bool event_idx,
		    bool indirect);
/* Forgets everything, the driver's settings included: the state after a reset. */
void virtqueue_stop(struct virtqueue *vq);

/* 1 and the next chain, 0 when there is none, -EINVAL when the queue is broken. */
int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain);

/*
 * Hands a popped chain back, once, with the number of bytes written from the start of its writable
 * part. The driver sees it after the next publish.
 */
void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written);

/* Shows the driver what was pushed. True when it asks for an interrupt. */
bool virtqueue_publish(struct virtqueue *vq);

/* Sets or clears a bit of used->flags that is the transport's. */
void virtqueue_set_flag(struct virtqueue *vq, uint16_t flag, bool on);

/* Tells the driver that it need not notify, and that it must again. */
void virtqueue_mute(struct virtqueue *vq);
/* True when chains arrived meanwhile, for which no notification will come. */
bool virtqueue_listen(struct virtqueue *vq);

/*
 * Copies the first @len readable bytes and drops them from the chain. False, and nothing changed,
 * when it has fewer. Drivers may cut a request into segments as they like (2.7.4.1).
 */
bool virtqueue_chain_take(struct virtqueue_chain *chain, void *data, size_t len);
/* Drops the last writable byte from the chain and returns where it is; NULL when there is none. */
uint8_t *virtqueue_chain_take_last(struct virtqueue_chain *chain);

/* Copies @len bytes that somebody may be changing, such that no byte is fetched again later. */
void virtqueue_copy_once(void *dst, const void *src, size_t len);

#endif
