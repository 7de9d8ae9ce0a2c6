/* SPDX-License-Identifier: Apache-2.0 */
/* The modern virtio-mmio register window (virtio 1.2, 4.2.2) of one device. */
#ifndef LUPINE_VIRTIO_MMIO_H
#define LUPINE_VIRTIO_MMIO_H

#include <stdint.h>

#include "event_loop.h"
#include "virtio_device.h"

#define VIRTIO_MMIO_WINDOW 0x1000u
#define VIRTIO_MMIO_NOTIFY 0x50u /* QueueNotify */

struct virtio_mmio;

/*
 * Puts @device behind a register window. @irq_fd: an eventfd; 1 is written to it for an interrupt.
 * Queue notifications arrive on one eventfd a queue (virtio_mmio_notify_fd), served on @loop's
 * thread; a QueueNotify that reaches virtio_mmio_write() instead is served there.
 * Takes ownership of @device on success, not of @irq_fd. -errno.
 */
int virtio_mmio_create(struct virtio_device *device, struct event_loop *loop, int irq_fd,
		       struct virtio_mmio **mmio);
void virtio_mmio_destroy(struct virtio_mmio *mmio);

/*
 * After the last guest instruction and the end of the event loop's thread: finishes what is under
 * way and makes acknowledged writes durable. -errno when that failed.
 */
int virtio_mmio_quiesce(struct virtio_mmio *mmio);

/* Has the device look again at what it has of the host: a disk's size, a tap's state. Any thread.
 */
void virtio_mmio_refresh(struct virtio_mmio *mmio);

const char *virtio_mmio_name(const struct virtio_mmio *mmio); /* for messages */
unsigned int virtio_mmio_nr_queues(const struct virtio_mmio *mmio);
int virtio_mmio_notify_fd(const struct virtio_mmio *mmio, unsigned int queue);

/* A guest access of @len bytes at @offset in the window; any value is legal input. vCPU threads. */
void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *data, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *data, uint32_t len);

#endif
