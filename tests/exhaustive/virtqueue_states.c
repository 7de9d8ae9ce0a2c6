/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every ring in a small scope. The rings are enumerated by an independent model of the walk: where
 * it reads a descriptor that has no value yet, it is given each of the values below in turn. So
 * every descriptor a driver could write, up to these classes, is met in every position a walk can
 * reach; those no walk reads are the same ring. At each end the virtqueue must agree with the
 * model: the same segments, or broken; and a popped chain is completed exactly once.
 *
 * A second enumeration does the same for indices: where the ring is, what avail->idx says, which
 * heads it offers, in which order they are completed and when the driver wants an interrupt.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "virtqueue.h"

#define MEM	 0x4000ull
#define DESC	 0x1000ull
#define AVAIL	 0x1100ull
#define USED	 0x1200ull
#define TABLE	 0x2000ull
#define DATA	 0x3000ull
#define RING_MAX 4u
#define TABLE_N	 2u /* entries of the indirect table that are enumerated */

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

static const uint16_t flag_values[] = { 0, W, N, N | W, I, I | N, I | W };
/* Inside, ending with memory, just outside, wrapping; a table, and the ring itself as one. */
static const uint64_t data_addresses[] = { DATA, MEM - 16, MEM, UINT64_MAX - 7 };
static const uint64_t table_addresses[] = { TABLE, MEM - 16, MEM, UINT64_MAX - 15, DESC };
static const uint32_t data_lengths[] = { 0, 1, 16, 17, 0xffffffff };
static const uint32_t table_lengths[] = { 0, 15, 16, 32, 16 * 257, 0xfffffff0 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct slot {
	bool known;
	struct vring_desc desc;
};

struct world {
	struct guest_mem mem;
	uint32_t size; /* of the ring */
	uint16_t head;
	bool indirect; /* negotiated */
	struct slot ring[RING_MAX], table[TABLE_N];
	unsigned long long rings, legal, steps;
};

struct expectation {
	bool legal;
	unsigned int nr_out, nr_in;
	struct {
		uint64_t addr;
		uint32_t len;
	} segment[VIRTQUEUE_SIZE_MAX];
};

static void check(bool ok, const char *what, const struct world *w)
{
	if (ok)
		return;
	fprintf(stderr, "virtqueue_states: %s (size %u, head %u)\n", what, w->size, w->head);
	for (unsigned int i = 0; i < RING_MAX + TABLE_N; i++) {
		const struct slot *s = i < RING_MAX ? &w->ring[i] : &w->table[i - RING_MAX];

		if (s->known)
			fprintf(stderr, "  %s %u: addr %#llx len %#x flags %u next %u\n",
				i < RING_MAX ? "ring" : "table", i < RING_MAX ? i : i - RING_MAX,
				(unsigned long long)s->desc.addr, s->desc.len, s->desc.flags,
				s->desc.next);
	}
	abort();
}

static bool in_memory(uint64_t addr, uint64_t len)
{
	return addr < MEM && len <= MEM - addr;
}

/*
 * What the specification makes of the ring. NULL when that is decided, else the slot that must be
 * known first. Entries behind the known part of a table read as zero.
 */
static struct slot *model(struct world *w, struct expectation *e)
{
	static struct slot zeroes[TABLE_N] = { { .known = true }, { .known = true } };
	struct slot *at = w->ring;
	uint32_t entries = w->size, visited = 0, index = w->head;
	bool nested = false, on_ring = true;

	e->legal = false;
	e->nr_out = e->nr_in = 0;
	for (;;) {
		if (index >= entries || visited++ == entries)
			return NULL;
		const uint32_t known = on_ring ? w->size : TABLE_N;
		struct slot *slot = index < known ? &at[index] : &zeroes[0];

		w->steps++;
		if (!slot->known)
			return slot;
		const struct vring_desc *d = &slot->desc;
		if (d->flags & I) {
			if (!w->indirect || nested || (d->flags & N) || d->len == 0 ||
			    d->len % 16 != 0 || d->len / 16 > VIRTQUEUE_SIZE_MAX ||
			    !in_memory(d->addr, d->len))
				return NULL;
			nested = true;
			on_ring = d->addr == DESC;
			/* At the end of memory are zeroes. */
			at = on_ring ? w->ring : d->addr == TABLE ? w->table : zeroes;
			entries = d->len / 16;
			visited = index = 0;
			continue;
		}
		if (!(d->flags & W) && e->nr_in > 0)
			return NULL;
		if (d->len > 0) {
			if (!in_memory(d->addr, d->len))
				return NULL;
			e->segment[e->nr_out + e->nr_in].addr = d->addr;
			e->segment[e->nr_out + e->nr_in].len = d->len;
			if (d->flags & W)
				e->nr_in++;
			else
				e->nr_out++;
		}
		if (!(d->flags & N)) {
			e->legal = true;
			return NULL;
		}
		index = d->next;
	}
}

static void write_rings(struct world *w)
{
	uint8_t *ram = mem_at(&w->mem, 0, MEM);

	memset(ram + DESC, 0, 0x300);
	memset(ram + TABLE, 0, 64);
	for (unsigned int i = 0; i < RING_MAX; i++)
		if (w->ring[i].known)
			memcpy(ram + DESC + 16 * i, &w->ring[i].desc, 16);
	for (unsigned int i = 0; i < TABLE_N; i++)
		if (w->table[i].known)
			memcpy(ram + TABLE + 16 * i, &w->table[i].desc, 16);
	memcpy(ram + AVAIL + 4, &w->head, 2);
	memcpy(ram + AVAIL + 2, &(uint16_t){ 1 }, 2);
}

static void try_ring(struct world *w, const struct expectation *e)
{
	static struct virtqueue_chain chain;
	const uint8_t *ram = mem_at(&w->mem, 0, MEM);
	struct virtqueue vq = {
		.size = w->size, .desc_gpa = DESC, .avail_gpa = AVAIL, .used_gpa = USED
	};
	const struct vring_used *used = (const struct vring_used *)(const void *)(ram + USED);

	write_rings(w);
	check(virtqueue_start(&vq, &w->mem, false, w->indirect) == 0, "does not start", w);
	const int got = virtqueue_pop(&vq, &chain);
	w->rings++;
	if (!e->legal) {
		check(got == -EINVAL && vq.error, "accepts an illegal ring", w);
		check(virtqueue_pop(&vq, &chain) == -EINVAL, "does not stay broken", w);
		check(!virtqueue_publish(&vq) && used->idx == 0, "completes what was not popped",
		      w);
		return;
	}
	w->legal++;
	check(got == 1, "refuses a legal ring", w);
	check(chain.head == w->head && chain.nr_out == e->nr_out && chain.nr_in == e->nr_in,
	      "finds other segments", w);
	for (unsigned int i = 0; i < e->nr_out + e->nr_in; i++)
		check(chain.iov[i].iov_base == ram + e->segment[i].addr &&
			      chain.iov[i].iov_len == e->segment[i].len,
		      "finds a segment elsewhere", w);
	check(virtqueue_pop(&vq, &chain) == 0, "finds another chain", w);
	virtqueue_push(&vq, w->head, 7);
	check(virtqueue_publish(&vq), "does not interrupt", w);
	check(used->idx == 1 && used->ring[0].id == w->head && used->ring[0].len == 7 &&
		      vq.in_flight == 0,
	      "does not complete", w);
	check(!virtqueue_publish(&vq) && used->idx == 1, "completes twice", w);
}

static void explore(struct world *w);

static void give(struct world *w, struct slot *slot, uint64_t addr, uint32_t len, uint16_t flags)
{
	const bool in_table = slot >= w->table && slot < w->table + TABLE_N;
	const struct slot *siblings = in_table ? w->table : w->ring;
	const uint32_t entries = in_table ? TABLE_N : w->size;
	bool fresh = false;

	*slot = (struct slot){ true, { .addr = addr, .len = len, .flags = flags } };
	/* Without NEXT it is not looked at. With it: each entry the walk has seen, one it has not
	 * (they are alike but for their names), off by one, far out.
	 */
	for (uint32_t i = 0; i < (flags & N ? entries + 2 : 1); i++) {
		if (i < entries && !siblings[i].known) {
			if (fresh)
				continue;
			fresh = true;
		}
		slot->desc.next = i <= entries ? (uint16_t)i : 0xffff;
		explore(w);
	}
	slot->known = false;
}

static void explore(struct world *w)
{
	struct expectation e;
	struct slot *slot = model(w, &e);

	if (!slot) {
		try_ring(w, &e);
		return;
	}
	for (size_t f = 0; f < COUNT(flag_values); f++) {
		const bool table = (flag_values[f] & I) != 0;
		const size_t addresses = table ? COUNT(table_addresses) : COUNT(data_addresses);
		const size_t lengths = table ? COUNT(table_lengths) : COUNT(data_lengths);

		for (size_t a = 0; a < addresses; a++)
			for (size_t l = 0; l < lengths; l++)
				give(w, slot, table ? table_addresses[a] : data_addresses[a],
				     table ? table_lengths[l] : data_lengths[l], flag_values[f]);
	}
}

/* --- Indices --- */

struct index_world {
	struct world w;
	unsigned long long states;
};

/* Popped @nr chains complete in the order of @order; checks ring and interrupts by the model. */
static void complete(struct index_world *x, struct virtqueue *vq, const uint16_t *heads,
		     unsigned int nr, unsigned int rotate, unsigned int batch, bool event_idx)
{
	struct world *w = &x->w;
	const struct vring_used *used = mem_at(&w->mem, USED, 64);
	struct vring_avail *avail = mem_at(&w->mem, AVAIL, 64);
	uint16_t shown = vq->published;

	for (unsigned int i = 0; i < nr; i++) {
		const uint16_t head = heads[(i + rotate) % nr];

		virtqueue_push(vq, head, i);
		check(used->idx == shown, "shows too early", w);
		check(used->ring[(uint16_t)(vq->next_used - 1) % w->size].id == head,
		      "completes another", w);
		if ((i + 1) % batch != 0 && i + 1 != nr)
			continue;
		/* The event lies in (shown, next_used]: the driver asked for it. */
		const uint16_t event = event_idx ? avail->ring[w->size] : 0;
		bool wanted = !(avail->flags & VRING_AVAIL_F_NO_INTERRUPT);

		if (event_idx) {
			wanted = false;
			for (uint16_t at = shown; at != vq->next_used; at++)
				wanted = wanted || at == event;
		}
		check(virtqueue_publish(vq) == wanted, "interrupts wrongly", w);
		shown = vq->next_used;
		check(used->idx == shown, "does not show", w);
	}
	check(vq->in_flight == 0, "loses a chain", w);
}

static void try_indices(struct index_world *x, uint16_t start, uint16_t ahead, uint32_t heads_code,
			unsigned int rotate, unsigned int batch, bool event_idx, uint16_t event)
{
	static struct virtqueue_chain chain;
	struct world *w = &x->w;
	struct virtqueue vq = {
		.size = w->size, .desc_gpa = DESC, .avail_gpa = AVAIL, .used_gpa = USED
	};
	struct vring_avail *avail = mem_at(&w->mem, AVAIL, 64);
	struct vring_used *used = mem_at(&w->mem, USED, 64);
	uint16_t heads[RING_MAX];
	unsigned int popped = 0;
	bool broken = ahead > w->size;
	int got;

	x->states++;
	memset(avail, 0, 64);
	memset(used, 0, 64);
	check(virtqueue_start(&vq, &w->mem, event_idx, true) == 0, "does not start", w);
	/* As after @start requests. */
	vq.next_avail = vq.seen_avail = vq.next_used = vq.published = used->idx = start;
	avail->idx = (uint16_t)(start + ahead);
	avail->ring[w->size] = (uint16_t)(start + event);
	for (unsigned int i = 0; i < w->size; i++) {
		/* Each entry offers one of the heads, one too many, or the last number. */
		const uint32_t code = heads_code % (w->size + 2);
		const uint16_t head = code <= w->size ? (uint16_t)code : 0xffff;

		heads_code /= w->size + 2;
		heads[i] = head;
		avail->ring[(uint16_t)(start + i) % w->size] = head;
	}
	while ((got = virtqueue_pop(&vq, &chain)) > 0) {
		check(popped < w->size && popped < ahead, "pops too many", w);
		check(chain.head == heads[popped], "pops out of order", w);
		popped++;
	}
	if (!broken)
		for (unsigned int i = 0; i < ahead && !broken; i++)
			if (heads[i] >= w->size) {
				broken = true;
				check(popped == i, "stops elsewhere", w);
			}
	check((got < 0) == broken, "disagrees about the indices", w);
	check(broken || popped == ahead, "leaves a chain", w);
	check(vq.in_flight == popped, "miscounts", w);
	if (popped > 0)
		complete(x, &vq, heads, popped, rotate % popped, batch, event_idx);
	if (!broken) {
		avail->idx++;
		check(virtqueue_listen(&vq), "overlooks a new chain", w);
	}
}

static void explore_indices(struct index_world *x)
{
	static const uint16_t starts[] = { 0, 1, 0x7ffe, 0x7fff, 0xfffd, 0xfffe, 0xffff };
	struct world *w = &x->w;
	uint32_t codes = 1;

	memset(mem_at(&w->mem, 0, MEM), 0, MEM);
	for (unsigned int i = 0; i < w->size; i++) {
		const struct vring_desc d = { .addr = DATA, .len = 16, .flags = W };

		mem_write(&w->mem, DESC + 16 * i, &d, sizeof(d));
		codes *= w->size + 2;
	}
	for (size_t s = 0; s < COUNT(starts); s++)
		for (unsigned int a = 0; a < w->size + 4; a++) {
			/* What lies ahead: none .. one too many, half the range, all of it. */
			const uint16_t ahead = a == w->size + 2	  ? 0x8000
					       : a == w->size + 3 ? 0xffff
								  : (uint16_t)a;

			for (uint32_t code = 0; code < codes; code++)
				for (unsigned int how = 0; how < w->size * w->size; how++)
					for (unsigned int e = 0; e < w->size + 3; e++)
						try_indices(x, starts[s], ahead, code,
							    how % w->size, 1 + how / w->size, e > 0,
							    (uint16_t)(e - 2));
		}
}

int main(void)
{
	static struct world w;
	static struct index_world x;

	if (mem_create(&w.mem, MEM) < 0)
		return 1;
	memset(mem_at(&w.mem, 0, MEM), 0, MEM);
	for (int indirect = 0; indirect < 2; indirect++)
		for (w.size = 1; w.size <= RING_MAX; w.size *= 2) {
			w.indirect = indirect;
			/* By symmetry one legal head is enough; and two illegal ones. */
			w.head = (uint16_t)(w.size - 1);
			explore(&w);
			w.head = (uint16_t)w.size;
			explore(&w);
			w.head = 0xffff;
			explore(&w);
		}
	printf("rings: %llu states (%llu legal), %llu descriptors followed\n", w.rings, w.legal,
	       w.steps);
	x.w.mem = w.mem;
	for (x.w.size = 1; x.w.size <= RING_MAX; x.w.size *= 2)
		explore_indices(&x);
	printf("indices: %llu states\n", x.states);
	mem_destroy(&w.mem);
	return 0;
}
