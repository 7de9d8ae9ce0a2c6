/* SPDX-License-Identifier: Apache-2.0 */
#include "virtqueue.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

#define CHAIN_BYTES_MAX (1ull << 32) /* 2.7.5.2 */

/* avail: flags, idx, ring[size], used_event. used: flags, idx, ring[size], avail_event. */
static uint64_t desc_bytes(uint32_t size)
{
	return sizeof(struct vring_desc) * size;
}

static uint64_t avail_bytes(uint32_t size)
{
	return sizeof(uint16_t) * (3 + size);
}

static uint64_t used_bytes(uint32_t size)
{
	return sizeof(uint16_t) * 3 + sizeof(struct vring_used_elem) * size;
}

static const uint16_t *used_event(const struct virtqueue *vq)
{
	return &vq->avail->ring[vq->size];
}

static uint16_t *avail_event(const struct virtqueue *vq)
{
	return (uint16_t *)(void *)&vq->used->ring[vq->size];
}

static int broken(struct virtqueue *vq, const char *why)
{
	vq->error = why;
	return -EINVAL;
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len; /* both in RAM: the sums cannot wrap */
}

int virtqueue_start(struct virtqueue *vq, const struct guest_mem *mem, bool event_idx,
		    bool indirect)
{
	const uint32_t n = vq->size;

	if (n == 0 || n > VIRTQUEUE_SIZE_MAX || (n & (n - 1)) != 0)
		return broken(vq, "illegal queue size");
	if (vq->desc_gpa % 16 != 0 || vq->avail_gpa % 2 != 0 || vq->used_gpa % 4 != 0)
		return broken(vq, "misaligned ring");

	vq->desc = mem_at(mem, vq->desc_gpa, desc_bytes(n));
	vq->avail = mem_at(mem, vq->avail_gpa, avail_bytes(n));
	vq->used = mem_at(mem, vq->used_gpa, used_bytes(n));
	if (!vq->desc || !vq->avail || !vq->used)
		return broken(vq, "ring outside of memory");
	if (overlap(vq->desc_gpa, desc_bytes(n), vq->avail_gpa, avail_bytes(n)) ||
	    overlap(vq->desc_gpa, desc_bytes(n), vq->used_gpa, used_bytes(n)) ||
	    overlap(vq->avail_gpa, avail_bytes(n), vq->used_gpa, used_bytes(n)))
		return broken(vq, "overlapping rings");

	vq->mem = mem;
	vq->event_idx = event_idx;
	vq->indirect = indirect;
	vq->error = NULL;
	vq->next_avail = vq->seen_avail = 0;
	vq->next_used = vq->published = 0;
	vq->in_flight = 0;
	vq->flags = 0;
	vq->running = true;
	return 0;
}

void virtqueue_stop(struct virtqueue *vq)
{
	*vq = (struct virtqueue){ 0 };
}

void virtqueue_copy_once(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	/* Compiler only: from here on the copy is the value, @src may not be read again. */
	atomic_signal_fence(memory_order_seq_cst);
}

static int add_segment(struct virtqueue *vq, struct virtqueue_chain *chain,
		       const struct vring_desc *desc)
{
	const bool in = (desc->flags & VRING_DESC_F_WRITE) != 0;

	if (!in && chain->nr_in > 0)
		return broken(vq, "readable descriptor after a writable one"); /* 2.7.4.2 */
	if (desc->len == 0)
		return 0;
	if (chain->nr_out + chain->nr_in == VIRTQUEUE_SIZE_MAX)
		return broken(vq, "chain too long");
	if (chain->out_len + chain->in_len + desc->len > CHAIN_BYTES_MAX)
		return broken(vq, "chain of more than 4 GiB");

	void *host = mem_at(vq->mem, desc->addr, desc->len);
	if (!host)
		return broken(vq, "buffer outside of memory");
	chain->iov[chain->nr_out + chain->nr_in] =
		(struct iovec){ .iov_base = host, .iov_len = desc->len };
	if (in) {
		chain->nr_in++;
		chain->in_len += desc->len;
	} else {
		chain->nr_out++;
		chain->out_len += desc->len;
	}
	return 0;
}

/*
 * Follows a chain. Terminates: every step uses up @left, which is raised once, when the walk enters
 * an indirect table. A table may be longer than the queue, as Linux makes them, but not longer than
 * VIRTQUEUE_SIZE_MAX.
 */
static int walk(struct virtqueue *vq, struct virtqueue_chain *chain)
{
	const struct vring_desc *table = vq->desc;
	uint32_t entries = vq->size;
	uint32_t left = vq->size;
	uint32_t index = chain->head;
	bool nested = false;

	for (;;) {
		struct vring_desc desc;

		if (index >= entries)
			return broken(vq, "descriptor index out of range");
		if (left-- == 0)
			return broken(vq, "descriptor loop");
		virtqueue_copy_once(&desc, (const uint8_t *)table + sizeof(desc) * index,
				    sizeof(desc));

		if (desc.flags & VRING_DESC_F_INDIRECT) { /* 2.7.5.3 */
			if (!vq->indirect)
				return broken(vq, "indirect descriptor not negotiated");
			if (nested)
				return broken(vq, "nested indirect table");
			if (desc.flags & VRING_DESC_F_NEXT)
				return broken(vq, "indirect descriptor with a next");
			if (desc.len == 0 || desc.len % sizeof(desc) != 0 ||
			    desc.len / sizeof(desc) > VIRTQUEUE_SIZE_MAX)
				return broken(vq, "illegal indirect table length");
			table = mem_at(vq->mem, desc.addr, desc.len);
			if (!table)
				return broken(vq, "indirect table outside of memory");
			nested = true;
			entries = left = desc.len / (uint32_t)sizeof(desc);
			index = 0;
			continue;
		}
		const int err = add_segment(vq, chain, &desc);
		if (err)
			return err;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
}

/* Whether there are chains to take; -EINVAL when the index cannot be true. */
static int look(struct virtqueue *vq)
{
	/* Pairs with the driver's write barrier between filling avail->ring and moving avail->idx
	 * (2.7.13.3): what lies before the index is complete.
	 */
	vq->seen_avail = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	if ((uint16_t)(vq->seen_avail - vq->next_avail) > vq->size)
		return broken(vq, "avail index out of range");
	return vq->seen_avail != vq->next_avail;
}

int virtqueue_pop(struct virtqueue *vq, struct virtqueue_chain *chain)
{
	if (vq->error)
		return -EINVAL;
	if (vq->seen_avail == vq->next_avail) {
		const int any = look(vq);
		if (any <= 0)
			return any;
	}
	/* A head offered again before its completion would overrun the used ring. */
	if (vq->in_flight == vq->size)
		return broken(vq, "more chains than descriptors");

	const uint16_t slot = vq->next_avail & (uint16_t)(vq->size - 1);
	chain->head = __atomic_load_n(&vq->avail->ring[slot], __ATOMIC_RELAXED);
	chain->nr_out = chain->nr_in = 0;
	chain->out_len = chain->in_len = 0;
	const int err = walk(vq, chain);
	if (err)
		return err;
	vq->next_avail++;
	vq->in_flight++;
	return 1;
}

void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written)
{
	struct vring_used_elem *elem = &vq->used->ring[vq->next_used & (vq->size - 1)];

	elem->id = head;
	elem->len = written;
	vq->next_used++;
	vq->in_flight--;
}

bool virtqueue_publish(struct virtqueue *vq)
{
	const uint16_t old = vq->published;
	const uint16_t new = vq->next_used;

	if (old == new)
		return false;
	vq->published = new;
	/* Pairs with the driver's read barrier between used->idx and the used entries (2.7.14). */
	__atomic_store_n(&vq->used->idx, new, __ATOMIC_RELEASE);
	/* Pairs with the driver's full barrier between asking for interrupts (used_event, flags)
	 * and looking at used->idx once more (2.7.10): one of us sees the other's store.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (vq->event_idx) {
		const uint16_t event = __atomic_load_n(used_event(vq), __ATOMIC_RELAXED);
		return vring_need_event(event, new, old);
	}
	return !(__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
}

void virtqueue_set_flag(struct virtqueue *vq, uint16_t flag, bool on)
{
	vq->flags = (uint16_t)(on ? vq->flags | flag : vq->flags & ~flag);
	__atomic_store_n(&vq->used->flags, vq->flags, __ATOMIC_RELAXED);
}

void virtqueue_mute(struct virtqueue *vq)
{
	/* With EVENT_IDX an avail_event that is left behind says the same (2.7.10.2). */
	if (!vq->event_idx)
		virtqueue_set_flag(vq, VRING_USED_F_NO_NOTIFY, true);
}

bool virtqueue_listen(struct virtqueue *vq)
{
	if (vq->error)
		return false;
	if (vq->event_idx)
		__atomic_store_n(avail_event(vq), vq->next_avail, __ATOMIC_RELAXED);
	else
		virtqueue_set_flag(vq, VRING_USED_F_NO_NOTIFY, false);
	/* Pairs with the driver's full barrier between moving avail->idx and reading avail_event or
	 * flags (2.7.13.4): one of us sees the other's store.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(&vq->avail->idx, __ATOMIC_RELAXED) != vq->next_avail;
}

bool virtqueue_chain_take(struct virtqueue_chain *chain, void *data, size_t len)
{
	uint8_t *dst = data;
	unsigned int first = 0;

	if (chain->out_len < len)
		return false;
	chain->out_len -= len;
	while (len > 0) {
		struct iovec *iov = &chain->iov[first];
		const size_t n = iov->iov_len < len ? iov->iov_len : len;

		virtqueue_copy_once(dst, iov->iov_base, n);
		dst += n;
		len -= n;
		iov->iov_base = (uint8_t *)iov->iov_base + n;
		iov->iov_len -= n;
		first += iov->iov_len == 0;
	}
	if (first > 0) {
		chain->nr_out = (uint16_t)(chain->nr_out - first);
		memmove(chain->iov, chain->iov + first,
			sizeof(chain->iov[0]) * (size_t)(chain->nr_out + chain->nr_in));
	}
	return true;
}

uint8_t *virtqueue_chain_take_last(struct virtqueue_chain *chain)
{
	if (chain->in_len == 0)
		return NULL;
	struct iovec *last = &chain->iov[chain->nr_out + chain->nr_in - 1];
	chain->in_len--;
	if (--last->iov_len == 0)
		chain->nr_in--;
	return (uint8_t *)last->iov_base + last->iov_len;
}
