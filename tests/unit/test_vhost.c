/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net served by the host's kernel: packets leave, a driver that breaks the rules is told to
 * reset, and after that they leave again. Needs root, a tap "$LUPINE_TAP" that is up, and vhost-net
 * (the boot tests have them); without, there is nothing to test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "virtio_net.h"

#define QUEUE  16u
#define BUFFER DRIVER_DATA
#define FRAME  (12u + 60u)

static unsigned long packets(const char *tap)
{
	unsigned long count = 0;
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/rx_packets", tap);
	FILE *file = fopen(path, "r");
	if (!file || fscanf(file, "%lu", &count) != 1)
		fail_msg("%s", path);
	fclose(file);
	return count;
}

static void send_one(struct driver *d, const char *tap)
{
	const unsigned long before = packets(tap);
	uint32_t id, len;

	driver_desc(d, d->queue[1].desc, 3, BUFFER, FRAME, 0, 0);
	driver_offer(d, 1, 3);
	driver_notify(d, 1);
	for (int tries = 0; !driver_used(d, 1, &id, &len); tries++) {
		assert_true(tries < 5000);
		usleep(1000);
	}
	assert_int_equal(id, 3);
	assert_int_equal(packets(tap), before + 1);
}

static void wait_for_mistake(struct driver *d)
{
	for (int tries = 0; !driver_needs_reset(d); tries++) {
		assert_true(tries < 5000);
		driver_run(d);
		usleep(1000);
	}
	assert_non_null(strstr(d->line, "vhost"));
}

/* With and without interrupts that need no status: directly, and by way of the event loop. */
static void run(uint64_t not_these)
{
	const char *tap = getenv("LUPINE_TAP"), *why;
	static struct driver d;
	struct virtio_device *device;

	if (!tap || access("/dev/vhost-net", R_OK | W_OK) < 0)
		skip();
	driver_init(&d);
	const struct virtio_net_options options = { .tap = tap, .vhost = true };
	assert_int_equal(virtio_net_create(&options, &d.mem, &d.loop, &device, &why), 0);
	driver_attach(&d, device);
	memset(driver_at(&d, BUFFER, FRAME), 0, FRAME);
	for (int round = 0; round < 5; round++) {
		assert_true(driver_negotiate(&d, ~not_these));
		for (unsigned int q = 0; q < 2; q++)
			assert_true(driver_setup(&d, q, QUEUE));
		driver_ok(&d);
		driver_interrupts(&d);
		send_one(&d, tap);
		send_one(&d, tap);
		driver_run(&d);
		assert_true(driver_interrupts(&d) > 0);
		virtio_net_set_link(device, false);
		virtio_net_set_link(device, true);
		send_one(&d, tap);
		if (round % 2) { /* an index that is none */
			driver_offer(&d, 1, QUEUE + 5);
		} else { /* a buffer that is not memory */
			driver_desc(&d, d.queue[1].desc, 0, DRIVER_MEM - 4, FRAME, 0, 0);
			driver_offer(&d, 1, 0);
		}
		driver_notify(&d, 1);
		wait_for_mistake(&d);
	}
	driver_fini(&d);
}

static void quiet(void **state)
{
	(void)state;
	run(0);
}

static void by_status(void **state)
{
	(void)state;
	run(1ull << VIRTIO_F_QUIET_INTERRUPTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quiet),
		cmocka_unit_test(by_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
