/* SPDX-License-Identifier: Apache-2.0 */
/* The register window: order, width and content of accesses (virtio 1.2, 3.1 and 4.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define FEATURE 3 /* of this device */
#define ACK	VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRV	(ACK | VIRTIO_CONFIG_S_DRIVER)
#define FEAT	(DRV | VIRTIO_CONFIG_S_FEATURES_OK)
#define OK	(FEAT | VIRTIO_CONFIG_S_DRIVER_OK)

/* A device that counts what it is asked and gives every chain back. */
struct echo {
	struct virtio_device base;
	uint8_t config[6];
	int started, stopped, notified;
	bool greedy;
	struct virtqueue_chain chain;
};

static int echo_start(struct virtio_device *device)
{
	((struct echo *)device)->started++;
	return 0;
}

static int64_t echo_serve(struct virtio_device *device, unsigned int queue,
			  struct virtqueue_chain *chain)
{
	struct echo *echo = (struct echo *)device;

	/* A driver that fills the queue while it is served. */
	if (echo->greedy)
		driver_offer(device->report_context, queue, chain->head);
	return (int64_t)chain->in_len;
}

static void echo_notify(struct virtio_device *device, unsigned int queue)
{
	struct echo *echo = (struct echo *)device;

	echo->notified++;
	virtio_device_drain(device, queue, &echo->chain);
}

static void echo_stop_queue(struct virtio_device *device, unsigned int queue)
{
	((struct echo *)device)->stopped += queue == 0;
}

static void echo_destroy(struct virtio_device *device)
{
	virtio_device_fini(device);
	free(device);
}

static const struct virtio_device_ops echo_ops = {
	.id = 42,
	.start = echo_start,
	.notify = echo_notify,
	.serve = echo_serve,
	.stop_queue = echo_stop_queue,
	.destroy = echo_destroy,
};

static struct echo *echo_of(struct driver *d)
{
	return (struct echo *)d->device;
}

static int setup(void **state)
{
	struct driver *d = malloc(sizeof(*d));
	struct echo *echo = calloc(1, sizeof(*echo));

	driver_init(d);
	assert_int_equal(virtio_device_init(&echo->base, &echo_ops, &d->mem, 2), 0);
	memcpy(echo->config, "abcdef", 6);
	echo->base.config = echo->config;
	echo->base.config_len = sizeof(echo->config);
	echo->base.offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			     1ull << FEATURE | 1ull << VIRTIO_F_QUIET_INTERRUPTS;
	memcpy(echo->base.name, "echo", 5);
	driver_attach(d, &echo->base);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	driver_fini(*state);
	free(*state);
	return 0;
}

static void identity(void **state)
{
	struct driver *d = *state;

	assert_int_equal(driver_get(d, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_DEVICE_ID), 42);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_DEVICE_FEATURES),
			 1u << VIRTIO_RING_F_EVENT_IDX | 1u << FEATURE);
	driver_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_DEVICE_FEATURES),
			 1 | 1u << (VIRTIO_F_QUIET_INTERRUPTS - 32));
	driver_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	driver_set(d, VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_QUEUE_NUM_MAX), VIRTQUEUE_SIZE_MAX);
	driver_set(d, VIRTIO_MMIO_QUEUE_SEL, 2);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

static void odd_accesses(void **state)
{
	struct driver *d = *state;
	uint8_t bytes[8];
	uint16_t half;

	/* Registers only in their width and alignment: zero, and no effect. */
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_MAGIC_VALUE, &half, sizeof(half));
	assert_int_equal(half, 0);
	memset(bytes, 0xff, sizeof(bytes));
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_MAGIC_VALUE + 2, bytes, 4);
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_INTERRUPT_STATUS, bytes + 4, 1);
	assert_memory_equal(bytes, "\0\0\0\0\0\xff\xff\xff", 8);
	memset(bytes, 0xff, sizeof(bytes));
	virtio_mmio_write(d->mmio, VIRTIO_MMIO_STATUS, bytes, 1);
	virtio_mmio_write(d->mmio, VIRTIO_MMIO_STATUS, bytes, 8);
	virtio_mmio_write(d->mmio, VIRTIO_MMIO_STATUS + 1, bytes, 4);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), 0);

	/* Configuration in any width; nothing behind its end. */
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_CONFIG + 1, bytes, 1);
	assert_int_equal(bytes[0], 'b');
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_CONFIG + 3, bytes, 8);
	assert_memory_equal(bytes, "def\0\0\0\0\0", 8);
	memset(bytes, 0xff, sizeof(bytes));
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_CONFIG + 6, bytes, 4);
	virtio_mmio_read(d->mmio, VIRTIO_MMIO_WINDOW - 4, bytes + 4, 4);
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
	virtio_mmio_write(d->mmio, VIRTIO_MMIO_CONFIG, "XXXX", 4);
	assert_memory_equal(echo_of(d)->config, "abcdef", 6);

	/* Every offset, every width, reads and writes of ones: no harm. */
	memset(bytes, 0xff, sizeof(bytes));
	for (uint32_t offset = 0; offset < VIRTIO_MMIO_WINDOW; offset++)
		for (uint32_t len = 1; len <= 8; len *= 2) {
			uint8_t scratch[8];

			virtio_mmio_read(d->mmio, offset, scratch, len);
			virtio_mmio_write(d->mmio, offset, bytes, len);
		}
	assert_int_equal(echo_of(d)->notified, 0);
	driver_start(d, 2, 8);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), OK);
}

static void status_in_order(void **state)
{
	struct driver *d = *state;
	static const struct {
		uint8_t write, expect;
	} steps[] = {
		{ VIRTIO_CONFIG_S_DRIVER, 0 },
		{ VIRTIO_CONFIG_S_DRIVER_OK, 0 },
		{ VIRTIO_CONFIG_S_NEEDS_RESET, 0 },
		{ ACK, ACK },
		{ ACK | VIRTIO_CONFIG_S_FEATURES_OK, ACK },
		{ DRV, DRV },
		{ DRV | VIRTIO_CONFIG_S_DRIVER_OK, DRV },
		{ ACK, DRV }, /* nothing is taken back */
		{ FEAT, DRV }, /* VERSION_1 was not accepted */
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		driver_set(d, VIRTIO_MMIO_STATUS, steps[i].write);
		assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), steps[i].expect);
	}
	assert_int_equal(echo_of(d)->started, 0);
	driver_set(d, VIRTIO_MMIO_STATUS, DRV | VIRTIO_CONFIG_S_FAILED);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), DRV | VIRTIO_CONFIG_S_FAILED);
	driver_set(d, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(echo_of(d)->stopped, 0); /* it never started */
}

/* Whatever is written in whatever state: no bit without those it needs, nothing taken back. */
static void every_status_from_every_status(void **state)
{
	static const uint8_t reachable[][4] = {
		{ 0 }, { ACK }, { ACK, DRV }, { ACK, DRV, FEAT }, { ACK, DRV, FEAT, OK },
	};
	struct driver *d = *state;

	for (unsigned int from = 0; from < sizeof(reachable) / sizeof(reachable[0]); from++)
		for (uint32_t write = 1; write < 0x200; write++) {
			uint32_t before = 0;

			driver_set(d, VIRTIO_MMIO_STATUS, 0);
			for (unsigned int i = 0; i < 4 && reachable[from][i]; i++) {
				driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
				driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
				before = reachable[from][i];
				driver_set(d, VIRTIO_MMIO_STATUS, before);
			}
			assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), before);
			const int started = echo_of(d)->started;
			driver_set(d, VIRTIO_MMIO_STATUS, write);
			const uint32_t after = driver_get(d, VIRTIO_MMIO_STATUS);
			const uint32_t chain = after & (uint32_t)OK;

			assert_int_equal(after & before, before);
			assert_int_equal(after & ~(write | before), 0);
			assert_int_equal(after & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
			assert_true(chain == 0 || chain == ACK || chain == DRV || chain == FEAT ||
				    chain == OK);
			assert_int_equal(echo_of(d)->started - started,
					 chain == OK && before != OK &&
						 !(after & VIRTIO_CONFIG_S_FAILED));
		}
}

static void features_are_checked_and_locked(void **state)
{
	struct driver *d = *state;

	/* One that was not offered. */
	driver_set(d, VIRTIO_MMIO_STATUS, ACK);
	driver_set(d, VIRTIO_MMIO_STATUS, DRV);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, 1u << 1);
	driver_set(d, VIRTIO_MMIO_STATUS, FEAT);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), DRV);
	/* The driver may think again. */
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, 1u << FEATURE);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 7);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, ~0u); /* there is no such half */
	driver_set(d, VIRTIO_MMIO_STATUS, FEAT);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), FEAT);
	/* But not any more. */
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	assert_true(virtio_device_has(d->device, FEATURE));
}

static void queues_are_configured_in_their_time(void **state)
{
	struct driver *d = *state;

	assert_false(driver_setup(d, 0, 8)); /* before FEATURES_OK */
	driver_set(d, VIRTIO_MMIO_STATUS, 0);
	assert_true(driver_negotiate(d, ~0ull));
	assert_false(driver_setup(d, 2, 8)); /* no such queue */
	assert_true(driver_setup(d, 0, 8));
	/* Locked once ready. */
	driver_set(d, VIRTIO_MMIO_QUEUE_NUM, 128);
	driver_set(d, VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
	assert_int_equal(d->device->queues[0].size, 8);
	assert_int_equal(d->device->queues[0].desc_gpa, DRIVER_RINGS);
	driver_ok(d);
	assert_int_equal(echo_of(d)->started, 1);
	assert_false(driver_setup(d, 1, 8)); /* too late */
	assert_false(driver_needs_reset(d));
}

static void a_wrong_queue_breaks_the_device(void **state)
{
	struct driver *d = *state;

	assert_true(driver_negotiate(d, ~0ull));
	assert_false(driver_setup(d, 0, 257));
	assert_true(driver_needs_reset(d));
	assert_string_equal(
		d->line,
		"echo: guest error: queue 0: illegal queue size; it needs a reset (mistake 1)");
	assert_int_equal(driver_interrupts(d), 0); /* not before DRIVER_OK */
	driver_start(d, 2, 8);
	assert_false(driver_needs_reset(d));
}

/* Nor does it start once something went wrong, or the driver gave up. */
static void what_is_broken_does_not_start(void **state)
{
	struct driver *d = *state;

	assert_true(driver_negotiate(d, ~0ull));
	assert_false(driver_setup(d, 0, 7));
	assert_true(driver_needs_reset(d));
	driver_ok(d);
	assert_true(driver_negotiate(d, ~0ull));
	driver_set(d, VIRTIO_MMIO_STATUS, FEAT | VIRTIO_CONFIG_S_FAILED);
	driver_ok(d);
	assert_true(driver_negotiate(d, ~0ull));
	driver_set(d, VIRTIO_MMIO_STATUS, OK | VIRTIO_CONFIG_S_FAILED);
	assert_int_equal(echo_of(d)->started, 0);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_STATUS), OK | VIRTIO_CONFIG_S_FAILED);
}

static void requests_and_interrupts(void **state)
{
	struct driver *d = *state;
	uint32_t id, len;

	driver_start(d, 2, 8);
	driver_desc(d, d->queue[1].desc, 4, DRIVER_DATA, 10, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 1, 4);
	driver_notify(d, 1);
	assert_true(driver_used(d, 1, &id, &len));
	assert_int_equal(id, 4);
	assert_int_equal(len, 10);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	assert_int_equal(driver_interrupts(d), 1);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);

	/* A notify that comes as a register write, and one for a queue there is not. */
	driver_offer(d, 1, 4);
	driver_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	driver_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, 0x10001);
	assert_false(driver_used(d, 1, &id, &len));
	driver_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_true(driver_used(d, 1, &id, &len));
}

static void an_unacknowledged_interrupt_is_not_repeated(void **state)
{
	struct driver *d = *state;

	assert_true(driver_negotiate(
		d, ~(1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_F_QUIET_INTERRUPTS)));
	assert_true(driver_setup(d, 0, 8));
	driver_ok(d);
	driver_desc(d, d->queue[0].desc, 0, DRIVER_DATA, 10, VRING_DESC_F_WRITE, 0);
	for (int i = 0; i < 3; i++) {
		driver_offer(d, 0, 0);
		driver_notify(d, 0);
	}
	assert_int_equal(driver_interrupts(d), 1);
	driver_offer(d, 0, 0);
	driver_notify(d, 0);
	assert_int_equal(driver_interrupts(d), 1);
}

static void a_broken_ring_needs_a_reset_and_gets_it(void **state)
{
	struct driver *d = *state;
	uint32_t id, len;

	for (unsigned int round = 1; round <= 9; round++) {
		driver_start(d, 2, 8);
		driver_desc(d, d->queue[0].desc, 0, DRIVER_DATA, 10, VRING_DESC_F_NEXT, 0);
		driver_offer(d, 0, 0);
		driver_notify(d, 0);
		assert_true(driver_needs_reset(d));
		assert_int_equal(driver_interrupts(d), 1);
		/* Nothing is served any more, the other queue's neither. */
		driver_desc(d, d->queue[1].desc, 0, DRIVER_DATA, 10, VRING_DESC_F_WRITE, 0);
		driver_offer(d, 1, 0);
		driver_notify(d, 1);
		assert_false(driver_used(d, 1, &id, &len));
		assert_int_equal(echo_of(d)->stopped, round - 1);
	}
	assert_int_equal(d->reports, 4); /* the 1st, 2nd, 4th and 8th */
	driver_start(d, 2, 8);
	driver_desc(d, d->queue[1].desc, 0, DRIVER_DATA, 10, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 1, 0);
	driver_notify(d, 1);
	assert_true(driver_used(d, 1, &id, &len));
}

/* No driver can keep the event loop for itself. */
static void work_is_bounded(void **state)
{
	struct driver *d = *state;

	driver_start(d, 2, 8);
	driver_desc(d, d->queue[0].desc, 0, DRIVER_DATA, 10, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	echo_of(d)->greedy = true;
	driver_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(d->queue[0].avail_idx, 1 + 8);
	/* What is left is not forgotten. */
	echo_of(d)->greedy = false;
	driver_run(d);
	assert_int_equal(echo_of(d)->notified, 2);
	assert_int_equal(d->device->queues[0].next_avail, 1 + 8);
}

static void configuration_changes(void **state)
{
	struct driver *d = *state;

	virtio_device_config_changed(d->device);
	assert_int_equal(driver_interrupts(d), 0);
	driver_start(d, 2, 8);
	const uint32_t generation = driver_get(d, VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_device_config_changed(d->device);
	assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_not_equal(driver_get(d, VIRTIO_MMIO_CONFIG_GENERATION), generation);
}

/* With our own feature: no bit and no acknowledgement for buffers, a flag for configuration. */
static void quiet_interrupts(void **state)
{
	struct driver *d = *state;
	uint16_t flags;
	uint64_t count;

	assert_true(driver_negotiate(d, ~0ull));
	assert_true(driver_setup(d, 0, 8));
	assert_true(driver_setup(d, 1, 8));
	driver_ok(d);
	driver_desc(d, d->queue[0].desc, 0, DRIVER_DATA, 10, VRING_DESC_F_WRITE, 0);
	for (uint16_t i = 0; i < 3; i++) {
		/* used_event: at every buffer */
		mem_write(&d->mem, d->queue[0].avail + 4 + 2 * 8, &i, sizeof(i));
		driver_offer(d, 0, 0);
		driver_notify(d, 0);
		assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
		assert_int_equal(read(d->irq_fd, &count, sizeof(count)), sizeof(count));
		assert_int_equal(count, 1);
	}
	virtio_device_config_changed(d->device);
	for (unsigned int q = 0; q < 2; q++) {
		mem_read(&d->mem, d->queue[q].used, &flags, sizeof(flags));
		assert_int_equal(flags, VRING_USED_F_CONFIG);
	}
	assert_int_equal(driver_get(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(driver_interrupts(d), 1);
	for (unsigned int q = 0; q < 2; q++) {
		mem_read(&d->mem, d->queue[q].used, &flags, sizeof(flags));
		assert_int_equal(flags, 0);
	}
}

/* Whose configuration changes when a lock is next taken. */
static struct virtio_device *changing;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	struct virtio_device *device = changing;

	changing = NULL;
	if (device)
		virtio_device_config_changed(device);
	return __real_pthread_mutex_lock(mutex);
}

/* It changes again while the driver acknowledges: that has not been seen. */
static void another_change(void **state)
{
	struct driver *d = *state;
	uint16_t flags;

	assert_true(driver_negotiate(d, ~0ull));
	assert_true(driver_setup(d, 0, 8));
	driver_ok(d);
	virtio_device_config_changed(d->device);
	changing = d->device;
	driver_set(d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	mem_read(&d->mem, d->queue[0].used, &flags, sizeof(flags));
	assert_int_equal(flags, VRING_USED_F_CONFIG);
	assert_int_equal(driver_interrupts(d), 2);
	mem_read(&d->mem, d->queue[0].used, &flags, sizeof(flags));
	assert_int_equal(flags, 0);
}

/* Accesses from a list in guest memory, the guest's mistakes included. */
static void batches(void **state)
{
	struct driver *d = *state;
	struct {
		uint32_t count, done;
		struct {
			uint32_t at, value;
		} access[511];
	} *page = driver_at(d, DRIVER_DATA, 4096);
	const uint32_t batch = 0x0f0, number = DRIVER_DATA >> 12, read_it = 1;

	memset(page, 0, sizeof(*page));
	page->access[0].at = VIRTIO_MMIO_DEVICE_ID | read_it;
	page->access[1].at = VIRTIO_MMIO_CONFIG | read_it;
	page->access[2].at = VIRTIO_MMIO_STATUS;
	page->access[2].value = ACK;
	page->access[3].at = VIRTIO_MMIO_STATUS;
	page->access[3].value = DRV;
	page->access[4].at = VIRTIO_MMIO_STATUS | read_it;
	driver_set(d, batch, number);
	assert_int_equal(page->done, 0); /* an empty one */
	page->count = 5;
	driver_set(d, batch, number);
	assert_int_equal(page->done, 5);
	assert_int_equal(page->access[0].value, 42);
	assert_memory_equal(&page->access[1].value, "abcd", 4);
	assert_int_equal(page->access[4].value, DRV);

	/* Beyond the page, beyond memory, and one of itself. */
	page->done = 0;
	page->count = 512;
	driver_set(d, batch, number);
	driver_set(d, batch, DRIVER_MEM >> 12);
	driver_set(d, batch, ~0u);
	assert_int_equal(page->done, 0);
	page->count = 4;
	page->access[0].at = batch;
	page->access[0].value = number;
	page->access[1].at = VIRTIO_MMIO_STATUS + 1; /* reads, nothing at that place */
	page->access[2].at = 0xfffffffeu;
	page->access[3].at = 0xffffffffu;
	driver_set(d, batch, number);
	assert_int_equal(page->done, 4);
	assert_int_equal(page->access[3].value, 0);

	/* Queues are not served from one. */
	driver_start(d, 2, 8);
	driver_desc(d, d->queue[0].desc, 0, DRIVER_DATA + 4096, 10, VRING_DESC_F_WRITE, 0);
	driver_offer(d, 0, 0);
	page->count = 1;
	page->access[0].at = VIRTIO_MMIO_QUEUE_NOTIFY;
	page->access[0].value = 0;
	driver_set(d, batch, number);
	assert_int_equal(echo_of(d)->notified, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(identity),
		TEST(odd_accesses),
		TEST(status_in_order),
		TEST(every_status_from_every_status),
		TEST(features_are_checked_and_locked),
		TEST(queues_are_configured_in_their_time),
		TEST(a_wrong_queue_breaks_the_device),
		TEST(what_is_broken_does_not_start),
		TEST(requests_and_interrupts),
		TEST(an_unacknowledged_interrupt_is_not_repeated),
		TEST(a_broken_ring_needs_a_reset_and_gets_it),
		TEST(work_is_bounded),
		TEST(configuration_changes),
		TEST(another_change),
		TEST(quiet_interrupts),
		TEST(batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
