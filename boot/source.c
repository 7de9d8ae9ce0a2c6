/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

int source_alloc(struct source *src, uint64_t size)
{
	uint8_t *data = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (data == MAP_FAILED)
		return -errno;
	(void)madvise(data, size, MADV_HUGEPAGE); /* a hint, for fewer faults */
	*src = (struct source){ .fd = -1, .data = data, .size = size };
	return 0;
}

void source_free(struct source *src)
{
	if (src->data)
		munmap(src->data, src->size);
	src->data = NULL;
}

int source_read(const struct source *src, uint64_t offset, void *dst, uint64_t len)
{
	uint8_t *p = dst;

	if (offset > src->size || len > src->size - offset)
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

int source_place(const struct source *src, uint64_t offset, const struct guest_mem *mem,
		 uint64_t gpa, uint64_t len)
{
	void *host = mem_at(mem, gpa, len);

	return host ? source_read(src, offset, host, len) : -EFAULT;
}
