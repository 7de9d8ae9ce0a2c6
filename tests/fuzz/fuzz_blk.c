/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk on a small image in memory, driven by the input (tests/driver/raw_driver.h). */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raw_driver.h"
#include "virtio_blk.h"

#define IMAGE_BYTES (64 * 512)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver driver;
	static int image;
	struct stat st;

	if (!driver.mmio) {
		struct virtio_device *device;
		const char *why;
		char path[32];

		driver_init(&driver);
		image = memfd_create("image", 0);
		if (image < 0 || ftruncate(image, IMAGE_BYTES) < 0)
			abort();
		snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
		const struct virtio_blk_options options = { .path = path };
		if (virtio_blk_create(&options, &driver.mem, &driver.loop, &device, &why) < 0)
			abort();
		driver_attach(&driver, device);
	}
	raw_driver_run(&driver, data, size);
	/* Whatever was written, the image is what it was. */
	if (fstat(image, &st) < 0 || st.st_size != IMAGE_BYTES)
		abort();
	return 0;
}
