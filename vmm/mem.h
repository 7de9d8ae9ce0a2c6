/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the one doorway through which the monitor touches bytes the guest can change.
 *
 * Layout: RAM from 0 up to MEM_LOW_MAX, the rest from 4 GiB; between them the MMIO gap.
 * Everything here is safe to call from any thread once mem_create() has returned; the regions
 * never move. What a pointer leads to may change under the reader at any time (the guest runs):
 * copy once, then decide.
 */
#ifndef LUPINE_MEM_H
#define LUPINE_MEM_H

#include <stddef.h>
#include <stdint.h>

#define MEM_LOW_MAX   0xc0000000ull /* 3 GiB: where the MMIO gap begins */
#define MEM_HUGE_PAGE 0x200000ull
#define MEM_HIGH_BASE 0x100000000ull /* 4 GiB: where RAM goes on */

struct mem_region {
	uint64_t gpa; /* guest-physical address of the first byte */
	uint64_t size; /* bytes, a multiple of the page */
	uint8_t *host; /* where the monitor sees it, 2 MiB aligned */
};

struct guest_mem {
	unsigned int nr;
	struct mem_region region[2];
};

/* Maps @size bytes (a multiple of 4096) of zeroed, unreserved memory. -errno. */
int mem_create(struct guest_mem *mem, uint64_t size);
/*
 * The same (a multiple of MEM_HUGE_PAGE) of the host's reserved huge pages (vm.nr_hugepages), which
 * are this guest's alone from here on; -ENOMEM when too few are free.
 */
int mem_create_hugetlb(struct guest_mem *mem, uint64_t size);
void mem_destroy(struct guest_mem *mem);

/*
 * The host address of [gpa, gpa + len), or NULL when any of it lies outside of one region.
 * len 0 is legal for a gpa inside RAM.
 */
void *mem_at(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/* Bounded copies; -EFAULT when the range is not RAM, and nothing is copied. */
int mem_read(const struct guest_mem *mem, uint64_t gpa, void *dst, size_t len);
int mem_write(const struct guest_mem *mem, uint64_t gpa, const void *src, size_t len);

#endif
