/* SPDX-License-Identifier: Apache-2.0 */
#include "blk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOUNCE	     65536u
#define BOUNCE_ALIGN 4096u

static int refuse(const char **why, const char *text, int err)
{
	*why = text;
	return err;
}

static int find_size(int fd, uint64_t *size, const char **why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return refuse(why, "cannot be examined", -errno);
	if (S_ISDIR(st.st_mode))
		return refuse(why, "is a directory, not a disk image", -EISDIR);
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, size) < 0)
			return refuse(why, "has no size", -errno);
	} else if (S_ISREG(st.st_mode)) {
		*size = (uint64_t)st.st_size;
	} else {
		return refuse(why, "is neither a file nor a block device", -EINVAL);
	}
	if (*size == 0)
		return refuse(why, "is empty", -EINVAL);
	if (*size % BLK_SECTOR != 0)
		return refuse(why, "is not a whole number of 512-byte sectors", -EINVAL);
	return 0;
}

static int fits_blocks(const struct blk_file *file, uint64_t size, const char **why)
{
	if (size % file->logical_block != 0)
		return refuse(why, "is not a whole number of the blocks direct I/O needs", -EINVAL);
	return 0;
}

/* Block sizes: what the host's block device has, or for a file what its file system wants. */
static int find_blocks(struct blk_file *file, const char **why)
{
	unsigned int physical = 0;
	int logical = 0;
	struct stat st;

	file->logical_block = BLK_SECTOR;
	file->physical_block = 4096;
	if (file->direct) {
		file->memory_align = BLK_SECTOR;
		file->bounce = aligned_alloc(BOUNCE_ALIGN, BOUNCE);
		if (!file->bounce)
			return refuse(why, "has no memory", -ENOMEM);
	}
	if (fstat(file->fd, &st) < 0)
		return refuse(why, "cannot be examined", -errno);
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(file->fd, BLKPBSZGET, &physical) == 0)
			file->physical_block = physical;
		if (file->direct && ioctl(file->fd, BLKSSZGET, &logical) == 0)
			file->logical_block = file->memory_align = (uint32_t)logical;
	} else if (file->direct) {
		struct statx stx = { 0 };

		/* Kernels before 6.1 do not tell; most storage takes sectors. */
		if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		    (stx.stx_mask & STATX_DIOALIGN)) {
			if (stx.stx_dio_offset_align == 0)
				return refuse(why, "is on a file system without direct I/O",
					      -EINVAL);
			if (stx.stx_dio_offset_align > BLK_SECTOR)
				file->logical_block = stx.stx_dio_offset_align;
			file->memory_align = stx.stx_dio_mem_align;
		}
	}
	if (file->physical_block < file->logical_block)
		file->physical_block = file->logical_block;
	return fits_blocks(file, file->size, why);
}

/* An open-file-description lock: it goes with the descriptor, whatever becomes of the process. */
static int lock(const struct blk_file *file, const char **why)
{
	struct flock range = {
		.l_type = file->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET, /* 0, 0: all of it, growing included */
	};

	if (fcntl(file->fd, F_OFD_SETLK, &range) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return refuse(why, "is in use by another virtual machine", -EBUSY);
	return refuse(why, "cannot be locked", -errno);
}

int blk_file_open(struct blk_file *file, const char *path, bool read_only, bool direct,
		  const char **why)
{
	const int flags = (read_only ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0);

	*file = (struct blk_file){ .read_only = read_only, .direct = direct };
	/* O_NONBLOCK: a FIFO given by mistake is refused, not waited for. */
	file->fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0) {
		switch (errno) {
		case ENOENT:
			return refuse(why, "does not exist", -ENOENT);
		case EISDIR:
			return refuse(why, "is a directory, not a disk image", -EISDIR);
		case EACCES:
		case EROFS:
		case EPERM:
			return refuse(why,
				      read_only ? "may not be read"
						: "is read-only on the host: add \",ro\"",
				      -errno);
		case EINVAL:
			return refuse(why,
				      direct ? "is on a file system without direct I/O"
					     : "cannot be opened",
				      -EINVAL);
		default:
			return refuse(why, "cannot be opened", -errno);
		}
	}
	int err = find_size(file->fd, &file->size, why);
	if (!err)
		err = find_blocks(file, why);
	if (!err)
		err = lock(file, why);
	if (err)
		blk_file_close(file);
	return err;
}

void blk_file_close(struct blk_file *file)
{
	struct flock range = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	/* A ring that was closed holds the file, and with it the lock, a little longer. */
	(void)fcntl(file->fd, F_OFD_SETLK, &range);
	close(file->fd);
	file->fd = -1;
	free(file->bounce);
	file->bounce = NULL;
}

void blk_file_advance(struct iovec **iov, unsigned int *nr, size_t n)
{
	while (*nr > 0 && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*nr)--;
	}
	if (n > 0) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

/* Short transfers are legal and continued; no progress is an error, so this ends. */
static int transfer(int fd, struct iovec *iov, unsigned int nr, uint64_t offset, int flags,
		    ssize_t (*call)(int, const struct iovec *, int, off_t, int))
{
	while (nr > 0) {
		const ssize_t n = call(fd, iov, (int)nr, (off_t)offset, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* the file was truncated under us */
		offset += (uint64_t)n;
		blk_file_advance(&iov, &nr, (size_t)n);
	}
	return 0;
}

bool blk_file_takes(const struct blk_file *file, const struct iovec *iov, unsigned int nr)
{
	for (unsigned int i = 0; i < nr && file->direct; i++)
		if ((uintptr_t)iov[i].iov_base % file->memory_align != 0 ||
		    iov[i].iov_len % file->logical_block != 0)
			return false;
	return true;
}

/* @max bytes between @iov, which advances by them, and @bytes. */
static void copy(struct iovec **iov, unsigned int *nr, uint8_t *bytes, size_t max, bool out)
{
	size_t done = 0;

	while (*nr > 0 && done < max) {
		const size_t left = max - done;
		const size_t n = (*iov)->iov_len < left ? (*iov)->iov_len : left;

		if (out)
			memcpy(bytes + done, (*iov)->iov_base, n);
		else
			memcpy((*iov)->iov_base, bytes + done, n);
		done += n;
		blk_file_advance(iov, nr, n);
	}
}

static int transfer_bounced(const struct blk_file *file, struct iovec *iov, unsigned int nr,
			    uint64_t offset, int flags, bool write)
{
	size_t left = 0;

	for (unsigned int i = 0; i < nr; i++)
		left += iov[i].iov_len;
	while (left > 0) {
		const size_t n = left < BOUNCE ? left : BOUNCE;
		struct iovec whole = { file->bounce, n };

		if (write)
			copy(&iov, &nr, file->bounce, n, true);
		const int err =
			transfer(file->fd, &whole, 1, offset, flags, write ? pwritev2 : preadv2);
		if (err)
			return err;
		if (!write)
			copy(&iov, &nr, file->bounce, n, false);
		offset += n;
		left -= n;
	}
	return 0;
}

int blk_file_read(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset)
{
	if (!blk_file_takes(file, iov, nr))
		return transfer_bounced(file, iov, nr, offset, 0, false);
	return transfer(file->fd, iov, nr, offset, 0, preadv2);
}

int blk_file_write(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset,
		   bool durable)
{
	const int flags = durable ? RWF_DSYNC : 0;

	if (!blk_file_takes(file, iov, nr))
		return transfer_bounced(file, iov, nr, offset, flags, true);
	return transfer(file->fd, iov, nr, offset, flags, pwritev2);
}

int blk_file_flushed(struct blk_file *file, int err)
{
	if (err && !file->direct && !file->lost)
		file->lost = err;
	return err ? err : file->lost;
}

int blk_file_flush(struct blk_file *file)
{
	return blk_file_flushed(file, fdatasync(file->fd) < 0 ? -errno : 0);
}

static int allocate(const struct blk_file *file, int mode, uint64_t offset, uint64_t len)
{
	while (fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int blk_file_discard(const struct blk_file *file, uint64_t offset, uint64_t len)
{
	return allocate(file, FALLOC_FL_PUNCH_HOLE, offset, len);
}

/* Zeroes by writing them, where the file system knows no shorter way. */
static int write_zeroes(const struct blk_file *file, uint64_t offset, uint64_t len)
{
	static const _Alignas(4096) uint8_t zeroes[65536];

	while (len > 0) {
		const uint64_t n = len < sizeof(zeroes) ? len : sizeof(zeroes);
		struct iovec iov = { .iov_base = (void *)(uintptr_t)zeroes, .iov_len = n };
		const int err = blk_file_write(file, &iov, 1, offset, false);

		if (err)
			return err;
		offset += n;
		len -= n;
	}
	return 0;
}

int blk_file_zero(const struct blk_file *file, uint64_t offset, uint64_t len, bool unmap)
{
	/* A hole reads as zeroes; but a guest that did not allow one may count on the space. */
	const int err =
		allocate(file, unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, offset, len);

	return err == -EOPNOTSUPP ? write_zeroes(file, offset, len) : err;
}

int blk_file_resize(struct blk_file *file, const char **why)
{
	uint64_t size;
	int err = find_size(file->fd, &size, why);

	if (!err)
		err = fits_blocks(file, size, why);
	if (!err)
		file->size = size;
	return err;
}
