/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two disks on one event loop, one of them in hostile hands: the other is served all the same, the
 * hostile one works again after a reset, and the monitor needs no more memory for it, however often
 * it is done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"
#include "virtio_blk.h"

#define QUEUE  16u
#define HEADER DRIVER_DATA
#define BUFFER (DRIVER_DATA + 0x1000)
#define STATUS (DRIVER_DATA + 0x2000)
#define TABLE  (DRIVER_DATA + 0x3000)

struct fixture {
	struct driver good, bad;
	int image;
};

static void attach(struct driver *d)
{
	const struct virtio_blk_options options = { .path = "/proc/self/fd/100",
						    .read_only = true };
	struct virtio_device *device;
	const char *why;

	assert_int_equal(virtio_blk_create(&options, &d->mem, &d->loop, &device, &why), 0);
	driver_attach(d, device);
	driver_start(d, 1, QUEUE);
}

static int setup(void **state)
{
	static struct fixture f;

	f.image = dup2(memfd_create("image", 0), 100);
	assert_int_equal(ftruncate(f.image, 64 * 512), 0);
	driver_init(&f.good);
	driver_init(&f.bad);
	event_loop_fini(&f.bad.loop);
	f.bad.loop = f.good.loop;
	attach(&f.good);
	attach(&f.bad);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_mmio_destroy(f->bad.mmio);
	f->bad.mmio = NULL;
	f->bad.loop = (struct event_loop){ .epoll_fd = -1, .stop_fd = -1 };
	driver_fini(&f->bad);
	driver_fini(&f->good);
	close(f->image);
	return 0;
}

static void offer_read(struct driver *d)
{
	const struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };
	const uint64_t table = d->queue[0].desc;

	mem_write(&d->mem, HEADER, &header, sizeof(header));
	driver_desc(d, table, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	driver_desc(d, table, 1, BUFFER, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	driver_desc(d, table, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
}

static void expect_read(struct driver *d)
{
	uint32_t id, len;

	assert_true(driver_used(d, 0, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 513);
	assert_false(driver_used(d, 0, &id, &len));
}

static void a_loop(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, HEADER, 16, VRING_DESC_F_NEXT, 0);
	driver_offer(d, 0, 0);
}

static void an_index_out_of_range(struct driver *d)
{
	driver_offer(d, 0, QUEUE);
}

static void an_avail_index_that_jumps(struct driver *d)
{
	d->queue[0].avail_idx = (uint16_t)(d->queue[0].avail_idx + 0x7fff);
	offer_read(d);
}

static void a_table_in_a_table(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	driver_desc(d, TABLE, 0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	driver_offer(d, 0, 0);
}

static void a_table_that_is_the_ring(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, d->queue[0].desc, 16 * QUEUE, VRING_DESC_F_INDIRECT, 0);
	driver_offer(d, 0, 0);
}

static void a_table_that_wraps(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, UINT64_MAX - 15, 32, VRING_DESC_F_INDIRECT, 0);
	driver_offer(d, 0, 0);
}

static void a_buffer_of_nearly_4_gib(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, BUFFER, 0xffffffff, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
}

static void empty_buffers(struct driver *d)
{
	driver_desc(d, d->queue[0].desc, 0, HEADER, 0, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[0].desc, 1, STATUS, 0, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
}

/* Seventeen times for sixteen descriptors, of which the device cannot have given any back. */
static void the_same_head_again_and_again(struct driver *d)
{
	offer_read(d);
	for (unsigned int i = 0; i < QUEUE; i++)
		driver_offer(d, 0, 0);
}

static void rings_on_one_another(struct driver *d)
{
	assert_true(driver_negotiate(d, ~0ull));
	driver_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
	driver_set(d, VIRTIO_MMIO_QUEUE_NUM, QUEUE);
	driver_set(d, VIRTIO_MMIO_QUEUE_DESC_LOW, DRIVER_RINGS);
	driver_set(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, DRIVER_RINGS + 128);
	driver_set(d, VIRTIO_MMIO_QUEUE_USED_LOW, DRIVER_RINGS + 0x1000);
	driver_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void a_ring_on_the_register_page(struct driver *d)
{
	assert_true(driver_negotiate(d, ~0ull));
	driver_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
	driver_set(d, VIRTIO_MMIO_QUEUE_NUM, QUEUE);
	driver_set(d, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xd0001000);
	driver_set(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, DRIVER_RINGS);
	driver_set(d, VIRTIO_MMIO_QUEUE_USED_LOW, DRIVER_RINGS + 0x1000);
	driver_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void mistakes(void **state)
{
	static void (*const make[])(struct driver *) = {
		a_loop,
		an_index_out_of_range,
		an_avail_index_that_jumps,
		a_table_in_a_table,
		a_table_that_is_the_ring,
		a_table_that_wraps,
		a_buffer_of_nearly_4_gib,
		empty_buffers,
		the_same_head_again_and_again,
		rings_on_one_another,
		a_ring_on_the_register_page,
	};
	const unsigned int kinds = sizeof(make) / sizeof(make[0]), rounds = 200;
	struct fixture *f = *state;
	size_t before = 0;

	for (unsigned int i = 0; i < kinds * rounds; i++) {
		if (i == kinds)
			before = mallinfo2().uordblks;
		make[i % kinds](&f->bad);
		offer_read(&f->good);
		driver_notify(&f->bad, 0);
		driver_notify(&f->good, 0);
		assert_true(driver_needs_reset(&f->bad));
		assert_false(driver_needs_reset(&f->good));
		expect_read(&f->good);

		driver_start(&f->bad, 1, QUEUE);
		offer_read(&f->bad);
		driver_notify(&f->bad, 0);
		expect_read(&f->bad);
	}
	assert_int_equal(mallinfo2().uordblks, before);
	assert_int_equal(f->good.reports, 0);
	assert_int_equal(f->bad.reports, 12); /* of 2200: the 1st, 2nd, 4th, ... 2048th */
}

static void a_notify_storm(void **state)
{
	struct fixture *f = *state;
	const int fd = virtio_mmio_notify_fd(f->bad.mmio, 0);
	const uint64_t one = 1;
	uint32_t id, len;

	for (unsigned int i = 0; i < 100000; i++) {
		driver_set(&f->bad, VIRTIO_MMIO_QUEUE_NOTIFY, i % 3);
		assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
		if (i % 1000 == 0) {
			offer_read(&f->good);
			driver_notify(&f->good, 0);
			expect_read(&f->good);
		}
	}
	driver_run(&f->bad);
	assert_int_equal(driver_interrupts(&f->bad), 0);
	assert_false(driver_used(&f->bad, 0, &id, &len));
	offer_read(&f->bad);
	driver_notify(&f->bad, 0);
	expect_read(&f->bad);
	assert_int_equal(f->bad.reports, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(mistakes), TEST(a_notify_storm) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
