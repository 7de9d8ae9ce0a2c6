/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net on a stream socket (passt's protocol); the test is the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "virtio_net.h"

#define RX     0u
#define TX     1u
#define HEADER sizeof(struct virtio_net_hdr_v1)
#define TX_BUF DRIVER_DATA
#define RX_BUF (DRIVER_DATA + 0x20000)

struct fixture {
	struct driver driver;
	int peer;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct virtio_device *device;
	const char *why;
	int ends[2];

	*state = f;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	f->peer = ends[0];
	fcntl(f->peer, F_SETFL, O_NONBLOCK);
	driver_init(&f->driver);
	const struct virtio_net_options options = { .fd = ends[1] };
	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	close(ends[1]);
	driver_attach(&f->driver, device);
	driver_start(&f->driver, 2, 256);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->driver);
	if (f->peer >= 0)
		close(f->peer);
	free(f);
	return 0;
}

static void offer_rx(struct fixture *f, uint16_t index, uint32_t len)
{
	struct driver *d = &f->driver;

	driver_desc(d, d->queue[RX].desc, index, RX_BUF + 0x1000 * index, len, VRING_DESC_F_WRITE,
		    0);
	driver_offer(d, RX, index);
}

static void say(struct fixture *f, const void *bytes, size_t len)
{
	assert_int_equal(write(f->peer, bytes, len), len);
}

static void no_offloads(void **state)
{
	struct fixture *f = *state;

	assert_false(virtio_device_has(f->driver.device, VIRTIO_NET_F_CSUM));
	assert_false(virtio_device_has(f->driver.device, VIRTIO_NET_F_GUEST_CSUM));
}

static void receives_cut_anywhere(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	/* Two frames, of 5 and 3 bytes. */
	static const uint8_t stream[] = "\0\0\0\5hello\0\0\0\3abc";
	uint32_t id, len;

	for (size_t cut = 0; cut < sizeof(stream); cut++) {
		offer_rx(f, 0, 100);
		offer_rx(f, 1, 100);
		driver_notify(d, RX);
		say(f, stream, cut);
		driver_run(d);
		say(f, stream + cut, sizeof(stream) - 1 - (cut < sizeof(stream) ? cut : 0));
		driver_run(d);
		assert_true(driver_used(d, RX, &id, &len));
		assert_int_equal(len, HEADER + 5);
		assert_memory_equal(driver_at(d, RX_BUF + 0x1000 * id, len),
				    "\0\0\0\0\0\0\0\0\0\0\1\0hello", len);
		assert_true(driver_used(d, RX, &id, &len));
		assert_int_equal(len, HEADER + 3);
		assert_memory_equal(driver_at(d, RX_BUF + 0x1000 * id + HEADER, 3), "abc", 3);
		assert_false(driver_used(d, RX, &id, &len));
		if (cut + 2 == sizeof(stream))
			break;
	}
}

/* All the buffers that fit in the ring cannot hold it: it is lost, and those after it come. */
static void a_packet_larger_than_the_ring(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	static const uint8_t large[4 + 1000] = { 0, 0, 1000 / 256, 1000 % 256 };
	uint32_t id, len;

	driver_start(d, 2, 4);
	for (uint16_t i = 0; i < 4; i++)
		offer_rx(f, i, 200);
	driver_notify(d, RX);
	say(f, large, sizeof(large));
	driver_run(d);
	for (int i = 0; i < 20; i++) {
		say(f, "\0\0\0\5hello", 9);
		driver_run(d);
		assert_true(driver_used(d, RX, &id, &len));
		assert_int_equal(len, HEADER + 5);
		offer_rx(f, (uint16_t)id, 200);
		driver_notify(d, RX);
	}
}

static void lengths_that_lie(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	offer_rx(f, 0, 100);
	driver_notify(d, RX);
	say(f, "\xff\xff\xff\xffxxxx", 8);
	driver_run(d);
	say(f, "\0\0\0\1x", 5); /* nobody listens any more */
	driver_run(d);
	assert_false(driver_used(d, RX, &id, &len));
	assert_false(driver_needs_reset(d)); /* the guest did nothing wrong */
	assert_int_equal(d->reports, 1);
	assert_non_null(strstr(d->line, "no packet: it is left alone"));
}

static void a_peer_that_goes_away(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	offer_rx(f, 0, 100);
	driver_notify(d, RX);
	close(f->peer);
	f->peer = -1;
	driver_run(d);
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER + 60, 0, 0);
	for (int i = 0; i < 2; i++) {
		driver_offer(d, TX, 0);
		driver_notify(d, TX);
		assert_true(driver_used(d, TX, &id, &len)); /* lost, but completed */
	}
	assert_false(driver_used(d, RX, &id, &len));
	assert_int_equal(d->reports, 1);
	assert_non_null(strstr(d->line, "the other end is gone"));
}

static void transmits(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint8_t got[100];
	uint32_t id, len;

	memcpy(driver_at(d, TX_BUF, 64), "hhhhhhhhhhhhpacket", 18);
	/* The header cut in the middle, and the frame. */
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, 5, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[TX].desc, 1, TX_BUF + 5, 9, VRING_DESC_F_NEXT, 2);
	driver_desc(d, d->queue[TX].desc, 2, TX_BUF + 14, 4, 0, 0);
	driver_offer(d, TX, 0);
	driver_notify(d, TX);
	assert_true(driver_used(d, TX, &id, &len));
	assert_int_equal(read(f->peer, got, sizeof(got)), 10);
	assert_memory_equal(got, "\0\0\0\6packet", 10);
	/* One without a frame is nothing. */
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER, 0, 0);
	driver_offer(d, TX, 0);
	driver_notify(d, TX);
	assert_true(driver_used(d, TX, &id, &len));
	assert_int_equal(read(f->peer, got, sizeof(got)), -1);
}

/* A peer that reads slowly: packets wait in the queue, none is cut, lost or doubled. */
static void a_socket_that_is_full(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	static uint8_t got[4 << 20];
	unsigned int offered = 0, used = 0;
	size_t read_so_far = 0, checked = 0;
	uint32_t id, len;
	ssize_t n;

	for (uint16_t i = 0; i < 200; i++) {
		memset(driver_at(d, TX_BUF + HEADER, 9000), i, 9000);
		driver_desc(d, d->queue[TX].desc, i, TX_BUF, HEADER + 9000, 0, 0);
		driver_offer(d, TX, i);
		driver_notify(d, TX);
		offered++;
	}
	while (driver_used(d, TX, &id, &len))
		used++;
	assert_in_range(used, 1, offered - 1);
	while ((n = read(f->peer, got + read_so_far, 10000)) > 0) {
		read_so_far += (size_t)n;
		driver_run(d);
	}
	while (driver_used(d, TX, &id, &len))
		used++;
	assert_int_equal(used, offered);
	assert_int_equal(read_so_far, offered * 9004);
	for (unsigned int i = 0; i < offered; i++, checked += 9004)
		assert_memory_equal(got + checked, "\0\0\x23\x28", 4);
}

static void refuses(void **state)
{
	struct fixture *f = *state;
	struct virtio_device *device;
	const char *why;
	struct virtio_net_options options = { .socket = "/nonexistent/passt.socket" };

	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why),
		-ENOENT);
	assert_string_equal(why, "does not exist: start passt with --socket");
	options = (struct virtio_net_options){ .fd = open("/dev/null", O_RDWR) };
	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why),
		-EINVAL);
	assert_string_equal(why, "is not a stream socket's file descriptor");
	options.queue_pairs = 2;
	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why),
		-EINVAL);
	assert_string_equal(why, "can have several queues only as a tap given by name");
	close(options.fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(no_offloads),	TEST(receives_cut_anywhere),
		TEST(lengths_that_lie), TEST(a_peer_that_goes_away),
		TEST(transmits),	TEST(a_socket_that_is_full),
		TEST(refuses),		TEST(a_packet_larger_than_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
