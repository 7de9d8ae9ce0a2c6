/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second vCPU that rewrites memory while the device reads it: rings, descriptors, indirect
 * tables, headers. A thread does so without rest while requests are made; whatever the device makes
 * of them, it stays in bounds (the sanitizers watch), keeps its counts, and after a reset is right
 * again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "virtio_blk.h"
#include "virtio_net.h"

#define QUEUE	   16u
#define ROUNDS	   20000u /* at least; more until so many */
#define MISTAKES   100u /* were noticed, */
#define ROUNDS_MAX 1000000u /* on a host with few CPUs, too */
#define SECTORS	   64u
#define BATCH	   0x0f0u /* virtio_mmio.c */
#define HEADER	   DRIVER_DATA
#define INDIRECT   (DRIVER_DATA + 0x800)
#define BUFFER	   (DRIVER_DATA + 0x1000)
#define STATUS	   (DRIVER_DATA + 0x5000)

struct racer {
	pthread_t thread;
	struct driver *driver;
	atomic_bool stop;
};

/* xorshift: fast, and the same each time. */
static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Places that are read as structures, and values that are nearly right or far off. */
static void *rewrite(void *argument)
{
	static const uint32_t values[] = { 0,	       1,	  2,	  3,	  15,
					   16,	       17,	  255,	  512,	  0x1000,
					   HEADER,     BUFFER,	  0x7fff, 0xffff, 0xffffffff,
					   DRIVER_MEM, 0x80000000 };
	struct racer *racer = argument;
	struct driver *d = racer->driver;
	uint32_t seed = 1;

	while (!atomic_load_explicit(&racer->stop, memory_order_relaxed)) {
		const struct driver_queue *q = &d->queue[next(&seed) % 2 % d->device->nr_queues];
		const uint64_t places[] = { q->desc, q->desc, q->avail, INDIRECT, HEADER, q->used };
		const uint64_t at = places[next(&seed) % 6] + next(&seed) % 64 * 4;
		const uint32_t value = values[next(&seed) % (sizeof(values) / sizeof(values[0]))];
		volatile uint32_t *word = driver_at(d, at, sizeof(value));

		*word = value;
	}
	return NULL;
}

static void race(struct racer *racer, struct driver *driver)
{
	*racer = (struct racer){ .driver = driver };
	assert_int_equal(pthread_create(&racer->thread, NULL, rewrite, racer), 0);
}

static void end(struct racer *racer)
{
	atomic_store(&racer->stop, true);
	pthread_join(racer->thread, NULL);
}

/* One request, by a table of three or by the ring's own descriptors. */
static void offer_blk(struct driver *d, uint32_t type, bool indirect)
{
	const struct virtio_blk_outhdr header = { .type = type, .sector = 3 };
	const uint64_t table = indirect ? INDIRECT : d->queue[0].desc;
	const uint16_t in = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;

	mem_write(&d->mem, HEADER, &header, sizeof(header));
	driver_desc(d, table, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	driver_desc(d, table, 1, BUFFER, 4096, VRING_DESC_F_NEXT | in, 2);
	driver_desc(d, table, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	if (indirect)
		driver_desc(d, d->queue[0].desc, 4, INDIRECT, 48, VRING_DESC_F_INDIRECT, 0);
	driver_offer(d, 0, indirect ? 4 : 0);
	driver_notify(d, 0);
}

static void check(struct driver *d)
{
	for (unsigned int q = 0; q < d->device->nr_queues; q++)
		assert_true(d->device->queues[q].in_flight <= d->device->queues[q].size);
}

static void race_blk(bool uring)
{
	static struct driver d;
	struct virtio_device *device;
	unsigned int resets = 0, rounds;
	struct racer racer;
	const char *why;
	uint32_t id, len;

	driver_init(&d);
	const int image = dup2(memfd_create("image", 0), 100);
	assert_int_equal(ftruncate(image, SECTORS * 512), 0);
	const struct virtio_blk_options options = { .path = "/proc/self/fd/100", .uring = uring };
	if (virtio_blk_create(&options, &d.mem, &d.loop, &device, &why) < 0)
		skip(); /* no io_uring here */
	driver_attach(&d, device);
	driver_start(&d, 1, QUEUE);
	race(&racer, &d);
	for (rounds = 0; rounds < ROUNDS || (resets < MISTAKES && rounds < ROUNDS_MAX); rounds++) {
		offer_blk(&d, rounds % 3 == 0 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, rounds % 2);
		driver_set(&d, BATCH, HEADER >> 12); /* the list is rewritten, too */
		check(&d);
		if (driver_needs_reset(&d)) {
			driver_start(&d, 1, QUEUE);
			resets++;
		}
	}
	end(&racer);
	driver_start(&d, 1, QUEUE);
	offer_blk(&d, VIRTIO_BLK_T_OUT, true);
	assert_true(driver_used(&d, 0, &id, &len));
	assert_int_equal(*(uint8_t *)driver_at(&d, STATUS, 1), VIRTIO_BLK_S_OK);
	print_message("%u requests, %u mistakes noticed\n", rounds, resets);
	assert_true(resets > 0);
	driver_fini(&d);
	assert_int_equal(lseek(image, 0, SEEK_END), SECTORS * 512);
	close(image);
}

static void blk(void **state)
{
	(void)state;
	race_blk(false);
}

static void blk_uring(void **state)
{
	(void)state;
	race_blk(true);
}

static void offer_net(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, BUFFER, 2048, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	driver_desc(d, d->queue[1].desc, 0, HEADER, 12, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[1].desc, 1, BUFFER + 0x2000, 60, 0, 0);
	driver_offer(d, 1, 0);
	driver_notify(d, 0);
	driver_notify(d, 1);
}

static void net(void **state)
{
	static const uint8_t frame[4 + 60] = { 0, 0, 0, 60 };
	static struct driver d;
	struct virtio_device *device;
	unsigned int resets = 0, rounds;
	struct racer racer;
	uint8_t bytes[4096];
	const char *why;
	uint32_t id, len;
	int wire[2];

	(void)state;
	driver_init(&d);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, wire), 0);
	const struct virtio_net_options options = { .fd = wire[1] };
	assert_int_equal(virtio_net_create(&options, &d.mem, &d.loop, &device, &why), 0);
	driver_attach(&d, device);
	driver_start(&d, 2, QUEUE);
	race(&racer, &d);
	for (rounds = 0; rounds < ROUNDS || (resets < MISTAKES && rounds < ROUNDS_MAX); rounds++) {
		(void)!write(wire[0], frame, sizeof(frame));
		offer_net(&d);
		check(&d);
		while (read(wire[0], bytes, sizeof(bytes)) > 0)
			;
		if (driver_needs_reset(&d)) {
			driver_start(&d, 2, QUEUE);
			resets++;
		}
	}
	end(&racer);
	driver_start(&d, 2, QUEUE);
	offer_net(&d);
	assert_true(driver_used(&d, 1, &id, &len));
	assert_false(driver_needs_reset(&d));
	assert_int_equal(read(wire[0], bytes, sizeof(bytes)), sizeof(frame));
	print_message("%u packets each way, %u mistakes noticed\n", rounds, resets);
	assert_true(resets > 0);
	driver_fini(&d);
	close(wire[0]);
	close(wire[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blk),
		cmocka_unit_test(blk_uring),
		cmocka_unit_test(net),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
