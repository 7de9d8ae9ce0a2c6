/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtio-net asks of the host's vhost, in which order, on any host: vhost and the taps are
 * replaced (--wrap) by ones that only remember. test_vhost.c has the true ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver.h"
#include "net_backend.h"
#include "net_vhost.h"
#include "virtio_net.h"

#define QUEUE 16u
#define PAIRS 2u

struct fixture {
	struct driver driver;
	unsigned int opened;
	struct {
		int fd, tap[2]; /* of each queue: 0 where it never started, -1 where nothing passes
				 */
		struct vring_used *used[2];
	} pair[PAIRS];
};

static struct fixture *the; /* the fixture at hand */

int __wrap_net_vhost_open(const struct guest_mem *mem, const char **why);
int __wrap_net_vhost_set_features(int vhost, uint64_t negotiated);
int __wrap_net_vhost_start(int vhost, unsigned int index, const struct virtqueue *vq,
			   const struct net_vhost_wires *wires);
int __wrap_net_vhost_set_tap(int vhost, unsigned int index, int tap);
int __wrap_net_tap_open(const char *name, bool multi_queue, struct net_backend **backend,
			const char **why);

int __wrap_net_vhost_open(const struct guest_mem *mem, const char **why)
{
	(void)mem;
	*why = "too many";
	if (the->opened == PAIRS)
		return -ENOSPC;
	return the->pair[the->opened++].fd = eventfd(0, EFD_CLOEXEC);
}

int __wrap_net_vhost_set_features(int vhost, uint64_t negotiated)
{
	(void)vhost;
	(void)negotiated;
	return 0;
}

int __wrap_net_vhost_set_tap(int vhost, unsigned int index, int tap)
{
	const unsigned int pair = vhost != the->pair[0].fd;

	the->pair[pair].tap[index] = tap;
	if (tap >= 0) /* as the kernel does when it begins to work on a ring */
		the->pair[pair].used[index]->flags = 0;
	return 0;
}

int __wrap_net_vhost_start(int vhost, unsigned int index, const struct virtqueue *vq,
			   const struct net_vhost_wires *wires)
{
	the->pair[vhost != the->pair[0].fd].used[index] = vq->used;
	return __wrap_net_vhost_set_tap(vhost, index, wires->tap);
}

static int tap_does(struct net_backend *backend, uint64_t features)
{
	(void)backend;
	(void)features;
	return 0;
}

static int tap_enable(struct net_backend *backend, bool on)
{
	(void)backend;
	(void)on;
	return 0;
}

static void tap_close(struct net_backend *backend)
{
	close(backend->fd);
	free(backend);
}

static const struct net_backend_ops tap_ops = { .set_offloads = tap_does,
						.enable = tap_enable,
						.close = tap_close };

int __wrap_net_tap_open(const char *name, bool multi_queue, struct net_backend **backend,
			const char **why)
{
	(void)name;
	(void)multi_queue;
	(void)why;
	*backend = calloc(1, sizeof(**backend));
	**backend = (struct net_backend){ .ops = &tap_ops, .fd = eventfd(0, 0), .tap = true };
	return 0;
}

static int setup(void **state)
{
	*state = the = calloc(1, sizeof(*the));
	driver_init(&the->driver);
	return 0;
}

static int teardown(void **state)
{
	driver_fini(&the->driver);
	free(*state);
	return 0;
}

/* A driver that takes what it is offered of all but @not_these, and runs @nr_queues. */
static struct driver *start(struct virtio_net_options options, uint64_t not_these,
			    unsigned int nr_queues)
{
	struct driver *d = &the->driver;
	struct virtio_device *device;
	const char *why;

	options.tap = "tap";
	options.vhost = true;
	assert_int_equal(virtio_net_create(&options, &d->mem, &d->loop, &device, &why), 0);
	driver_attach(d, device);
	assert_true(driver_negotiate(d, ~not_these));
	for (unsigned int q = 0; q < nr_queues; q++)
		assert_true(driver_setup(d, q, QUEUE));
	driver_ok(d);
	driver_interrupts(d);
	return d;
}

/* vhost sets a ring's flags when it begins; the one that says "the configuration" is to stay. */
static void a_cable_with_quiet_interrupts(void **state)
{
	struct driver *d = start((struct virtio_net_options){ 0 }, 0, 2);

	(void)state;
	assert_true(virtio_device_has(d->device, VIRTIO_F_QUIET_INTERRUPTS));
	for (int up = 0; up < 2; up++) {
		virtio_net_set_link(d->device, up);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(the->pair[0].used[i]->flags, VRING_USED_F_CONFIG);
			assert_int_equal(the->pair[0].tap[i] > 0, up);
		}
		assert_int_equal(driver_interrupts(d), 1);
		assert_int_equal(the->pair[0].used[0]->flags, 0);
	}
}

/* What cannot be had together is not offered together. */
static void without_event_idx(void **state)
{
	const struct virtio_net_options options = { .without = 1ull << VIRTIO_RING_F_EVENT_IDX };
	struct driver *d = start(options, 0, 2);

	(void)state;
	assert_false(driver_needs_reset(d));
	assert_true(the->pair[0].tap[0] > 0);
}

/* The third queue is the second pair's only where MQ was negotiated. */
static void a_control_queue_is_no_pair(void **state)
{
	const struct virtio_net_options options = { .queue_pairs = 2 };
	struct driver *d = start(options, 1ull << VIRTIO_NET_F_MQ, 3);

	(void)state;
	assert_true(virtio_device_has(d->device, VIRTIO_NET_F_CTRL_VQ));
	virtio_net_set_link(d->device, false);
	virtio_net_set_link(d->device, true);
	assert_true(the->pair[0].tap[0] > 0);
	assert_int_equal(the->pair[1].tap[0], 0);
}

/* One without room for an answer: no queue is served until the reset, by vhost either. */
static void a_wrong_command(void **state)
{
	const struct virtio_net_options options = { .queue_pairs = 2 };
	struct driver *d = start(options, 0, 5);

	(void)state;
	assert_true(the->pair[1].tap[1] > 0);
	driver_desc(d, d->queue[4].desc, 0, DRIVER_DATA, 4, 0, 0);
	driver_offer(d, 4, 0);
	driver_notify(d, 4);
	assert_true(driver_needs_reset(d));
	for (unsigned int q = 0; q < 4; q++)
		assert_int_equal(the->pair[q / 2].tap[q % 2], -1);
}

static void no_commands_without_pairs(void **state)
{
	const struct virtio_net_options options = { .queue_pairs = 2,
						    .without = 1ull << VIRTIO_NET_F_MQ };
	struct driver *d = start(options, 0, 2);

	(void)state;
	assert_false(virtio_device_has(d->device, VIRTIO_NET_F_CTRL_VQ));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_cable_with_quiet_interrupts), TEST(without_event_idx),
		TEST(a_control_queue_is_no_pair),    TEST(a_wrong_command),
		TEST(no_commands_without_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
