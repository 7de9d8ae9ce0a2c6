/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1) on a real tap in a network namespace of its own; the host's side of
 * the wire is a packet socket. Skipped where neither can be had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "virtio_net.h"

#define RX     0u
#define TX     1u
#define HEADER sizeof(struct virtio_net_hdr_v1)
#define TYPE   0x88b5 /* for local experiments: nobody else sends it */
#define RX_BUF (DRIVER_DATA + 0x10000)
#define TX_BUF DRIVER_DATA

struct fixture {
	struct driver driver;
	int wire;
	struct sockaddr_ll address;
};

static void set_tap(const char *name, bool up)
{
	struct ifreq ifr = { .ifr_flags = up ? IFF_UP : 0 };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static bool make_tap(const char *name, short more_flags)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	ifr.ifr_flags |= more_flags;
	const int fd = open("/dev/net/tun", O_RDWR);
	bool made;

	strcpy(ifr.ifr_name, name);
	made = fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) == 0 && ioctl(fd, TUNSETPERSIST, 1) == 0;
	if (fd >= 0)
		close(fd);
	return made;
}

static int setup_with(void **state, struct virtio_net_options options)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct virtio_device *device;
	const char *why;

	memcpy(options.mac, (uint8_t[]){ 2, 0, 0, 0, 0, 1 }, 6);
	*state = f;
	driver_init(&f->driver);
	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	driver_attach(&f->driver, device);
	/* Up after it was attached to: then its queue is active at once, not when the kernel gets
	 * round to it.
	 */
	set_tap("lup0", true);
	f->wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(TYPE));
	f->address = (struct sockaddr_ll){ .sll_family = AF_PACKET,
					   .sll_protocol = htons(TYPE),
					   .sll_ifindex = (int)if_nametoindex("lup0") };
	assert_int_equal(bind(f->wire, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, (struct virtio_net_options){ .tap = "lup0", .mtu = 1400 });
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	set_tap("lup0", false);
	driver_fini(&f->driver);
	close(f->wire);
	free(f);
	return 0;
}

static void fill_frame(uint8_t *frame, size_t len, uint8_t mark)
{
	struct ether_header *ether = (struct ether_header *)frame;

	memset(frame, mark, len);
	memset(ether->ether_dhost, 0xff, ETH_ALEN);
	memcpy(ether->ether_shost, "\2\0\0\0\0\2", ETH_ALEN);
	ether->ether_type = htons(TYPE);
}

static void send_to_guest(struct fixture *f, uint8_t mark, size_t len)
{
	uint8_t frame[1600];

	fill_frame(frame, len, mark);
	assert_int_equal(send(f->wire, frame, len, 0), len);
}

/* Offers receive buffer @index of @len bytes. */
static void offer_rx(struct fixture *f, uint16_t index, uint32_t len)
{
	struct driver *d = &f->driver;

	driver_desc(d, d->queue[RX].desc, index, RX_BUF + 0x1000 * index, len, VRING_DESC_F_WRITE,
		    0);
	driver_offer(d, RX, index);
}

static void transmits(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint8_t frame[100], got[200];
	uint32_t id, len;

	driver_start(d, 2, 16);
	fill_frame(frame, sizeof(frame), 7);
	memset(driver_at(d, TX_BUF, HEADER), 0, HEADER);
	mem_write(&d->mem, TX_BUF + HEADER, frame, sizeof(frame));
	/* Header and packet in one, then apart. */
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER + sizeof(frame), 0, 0);
	driver_offer(d, TX, 0);
	driver_desc(d, d->queue[TX].desc, 1, TX_BUF, HEADER, VRING_DESC_F_NEXT, 2);
	driver_desc(d, d->queue[TX].desc, 2, TX_BUF + HEADER, sizeof(frame), 0, 0);
	driver_offer(d, TX, 1);
	driver_notify(d, TX);
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(driver_used(d, TX, &id, &len));
		assert_int_equal(id, i);
		assert_int_equal(len, 0);
		assert_int_equal(recv(f->wire, got, sizeof(got), 0), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
	}
	assert_int_equal(driver_interrupts(d), 1);
}

static void a_packet_shorter_than_its_header(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;

	driver_start(d, 2, 16);
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER - 1, 0, 0);
	driver_offer(d, TX, 0);
	driver_notify(d, TX);
	assert_true(driver_needs_reset(d));
}

static void lies_in_the_header_lose_the_packet(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	static const struct virtio_net_hdr_v1 lies[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .csum_start = 0xffff,
		  .csum_offset = 0xffff },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 99, .csum_offset = 2 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0, .hdr_len = 0xffff },
		{ .gso_type = 0x7f, .gso_size = 1 },
	};
	uint8_t got[200];
	uint32_t id, len;

	driver_start(d, 2, 16);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		mem_write(&d->mem, TX_BUF, &lies[i], HEADER);
		fill_frame(driver_at(d, TX_BUF + HEADER, 100), 100, 9);
		driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER + 100, 0, 0);
		driver_offer(d, TX, 0);
		driver_notify(d, TX);
		assert_true(driver_used(d, TX, &id, &len));
		assert_int_equal(recv(f->wire, got, sizeof(got), 0), -1);
	}
	assert_false(driver_needs_reset(d));
}

static void receives(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	struct virtio_net_hdr_v1 header;
	uint8_t frame[100];
	uint32_t id, len;

	driver_start(d, 2, 16);
	offer_rx(f, 5, 2000);
	offer_rx(f, 6, 2000);
	driver_notify(d, RX);
	assert_false(driver_used(d, RX, &id, &len));
	send_to_guest(f, 3, sizeof(frame));
	driver_run(d);
	assert_true(driver_used(d, RX, &id, &len));
	assert_int_equal(id, 5);
	assert_int_equal(len, HEADER + sizeof(frame));
	mem_read(&d->mem, RX_BUF + 0x5000, &header, HEADER);
	assert_int_equal(header.num_buffers, 1);
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	fill_frame(frame, sizeof(frame), 3);
	assert_memory_equal(driver_at(d, RX_BUF + 0x5000 + HEADER, 100), frame, sizeof(frame));
	assert_int_equal(driver_interrupts(d), 1);
	assert_false(driver_used(d, RX, &id, &len));
}

static void packets_wait_for_buffers(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	/* Some come before the driver is there at all, some before its buffers. */
	send_to_guest(f, 0, 60);
	driver_run(d);
	driver_start(d, 2, 16);
	send_to_guest(f, 1, 60);
	driver_run(d);
	assert_false(driver_used(d, RX, &id, &len));
	for (uint16_t i = 0; i < 3; i++)
		offer_rx(f, i, 2000);
	driver_notify(d, RX);
	for (uint8_t i = 0; i < 2; i++) {
		assert_true(driver_used(d, RX, &id, &len));
		assert_int_equal(*(uint8_t *)driver_at(d, RX_BUF + 0x1000 * i + HEADER + 50, 1), i);
	}
	/* The third buffer, popped already, is used when something comes. */
	assert_false(driver_used(d, RX, &id, &len));
	send_to_guest(f, 2, 60);
	driver_run(d);
	assert_true(driver_used(d, RX, &id, &len));
	assert_int_equal(id, 2);
}

static void a_header_cut_into_bytes(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	driver_start(d, 2, 16);
	memset(driver_at(d, RX_BUF, 64), 0xee, 64);
	for (uint16_t i = 0; i < 12; i++)
		driver_desc(d, d->queue[RX].desc, i, RX_BUF + 2 * i, 1,
			    VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	driver_desc(d, d->queue[RX].desc, 12, RX_BUF + 0x1000, 2000, VRING_DESC_F_WRITE, 0);
	driver_offer(d, RX, 0);
	driver_notify(d, RX);
	send_to_guest(f, 2, 60);
	driver_run(d);
	assert_true(driver_used(d, RX, &id, &len));
	assert_int_equal(len, HEADER + 60);
	assert_int_equal(*(uint8_t *)driver_at(d, RX_BUF + 20, 1), 1);
	assert_int_equal(*(uint8_t *)driver_at(d, RX_BUF + 22, 1), 0);
	assert_int_equal(*(uint8_t *)driver_at(d, RX_BUF + 21, 1), 0xee);
}

static void wrong_receive_buffers(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;

	driver_start(d, 2, 16);
	offer_rx(f, 0, HEADER - 1);
	driver_notify(d, RX);
	assert_true(driver_needs_reset(d));

	driver_start(d, 2, 16);
	driver_desc(d, d->queue[RX].desc, 0, RX_BUF, 2000, 0, 0); /* not writable */
	driver_offer(d, RX, 0);
	driver_notify(d, RX);
	assert_true(driver_needs_reset(d));
	driver_interrupts(d); /* the two that said so */
	receives(state);
}

static void the_configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(driver_get(&f->driver, VIRTIO_MMIO_CONFIG), 2);
	/* The end of the MAC, and the link is up. */
	assert_int_equal(driver_get(&f->driver, VIRTIO_MMIO_CONFIG + 4), 0x00010100);
	assert_int_equal(driver_get(&f->driver, VIRTIO_MMIO_CONFIG + 8) >> 16, 1400);
}

/* A frame of 100 bytes in buffers of 40: three of them, the header counted. */
static void merges_buffers(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	struct virtio_net_hdr_v1 header;
	uint8_t frame[100], got[112];
	uint32_t id, len, at = 0;

	driver_start(d, 2, 16);
	for (uint16_t i = 0; i < 6; i++)
		offer_rx(f, i, 40);
	driver_notify(d, RX);
	for (uint8_t packet = 0; packet < 2; packet++) {
		send_to_guest(f, packet, sizeof(frame));
		driver_run(d);
		at = 0;
		for (uint32_t i = 0; i < 3; i++) {
			assert_true(driver_used(d, RX, &id, &len));
			assert_int_equal(id, 3 * packet + i);
			assert_int_equal(len, i < 2 ? 40 : 32);
			memcpy(got + at, driver_at(d, RX_BUF + 0x1000 * id, len), len);
			at += len;
		}
		assert_false(driver_used(d, RX, &id, &len));
		memcpy(&header, got, sizeof(header));
		assert_int_equal(header.num_buffers, 3);
		fill_frame(frame, sizeof(frame), packet);
		assert_memory_equal(got + HEADER, frame, sizeof(frame));
	}
}

/* Fewer buffers than the packet needs: it waits, whole, and nothing is shown before. */
static void a_packet_waits_for_its_last_buffer(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint8_t frame[1500];
	uint32_t id, len;

	driver_start(d, 2, 16);
	offer_rx(f, 0, 1000);
	driver_notify(d, RX);
	send_to_guest(f, 5, sizeof(frame));
	driver_run(d);
	assert_false(driver_used(d, RX, &id, &len));
	offer_rx(f, 1, 100); /* not yet */
	driver_notify(d, RX);
	assert_false(driver_used(d, RX, &id, &len));
	offer_rx(f, 2, 2000);
	driver_notify(d, RX);
	for (uint32_t i = 0; i < 3; i++) {
		static const uint32_t lens[] = { 1000, 100, 412 };

		assert_true(driver_used(d, RX, &id, &len));
		assert_int_equal(len, lens[i]);
	}
	fill_frame(frame, sizeof(frame), 5);
	assert_memory_equal(driver_at(d, RX_BUF + 0x2000, 412), frame + sizeof(frame) - 412, 412);
	/* A reset while one waits. */
	offer_rx(f, 3, 100);
	driver_notify(d, RX);
	send_to_guest(f, 6, sizeof(frame));
	driver_run(d);
	driver_start(d, 2, 16);
	offer_rx(f, 0, 2000);
	driver_notify(d, RX);
	send_to_guest(f, 7, 60);
	driver_run(d);
	assert_true(driver_used(d, RX, &id, &len));
	assert_int_equal(len, HEADER + 60);
}

static void without_merging_a_packet_too_large_is_lost(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	assert_true(driver_negotiate(d, ~(1ull << VIRTIO_NET_F_MRG_RXBUF)));
	assert_true(driver_setup(d, RX, 16));
	assert_true(driver_setup(d, TX, 16));
	driver_ok(d);
	offer_rx(f, 0, 200);
	offer_rx(f, 1, 200);
	driver_notify(d, RX);
	send_to_guest(f, 1, 1000);
	send_to_guest(f, 2, 100);
	driver_run(d);
	assert_true(driver_used(d, RX, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, HEADER + 100);
	assert_int_equal(*(uint8_t *)driver_at(d, RX_BUF + HEADER + 50, 1), 2);
	assert_false(driver_used(d, RX, &id, &len));
}

static void the_link(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	driver_start(d, 2, 16);
	offer_rx(f, 0, 2000);
	driver_notify(d, RX);
	virtio_net_set_link(d->device, false);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_CONFIG + 4) >> 16, 0);
	driver_interrupts(d);
	virtio_net_set_link(d->device, false);
	assert_int_equal(driver_interrupts(d), 0); /* nothing new */
	send_to_guest(f, 1, 60);
	driver_run(d);
	assert_false(driver_used(d, RX, &id, &len));
	virtio_net_set_link(d->device, true);
	assert_true(driver_used(d, RX, &id, &len));
}

static int setup_limited(void **state)
{
	return setup_with(
		state, (struct virtio_net_options){ .tap = "lup0",
						    .rx.ops = { .rate = 50, .burst = 1 },
						    .tx.bytes = { .rate = 5000, .burst = 100 } });
}

static void rate_limits(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	unsigned int rx = 0, tx = 0;
	uint32_t id, len;

	driver_start(d, 2, 16);
	for (uint16_t i = 0; i < 3; i++) {
		offer_rx(f, i, 2000);
		send_to_guest(f, 1, 60);
		driver_desc(d, d->queue[TX].desc, i, TX_BUF, HEADER + 100, 0, 0);
		driver_offer(d, TX, i);
	}
	driver_notify(d, TX);
	driver_notify(d, RX);
	while (driver_used(d, RX, &id, &len))
		rx++;
	while (driver_used(d, TX, &id, &len))
		tx++;
	assert_in_range(rx, 1, 2);
	assert_in_range(tx, 1, 2);
	for (int i = 0; i < 1000 && (rx < 3 || tx < 3); i++) {
		usleep(1000);
		driver_run(d);
		while (driver_used(d, RX, &id, &len))
			rx++;
		while (driver_used(d, TX, &id, &len))
			tx++;
	}
	assert_int_equal(rx, 3);
	assert_int_equal(tx, 3);
}

/* The test's packets go over lup0; this one is another device on the same loop. */
static struct virtio_device *make_another(struct fixture *f, struct virtio_net_options options)
{
	struct virtio_device *device;
	const char *why = NULL;

	virtio_mmio_destroy(f->driver.mmio);
	f->driver.mmio = NULL;
	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	driver_attach(&f->driver, device);
	return device;
}

static uint8_t command(struct fixture *f, unsigned int q, uint8_t class, uint8_t cmd, uint16_t data)
{
	struct driver *d = &f->driver;
	const uint8_t bytes[] = { class, cmd, (uint8_t)data, (uint8_t)(data >> 8) };
	uint32_t id, len;

	mem_write(&d->mem, TX_BUF, bytes, sizeof(bytes));
	driver_desc(d, d->queue[q].desc, 0, TX_BUF, 2, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[q].desc, 1, TX_BUF + 2, 2, VRING_DESC_F_NEXT, 2);
	driver_desc(d, d->queue[q].desc, 2, TX_BUF + 100, 1, VRING_DESC_F_WRITE, 0);
	driver_offer(d, q, 0);
	driver_notify(d, q);
	assert_true(driver_used(d, q, &id, &len));
	assert_int_equal(len, 1);
	return *(uint8_t *)driver_at(d, TX_BUF + 100, 1);
}

static void several_queues(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	const uint8_t set = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
	uint32_t id, len;

	make_another(f, (struct virtio_net_options){ .tap = "lupmq", .queue_pairs = 3 });
	driver_start(d, 7, 16);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_CONFIG + 8) & 0xffff, 3);
	assert_int_equal(command(f, 6, VIRTIO_NET_CTRL_MQ, set, 2), VIRTIO_NET_OK);
	assert_int_equal(command(f, 6, VIRTIO_NET_CTRL_MQ, set, 3), VIRTIO_NET_OK);
	assert_int_equal(command(f, 6, VIRTIO_NET_CTRL_MQ, set, 1), VIRTIO_NET_OK);
	assert_int_equal(command(f, 6, VIRTIO_NET_CTRL_MQ, set, 0), VIRTIO_NET_ERR);
	assert_int_equal(command(f, 6, VIRTIO_NET_CTRL_MQ, set, 4), VIRTIO_NET_ERR);
	assert_int_equal(command(f, 6, VIRTIO_NET_CTRL_MQ, 77, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(f, 6, 77, set, 1), VIRTIO_NET_ERR);
	/* The last pair transmits. */
	driver_desc(d, d->queue[5].desc, 0, TX_BUF, HEADER + 60, 0, 0);
	driver_offer(d, 5, 0);
	driver_notify(d, 5);
	assert_true(driver_used(d, 5, &id, &len));
	/* Without MQ the control queue is the third (5.1.2). */
	assert_true(driver_negotiate(d, ~(1ull << VIRTIO_NET_F_MQ)));
	for (unsigned int q = 0; q < 3; q++)
		assert_true(driver_setup(d, q, 16));
	driver_ok(d);
	assert_int_equal(command(f, 2, VIRTIO_NET_CTRL_MQ, set, 1), VIRTIO_NET_ERR);
	assert_false(driver_needs_reset(d));
}

static void commands_without_room(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;

	make_another(f, (struct virtio_net_options){ .tap = "lupmq", .queue_pairs = 2 });
	driver_start(d, 5, 16);
	driver_desc(d, d->queue[4].desc, 0, TX_BUF, 1, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[4].desc, 1, TX_BUF, 1, VRING_DESC_F_WRITE, 1);
	driver_offer(d, 4, 0);
	driver_notify(d, 4);
	assert_true(driver_needs_reset(d));
}

static void an_inherited_tap(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	const int fd = open("/dev/net/tun", O_RDWR);
	uint32_t id, len;

	strcpy(ifr.ifr_name, "lupmq");
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	make_another(f, (struct virtio_net_options){ .fd = fd });
	close(fd); /* the device has its own */
	driver_start(d, 2, 16);
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER + 60, 0, 0);
	driver_offer(d, TX, 0);
	driver_notify(d, TX);
	assert_true(driver_used(d, TX, &id, &len));
}

/* Each set of offloads a driver may take is accepted by the tap. */
static void offload_matrix(void **state)
{
	struct fixture *f = *state;
	static const unsigned int features[] = { VIRTIO_NET_F_CSUM,	  VIRTIO_NET_F_HOST_TSO4,
						 VIRTIO_NET_F_HOST_TSO6,  VIRTIO_NET_F_HOST_ECN,
						 VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4,
						 VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN };

	for (unsigned int set = 0; set < 256; set++) {
		uint64_t wanted = 1ull << VIRTIO_F_VERSION_1;
		/* 5.1.3.1: segmentation needs checksums, ECN needs segmentation. */
		const bool host = !(set & 0x0e) || ((set & 1) && (!(set & 8) || (set & 6)));
		const bool guest =
			!(set & 0xe0) || ((set & 0x10) && (!(set & 0x80) || (set & 0x60)));

		for (unsigned int i = 0; i < 8; i++)
			if (set & 1u << i)
				wanted |= 1ull << features[i];
		assert_int_equal(driver_negotiate(&f->driver, wanted), host && guest);
		if (host && guest) {
			driver_ok(&f->driver);
			assert_false(driver_needs_reset(&f->driver));
		}
	}
}

static void a_tap_that_goes_down_and_comes_back(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, len;

	driver_start(d, 2, 16);
	set_tap("lup0", false);
	driver_run(d);
	memset(driver_at(d, TX_BUF, HEADER), 0, HEADER);
	fill_frame(driver_at(d, TX_BUF + HEADER, 100), 100, 9);
	driver_desc(d, d->queue[TX].desc, 0, TX_BUF, HEADER + 100, 0, 0);
	driver_offer(d, TX, 0);
	driver_notify(d, TX);
	assert_true(driver_used(d, TX, &id, &len)); /* lost, but completed */
	assert_false(driver_needs_reset(d));
	set_tap("lup0", true);
	assert_int_equal(recv(f->wire, &id, sizeof(id), 0), -1); /* the socket's own ENETDOWN */
	driver_run(d);
	offer_rx(f, 0, 2000);
	driver_notify(d, RX);
	send_to_guest(f, 3, 60);
	driver_run(d);
	assert_true(driver_used(d, RX, &id, &len));
}

static void expect_refusal(struct fixture *f, const char *tap, int err, const char *text)
{
	const struct virtio_net_options options = { .tap = tap };
	struct virtio_device *device;
	const char *why = NULL;

	assert_int_equal(
		virtio_net_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), err);
	assert_string_equal(why, text);
}

static void refuses_taps(void **state)
{
	struct fixture *f = *state;

	expect_refusal(f, "nosuchtap", -ENODEV, "does not exist: make it with \"ip tuntap add\"");
	expect_refusal(f, "", -EINVAL, "is not an interface's name");
	expect_refusal(f, "a-name-that-is-too-long", -EINVAL, "is not an interface's name");
	expect_refusal(f, "lo", -EINVAL, "is not a tap interface, or not one with such queues");
	expect_refusal(f, "lup0", -EBUSY, "is in use by another process");
}

/* The host's own IPv6 chatter would be taken for the test's packets. */
static void silence_ipv6(void)
{
	const int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

	if (fd < 0)
		return; /* a kernel without it */
	(void)!write(fd, "1", 1);
	close(fd);
}

static bool prepare(void)
{
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	silence_ipv6();
	return make_tap("lup0", 0) && make_tap("lupmq", IFF_MULTI_QUEUE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(transmits),
		TEST(a_packet_shorter_than_its_header),
		TEST(lies_in_the_header_lose_the_packet),
		TEST(receives),
		TEST(packets_wait_for_buffers),
		TEST(a_header_cut_into_bytes),
		TEST(wrong_receive_buffers),
		TEST(merges_buffers),
		TEST(a_packet_waits_for_its_last_buffer),
		TEST(without_merging_a_packet_too_large_is_lost),
		TEST(the_link),
		cmocka_unit_test_setup_teardown(rate_limits, setup_limited, teardown),
		TEST(several_queues),
		TEST(commands_without_room),
		TEST(an_inherited_tap),
		TEST(the_configuration),
		TEST(offload_matrix),
		TEST(a_tap_that_goes_down_and_comes_back),
		TEST(refuses_taps),
	};

	if (!prepare()) {
		print_message("skipped: no tap can be made here\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
