/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void check(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

void driver_init(struct driver *driver)
{
	*driver = (struct driver){ 0 };
	check(mem_create(&driver->mem, DRIVER_MEM) == 0, "guest memory");
	check(event_loop_init(&driver->loop) == 0, "event loop");
	driver->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check(driver->irq_fd >= 0, "eventfd");
}

static void reported(void *context, const char *line)
{
	struct driver *driver = context;

	driver->reports++;
	snprintf(driver->line, sizeof(driver->line), "%s", line);
}

void driver_attach(struct driver *driver, struct virtio_device *device)
{
	driver->device = device;
	virtio_device_set_report(device, reported, driver);
	check(virtio_mmio_create(device, &driver->loop, driver->irq_fd, &driver->mmio) == 0,
	      "transport");
}

void driver_fini(struct driver *driver)
{
	if (driver->mmio)
		virtio_mmio_destroy(driver->mmio);
	close(driver->irq_fd);
	event_loop_fini(&driver->loop);
	mem_destroy(&driver->mem);
}

uint32_t driver_get(struct driver *driver, uint32_t offset)
{
	uint32_t value;

	virtio_mmio_read(driver->mmio, offset, &value, sizeof(value));
	return value;
}

void driver_set(struct driver *driver, uint32_t offset, uint32_t value)
{
	virtio_mmio_write(driver->mmio, offset, &value, sizeof(value));
}

bool driver_negotiate(struct driver *driver, uint64_t features)
{
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE;

	memset(driver->queue, 0, sizeof(driver->queue));
	driver_set(driver, VIRTIO_MMIO_STATUS, 0);
	driver_set(driver, VIRTIO_MMIO_STATUS, status);
	status |= VIRTIO_CONFIG_S_DRIVER;
	driver_set(driver, VIRTIO_MMIO_STATUS, status);
	for (uint32_t half = 0; half < 2; half++) {
		driver_set(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		driver_set(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		driver_set(driver, VIRTIO_MMIO_DRIVER_FEATURES,
			   driver_get(driver, VIRTIO_MMIO_DEVICE_FEATURES) &
				   (uint32_t)(features >> (32 * half)));
	}
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	driver_set(driver, VIRTIO_MMIO_STATUS, status);
	return driver_get(driver, VIRTIO_MMIO_STATUS) == status;
}

static void set_address(struct driver *driver, uint32_t offset, uint64_t gpa)
{
	driver_set(driver, offset, (uint32_t)gpa);
	driver_set(driver, offset + 4, (uint32_t)(gpa >> 32));
}

bool driver_setup(struct driver *driver, unsigned int q, uint32_t size)
{
	struct driver_queue *queue = &driver->queue[q];
	const uint64_t base = DRIVER_RINGS + q * DRIVER_RING_SPAN;

	*queue = (struct driver_queue){
		.size = size, .desc = base, .avail = base + 0x4000, .used = base + 0x8000
	};
	memset(driver_at(driver, base, DRIVER_RING_SPAN), 0, DRIVER_RING_SPAN);
	driver_set(driver, VIRTIO_MMIO_QUEUE_SEL, q);
	driver_set(driver, VIRTIO_MMIO_QUEUE_NUM, size);
	set_address(driver, VIRTIO_MMIO_QUEUE_DESC_LOW, queue->desc);
	set_address(driver, VIRTIO_MMIO_QUEUE_AVAIL_LOW, queue->avail);
	set_address(driver, VIRTIO_MMIO_QUEUE_USED_LOW, queue->used);
	driver_set(driver, VIRTIO_MMIO_QUEUE_READY, 1);
	return driver_get(driver, VIRTIO_MMIO_QUEUE_READY) == 1;
}

void driver_ok(struct driver *driver)
{
	driver_set(driver, VIRTIO_MMIO_STATUS,
		   driver_get(driver, VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_DRIVER_OK);
}

void driver_start(struct driver *driver, unsigned int nr, uint32_t size)
{
	check(driver_negotiate(driver, ~(1ull << VIRTIO_F_QUIET_INTERRUPTS)), "negotiation");
	for (unsigned int q = 0; q < nr; q++)
		check(driver_setup(driver, q, size), "queue");
	driver_ok(driver);
}

void driver_desc(struct driver *driver, uint64_t table, unsigned int index, uint64_t addr,
		 uint32_t len, uint16_t flags, uint16_t next)
{
	const struct vring_desc desc = { .addr = addr, .len = len, .flags = flags, .next = next };

	check(mem_write(&driver->mem, table + index * sizeof(desc), &desc, sizeof(desc)) == 0,
	      "descriptor");
}

void driver_offer(struct driver *driver, unsigned int q, uint16_t head)
{
	struct driver_queue *queue = &driver->queue[q];
	struct vring_avail *avail = driver_at(driver, queue->avail, 4 + 2 * queue->size);

	avail->ring[queue->avail_idx % queue->size] = head;
	queue->avail_idx++;
	__atomic_store_n(&avail->idx, queue->avail_idx, __ATOMIC_RELEASE);
}

void driver_run(struct driver *driver)
{
	struct epoll_event events[8];
	int n;

	while ((n = epoll_wait(driver->loop.epoll_fd, events, 8, 0)) > 0)
		for (int i = 0; i < n; i++) {
			struct event_source *source = events[i].data.ptr;

			source->ready(source, events[i].events);
		}
}

void driver_notify(struct driver *driver, unsigned int q)
{
	const uint64_t one = 1;

	check(write(virtio_mmio_notify_fd(driver->mmio, q), &one, sizeof(one)) == sizeof(one),
	      "notify");
	driver_run(driver);
}

bool driver_used(struct driver *driver, unsigned int q, uint32_t *id, uint32_t *len)
{
	struct driver_queue *queue = &driver->queue[q];
	const struct vring_used *used = driver_at(driver, queue->used, 4 + 8 * queue->size);

	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == queue->used_idx)
		return false;
	*id = used->ring[queue->used_idx % queue->size].id;
	*len = used->ring[queue->used_idx % queue->size].len;
	queue->used_idx++;
	return true;
}

uint64_t driver_interrupts(struct driver *driver)
{
	uint64_t count = 0;

	if (read(driver->irq_fd, &count, sizeof(count)) < 0)
		check(errno == EAGAIN, "interrupts");
	driver_set(driver, VIRTIO_MMIO_INTERRUPT_ACK,
		   driver_get(driver, VIRTIO_MMIO_INTERRUPT_STATUS));
	return count;
}

bool driver_needs_reset(struct driver *driver)
{
	return (driver_get(driver, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

void *driver_at(struct driver *driver, uint64_t gpa, uint64_t len)
{
	void *host = mem_at(&driver->mem, gpa, len);

	check(host != NULL, "address");
	return host;
}
