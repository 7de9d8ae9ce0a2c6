/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end of virtio-blk: a raw image file or block device, used synchronously on the caller's
 * thread. Offsets and lengths are checked by the caller; a range past the end is an error, not a
 * growing file.
 */
#ifndef LUPINE_BLK_FILE_H
#define LUPINE_BLK_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLK_SECTOR 512u

struct blk_file {
	int fd;
	uint64_t size; /* bytes, a multiple of BLK_SECTOR */
	bool read_only, direct;
	int lost; /* -errno of a flush after which the host may have forgotten what to write */
	uint32_t logical_block; /* what transfers must be aligned to */
	uint32_t physical_block; /* what they better are aligned to */
	/* With direct I/O. A segment that is not whole blocks, so aligned, goes by way of the
	 * bounce.
	 */
	uint32_t memory_align;
	uint8_t *bounce;
};

/*
 * Opens and locks @path: one writer, or any number of readers, on this host. @direct: past the
 * host's page cache. On failure -errno and *why, a static string.
 */
int blk_file_open(struct blk_file *file, const char *path, bool read_only, bool direct,
		  const char **why);
void blk_file_close(struct blk_file *file);

/* Looks at the size again: it may have been changed. -errno and *why, and nothing changed. */
int blk_file_resize(struct blk_file *file, const char **why);

/* Whether the host takes @iov as it is: with direct I/O a guest's buffers may be too crooked. */
bool blk_file_takes(const struct blk_file *file, const struct iovec *iov, unsigned int nr);

/* The whole of @iov (which is used up), or -errno. Not two at once on one file. */
int blk_file_read(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset);
/* @durable: on stable storage when it returns. */
int blk_file_write(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset,
		   bool durable);
/* Everything written so far is on stable storage. */
int blk_file_flush(struct blk_file *file);
/*
 * What is to be told of a flush that ended with @err: the first failure for ever, for Linux marks
 * the pages that it could not write as clean, and the next flush would find nothing to do.
 */
int blk_file_flushed(struct blk_file *file, int err);

/* The range need not be kept; what it reads as is not said. -EOPNOTSUPP where the host cannot. */
int blk_file_discard(const struct blk_file *file, uint64_t offset, uint64_t len);
/* The range reads as zeroes; @unmap: it may become a hole. */
int blk_file_zero(const struct blk_file *file, uint64_t offset, uint64_t len, bool unmap);

/* Drops the first @n bytes of @iov. */
void blk_file_advance(struct iovec **iov, unsigned int *nr, size_t n);

#endif
