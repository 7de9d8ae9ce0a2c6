/* SPDX-License-Identifier: Apache-2.0 */
#include "blk_uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

struct request {
	int next_free; /* slot, or -1 */
	uint8_t opcode;
	bool durable;
	unsigned int nr;
	struct iovec *iov; /* what is left of segments */
	uint64_t offset;
	struct iovec segments[BLK_URING_SEGMENTS];
};

struct blk_uring {
	struct io_uring ring;
	struct blk_file *file;
	blk_uring_done_fn *done;
	void *context;
	int free; /* the first slot that is */
	unsigned int in_flight;
	bool unsubmitted;
	struct request requests[BLK_URING_DEPTH];
};

/* Of all a ring can do, what a disk needs; and that of this file only. */
static int restrict_ring(struct io_uring *ring, int fd)
{
	struct io_uring_restriction allowed[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
	};
	int err = io_uring_register_files(ring, &fd, 1);

	if (!err)
		err = io_uring_register_restrictions(ring, allowed,
						     sizeof(allowed) / sizeof(allowed[0]));
	return err ? err : io_uring_enable_rings(ring);
}

int blk_uring_create(struct blk_file *file, blk_uring_done_fn *done, void *context,
		     struct blk_uring **result, const char **why)
{
	struct blk_uring *uring = calloc(1, sizeof(*uring));

	*why = "has no memory";
	if (!uring)
		return -ENOMEM;
	/* Completions number at most twice the entries: they cannot overflow. */
	int err = io_uring_queue_init(BLK_URING_DEPTH, &uring->ring, IORING_SETUP_R_DISABLED);
	if (err) {
		free(uring);
		*why = "cannot use io_uring, which this host does not allow; io=sync does without";
		return err;
	}
	err = restrict_ring(&uring->ring, file->fd);
	if (err) {
		io_uring_queue_exit(&uring->ring);
		free(uring);
		*why = "cannot use io_uring: this kernel cannot confine it (needs Linux 5.10)";
		return err;
	}
	uring->file = file;
	uring->done = done;
	uring->context = context;
	for (unsigned int i = 0; i < BLK_URING_DEPTH; i++)
		uring->requests[i].next_free = i + 1 < BLK_URING_DEPTH ? (int)i + 1 : -1;
	*result = uring;
	return 0;
}

void blk_uring_destroy(struct blk_uring *uring)
{
	blk_uring_drain(uring);
	io_uring_queue_exit(&uring->ring);
	free(uring);
}

int blk_uring_fd(const struct blk_uring *uring)
{
	return uring->ring.ring_fd;
}

unsigned int blk_uring_in_flight(const struct blk_uring *uring)
{
	return uring->in_flight;
}

int blk_uring_slot(const struct blk_uring *uring)
{
	return uring->free;
}

/* There is an entry for each slot, and one of a slot is used only when its last one was taken. */
static void enter(struct blk_uring *uring, unsigned int slot)
{
	struct request *r = &uring->requests[slot];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	if (r->opcode == IORING_OP_FSYNC)
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_rw(r->opcode, sqe, 0, r->iov, r->nr, r->offset);
	sqe->rw_flags |= r->durable ? RWF_DSYNC : 0;
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, slot);
	uring->unsubmitted = true;
}

static void begin(struct blk_uring *uring, unsigned int slot, uint8_t opcode,
		  const struct iovec *iov, unsigned int nr, uint64_t offset, bool durable)
{
	struct request *r = &uring->requests[slot];

	uring->free = r->next_free;
	uring->in_flight++;
	r->opcode = opcode;
	r->durable = durable;
	r->nr = nr;
	r->iov = r->segments;
	r->offset = offset;
	if (nr > 0)
		memcpy(r->segments, iov, sizeof(iov[0]) * nr);
	enter(uring, slot);
}

void blk_uring_read(struct blk_uring *uring, unsigned int slot, const struct iovec *iov,
		    unsigned int nr, uint64_t offset)
{
	begin(uring, slot, IORING_OP_READV, iov, nr, offset, false);
}

void blk_uring_write(struct blk_uring *uring, unsigned int slot, const struct iovec *iov,
		     unsigned int nr, uint64_t offset, bool durable)
{
	begin(uring, slot, IORING_OP_WRITEV, iov, nr, offset, durable);
}

void blk_uring_flush(struct blk_uring *uring, unsigned int slot)
{
	begin(uring, slot, IORING_OP_FSYNC, NULL, 0, 0, false);
}

int blk_uring_submit(struct blk_uring *uring)
{
	if (!uring->unsubmitted)
		return 0;
	const int n = io_uring_submit(&uring->ring);

	if (n < 0)
		return n;
	uring->unsubmitted = io_uring_sq_ready(&uring->ring) > 0;
	return uring->unsubmitted ? -EAGAIN : 0;
}

static int synchronously(struct blk_uring *uring, struct request *r)
{
	switch (r->opcode) {
	case IORING_OP_READV:
		return blk_file_read(uring->file, r->iov, r->nr, r->offset);
	case IORING_OP_WRITEV:
		return blk_file_write(uring->file, r->iov, r->nr, r->offset, r->durable);
	default:
		return blk_file_flush(uring->file);
	}
}

/* True when the request is done, with *err; a short transfer goes on. */
static bool finish(struct blk_uring *uring, unsigned int slot, int result, int *err)
{
	struct request *r = &uring->requests[slot];

	*err = 0;
	if (result == -EINTR || result == -EAGAIN || result == -ECANCELED) {
		*err = synchronously(uring, r); /* what the ring would not do */
		return true;
	}
	if (result < 0 || r->opcode == IORING_OP_FSYNC) {
		*err = r->opcode == IORING_OP_FSYNC ? blk_file_flushed(uring->file, result)
						    : result;
		return true;
	}
	r->offset += (uint64_t)result;
	blk_file_advance(&r->iov, &r->nr, (size_t)result);
	if (r->nr > 0 && result == 0)
		*err = -EIO; /* the file was truncated under us */
	return r->nr == 0 || result == 0;
}

unsigned int blk_uring_reap(struct blk_uring *uring)
{
	struct io_uring_cqe *cqe;
	unsigned int count = 0;

	while (io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
		const unsigned int slot = (unsigned int)io_uring_cqe_get_data64(cqe);
		const int result = cqe->res;
		int err;

		io_uring_cqe_seen(&uring->ring, cqe);
		if (!finish(uring, slot, result, &err)) {
			enter(uring, slot);
			continue;
		}
		uring->requests[slot].next_free = uring->free;
		uring->free = (int)slot;
		uring->in_flight--;
		uring->done(uring->context, slot, err);
		count++;
	}
	return count;
}

void blk_uring_drain(struct blk_uring *uring)
{
	struct io_uring_cqe *cqe;

	while (uring->in_flight > 0) {
		(void)blk_uring_submit(uring);
		if (blk_uring_reap(uring) == 0 && !uring->unsubmitted)
			(void)io_uring_wait_cqe(&uring->ring, &cqe);
	}
}
