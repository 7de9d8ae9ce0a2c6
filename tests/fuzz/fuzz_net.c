/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net on a stream socket, driven by the input (tests/driver/raw_driver.h); what comes over
 * the wire is the input too.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_driver.h"
#include "virtio_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver driver;
	struct virtio_device *device;
	const char *why;
	int wire[2];

	driver_init(&driver);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, wire) < 0)
		abort();
	const struct virtio_net_options options = { .fd = wire[1] };
	if (virtio_net_create(&options, &driver.mem, &driver.loop, &device, &why) < 0)
		abort();
	close(wire[1]);
	driver_attach(&driver, device);
	/* Frames of a right length, then anything. */
	for (int i = 0; i < 3 && size > 0; i++) {
		const uint8_t frame[4 + 100] = { 0, 0, 0, 100, data[0] };

		(void)!write(wire[0], frame, sizeof(frame));
	}
	(void)!write(wire[0], data, size < 4096 ? size : 4096);
	raw_driver_run(&driver, data, size);
	driver_fini(&driver);
	close(wire[0]);
	return 0;
}
