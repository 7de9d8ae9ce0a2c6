/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE	  4096ull
#define HUGE_PAGE (2ull << 20)

int source_from_fd(struct source *src, int fd, const char **why)
{
	struct stat st;

	if (fstat(fd, &st))
		return source_refuse(why, -errno, "cannot be examined");
	if (!S_ISREG(st.st_mode))
		return source_refuse(why, -EINVAL, "is not a regular file");
	if (st.st_size == 0)
		return source_refuse(why, -EINVAL, "is empty");
	*src = (struct source){ .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

/* 2 MiB aligned and huge, so that whole page tables can move to guest memory (place_pages). */
int source_alloc(struct source *src, uint64_t size)
{
	const uint64_t len = (size + PAGE - 1) & ~(PAGE - 1), span = len + HUGE_PAGE;
	uint8_t *base = mmap(NULL, span, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	uint8_t *data = (uint8_t *)(((uintptr_t)base + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (data > base)
		munmap(base, (size_t)(data - base));
	munmap(data + len, (size_t)(base + span - (data + len)));
	(void)madvise(data, len, MADV_HUGEPAGE);
	*src = (struct source){ .fd = -1, .data = data, .size = size };
	return 0;
}

void source_free(struct source *src)
{
	if (src->data)
		munmap(src->data, (src->size + PAGE - 1) & ~(PAGE - 1));
	src->data = NULL;
}

static bool contains(const struct source *src, uint64_t offset, uint64_t len)
{
	return offset <= src->size && len <= src->size - offset;
}

int source_read(const struct source *src, uint64_t offset, void *dst, uint64_t len)
{
	uint8_t *p = dst;

	if (!contains(src, offset, len))
		return -ENODATA;
	if (src->data) {
		memcpy(dst, src->data + offset, len);
		return 0;
	}
	while (len > 0) {
		ssize_t n = pread(src->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* it was longer a moment ago */
			return -ENODATA;
		p += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/*
 * Whole pages: the file's are mapped privately over guest memory, unpacked ones are moved there
 * (DONTUNMAP: the hole must not be taken by another thread before source_free()).
 *
 * A private mapping follows the file until the page is written: whoever replaces a kernel must
 * rename a new file over it, as package managers do. A file that is cut short under a running
 * guest makes the pages beyond its end fault: KVM_RUN fails with -EFAULT, the VM ends. The loader
 * itself reads with pread() only and never touches what it has mapped, so it cannot get SIGBUS.
 */
static int place_pages(const struct source *src, uint64_t offset, uint8_t *host, uint64_t len)
{
	void *at;

	if (src->data)
		at = mremap(src->data + offset, len, len,
			    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, host);
	else
		at = mmap(host, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, src->fd,
			  (off_t)offset);
	return at == MAP_FAILED ? -errno : 0;
}

int source_place(const struct source *src, uint64_t offset, const struct guest_mem *mem,
		 uint64_t gpa, uint64_t len)
{
	uint8_t *host = mem_at(mem, gpa, len);

	if (!host)
		return -EFAULT;
	if (!contains(src, offset, len))
		return -ENODATA;

	uint64_t head = -offset & (PAGE - 1);
	if (head >= len || ((offset ^ (uintptr_t)host) & (PAGE - 1)) != 0)
		return source_read(src, offset, host, len);
	uint64_t body = (len - head) & ~(PAGE - 1);

	int err = source_read(src, offset, host, head);
	if (!err && body)
		err = place_pages(src, offset + head, host + head, body);
	if (!err)
		err = source_read(src, offset + head + body, host + head + body, len - head - body);
	return err;
}
