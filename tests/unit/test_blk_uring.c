/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk with many requests under way at once (io=uring): more than the ring has slots, each
 * answered once; errors of the host; a reset in their midst.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk_uring.h"
#include "driver.h"
#include "virtio_blk.h"

#define QUEUE	 256u
#define REQUESTS (QUEUE / 3)
#define BYTES	 1024u /* of a request */
#define HEADERS	 DRIVER_DATA
#define STATUSES (DRIVER_DATA + 0x2000)
#define BUFFERS	 (DRIVER_DATA + 0x3000)

int __real_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
int __wrap_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);

static bool refused; /* as a host does that allows no rings */

int __wrap_io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	return refused ? -EPERM : __real_io_uring_queue_init(entries, ring, flags);
}

struct fixture {
	struct driver driver;
	int image;
	unsigned int queue; /* that requests go to */
	uint8_t pattern[REQUESTS * BYTES];
};

static int setup(void **state)
{
	static struct fixture f;
	const struct virtio_blk_options options = { .path = "/proc/self/fd/100", .uring = true };
	struct virtio_device *device;
	const char *why;

	_Static_assert(REQUESTS > BLK_URING_DEPTH, "more than the ring has slots");
	driver_init(&f.driver);
	f.image = dup2(memfd_create("image", MFD_ALLOW_SEALING), 100);
	for (unsigned int i = 0; i < sizeof(f.pattern); i++)
		f.pattern[i] = (uint8_t)(i / BYTES * 7 + i);
	assert_int_equal(write(f.image, f.pattern, sizeof(f.pattern)), sizeof(f.pattern));
	if (virtio_blk_create(&options, &f.driver.mem, &f.driver.loop, &device, &why) < 0) {
		print_message("io_uring: %s\n", why);
		skip();
	}
	f.queue = 0;
	driver_attach(&f.driver, device);
	driver_start(&f.driver, 1, QUEUE);
	*state = &f;
	return 0;
}

static void reported(void *context, const char *line)
{
	snprintf(context, 200, "%s", line);
}

/* Asked for, it is an error; chosen by ourselves, a line. */
static void a_host_without_rings(void **state)
{
	char line[200] = "";
	struct virtio_blk_options options = { .path = "/proc/self/fd/100",
					      .uring = true,
					      .report = reported,
					      .report_context = line };
	struct virtio_device *device;
	struct driver d;
	const char *why;

	(void)state;
	const int image = dup2(memfd_create("image", 0), 100);
	assert_int_equal(ftruncate(image, REQUESTS * BYTES), 0);
	driver_init(&d);
	refused = true;
	assert_int_equal(virtio_blk_create(&options, &d.mem, &d.loop, &device, &why), -EPERM);
	assert_non_null(strstr(why, "io_uring"));
	assert_string_equal(line, "");
	options.or_sync = true;
	assert_int_equal(virtio_blk_create(&options, &d.mem, &d.loop, &device, &why), 0);
	assert_non_null(strstr(line, "disk /proc/self/fd/100: cannot use io_uring"));
	refused = false;
	virtio_device_destroy(device);
	driver_fini(&d);
	close(image);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->driver);
	close(f->image);
	return 0;
}

/* Request number @i: its own kibibyte of the disk and of memory, in two segments. Not notified. */
static void offer(struct fixture *f, unsigned int i, uint32_t type)
{
	struct driver *d = &f->driver;
	const struct virtio_blk_outhdr header = { .type = type, .sector = i * BYTES / 512 };
	const uint64_t table = d->queue[f->queue].desc;
	const uint16_t at = (uint16_t)(3 * i), last = (uint16_t)(at + 2);
	const uint16_t in = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;

	mem_write(&d->mem, HEADERS + i * sizeof(header), &header, sizeof(header));
	*(uint8_t *)driver_at(d, STATUSES + i, 1) = 0x55;
	driver_desc(d, table, at, HEADERS + i * sizeof(header), sizeof(header), VRING_DESC_F_NEXT,
		    type == VIRTIO_BLK_T_FLUSH ? last : (uint16_t)(at + 1));
	driver_desc(d, table, at + 1u, BUFFERS + i * BYTES, BYTES, VRING_DESC_F_NEXT | in, last);
	driver_desc(d, table, last, STATUSES + i, 1, VRING_DESC_F_WRITE, 0);
	driver_offer(d, f->queue, at);
}

/* Waits until @count requests are answered, each once, with @status. */
static void expect(struct fixture *f, unsigned int count, uint8_t status)
{
	bool seen[REQUESTS] = { false };
	uint32_t id, len;

	for (unsigned int tries = 0; count > 0; tries++) {
		assert_true(tries < 10000);
		driver_run(&f->driver);
		while (driver_used(&f->driver, f->queue, &id, &len)) {
			assert_true(id % 3 == 0 && id / 3 < REQUESTS && !seen[id / 3]);
			seen[id / 3] = true;
			assert_int_equal(*(uint8_t *)driver_at(&f->driver, STATUSES + id / 3, 1),
					 status);
			count--;
		}
		usleep(500);
	}
	assert_false(driver_used(&f->driver, f->queue, &id, &len));
}

static void offer_all(struct fixture *f, uint32_t type)
{
	for (unsigned int i = 0; i < REQUESTS; i++)
		offer(f, i, type);
	driver_notify(&f->driver, f->queue);
}

static void more_than_there_are_slots(void **state)
{
	struct fixture *f = *state;
	uint8_t *buffers = driver_at(&f->driver, BUFFERS, sizeof(f->pattern));
	uint8_t image[sizeof(f->pattern)];

	offer_all(f, VIRTIO_BLK_T_IN);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
	assert_memory_equal(buffers, f->pattern, sizeof(f->pattern));
	for (unsigned int i = 0; i < sizeof(f->pattern); i++)
		buffers[i] = (uint8_t)~f->pattern[i];
	offer_all(f, VIRTIO_BLK_T_OUT);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
	assert_int_equal(pread(f->image, image, sizeof(image), 0), sizeof(image));
	assert_memory_equal(image, buffers, sizeof(image));
}

static void flushes_among_writes(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < REQUESTS; i++)
		offer(f, i, i % 4 == 3 ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_OUT);
	driver_notify(&f->driver, 0);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
}

static unsigned int ring_syncs, ring_writes, ring_durable;

/* What the ring does to come: once moves half of each transfer, once answers @forged, and is too
 * busy for the submission number @busy from now.
 */
static struct {
	bool half;
	int forged;
	unsigned int busy;
} ring_fault;

static void halve(struct io_uring_sqe *sqe)
{
	static struct iovec halves[BLK_URING_DEPTH];
	struct iovec *half = &halves[sqe->user_data];

	if (sqe->opcode == IORING_OP_FSYNC)
		return;
	*half = *(const struct iovec *)(uintptr_t)sqe->addr;
	half->iov_len /= 2;
	sqe->addr = (uintptr_t)half;
	sqe->len = 1;
}

/* All of @count are done before the device looks. */
static void forge(struct io_uring *ring, unsigned int count)
{
	while (io_uring_cq_ready(ring) < count)
		usleep(100);
	for (unsigned int i = 0; i < count; i++)
		ring->cq.cqes[(*ring->cq.khead + i) & *ring->cq.kring_mask].res = ring_fault.forged;
	ring_fault.forged = 0;
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
	if (ring_fault.busy > 0 && --ring_fault.busy == 0)
		return -EAGAIN;
	for (unsigned int i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];

		if (ring_fault.half)
			halve(sqe);

		ring_syncs +=
			sqe->opcode == IORING_OP_FSYNC && sqe->fsync_flags == IORING_FSYNC_DATASYNC;
		ring_writes += sqe->opcode == IORING_OP_WRITEV;
		ring_durable += sqe->opcode == IORING_OP_WRITEV && (sqe->rw_flags & RWF_DSYNC);
	}
	const int n = __real_io_uring_submit(ring);

	ring_fault.half = false;
	if (ring_fault.forged != 0)
		forge(ring, (unsigned int)n);
	return n;
}

/* What the ring is asked for is what each cache mode promises. */
static void flushes_and_durable_writes(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;

	ring_syncs = ring_writes = ring_durable = 0;
	flushes_among_writes(state);
	assert_int_equal(ring_syncs, REQUESTS / 4);
	assert_true(ring_writes >= REQUESTS - REQUESTS / 4);
	assert_int_equal(ring_durable, 0);
	assert_true(driver_negotiate(d, ~(1ull << VIRTIO_BLK_F_FLUSH)));
	assert_true(driver_setup(d, 0, QUEUE));
	driver_ok(d);
	ring_writes = ring_durable = 0;
	offer_all(f, VIRTIO_BLK_T_OUT);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
	assert_true(ring_writes >= REQUESTS - 1);
	assert_int_equal(ring_durable, ring_writes);
}

static void a_truncated_image(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->image, 0), 0);
	offer_all(f, VIRTIO_BLK_T_IN);
	expect(f, REQUESTS, VIRTIO_BLK_S_IOERR);
	assert_int_equal(ftruncate(f->image, sizeof(f->pattern)), 0);
	offer_all(f, VIRTIO_BLK_T_IN);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
}

/* Half a block is there: the transfer stops short, and what is missing is an error. */
static void a_short_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->image, BYTES / 2), 0);
	offer(f, 0, VIRTIO_BLK_T_IN);
	offer(f, 1, VIRTIO_BLK_T_FLUSH); /* so that the first is not alone */
	driver_notify(&f->driver, 0);
	for (unsigned int done = 0, tries = 0; done < 2; tries++) {
		uint32_t id, len;

		assert_true(tries < 10000);
		driver_run(&f->driver);
		while (driver_used(&f->driver, 0, &id, &len))
			done++;
		usleep(500);
	}
	assert_int_equal(*(uint8_t *)driver_at(&f->driver, STATUSES, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(*(uint8_t *)driver_at(&f->driver, STATUSES + 1, 1), VIRTIO_BLK_S_OK);
}

static void writes_that_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fcntl(f->image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	offer_all(f, VIRTIO_BLK_T_OUT);
	expect(f, REQUESTS, VIRTIO_BLK_S_IOERR);
	offer_all(f, VIRTIO_BLK_T_IN);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
}

/* The same head while it is under way: each time it was offered is answered, none twice. */
static void a_head_offered_again(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	unsigned int done = 0;
	uint32_t id, len;

	offer(f, 0, VIRTIO_BLK_T_IN);
	for (unsigned int i = 1; i < REQUESTS; i++)
		driver_offer(d, 0, 0);
	driver_notify(d, 0);
	for (unsigned int tries = 0; done < REQUESTS; tries++) {
		assert_true(tries < 10000);
		driver_run(d);
		for (; driver_used(d, 0, &id, &len); done++)
			assert_int_equal(id, 0);
		usleep(500);
	}
	driver_run(d);
	assert_false(driver_used(d, 0, &id, &len));
	assert_int_equal(d->device->queues[0].in_flight, 0);
}

#define SOME 8u

static void offer_some(struct fixture *f, uint32_t type)
{
	for (unsigned int i = 0; i < SOME; i++)
		offer(f, i, type);
	driver_notify(&f->driver, f->queue);
}

/* Read and written back inverted; @before each has the ring do something odd. */
static void both_ways(struct fixture *f, void (*before)(void))
{
	uint8_t *buffers = driver_at(&f->driver, BUFFERS, sizeof(f->pattern));
	uint8_t image[SOME * BYTES];

	before();
	offer_some(f, VIRTIO_BLK_T_IN);
	expect(f, SOME, VIRTIO_BLK_S_OK);
	assert_memory_equal(buffers, f->pattern, sizeof(image));
	for (unsigned int i = 0; i < sizeof(image); i++)
		buffers[i] = (uint8_t)~f->pattern[i];
	before();
	offer_some(f, VIRTIO_BLK_T_OUT);
	expect(f, SOME, VIRTIO_BLK_S_OK);
	assert_int_equal(pread(f->image, image, sizeof(image), 0), sizeof(image));
	assert_memory_equal(image, buffers, sizeof(image));
	assert_int_equal(pwrite(f->image, f->pattern, sizeof(image), 0), sizeof(image));
}

static void go_half_way(void)
{
	ring_fault.half = true;
}

static void short_transfers_are_continued(void **state)
{
	both_ways(*state, go_half_way);
}

/* The rest of short transfers, which no notify of the guest asks for, and no first queue. */
static void go_half_way_and_be_busy(void)
{
	ring_fault.half = true;
	ring_fault.busy = 2;
}

static void a_busy_ring_and_one_queue_of_two(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_options options = { .path = "/proc/self/fd/100",
						    .uring = true,
						    .queues = 2 };
	struct virtio_device *device;
	const char *why;

	driver_fini(&f->driver);
	driver_init(&f->driver);
	assert_int_equal(
		virtio_blk_create(&options, &f->driver.mem, &f->driver.loop, &device, &why), 0);
	driver_attach(&f->driver, device);
	assert_true(driver_negotiate(&f->driver, ~0ull));
	f->queue = 1;
	assert_true(driver_setup(&f->driver, f->queue, QUEUE));
	driver_ok(&f->driver);
	both_ways(f, go_half_way_and_be_busy);
	assert_int_equal(ring_fault.busy, 0);
}

static void refuse_again(void)
{
	ring_fault.forged = -EAGAIN;
}

static void refuse_cancelled(void)
{
	ring_fault.forged = -ECANCELED;
}

static void what_the_ring_will_not_do(void **state)
{
	both_ways(*state, refuse_again);
	both_ways(*state, refuse_cancelled);
}

/* Not forgotten: neither by the ring nor by a flush that comes alone. */
static void a_flush_that_fails(void **state)
{
	struct fixture *f = *state;

	ring_fault.forged = -EIO;
	offer_some(f, VIRTIO_BLK_T_FLUSH);
	expect(f, SOME, VIRTIO_BLK_S_IOERR);
	offer_some(f, VIRTIO_BLK_T_FLUSH);
	expect(f, SOME, VIRTIO_BLK_S_IOERR);
	offer(f, 0, VIRTIO_BLK_T_FLUSH);
	driver_notify(&f->driver, 0);
	expect(f, 1, VIRTIO_BLK_S_IOERR);
	offer_some(f, VIRTIO_BLK_T_OUT);
	expect(f, SOME, VIRTIO_BLK_S_OK);
}

static void a_reset_waits_for_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;

	for (unsigned int round = 0; round < 50; round++) {
		offer_all(f, round % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
		driver_set(d, VIRTIO_MMIO_STATUS, 0);
		/* The memory is ours again. */
		memset(driver_at(d, BUFFERS, sizeof(f->pattern)), 0x77, sizeof(f->pattern));
		driver_run(d);
		for (unsigned int i = 0; i < sizeof(f->pattern); i++)
			assert_int_equal(*(uint8_t *)driver_at(d, BUFFERS + i, 1), 0x77);
		driver_start(d, 1, QUEUE);
	}
	offer_all(f, VIRTIO_BLK_T_IN);
	expect(f, REQUESTS, VIRTIO_BLK_S_OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(more_than_there_are_slots),
		TEST(flushes_among_writes),
		TEST(flushes_and_durable_writes),
		TEST(a_truncated_image),
		TEST(a_short_read),
		TEST(short_transfers_are_continued),
		TEST(a_busy_ring_and_one_queue_of_two),
		TEST(what_the_ring_will_not_do),
		TEST(a_flush_that_fails),
		TEST(writes_that_are_refused),
		TEST(a_reset_waits_for_what_is_under_way),
		TEST(a_head_offered_again),
		cmocka_unit_test(a_host_without_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
