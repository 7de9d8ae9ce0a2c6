/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio driver in user space: the guest's side of a device under test, with its own memory and
 * event loop, on one thread. It can be as wrong as a test wants: registers, descriptors and rings
 * are written raw.
 *
 * Guest memory: queue q's rings at DRIVER_RINGS + q * DRIVER_RING_SPAN (descriptors, then avail at
 * + 0x4000, used at + 0x8000); from DRIVER_DATA on it is the test's.
 */
#ifndef LUPINE_TEST_DRIVER_H
#define LUPINE_TEST_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "event_loop.h"
#include "mem.h"
#include "virtio_device.h"
#include "virtio_mmio.h"

#define DRIVER_MEM	 (4ull << 20)
#define DRIVER_RINGS	 0x10000ull
#define DRIVER_RING_SPAN 0x10000ull
#define DRIVER_DATA	 0x200000ull
#define DRIVER_QUEUES	 16u

struct driver_queue {
	uint32_t size;
	uint64_t desc, avail, used;
	uint16_t avail_idx, used_idx; /* how far the driver is */
};

struct driver {
	struct guest_mem mem;
	struct event_loop loop;
	int irq_fd;
	struct virtio_device *device;
	struct virtio_mmio *mmio;
	struct driver_queue queue[DRIVER_QUEUES];
	unsigned int reports; /* lines the device reported */
	char line[256]; /* the last one */
};

/* Abort on failure: there is nothing to test then. */
void driver_init(struct driver *driver);
void driver_attach(struct driver *driver, struct virtio_device *device);
void driver_fini(struct driver *driver);

uint32_t driver_get(struct driver *driver, uint32_t offset);
void driver_set(struct driver *driver, uint32_t offset, uint32_t value);

/* Reset, then up to FEATURES_OK with those of @features that are offered; true if it stuck. */
bool driver_negotiate(struct driver *driver, uint64_t features);
/* Sets up queue @q where it belongs and makes it ready; true if it is. */
bool driver_setup(struct driver *driver, unsigned int q, uint32_t size);
void driver_ok(struct driver *driver);
/* All of it, with every feature that stock drivers know and @nr queues of @size. */
void driver_start(struct driver *driver, unsigned int nr, uint32_t size);

/* A descriptor of a table at @table. */
void driver_desc(struct driver *driver, uint64_t table, unsigned int index, uint64_t addr,
		 uint32_t len, uint16_t flags, uint16_t next);
void driver_offer(struct driver *driver, unsigned int q, uint16_t head);
/* Notifies as KVM's ioeventfd does, and lets the event loop work until it has nothing to do. */
void driver_notify(struct driver *driver, unsigned int q);
void driver_run(struct driver *driver);
/* The next used entry, if there is one. */
bool driver_used(struct driver *driver, unsigned int q, uint32_t *id, uint32_t *len);
/* How many interrupts came since last asked; acknowledges them. */
uint64_t driver_interrupts(struct driver *driver);
bool driver_needs_reset(struct driver *driver);

/* Guest memory as a pointer; aborts if it is none. */
void *driver_at(struct driver *driver, uint64_t gpa, uint64_t len);

#endif
