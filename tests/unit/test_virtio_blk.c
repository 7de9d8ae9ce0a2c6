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

static void attach_with(struct fixture *f, struct virtio_blk_options options)
{
	struct virtio_device *device;
	const char *why;

	options.path = f->path;
	assert_int_equal(
		virtio_blk_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	driver_attach(&f->driver, device);
	driver_start(&f->driver, options.queues ? options.queues : 1, 16);
}

static void attach(struct fixture *f, bool read_only)
{
	attach_with(f, (struct virtio_blk_options){ .read_only = read_only });
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
	const bool out = type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
			 type == VIRTIO_BLK_T_WRITE_ZEROES;
	const uint16_t data_flag = out ? 0 : VRING_DESC_F_WRITE;
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

static uint8_t clear(struct fixture *f, uint32_t type, uint64_t sector, uint32_t sectors,
		     uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes range = { .sector = sector,
							       .num_sectors = sectors,
							       .flags = flags };
	uint32_t written;

	mem_write(&f->driver.mem, BUFFER, &range, sizeof(range));
	const int status = request(f, type, 0, sizeof(range), &written);
	assert_int_equal(written, 1);
	return (uint8_t)status;
}

static void discards_and_zeroes(void **state)
{
	struct fixture *f = *state;
	const uint32_t zeroes = VIRTIO_BLK_T_WRITE_ZEROES, discard = VIRTIO_BLK_T_DISCARD;
	const uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	char data[SECTORS * 512];
	uint32_t written;

	assert_int_equal(clear(f, zeroes, 1, 2, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(clear(f, zeroes, 5, 1, unmap), VIRTIO_BLK_S_OK);
	assert_int_equal(clear(f, discard, 8, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(clear(f, zeroes, 0, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(f->fd, data, sizeof(data), 0), sizeof(data));
	for (unsigned int i = 0; i < SECTORS; i++) {
		const bool cleared = i == 1 || i == 2 || i == 5;

		if (i < 8 || i >= 16)
			assert_int_equal(data[i * 512], cleared ? 0 : 'A' + (int)(i % 26));
	}
	/* Flags and ranges that are wrong. */
	assert_int_equal(clear(f, discard, 0, 1, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(clear(f, zeroes, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(clear(f, zeroes, SECTORS, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(clear(f, zeroes, 1, SECTORS, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(clear(f, zeroes, 0, 0xffffffff, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(clear(f, zeroes, UINT64_MAX, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, zeroes, 0, 15, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, zeroes, 0, 17 * 16, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, zeroes, 0, 0, &written), VIRTIO_BLK_S_IOERR);
	struct stat st;
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_size, SECTORS * 512);
}

static void resizes(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t written;

	const uint32_t generation = driver_get(d, VIRTIO_MMIO_CONFIG_GENERATION);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS, 512, &written), VIRTIO_BLK_S_IOERR);
	driver_interrupts(d);
	assert_int_equal(ftruncate(f->fd, 2 * SECTORS * 512), 0);
	assert_int_equal(virtio_blk_resize(d->device), 0);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(driver_interrupts(d), 1);
	assert_int_not_equal(driver_get(d, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_CONFIG), 2 * SECTORS);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS, 512, &written), VIRTIO_BLK_S_OK);
	/* Not to something that is no disk's size. */
	assert_int_equal(ftruncate(f->fd, 700), 0);
	assert_int_equal(d->reports, 0);
	assert_int_equal(virtio_blk_resize(d->device), -EINVAL);
	assert_int_equal(d->reports, 1);
	assert_non_null(strstr(d->line, "is not a whole number of 512-byte sectors: to the guest"));
	assert_int_equal(driver_get(d, VIRTIO_MMIO_CONFIG), 2 * SECTORS);
}

static void several_queues(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t id, written;

	attach_with(f, (struct virtio_blk_options){ .queues = 4 });
	assert_true(virtio_device_has(d->device, VIRTIO_BLK_F_MQ));
	assert_int_equal(driver_get(d, VIRTIO_MMIO_CONFIG + 32) >> 16, 4); /* num_queues */
	for (unsigned int q = 0; q < 4; q++) {
		const struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = q };

		mem_write(&d->mem, HEADER, &header, sizeof(header));
		driver_desc(d, d->queue[q].desc, 0, HEADER, 16, VRING_DESC_F_NEXT, 1);
		driver_desc(d, d->queue[q].desc, 1, BUFFER, 513, VRING_DESC_F_WRITE, 0);
		driver_offer(d, q, 0);
		driver_notify(d, q);
		assert_true(driver_used(d, q, &id, &written));
		assert_int_equal(*(uint8_t *)driver_at(d, BUFFER, 1), 'A' + q);
	}
}

/* One queue of several is reset, set up with another size, and works; the others never stop. */
static void queue_reset(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t written;

	attach_with(f, (struct virtio_blk_options){ .queues = 2 });
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
	for (uint32_t size = 4; size <= 64; size *= 4) {
		driver_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
		driver_set(d, 0x0c0, 1); /* QueueReset */
		assert_int_equal(driver_get(d, 0x0c0), 0); /* done */
		assert_int_equal(driver_get(d, VIRTIO_MMIO_QUEUE_READY), 0);
		driver_notify(d, 0); /* nobody is there */
		assert_true(driver_setup(d, 0, size));
		assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
		assert_int_equal(written, 513);
	}
	assert_false(driver_needs_reset(d));
}

static void queue_reset_must_be_negotiated(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t written;

	assert_true(driver_negotiate(d, ~(1ull << VIRTIO_F_RING_RESET)));
	assert_true(driver_setup(d, 0, 16));
	driver_ok(d);
	driver_set(d, 0x0c0, 1);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_QUEUE_READY), 1);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
}

static void direct_io(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	attach_with(f, (struct virtio_blk_options){ .direct = true });
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 3, 512, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(*(uint8_t *)driver_at(&f->driver, BUFFER, 1), 'D');
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 4, 1024, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 4, 512, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(*(uint8_t *)driver_at(&f->driver, BUFFER, 1), 'D');
}

/* Direct I/O into buffers no host would take, in segments that are no sectors: by the bounce. */
static void direct_io_of_crooked_buffers(void **state)
{
	static const uint32_t lengths[] = { 100, 1, 20000, 12667 };
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	char expected[SECTORS * 512], image[SECTORS * 512];
	uint32_t id, written;

	attach_with(f, (struct virtio_blk_options){ .direct = true });
	assert_int_equal(pread(f->fd, expected, sizeof(expected), 0), sizeof(expected));
	for (int out = 0; out < 2; out++) {
		const struct virtio_blk_outhdr header = {
			.type = out ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
		};
		uint64_t at = BUFFER + 3, done = 0;

		mem_write(&d->mem, HEADER, &header, sizeof(header));
		driver_desc(d, d->queue[0].desc, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
		for (unsigned int i = 0; i < 4; i++) {
			driver_desc(d, d->queue[0].desc, i + 1, at, lengths[i],
				    (uint16_t)(VRING_DESC_F_NEXT | (out ? 0 : VRING_DESC_F_WRITE)),
				    (uint16_t)(i + 2));
			at += lengths[i] + 7;
		}
		driver_desc(d, d->queue[0].desc, 5, STATUS, 1, VRING_DESC_F_WRITE, 0);
		driver_offer(d, 0, 0);
		driver_notify(d, 0);
		assert_true(driver_used(d, 0, &id, &written));
		assert_int_equal(*(uint8_t *)driver_at(d, STATUS, 1), VIRTIO_BLK_S_OK);
		at = BUFFER + 3;
		for (unsigned int i = 0; i < 4; i++) {
			char *segment = driver_at(d, at, lengths[i]);

			assert_memory_equal(segment, expected + done, lengths[i]);
			for (unsigned int j = 0; j < lengths[i]; j++)
				segment[j] = expected[done + j] = (char)(done + j * 3);
			at += lengths[i] + 7;
			done += lengths[i];
		}
		assert_int_equal(done, sizeof(expected));
	}
	/* What was written is what the buffers had before they were changed again. */
	assert_int_equal(pread(f->fd, image, sizeof(image), 0), sizeof(image));
	for (unsigned int i = 0, done = 0; i < 4; done += lengths[i++])
		for (unsigned int j = 0; j < lengths[i]; j++)
			assert_int_equal(image[done + j], (char)(done + j * 3));
}

static void rate_limited(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	struct virtio_blk_options options = { .limits.ops = { .rate = 50, .burst = 2 } };
	unsigned int done = 0;
	uint32_t id, written;

	attach_with(f, options);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &written), VIRTIO_BLK_S_OK);
	for (int i = 0; i < 4; i++)
		driver_offer(d, 0, 0);
	driver_notify(d, 0);
	/* Some of them must wait; all of them come, without another notify. */
	while (driver_used(d, 0, &id, &written))
		done++;
	assert_in_range(done, 1, 3);
	for (int i = 0; i < 1000 && done < 4; i++) {
		usleep(1000);
		driver_run(d);
		while (driver_used(d, 0, &id, &written))
			done++;
	}
	assert_int_equal(done, 4);
	/* A reset while some wait. */
	for (int i = 0; i < 8; i++)
		driver_offer(d, 0, 0);
	driver_notify(d, 0);
	driver_start(d, 1, 16);
	usleep(50000);
	driver_run(d);
	assert_false(driver_used(d, 0, &id, &written));
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
		TEST(discards_and_zeroes),
		TEST(resizes),
		BARE(several_queues),
		BARE(queue_reset),
		TEST(queue_reset_must_be_negotiated),
		BARE(direct_io),
		BARE(direct_io_of_crooked_buffers),
		BARE(rate_limited),
		BARE(read_only),
		BARE(refuses_images),
		BARE(one_writer_or_many_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
