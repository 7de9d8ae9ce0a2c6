/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a boot file (kernel, initrd), in a file, or in memory after unpacking. */
#ifndef LUPINE_SOURCE_H
#define LUPINE_SOURCE_H

#include <stdint.h>

#include "mem.h"

struct source {
	int fd; /* a regular file, the caller's; or -1 and */
	uint8_t *data; /* source_alloc()ed memory */
	uint64_t size;
};

/* Sets *why (static) and returns @err: every refusal of a boot file in one line. */
static inline int source_refuse(const char **why, int err, const char *text)
{
	*why = text;
	return err;
}

/* -EINVAL when @fd is not a regular file. */
int source_from_fd(struct source *src, int fd, const char **why);

/* @size bytes of zeroed memory to unpack into; to be released by source_free(). */
int source_alloc(struct source *src, uint64_t size);
void source_free(struct source *src);

/* -ENODATA when [offset, offset + len) is not all there, also if the file has shrunk since. */
int source_read(const struct source *src, uint64_t offset, void *dst, uint64_t len);

/*
 * Makes [gpa, gpa + len) of guest memory hold the source's bytes from @offset, by a copy. Mapping
 * the file's pages over guest memory instead spares the copy and costs more: the guest then faults
 * on every 4 KiB page it touches, where copied ones lie in huge pages (1500 faults less to init,
 * 25 instead of 32 million instructions; also for unpacked pages moved there by mremap()). And
 * pread() cannot be hurt by a file that is cut short or changed afterwards, a mapping can.
 * -ENODATA as source_read(), -EFAULT when the range is not RAM.
 */
int source_place(const struct source *src, uint64_t offset, const struct guest_mem *mem,
		 uint64_t gpa, uint64_t len);

#endif
