/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk on a small image in memory, driven by the input (tests/driver/raw_driver.h). The
 * input's last byte chooses the disk's options; the host changes the image's size meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raw_driver.h"
#include "virtio_blk.h"

#define SECTORS 64
#define SECTOR	512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct virtio_blk_options kinds[] = {
	{ 0 },
	{ .read_only = true },
	{ .writethrough = true, .queues = 3 },
	{ .limits = { { 1u << 30, 0 }, { 1000000, 0 } } },
	{ .uring = true, .queues = 2 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct disk {
	struct driver driver; /* first: host_act is handed this */
	int image;
	off_t bytes; /* what the host made of it, */
	off_t told; /* and what it told the device */
} disks[KINDS];

static void make(struct disk *disk, struct virtio_blk_options options)
{
	struct virtio_device *device;
	const char *why;
	char path[32];

	driver_init(&disk->driver);
	disk->image = memfd_create("image", 0);
	if (disk->image < 0)
		abort();
	disk->bytes = disk->told = SECTORS * SECTOR;
	if (ftruncate(disk->image, disk->bytes) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", disk->image);
	options.path = path;
	if (virtio_blk_create(&options, &disk->driver.mem, &disk->driver.loop, &device, &why) < 0)
		abort();
	driver_attach(&disk->driver, device);
}

static void resize(struct driver *driver, uint8_t sectors)
{
	struct disk *disk = (struct disk *)driver;

	if (ftruncate(disk->image, sectors * SECTOR) < 0)
		abort();
	disk->bytes = sectors * SECTOR;
	if (sectors % 2 == 1) /* without a word: requests behind the end fail, or extend the file */
		return;
	if ((virtio_blk_resize(driver->device) == 0) != (sectors > 0))
		abort();
	if (sectors > 0)
		disk->told = disk->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk *disk = &disks[size ? data[size - 1] % KINDS : 0];
	struct stat st;

	if (!disk->driver.mmio)
		make(disk, kinds[disk - disks]);
	raw_driver_run(&disk->driver, data, size, resize);
	/* Whatever was written, it was inside. */
	if (fstat(disk->image, &st) < 0 ||
	    st.st_size > (disk->bytes > disk->told ? disk->bytes : disk->told))
		abort();
	resize(&disk->driver, SECTORS);
	return 0;
}
