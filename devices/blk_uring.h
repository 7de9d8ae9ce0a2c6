/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and flushes of a disk's file that are under way at once, by io_uring(7). At most
 * BLK_URING_DEPTH; each is known by its slot, from blk_uring_slot() until it is done.
 *
 * The ring is made before the sandbox closes and can do nothing but read, write and sync this one
 * file, so that a thread which may enter it gains no other system call by it.
 *
 * Not thread-safe: the owner's lock is held. Order is the guest's to keep: a flush covers what was
 * done when it began (virtio 1.2, 5.2.6.2), so none waits for another here.
 */
#ifndef LUPINE_BLK_URING_H
#define LUPINE_BLK_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "blk_file.h"

#define BLK_URING_DEPTH	   64u
#define BLK_URING_SEGMENTS 256u /* of a request */

struct blk_uring;

/* The request in @slot is done, with 0 or -errno; the slot is free again. */
typedef void blk_uring_done_fn(void *context, unsigned int slot, int err);

/* -errno, and *why as blk_file_open() gives it. @file must outlive the ring. */
int blk_uring_create(struct blk_file *file, blk_uring_done_fn *done, void *context,
		     struct blk_uring **uring, const char **why);
/* Waits for what is under way. */
void blk_uring_destroy(struct blk_uring *uring);

/* Becomes readable when requests are done. */
int blk_uring_fd(const struct blk_uring *uring);
unsigned int blk_uring_in_flight(const struct blk_uring *uring);

/* A free slot, or -1 when BLK_URING_DEPTH are in use. It stays free until one of these: */
int blk_uring_slot(const struct blk_uring *uring);
/* The buffers stay the guest's memory and must not go; @iov itself is copied. */
void blk_uring_read(struct blk_uring *uring, unsigned int slot, const struct iovec *iov,
		    unsigned int nr, uint64_t offset);
void blk_uring_write(struct blk_uring *uring, unsigned int slot, const struct iovec *iov,
		     unsigned int nr, uint64_t offset, bool durable);
void blk_uring_flush(struct blk_uring *uring, unsigned int slot);

/* Hands the host what was begun. -errno when it takes none now: to be tried again. */
int blk_uring_submit(struct blk_uring *uring);
/* Calls done for all that are done; how many. */
unsigned int blk_uring_reap(struct blk_uring *uring);
/* The same until nothing is in flight. */
void blk_uring_drain(struct blk_uring *uring);

#endif
