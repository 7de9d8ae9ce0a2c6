/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk when the host's storage fails: the system calls it makes are replaced (--wrap) by ones
 * that fail, stop short or are interrupted. Each error reaches the guest as a status, and the next
 * request is served; only a failed flush is not forgotten. Also counts the calls that make a write
 * durable, by cache mode.
 */
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
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blk_file.h"
#include "driver.h"
#include "machine.h"
#include "virtio_blk.h"

#define HEADER DRIVER_DATA
#define STATUS (DRIVER_DATA + 0x100)
#define BUFFER (DRIVER_DATA + 0x1000)

/* What the next calls do: fail with @err for @times, or move at most @at_most bytes. */
static struct {
	int err;
	unsigned int times;
	size_t at_most;
	unsigned int calls, flushes, durable_writes;
} fault;

typedef ssize_t vector_call(int fd, const struct iovec *iov, int nr, off_t offset, int flags);

vector_call __real_preadv64v2, __wrap_preadv64v2, __real_pwritev64v2, __wrap_pwritev64v2;
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);

static bool fails(void)
{
	fault.calls++;
	if (fault.times == 0)
		return false;
	fault.times--;
	errno = fault.err;
	return true;
}

static ssize_t limited(vector_call *real, int fd, const struct iovec *iov, int nr, off_t offset,
		       int flags)
{
	struct iovec first = iov[0];

	if (fails())
		return -1;
	if (fault.at_most == 0)
		return real(fd, iov, nr, offset, flags);
	if (first.iov_len > fault.at_most)
		first.iov_len = fault.at_most;
	return real(fd, &first, 1, offset, flags);
}

ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	return limited(__real_preadv64v2, fd, iov, nr, offset, flags);
}

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	fault.durable_writes += (flags & RWF_DSYNC) != 0;
	return limited(__real_pwritev64v2, fd, iov, nr, offset, flags);
}

int __wrap_fdatasync(int fd)
{
	fault.flushes++;
	return fails() ? -1 : __real_fdatasync(fd);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	return fails() ? -1 : __real_fallocate64(fd, mode, offset, len);
}

struct fixture {
	struct driver driver;
	int image;
};

static void attach(struct fixture *f, struct virtio_blk_options options)
{
	char path[32];
	struct virtio_device *device;
	const char *why;

	driver_init(&f->driver);
	f->image = memfd_create("image", 0);
	assert_int_equal(ftruncate(f->image, 64 * 512), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->image);
	options.path = path;
	assert_int_equal(
		virtio_blk_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	driver_attach(&f->driver, device);
	driver_start(&f->driver, 1, 16);
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&fault, 0, sizeof(fault));
	attach(&f, (struct virtio_blk_options){ 0 });
	*state = &f;
	return 0;
}

static int setup_writethrough(void **state)
{
	static struct fixture f;

	memset(&fault, 0, sizeof(fault));
	attach(&f, (struct virtio_blk_options){ .writethrough = true });
	*state = &f;
	return 0;
}

static int setup_limited(void **state)
{
	static struct fixture f;

	memset(&fault, 0, sizeof(fault));
	attach(&f, (struct virtio_blk_options){ .limits.bytes = { .rate = 1 << 20 } });
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->driver);
	close(f->image);
	return 0;
}

/* A request with three segments of data, 3 * 1024 bytes; its status. */
static uint8_t request(struct fixture *f, uint32_t type, uint32_t *written)
{
	struct driver *d = &f->driver;
	const struct virtio_blk_outhdr header = { .type = type, .sector = 2 };
	const uint16_t flags =
		VRING_DESC_F_NEXT | (type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0);
	uint8_t *status = driver_at(d, STATUS, 1);
	uint32_t id;

	*status = 0xee;
	mem_write(&d->mem, HEADER, &header, sizeof(header));
	driver_desc(d, d->queue[0].desc, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	for (uint16_t i = 0; i < 3; i++)
		driver_desc(d, d->queue[0].desc, 1 + i, BUFFER + 0x1000 * i, 1024, flags,
			    (uint16_t)(i + 2));
	driver_desc(d, d->queue[0].desc, 4, STATUS, 1, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_true(driver_used(d, 0, &id, written));
	assert_int_equal(id, 0);
	assert_false(driver_used(d, 0, &id, written));
	assert_int_not_equal(*status, 0xee);
	return *status;
}

static void errors_reach_the_guest_once(void **state)
{
	struct fixture *f = *state;
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG, ENXIO, EINVAL, ENOMEM };
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT };
	uint32_t written;

	for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++)
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
			fault.err = errors[e];
			fault.times = 1;
			assert_int_equal(request(f, types[t], &written), VIRTIO_BLK_S_IOERR);
			assert_int_equal(fault.times, 0);
			assert_int_equal(written, types[t] == VIRTIO_BLK_T_IN ? 0 : 1);
			assert_int_equal(request(f, types[t], &written), VIRTIO_BLK_S_OK);
		}
	assert_false(driver_needs_reset(&f->driver));
	assert_int_equal(f->driver.reports, 0); /* it is not the guest's mistake */
}

/*
 * The host forgets what it could not write: that a later flush went well says nothing of it. With
 * direct I/O there is nothing to forget.
 */
static void a_failed_flush_is_for_ever(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	fault.err = EIO;
	fault.times = 1;
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, &written), VIRTIO_BLK_S_IOERR);
	driver_start(&f->driver, 1, 16);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(virtio_mmio_quiesce(f->driver.mmio), -EIO);
	assert_int_equal(fault.flushes, 4); /* and yet what can be written is */

	struct blk_file direct = { .fd = f->image, .direct = true };
	assert_int_equal(blk_file_flushed(&direct, -EIO), -EIO);
	assert_int_equal(blk_file_flush(&direct), 0);
}

static void an_error_in_the_middle(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	/* 1024 bytes come, then nothing but errors. */
	fault.at_most = 700;
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, &written), VIRTIO_BLK_S_OK);
	fault.calls = 0;
	assert_int_equal(ftruncate(f->image, 3 * 512), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(written, 0);
	assert_in_range(fault.calls, 2, 10);
}

static void short_transfers_are_continued(void **state)
{
	struct fixture *f = *state;
	char data[3072];
	uint32_t written;

	for (uint32_t i = 0; i < 3; i++)
		memset(driver_at(&f->driver, BUFFER + 0x1000 * i, 1024), 'a' + (int)i, 1024);
	for (fault.at_most = 1; fault.at_most < 3000; fault.at_most = fault.at_most * 3 + 1) {
		assert_int_equal(ftruncate(f->image, 0), 0);
		assert_int_equal(ftruncate(f->image, 64 * 512), 0);
		assert_int_equal(request(f, VIRTIO_BLK_T_OUT, &written), VIRTIO_BLK_S_OK);
		assert_int_equal(pread(f->image, data, sizeof(data), 1024), sizeof(data));
		for (unsigned int i = 0; i < sizeof(data); i++)
			assert_int_equal(data[i], 'a' + (int)(i / 1024));
		for (uint32_t i = 0; i < 3; i++)
			memset(driver_at(&f->driver, BUFFER + 0x1000 * i, 1024), 0, 1024);
		assert_int_equal(request(f, VIRTIO_BLK_T_IN, &written), VIRTIO_BLK_S_OK);
		assert_int_equal(written, 3073);
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(
				*(char *)driver_at(&f->driver, BUFFER + 0x1000 * i + 1023, 1),
				'a' + (int)i);
	}
}

static void interruptions_are_repeated(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	fault.err = EINTR;
	fault.times = 5;
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(fault.times, 0);
}

static void clearing_without_help(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	const struct virtio_blk_discard_write_zeroes range = { .sector = 1, .num_sectors = 40 };
	const struct virtio_blk_outhdr headers[2] = { { .type = VIRTIO_BLK_T_WRITE_ZEROES },
						      { .type = VIRTIO_BLK_T_DISCARD } };
	static const uint8_t expect[2] = { VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP };
	char data[64 * 512];
	uint32_t id, written;

	memset(data, 'x', sizeof(data));
	assert_int_equal(pwrite(f->image, data, sizeof(data), 0), sizeof(data));
	mem_write(&d->mem, BUFFER, &range, sizeof(range));
	for (int i = 0; i < 2; i++) {
		fault.err = EOPNOTSUPP; /* a file system without fallocate */
		fault.times = 1;
		mem_write(&d->mem, HEADER, &headers[i], sizeof(headers[i]));
		driver_desc(d, d->queue[0].desc, 0, HEADER, 16, VRING_DESC_F_NEXT, 1);
		driver_desc(d, d->queue[0].desc, 1, BUFFER, 16, VRING_DESC_F_NEXT, 2);
		driver_desc(d, d->queue[0].desc, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
		driver_offer(d, 0, 0);
		driver_notify(d, 0);
		assert_true(driver_used(d, 0, &id, &written));
		assert_int_equal(*(uint8_t *)driver_at(d, STATUS, 1), expect[i]);
	}
	assert_int_equal(pread(f->image, data, sizeof(data), 0), sizeof(data));
	for (unsigned int i = 0; i < sizeof(data); i++)
		assert_int_equal(data[i], i / 512 >= 1 && i / 512 <= 40 ? 0 : 'x');
}

/* Offers @count requests to zero 32 MiB each, without a notify. */
static void offer_zeroes(struct fixture *f, unsigned int count)
{
	struct driver *d = &f->driver;
	const struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_WRITE_ZEROES };
	const struct virtio_blk_discard_write_zeroes range = {
		.num_sectors = 1u << 16, .flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
	};

	assert_int_equal(ftruncate(f->image, 1 << 30), 0);
	assert_int_equal(virtio_blk_resize(d->device), 0);
	mem_write(&d->mem, HEADER, &header, sizeof(header));
	mem_write(&d->mem, BUFFER, &range, sizeof(range));
	driver_desc(d, d->queue[0].desc, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	driver_desc(d, d->queue[0].desc, 1, BUFFER, sizeof(range), VRING_DESC_F_NEXT, 2);
	driver_desc(d, d->queue[0].desc, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	while (count-- > 0)
		driver_offer(d, 0, 0);
}

/* However much the guest asks for at once, the event loop comes back to the others. */
static void a_turn_ends(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	struct virtio_blk_discard_write_zeroes ranges[2] = { { .num_sectors = 1u << 18 },
							     { .num_sectors = 1 } };
	unsigned int done = 0;
	uint32_t id, len;

	offer_zeroes(f, 16);
	pthread_mutex_lock(&d->device->lock);
	virtio_device_notify(d->device, 0);
	pthread_mutex_unlock(&d->device->lock);
	while (driver_used(d, 0, &id, &len))
		done++;
	assert_int_equal(done, 2); /* of 32 MiB each */
	driver_run(d);
	while (driver_used(d, 0, &id, &len))
		done++;
	assert_int_equal(done, 16);
	assert_int_equal(*(uint8_t *)driver_at(d, STATUS, 1), VIRTIO_BLK_S_OK);

	/* Nor is one request as large as it likes. */
	mem_write(&d->mem, BUFFER, ranges, sizeof(ranges));
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_int_equal(*(uint8_t *)driver_at(d, STATUS, 1), VIRTIO_BLK_S_IOERR);
	ranges[0].num_sectors = 1;
	mem_write(&d->mem, BUFFER, ranges, sizeof(ranges));
	driver_desc(d, d->queue[0].desc, 1, BUFFER, sizeof(ranges), VRING_DESC_F_NEXT, 2);
	*(uint8_t *)driver_at(d, STATUS, 1) = VIRTIO_BLK_S_OK;
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_int_equal(*(uint8_t *)driver_at(d, STATUS, 1), VIRTIO_BLK_S_IOERR);
}

static void zeroes_count_against_the_limit(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	offer_zeroes(f, 2);
	driver_notify(&f->driver, 0);
	assert_true(driver_used(&f->driver, 0, &id, &len));
	assert_false(driver_used(&f->driver, 0, &id, &len)); /* for half a minute */
}

static void writeback_is_durable_after_a_flush(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	assert_true(virtio_device_has(f->driver.device, VIRTIO_BLK_F_FLUSH));
	request(f, VIRTIO_BLK_T_OUT, &written);
	assert_int_equal(fault.durable_writes + fault.flushes, 0);
	request(f, VIRTIO_BLK_T_FLUSH, &written);
	assert_int_equal(fault.flushes, 1);
}

/* What the guest did not flush is when the VM has ended. */
static void the_end_is_a_flush(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	request(f, VIRTIO_BLK_T_OUT, &written);
	assert_int_equal(virtio_mmio_quiesce(f->driver.mmio), 0);
	assert_int_equal(fault.flushes, 1);
	fault.err = EIO;
	fault.times = 1;
	assert_int_equal(virtio_mmio_quiesce(f->driver.mmio), -EIO);
}

/* One disk's failure does not keep the others from the end. */
static void the_end_of_two_disks(void **state)
{
	struct fixture *f = *state;
	struct machine machine = { .devices = { f->driver.mmio, f->driver.mmio }, .nr_devices = 2 };
	struct lupine_error error;

	fault.err = EIO;
	fault.times = 1;
	assert_int_equal(machine_quiesce(&machine, &error), -EIO);
	assert_int_equal(fault.flushes, 2);
	assert_non_null(strstr(error.text, "disk /proc/self/fd/"));
}

/* With direct I/O each segment is of whole blocks, though its address may be less aligned. */
static void what_direct_io_takes(void **state)
{
	struct blk_file file = { .direct = true, .logical_block = 512, .memory_align = 4 };
	uint8_t *at = (uint8_t *)8192;
	const struct {
		struct iovec iov[2];
		bool taken;
	} cases[] = {
		{ { { at + 4, 512 }, { at, 1024 } }, true },
		{ { { at, 512 }, { at + 2, 512 } }, false },
		{ { { at, 100 }, { at + 100, 412 } }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(blk_file_takes(&file, cases[i].iov, 2), cases[i].taken);
	file.direct = false;
	assert_true(blk_file_takes(&file, cases[2].iov, 2));
}

static void writethrough_is_durable_at_once(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	assert_false(virtio_device_has(f->driver.device, VIRTIO_BLK_F_FLUSH));
	request(f, VIRTIO_BLK_T_OUT, &written);
	assert_int_equal(fault.durable_writes, 1);
}

static void a_driver_without_flushes_is_safe(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint32_t written;

	assert_true(driver_negotiate(d, ~(1ull << VIRTIO_BLK_F_FLUSH)));
	assert_true(driver_setup(d, 0, 16));
	driver_ok(d);
	request(f, VIRTIO_BLK_T_OUT, &written);
	assert_int_equal(fault.durable_writes, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(errors_reach_the_guest_once),
		TEST(a_failed_flush_is_for_ever),
		TEST(an_error_in_the_middle),
		TEST(short_transfers_are_continued),
		TEST(interruptions_are_repeated),
		TEST(clearing_without_help),
		TEST(a_turn_ends),
		cmocka_unit_test_setup_teardown(zeroes_count_against_the_limit, setup_limited,
						teardown),
		TEST(writeback_is_durable_after_a_flush),
		TEST(the_end_is_a_flush),
		TEST(the_end_of_two_disks),
		cmocka_unit_test(what_direct_io_takes),
		cmocka_unit_test_setup_teardown(writethrough_is_durable_at_once, setup_writethrough,
						teardown),
		TEST(a_driver_without_flushes_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
