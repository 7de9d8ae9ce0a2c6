/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net, driven by the input (tests/driver/raw_driver.h); what comes over the wire is the
 * input too. Its last byte chooses the wire: a stream socket, or what net_tap_open() is replaced
 * with here, two queues of a tap as pairs of datagram sockets.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_backend.h"
#include "raw_driver.h"
#include "virtio_net.h"

#define WIRES 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_net_tap_open(const char *name, bool multi_queue, struct net_backend **backend,
			const char **why);

static struct wire {
	struct driver driver; /* first: host_act is handed this */
	bool stream;
	int far[WIRES]; /* the other ends */
	unsigned int nr_far;
	struct net_backend taps[WIRES];
} wire;

static ssize_t tap_receive(struct net_backend *tap, const struct iovec *iov, unsigned int nr)
{
	const ssize_t n = readv(tap->fd, iov, (int)nr);

	return n < 0 ? -errno : n;
}

static void tap_send(struct net_backend *tap, const struct iovec *iov, unsigned int nr, size_t len)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		sum += iov[i].iov_len;
	if (sum != len || len < NET_HEADER_LEN)
		abort();
	(void)!writev(tap->fd, iov, (int)nr);
}

static int tap_set_offloads(struct net_backend *tap, uint64_t features)
{
	(void)tap;
	return features & 1ull << VIRTIO_NET_F_GUEST_ECN ? -EINVAL : 0; /* an old host's tap */
}

static int tap_enable(struct net_backend *tap, bool on)
{
	(void)tap;
	(void)on;
	return 0;
}

static void tap_close(struct net_backend *tap)
{
	close(tap->fd);
}

int __wrap_net_tap_open(const char *name, bool multi_queue, struct net_backend **backend,
			const char **why)
{
	static const struct net_backend_ops ops = {
		.receive = tap_receive,
		.send = tap_send,
		.set_offloads = tap_set_offloads,
		.enable = tap_enable,
		.close = tap_close,
	};
	int ends[2];

	(void)name;
	(void)multi_queue;
	(void)why;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) < 0)
		abort();
	wire.taps[wire.nr_far] = (struct net_backend){
		.ops = &ops, .fd = ends[1], .events = EPOLLIN, .features = 0x7f83 /* all offloads */
	};
	*backend = &wire.taps[wire.nr_far];
	wire.far[wire.nr_far++] = ends[0];
	return 0;
}

/* A packet comes, the cable is pulled, or the far end reads what was sent, or goes away. */
static void host_act(struct driver *driver, uint8_t what)
{
	static uint8_t bytes[65536];
	const int fd = wire.far[what % wire.nr_far];
	const unsigned int frame = 14u + what * 250u;

	switch (what / 2 % 4) {
	case 0:
	case 1:
		bytes[0] = bytes[1] = 0;
		if (wire.stream) {
			bytes[2] = (uint8_t)(frame >> 8);
			bytes[3] = (uint8_t)frame;
		}
		(void)!send(fd, bytes, (wire.stream ? 4 : NET_HEADER_LEN) + frame, MSG_NOSIGNAL);
		break;
	case 2:
		while (recv(fd, bytes, sizeof(bytes), 0) > 0)
			;
		break;
	default:
		if (what == 0xff)
			shutdown(fd, SHUT_RDWR);
		else
			virtio_net_set_link(driver->device, what & 1);
		break;
	}
}

static void attach_stream(struct virtio_net_options *options, int *near)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
		abort();
	wire.far[wire.nr_far++] = ends[0];
	*near = options->fd = ends[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_options options = { .mtu = 1400 };
	struct virtio_device *device;
	const char *why;
	int near = -1;

	memset(&wire, 0, sizeof(wire));
	driver_init(&wire.driver);
	wire.stream = size == 0 || data[size - 1] % 2 == 0;
	if (wire.stream) {
		attach_stream(&options, &near);
	} else {
		options.tap = "tap";
		options.queue_pairs = WIRES;
		options.rx.bytes.rate = options.tx.ops.rate = data[size - 1] & 2 ? 1 << 30 : 0;
	}
	if (virtio_net_create(&options, &wire.driver.mem, &wire.driver.loop, &device, &why) < 0)
		abort();
	if (near >= 0)
		close(near);
	driver_attach(&wire.driver, device);
	/* Frames of a right length, then anything. */
	for (int i = 0; i < 3 && size > 0; i++) {
		const uint8_t frame[4 + 100] = { 0, 0, 0, 100, data[0] };

		(void)!write(wire.far[0], frame, sizeof(frame));
	}
	(void)!write(wire.far[0], data, size < 4096 ? size : 4096);
	raw_driver_run(&wire.driver, data, size, host_act);
	driver_fini(&wire.driver);
	for (unsigned int i = 0; i < wire.nr_far; i++)
		close(wire.far[i]);
	return 0;
}
