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
	bool read_only;
};

/*
 * Opens and locks @path: one writer, or any number of readers, on this host. On failure -errno and
 * *why, a static string.
 */
int blk_file_open(struct blk_file *file, const char *path, bool read_only, const char **why);
void blk_file_close(struct blk_file *file);

/* The whole of @iov (which is used up), or -errno. */
int blk_file_read(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset);
int blk_file_write(const struct blk_file *file, struct iovec *iov, unsigned int nr,
		   uint64_t offset);
/* Everything written so far is on stable storage. */
int blk_file_flush(const struct blk_file *file);

#endif
