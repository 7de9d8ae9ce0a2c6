/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw rings: the input is a queue's settings and the first bytes of guest memory, where the rings
 * lie. Every chain popped must lie in memory and in its bounds, and the queue must end.
 */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "virtqueue.h"

#define MEM   0x10000ull
#define RINGS 0x4000ull /* filled from the input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
	uint8_t size_log2, flags;
	uint16_t desc, avail, used; /* addresses */
	uint16_t rounds;
};

static void check(int ok)
{
	if (!ok)
		abort();
}

static void check_chain(const struct guest_mem *mem, const struct virtqueue_chain *chain)
{
	const uint8_t *base = mem->region[0].host;
	uint64_t sum = 0;

	check(chain->nr_out + chain->nr_in <= (int)VIRTQUEUE_SIZE_MAX);
	for (int i = 0; i < chain->nr_out + chain->nr_in; i++) {
		const uint8_t *at = chain->iov[i].iov_base;

		check(chain->iov[i].iov_len > 0);
		check(at >= base && at + chain->iov[i].iov_len <= base + MEM);
		sum += chain->iov[i].iov_len;
	}
	check(sum == chain->out_len + chain->in_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest_mem mem;
	static struct virtqueue_chain chain;
	struct settings s;

	if (size < sizeof(s))
		return -1;
	if (!mem.nr)
		check(mem_create(&mem, MEM) == 0);
	memcpy(&s, data, sizeof(s));
	data += sizeof(s);
	size -= sizeof(s);
	uint8_t *ram = mem_at(&mem, 0, MEM);
	memset(ram, 0, RINGS);
	memcpy(ram, data, size < RINGS ? size : RINGS);

	struct virtqueue vq = { .size = 1u << (s.size_log2 % 10),
				.desc_gpa = s.desc,
				.avail_gpa = s.avail,
				.used_gpa = s.used };
	if (virtqueue_start(&vq, &mem, s.flags & 1, s.flags & 2) < 0)
		return 0;
	for (unsigned int round = 0; round < s.rounds % 4 + 1u; round++) {
		unsigned int popped = 0;
		int got;

		virtqueue_mute(&vq);
		while ((got = virtqueue_pop(&vq, &chain)) > 0) {
			uint8_t header[16];
			const uint16_t head = chain.head;

			check(++popped <= 0x10000); /* the driver's index can only be so far */
			check(vq.in_flight <= vq.size);
			check_chain(&mem, &chain);
			check(head < vq.size);
			if (s.flags & 4 && virtqueue_chain_take(&chain, header, sizeof(header)))
				check_chain(&mem, &chain);
			if (s.flags & 8) {
				uint8_t *last = virtqueue_chain_take_last(&chain);

				check(!last || (last >= ram && last < ram + MEM));
				if (last)
					*last = 0xff; /* which may well be a ring */
				check_chain(&mem, &chain);
			}
			if (!(s.flags & 16)) {
				virtqueue_push(&vq, head, (uint32_t)chain.in_len);
				if (s.flags & 32)
					virtqueue_publish(&vq);
			}
			if (popped > 1024)
				break; /* the driver's own rings may be where it is answered */
		}
		check(got >= 0 || vq.error);
		virtqueue_publish(&vq);
		virtqueue_listen(&vq);
	}
	virtqueue_stop(&vq);
	return 0;
}
