/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>

/* Maps without committing; host and guest addresses agree modulo the huge page. -errno. */
static int map_region(struct mem_region *region, uint64_t gpa, uint64_t size)
{
	const uint64_t span = size + MEM_HUGE_PAGE;
	uint8_t *base = mmap(NULL, span, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	uint8_t *host = (uint8_t *)(((uintptr_t)base + MEM_HUGE_PAGE - 1) & ~(MEM_HUGE_PAGE - 1));
	if (host > base)
		munmap(base, (size_t)(host - base));
	munmap(host + size, (size_t)(base + span - (host + size)));
	*region = (struct mem_region){ .gpa = gpa, .size = size, .host = host };
	/* A hint: a host without transparent huge pages boots as well, with more faults. */
	(void)madvise(host, size, MADV_HUGEPAGE);
	/* A core dump of the monitor is about the monitor. */
	(void)madvise(host, size, MADV_DONTDUMP);
	return 0;
}

/* hugetlbfs aligns by itself, and has pages for the whole region or none. */
static int map_hugetlb(struct mem_region *region, uint64_t gpa, uint64_t size)
{
	uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	if (host == MAP_FAILED)
		return -errno;
	*region = (struct mem_region){ .gpa = gpa, .size = size, .host = host };
	(void)madvise(host, size, MADV_DONTDUMP);
	return 0;
}

typedef int map_fn(struct mem_region *region, uint64_t gpa, uint64_t size);

static int create(struct guest_mem *mem, uint64_t size, map_fn *map)
{
	const uint64_t low = size < MEM_LOW_MAX ? size : MEM_LOW_MAX;

	*mem = (struct guest_mem){ 0 };
	int err = map(&mem->region[0], 0, low);
	if (err)
		return err;
	mem->nr = 1;
	if (size > low) {
		err = map(&mem->region[1], MEM_HIGH_BASE, size - low);
		if (err) {
			mem_destroy(mem);
			return err;
		}
		mem->nr = 2;
	}
	return 0;
}

int mem_create(struct guest_mem *mem, uint64_t size)
{
	return create(mem, size, map_region);
}

int mem_create_hugetlb(struct guest_mem *mem, uint64_t size)
{
	return create(mem, size, map_hugetlb);
}

void mem_destroy(struct guest_mem *mem)
{
	for (unsigned int i = 0; i < mem->nr; i++)
		munmap(mem->region[i].host, mem->region[i].size);
	mem->nr = 0;
}

void *mem_at(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct mem_region *r = &mem->region[i];
		const uint64_t offset = gpa - r->gpa; /* wraps to huge when gpa is below */

		if (offset < r->size && len <= r->size - offset)
			return r->host + offset;
	}
	return NULL;
}

int mem_read(const struct guest_mem *mem, uint64_t gpa, void *dst, size_t len)
{
	const void *src = mem_at(mem, gpa, len);

	if (!src)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

int mem_write(const struct guest_mem *mem, uint64_t gpa, const void *src, size_t len)
{
	void *dst = mem_at(mem, gpa, len);

	if (!dst)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}
