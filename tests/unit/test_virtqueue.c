/* SPDX-License-Identifier: Apache-2.0 */
/* The split virtqueue against right and wrong rings (virtio 1.2, 2.7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "mem.h"
#include "virtqueue.h"

#define MEM   (1ull << 20)
#define DESC  0x1000ull
#define AVAIL 0x3000ull
#define USED  0x5000ull
#define TABLE 0x7000ull
#define DATA  0x10000ull
#define SIZE  8u

struct fixture {
	struct guest_mem mem;
	struct virtqueue vq;
	struct virtqueue_chain chain;
};

static void start(struct fixture *f, uint32_t size, bool event_idx, bool indirect)
{
	f->vq = (struct virtqueue){
		.size = size, .desc_gpa = DESC, .avail_gpa = AVAIL, .used_gpa = USED
	};
	memset(mem_at(&f->mem, 0, MEM), 0, MEM);
	assert_int_equal(virtqueue_start(&f->vq, &f->mem, event_idx, indirect), 0);
}

static void desc(struct fixture *f, uint64_t table, unsigned int index, uint64_t addr, uint32_t len,
		 uint16_t flags, uint16_t next)
{
	const struct vring_desc d = { .addr = addr, .len = len, .flags = flags, .next = next };

	assert_int_equal(mem_write(&f->mem, table + 16 * index, &d, sizeof(d)), 0);
}

static struct vring_avail *avail(struct fixture *f)
{
	return mem_at(&f->mem, AVAIL, 4 + 2 * SIZE + 2);
}

static struct vring_used *used(struct fixture *f)
{
	return mem_at(&f->mem, USED, 4 + 8 * SIZE + 2);
}

static void offer(struct fixture *f, uint16_t head)
{
	avail(f)->ring[avail(f)->idx % f->vq.size] = head;
	avail(f)->idx++;
}

static int setup(void **state)
{
	static struct fixture f;

	*state = &f;
	return mem_create(&f.mem, MEM);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	mem_destroy(&f->mem);
	return 0;
}

static void start_refuses(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t size;
		uint64_t desc, avail, used;
		const char *error;
	} cases[] = {
		{ 0, DESC, AVAIL, USED, "illegal queue size" },
		{ 3, DESC, AVAIL, USED, "illegal queue size" },
		{ 512, DESC, AVAIL, USED, "illegal queue size" },
		{ 0x10008, DESC, AVAIL, USED, "illegal queue size" },
		{ 8, DESC + 8, AVAIL, USED, "misaligned ring" },
		{ 8, DESC, AVAIL + 1, USED, "misaligned ring" },
		{ 8, DESC, AVAIL, USED + 2, "misaligned ring" },
		{ 8, MEM, AVAIL, USED, "ring outside of memory" },
		{ 8, MEM - 16, AVAIL, USED, "ring outside of memory" },
		{ 8, DESC, MEM - 2, USED, "ring outside of memory" },
		{ 8, DESC, AVAIL, MEM - 4, "ring outside of memory" },
		{ 8, UINT64_MAX - 15, AVAIL, USED, "ring outside of memory" },
		{ 8, DESC, AVAIL, 0xd0001000, "ring outside of memory" },
		{ 8, DESC, DESC, USED, "overlapping rings" },
		{ 8, DESC, DESC + 126, USED, "overlapping rings" },
		{ 8, DESC, AVAIL, DESC + 124, "overlapping rings" },
		{ 8, DESC, AVAIL, AVAIL + 20, "overlapping rings" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->vq = (struct virtqueue){ .size = cases[i].size,
					    .desc_gpa = cases[i].desc,
					    .avail_gpa = cases[i].avail,
					    .used_gpa = cases[i].used };
		assert_int_equal(virtqueue_start(&f->vq, &f->mem, true, true), -EINVAL);
		assert_string_equal(f->vq.error, cases[i].error);
		assert_false(f->vq.running);
	}
	/* Side by side is legal. */
	f->vq = (struct virtqueue){
		.size = 8, .desc_gpa = DESC, .avail_gpa = DESC + 128, .used_gpa = DESC + 152
	};
	assert_int_equal(virtqueue_start(&f->vq, &f->mem, true, true), 0);
}

static void pop_gathers(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, false, true);
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 0);
	desc(f, DESC, 5, DATA, 16, VRING_DESC_F_NEXT, 2);
	desc(f, DESC, 2, DATA + 100, 0, VRING_DESC_F_NEXT, 7); /* empty: left out */
	desc(f, DESC, 7, DATA + 512, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 0);
	desc(f, DESC, 0, DATA + 50, 1, VRING_DESC_F_WRITE, 99); /* next is not looked at */
	offer(f, 5);
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
	assert_int_equal(f->chain.head, 5);
	assert_int_equal(f->chain.nr_out, 1);
	assert_int_equal(f->chain.nr_in, 2);
	assert_int_equal(f->chain.out_len, 16);
	assert_int_equal(f->chain.in_len, 513);
	assert_ptr_equal(f->chain.iov[0].iov_base, mem_at(&f->mem, DATA, 16));
	assert_ptr_equal(f->chain.iov[1].iov_base, mem_at(&f->mem, DATA + 512, 512));
	assert_int_equal(f->chain.iov[2].iov_len, 1);
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 0);
}

static void pop_follows_indirect(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, false, true);
	/* A normal descriptor, then a table (2.7.5.3.2); its write flag means nothing. A table may
	 * be at any address, and longer than the queue.
	 */
	desc(f, DESC, 0, DATA, 16, VRING_DESC_F_NEXT, 1);
	desc(f, DESC, 1, TABLE + 1, 16 * 20, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	for (uint16_t i = 0; i < 20; i++)
		desc(f, TABLE + 1, i, DATA + 16 * i, 16, i < 19 ? VRING_DESC_F_NEXT : 0,
		     (uint16_t)(i + 1));
	offer(f, 0);
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
	assert_int_equal(f->chain.nr_out, 21);
	assert_int_equal(f->chain.nr_in, 0);
}

static void expect_broken(struct fixture *f, const char *error)
{
	const uint16_t used_idx = used(f)->idx;

	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), -EINVAL);
	assert_string_equal(f->vq.error, error);
	/* and it stays so */
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), -EINVAL);
	assert_false(virtqueue_listen(&f->vq));
	assert_int_equal(used(f)->idx, used_idx);
}

static void pop_refuses(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct vring_desc ring[3], table[3];
		const char *error;
	} cases[] = {
#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT
		{ { { DATA, 1, N, 0 } }, { { 0 } }, "descriptor loop" },
		{ { { DATA, 1, N, 1 }, { DATA, 1, N, 2 }, { DATA, 1, N, 1 } },
		  { { 0 } },
		  "descriptor loop" },
		{ { { DATA, 1, N, 8 } }, { { 0 } }, "descriptor index out of range" },
		{ { { DATA, 1, N, 0xffff } }, { { 0 } }, "descriptor index out of range" },
		{ { { DATA, 1, N | W, 1 }, { DATA, 1, 0, 0 } },
		  { { 0 } },
		  "readable descriptor after a writable one" },
		{ { { MEM, 1, 0, 0 } }, { { 0 } }, "buffer outside of memory" },
		{ { { MEM - 1, 2, 0, 0 } }, { { 0 } }, "buffer outside of memory" },
		{ { { UINT64_MAX, 2, 0, 0 } }, { { 0 } }, "buffer outside of memory" },
		{ { { DATA, 0xffffffff, W, 0 } }, { { 0 } }, "buffer outside of memory" },
		{ { { TABLE, 0, I, 0 } }, { { 0 } }, "illegal indirect table length" },
		{ { { TABLE, 17, I, 0 } }, { { 0 } }, "illegal indirect table length" },
		{ { { TABLE, 16 * 257, I, 0 } }, { { 0 } }, "illegal indirect table length" },
		{ { { TABLE, 0xfffffff0, I, 0 } }, { { 0 } }, "illegal indirect table length" },
		{ { { MEM - 16, 32, I, 0 } }, { { 0 } }, "indirect table outside of memory" },
		{ { { UINT64_MAX - 15, 32, I, 0 } },
		  { { 0 } },
		  "indirect table outside of memory" },
		{ { { TABLE, 16, I | N, 1 } }, { { 0 } }, "indirect descriptor with a next" },
		{ { { TABLE, 32, I, 0 } },
		  { { DATA, 1, N, 1 }, { TABLE, 32, I, 0 } },
		  "nested indirect table" },
		{ { { DESC, 128, I, 0 } }, { { 0 } }, "nested indirect table" },
		{ { { TABLE, 32, I, 0 } }, { { DATA, 1, N, 0 } }, "descriptor loop" },
		{ { { TABLE, 32, I, 0 } }, { { DATA, 1, N, 2 } }, "descriptor index out of range" },
#undef N
#undef W
#undef I
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(f, SIZE, false, true);
		mem_write(&f->mem, DESC, cases[i].ring, sizeof(cases[i].ring));
		mem_write(&f->mem, TABLE, cases[i].table, sizeof(cases[i].table));
		offer(f, 0);
		expect_broken(f, cases[i].error);
	}
}

static void pop_refuses_indirect_unless_negotiated(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, false, false);
	desc(f, DESC, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(f, 0);
	expect_broken(f, "indirect descriptor not negotiated");
}

static void pop_refuses_indices(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, false, true);
	offer(f, SIZE);
	expect_broken(f, "descriptor index out of range");

	start(f, SIZE, false, true);
	avail(f)->idx = SIZE + 1;
	expect_broken(f, "avail index out of range");

	start(f, SIZE, false, true);
	avail(f)->idx = 0xffff;
	expect_broken(f, "avail index out of range");
}

static void pop_refuses_a_head_in_flight(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, false, true);
	desc(f, DESC, 0, DATA, 16, 0, 0);
	for (unsigned int i = 0; i < SIZE; i++) {
		offer(f, 0);
		assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
	}
	offer(f, 0);
	expect_broken(f, "more chains than descriptors");
}

static void a_chain_as_long_as_memory_allows(void **state)
{
	struct fixture *f = *state;

	/* The longest legal chain fills the segment array, and no more. */
	start(f, VIRTQUEUE_SIZE_MAX, false, true);
	desc(f, DESC, 0, TABLE, 16 * VIRTQUEUE_SIZE_MAX, VRING_DESC_F_INDIRECT, 0);
	for (uint16_t i = 0; i < VIRTQUEUE_SIZE_MAX; i++)
		desc(f, TABLE, i, DATA, 512, i + 1u < VIRTQUEUE_SIZE_MAX ? VRING_DESC_F_NEXT : 0,
		     (uint16_t)(i + 1));
	offer(f, 0);
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
	assert_int_equal(f->chain.nr_out, VIRTQUEUE_SIZE_MAX);

	start(f, VIRTQUEUE_SIZE_MAX, false, true);
	desc(f, DESC, 0, DATA, 16, VRING_DESC_F_NEXT, 1);
	desc(f, DESC, 1, TABLE, 16 * VIRTQUEUE_SIZE_MAX, VRING_DESC_F_INDIRECT, 0);
	for (uint16_t i = 0; i < VIRTQUEUE_SIZE_MAX; i++)
		desc(f, TABLE, i, DATA, 512, i + 1u < VIRTQUEUE_SIZE_MAX ? VRING_DESC_F_NEXT : 0,
		     (uint16_t)(i + 1));
	offer(f, 0);
	expect_broken(f, "chain too long");
}

/* In a guest that has them: what a chain may sum up to, and no byte more (2.7.5.2). */
static void buffers_of_4_gib(void **state)
{
	static struct fixture large;

	(void)state;
	assert_int_equal(mem_create(&large.mem, 8ull << 30), 0);
	for (uint32_t more = 1; more <= 2; more++) {
		large.vq = (struct virtqueue){
			.size = SIZE, .desc_gpa = DESC, .avail_gpa = AVAIL, .used_gpa = USED
		};
		assert_int_equal(virtqueue_start(&large.vq, &large.mem, true, true), 0);
		desc(&large, DESC, 0, 4ull << 30, 0xffffffff, VRING_DESC_F_NEXT, 1);
		desc(&large, DESC, 1, DATA, more, VRING_DESC_F_WRITE, 0);
		avail(&large)->idx = 0;
		offer(&large, 0);
		if (more == 1) {
			assert_int_equal(virtqueue_pop(&large.vq, &large.chain), 1);
			assert_int_equal(large.chain.out_len, 0xffffffff);
		} else {
			expect_broken(&large, "chain of more than 4 GiB");
		}
	}
	mem_destroy(&large.mem);
}

static void indices_wrap(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, true, true);
	desc(f, DESC, 3, DATA, 16, VRING_DESC_F_WRITE, 0);
	for (uint32_t i = 0; i < 70000; i++) {
		offer(f, 3);
		assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
		virtqueue_push(&f->vq, f->chain.head, i);
		virtqueue_publish(&f->vq);
		assert_int_equal(used(f)->idx, (uint16_t)(i + 1));
		assert_int_equal(used(f)->ring[i % SIZE].id, 3);
		assert_int_equal(used(f)->ring[i % SIZE].len, i);
	}
}

static void interrupts_by_flag(void **state)
{
	struct fixture *f = *state;

	start(f, SIZE, false, true);
	desc(f, DESC, 0, DATA, 16, 0, 0);
	assert_false(virtqueue_publish(&f->vq)); /* nothing to show */
	offer(f, 0);
	virtqueue_pop(&f->vq, &f->chain);
	virtqueue_push(&f->vq, 0, 0);
	assert_int_equal(used(f)->idx, 0); /* not before publish */
	assert_true(virtqueue_publish(&f->vq));
	avail(f)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	offer(f, 0);
	virtqueue_pop(&f->vq, &f->chain);
	virtqueue_push(&f->vq, 0, 0);
	assert_false(virtqueue_publish(&f->vq));
}

static void interrupts_by_event_idx(void **state)
{
	struct fixture *f = *state;
	uint16_t *used_event = &avail(f)->ring[SIZE];

	start(f, SIZE, true, true);
	desc(f, DESC, 0, DATA, 16, 0, 0);
	*used_event = 2; /* tell me when used->idx passes 2 */
	for (unsigned int i = 0; i < 5; i++) {
		offer(f, 0);
		virtqueue_pop(&f->vq, &f->chain);
		virtqueue_push(&f->vq, 0, 0);
		assert_int_equal(virtqueue_publish(&f->vq), i == 2);
	}
	*used_event = 6;
	for (unsigned int i = 0; i < 3; i++) {
		offer(f, 0);
		virtqueue_pop(&f->vq, &f->chain);
		virtqueue_push(&f->vq, 0, 0);
	}
	assert_true(virtqueue_publish(&f->vq)); /* a batch that passes it */
}

static void notifications(void **state)
{
	struct fixture *f = *state;

	for (int event_idx = 0; event_idx < 2; event_idx++) {
		start(f, SIZE, event_idx, true);
		desc(f, DESC, 0, DATA, 16, 0, 0);
		virtqueue_mute(&f->vq);
		assert_int_equal(used(f)->flags, event_idx ? 0 : VRING_USED_F_NO_NOTIFY);
		offer(f, 0);
		assert_true(virtqueue_listen(&f->vq)); /* one slipped in */
		assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);
		assert_false(virtqueue_listen(&f->vq));
		assert_int_equal(used(f)->flags, 0);
		if (event_idx) {
			uint16_t avail_event;

			mem_read(&f->mem, USED + 4 + 8 * SIZE, &avail_event, sizeof(avail_event));
			assert_int_equal(avail_event, 1);
		}
	}
}

static void take_crosses_segments(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[10];
	uint8_t *status;

	start(f, SIZE, false, true);
	memcpy(mem_at(&f->mem, DATA, 16), "0123456789abcdef", 16);
	desc(f, DESC, 0, DATA, 3, VRING_DESC_F_NEXT, 1);
	desc(f, DESC, 1, DATA + 3, 4, VRING_DESC_F_NEXT, 2);
	desc(f, DESC, 2, DATA + 7, 6, VRING_DESC_F_NEXT, 3);
	desc(f, DESC, 3, DATA + 100, 2, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 4);
	desc(f, DESC, 4, DATA + 200, 1, VRING_DESC_F_WRITE, 0);
	offer(f, 0);
	assert_int_equal(virtqueue_pop(&f->vq, &f->chain), 1);

	assert_false(virtqueue_chain_take(&f->chain, bytes, 14));
	assert_int_equal(f->chain.out_len, 13);
	assert_true(virtqueue_chain_take(&f->chain, bytes, 10));
	assert_memory_equal(bytes, "0123456789", 10);
	assert_int_equal(f->chain.nr_out, 1);
	assert_int_equal(f->chain.out_len, 3);
	assert_memory_equal(f->chain.iov[0].iov_base, "abc", 3);

	status = virtqueue_chain_take_last(&f->chain);
	assert_ptr_equal(status, mem_at(&f->mem, DATA + 200, 1));
	assert_int_equal(f->chain.nr_in, 1);
	assert_int_equal(f->chain.in_len, 2);
	assert_non_null(virtqueue_chain_take_last(&f->chain));
	assert_non_null(virtqueue_chain_take_last(&f->chain));
	assert_int_equal(f->chain.nr_in, 0);
	assert_null(virtqueue_chain_take_last(&f->chain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_refuses),
		cmocka_unit_test(pop_gathers),
		cmocka_unit_test(pop_follows_indirect),
		cmocka_unit_test(pop_refuses),
		cmocka_unit_test(pop_refuses_indirect_unless_negotiated),
		cmocka_unit_test(pop_refuses_indices),
		cmocka_unit_test(pop_refuses_a_head_in_flight),
		cmocka_unit_test(a_chain_as_long_as_memory_allows),
		cmocka_unit_test(buffers_of_4_gib),
		cmocka_unit_test(indices_wrap),
		cmocka_unit_test(interrupts_by_flag),
		cmocka_unit_test(interrupts_by_event_idx),
		cmocka_unit_test(notifications),
		cmocka_unit_test(take_crosses_segments),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
