/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk requests, right and wrong (virtio 1.2, 5.2), on a real file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver.h"
#include "virtio_blk.h"

#define SECTORS 64u
#define HEADER	DRIVER_DATA
#define STATUS	(DRIVER_DATA + 0x100)
#define BUFFER	(DRIVER_DATA + 0x1000)

struct fixture {
	struct driver driver;
	char path[32];
	int fd; /* the image, behind the device's back */
};

static int make_image(struct fixture *f)
{
	strcpy(f->path, "/tmp/lupine-blk-XXXXXX");
	f->fd = mkstemp(f->path);
	assert_true(f->fd >= 0);
	for (unsigned int i = 0; i < SECTORS; i++) {
		char sector[512];

		memset(sector, 'A' + (int)(i % 26), sizeof(sector));
		assert_int_equal(write(f->fd, sector, sizeof(sector)), sizeof(sector));
	}
	return 0;
}

static void attach(struct fixture *f, bool read_only)
{
	const struct virtio_blk_options options = { .path = f->path, .read_only = read_only };
	struct virtio_device *device;
	const char *why;

	assert_int_equal(
		virtio_blk_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	driver_attach(&f->driver, device);
	driver_start(&f->driver, 1, 16);
}

static int setup_bare(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	driver_init(&f->driver);
	return make_image(f);
}

static int setup(void **state)
{
	setup_bare(state);
	attach(*state, false);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->driver);
	close(f->fd);
	unlink(f->path);
	free(f);
	return 0;
}

/* One request with @len bytes of data in one segment; the status, or -1 when it did not complete.
 */
static int request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len,
		   uint32_t *written)
{
	struct driver *d = &f->driver;
	const struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	const uint16_t data_flag = type == VIRTIO_BLK_T_OUT ? 0 : VRING_DESC_F_WRITE;
	uint8_t *status = driver_at(d, STATUS, 1);
	uint32_t id;

	*status = 0xee;
	mem_write(&d->mem, HEADER, &header, sizeof(header));
	driver_desc(d, d->queue[0].desc, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[0].desc, 1, BUFFER, len, VRING_DESC_F_NEXT | data_flag, 2);
	driver_desc(d, d->queue[0].desc, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	if (!driver_used(d, 0, &id, written))
		return -1;
	assert_int_equal(id, 0);
	assert_false(driver_used(d, 0, &id, written)); /* once */
	return *status;
}

static void reads(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 1, 1024, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 1025);
	const char *data = driver_at(&f->driver, BUFFER, 1024);
	assert_int_equal(data[0], 'B');
	assert_int_equal(data[511], 'B');
	assert_int_equal(data[512], 'C');
	assert_int_equal(driver_interrupts(&f->driver), 1);
}

static void writes_and_flushes(void **state)
{
	struct fixture *f = *state;
	char sector[512];
	uint32_t written;

	memset(driver_at(&f->driver, BUFFER, 512), 'x', 512);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, SECTORS - 1, 512, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 1);
	assert_int_equal(pread(f->fd, sector, 512, (SECTORS - 1) * 512), 512);
	assert_int_equal(sector[511], 'x');
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 1);
}

static void identifies(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 20, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 21);
	assert_memory_equal(driver_at(&f->driver, BUFFER, 20), strrchr(f->path, '/') + 1,
			    strlen(strrchr(f->path, '/') + 1));
	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 19, &written), VIRTIO_BLK_S_IOERR);
}

static void the_configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(driver_get(&f->driver, VIRTIO_MMIO_CONFIG), SECTORS);
	assert_int_equal(driver_get(&f->driver, VIRTIO_MMIO_CONFIG + 4), 0);
	assert_int_equal(driver_get(&f->driver, VIRTIO_MMIO_CONFIG + 12), 254); /* seg_max */
}

static void refuses_what_is_outside(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t sector;
		uint32_t len;
	} cases[] = {
		{ SECTORS, 512 },
		{ SECTORS - 1, 1024 },
		{ UINT64_MAX, 512 },
		{ UINT64_MAX / 512, 512 },
		{ 1ull << 55, 512 },
		{ (1ull << 55) + 1, 512 },
		{ 0, (SECTORS + 1) * 512 },
		{ 0, 511 },
		{ 0, 513 },
		{ UINT64_MAX / 512 + 1, 512 },
	};
	uint32_t written;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			request(f, VIRTIO_BLK_T_IN, cases[i].sector, cases[i].len, &written),
			VIRTIO_BLK_S_IOERR);
		assert_int_equal(written, 0); /* the data in front of the status is not there */
		assert_int_equal(
			request(f, VIRTIO_BLK_T_OUT, cases[i].sector, cases[i].len, &written),
			VIRTIO_BLK_S_IOERR);
		assert_int_equal(written, 1);
	}
	struct stat st;
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_size, SECTORS * 512);
	assert_false(driver_needs_reset(&f->driver));
}

static void unknown_requests(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	assert_int_equal(request(f, 2, 0, 512, &written), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(f, 0xffffffff, 0, 512, &written), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
}

static void no_room_for_header_or_status(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;

	driver_desc(d, d->queue[0].desc, 0, HEADER, 15, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[0].desc, 1, STATUS, 1, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_true(driver_needs_reset(d));

	driver_start(d, 1, 16);
	driver_desc(d, d->queue[0].desc, 0, HEADER, 16, 0, 0);
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_true(driver_needs_reset(d));

	uint32_t written;
	driver_start(d, 1, 16);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
}

/* A driver may cut a request into segments anywhere (2.7.4.1). */
static void any_layout(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	const struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = 2 };
	uint32_t id, written;

	mem_write(&d->mem, HEADER, &header, sizeof(header));
	driver_desc(d, d->queue[0].desc, 0, HEADER, 5, VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[0].desc, 1, HEADER + 5, 11, VRING_DESC_F_NEXT, 2);
	driver_desc(d, d->queue[0].desc, 2, BUFFER, 100, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
	driver_desc(d, d->queue[0].desc, 3, BUFFER + 100, 413, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_true(driver_used(d, 0, &id, &written));
	assert_int_equal(written, 513);
	const char *data = driver_at(d, BUFFER, 513);
	assert_int_equal(data[0], 'C');
	assert_int_equal(data[511], 'C');
	assert_int_equal(data[512], VIRTIO_BLK_S_OK);
}

static void a_file_that_shrinks(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	assert_int_equal(ftruncate(f->fd, 512), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 1024, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(written, 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
}

static void read_only(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	attach(f, true);
	assert_true(virtio_device_has(f->driver.device, VIRTIO_BLK_F_RO));
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, &written), VIRTIO_BLK_S_OK);
}

static void expect_refusal(struct fixture *f, const char *path, bool read_only, int err,
			   const char *text)
{
	const struct virtio_blk_options options = { .path = path, .read_only = read_only };
	struct virtio_device *device;
	const char *why = NULL;

	assert_int_equal(
		virtio_blk_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), err);
	assert_string_equal(why, text);
}

static void refuses_images(void **state)
{
	struct fixture *f = *state;

	expect_refusal(f, "/nonexistent/image", false, -ENOENT, "does not exist");
	expect_refusal(f, "/tmp", false, -EISDIR, "is a directory, not a disk image");
	expect_refusal(f, "/tmp", true, -EISDIR, "is a directory, not a disk image");
	expect_refusal(f, "/dev/null", false, -EINVAL, "is neither a file nor a block device");
	assert_int_equal(ftruncate(f->fd, 513), 0);
	expect_refusal(f, f->path, false, -EINVAL, "is not a whole number of 512-byte sectors");
	assert_int_equal(ftruncate(f->fd, 0), 0);
	expect_refusal(f, f->path, false, -EINVAL, "is empty");
}

static void one_writer_or_many_readers(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_options reader = { .path = f->path, .read_only = true };
	struct virtio_device *other;
	const char *why;

	attach(f, true);
	assert_int_equal(virtio_blk_create(&reader, &f->driver.mem, &f->driver.loop, &other, &why),
			 0);
	expect_refusal(f, f->path, false, -EBUSY, "is in use by another virtual machine");
	virtio_device_destroy(other);
	virtio_mmio_destroy(f->driver.mmio);
	attach(f, false);
	expect_refusal(f, f->path, false, -EBUSY, "is in use by another virtual machine");
	expect_refusal(f, f->path, true, -EBUSY, "is in use by another virtual machine");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BARE(f) cmocka_unit_test_setup_teardown(f, setup_bare, teardown)
	const struct CMUnitTest tests[] = {
		TEST(reads),
		TEST(writes_and_flushes),
		TEST(identifies),
		TEST(the_configuration),
		TEST(refuses_what_is_outside),
		TEST(unknown_requests),
		TEST(no_room_for_header_or_status),
		TEST(any_layout),
		TEST(a_file_that_shrinks),
		BARE(read_only),
		BARE(refuses_images),
		BARE(one_writer_or_many_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
