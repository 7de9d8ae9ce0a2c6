/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device is to its transport: a constant table of operations and an instance.
 * The transport owns negotiation and the queues until DRIVER_OK; after that the device works on
 * them until reset.
 *
 * Locking: the transport holds the device's lock around every operation, so a device is never
 * entered twice at once, whichever thread (vCPU or event loop) it is entered on. A back end's own
 * event handler takes the lock itself.
 */
#ifndef LUPINE_VIRTIO_DEVICE_H
#define LUPINE_VIRTIO_DEVICE_H

struct virtio_device;

/* Disk flushed, queues stopped, files closed, freed. After every thread that could enter it ended.
 */
void virtio_device_destroy(struct virtio_device *device);

#endif
