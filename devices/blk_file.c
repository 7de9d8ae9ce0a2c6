/* SPDX-License-Identifier: Apache-2.0 */
#include "blk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const char **why, const char *text, int err)
{
	*why = text;
	return err;
}

static int find_size(struct blk_file *file, const char **why)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return refuse(why, "cannot be examined", -errno);
	if (S_ISDIR(st.st_mode))
		return refuse(why, "is a directory, not a disk image", -EISDIR);
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(file->fd, BLKGETSIZE64, &file->size) < 0)
			return refuse(why, "has no size", -errno);
	} else if (S_ISREG(st.st_mode)) {
		file->size = (uint64_t)st.st_size;
	} else {
		return refuse(why, "is neither a file nor a block device", -EINVAL);
	}
	if (file->size == 0)
		return refuse(why, "is empty", -EINVAL);
	if (file->size % BLK_SECTOR != 0)
		return refuse(why, "is not a whole number of 512-byte sectors", -EINVAL);
	return 0;
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

int blk_file_open(struct blk_file *file, const char *path, bool read_only, const char **why)
{
	*file = (struct blk_file){ .read_only = read_only };
	/* O_NONBLOCK: a FIFO given by mistake is refused, not waited for. */
	file->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
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
		default:
			return refuse(why, "cannot be opened", -errno);
		}
	}
	int err = find_size(file, why);
	if (!err)
		err = lock(file, why);
	if (err)
		blk_file_close(file);
	return err;
}

void blk_file_close(struct blk_file *file)
{
	close(file->fd);
	file->fd = -1;
}

/* Drops the first @n bytes. */
static void advance(struct iovec **iov, unsigned int *nr, size_t n)
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
static int transfer(int fd, struct iovec *iov, unsigned int nr, uint64_t offset,
		    ssize_t (*call)(int, const struct iovec *, int, off_t))
{
	while (nr > 0) {
		const ssize_t n = call(fd, iov, (int)nr, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* the file was truncated under us */
		offset += (uint64_t)n;
		advance(&iov, &nr, (size_t)n);
	}
	return 0;
}

int blk_file_read(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset)
{
	return transfer(file->fd, iov, nr, offset, preadv);
}

int blk_file_write(const struct blk_file *file, struct iovec *iov, unsigned int nr, uint64_t offset)
{
	return transfer(file->fd, iov, nr, offset, pwritev);
}

int blk_file_flush(const struct blk_file *file)
{
	return fdatasync(file->fd) < 0 ? -errno : 0;
}
