/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "blk_file.h"
#include "blk_uring.h"

#define UNDER_WAY	0xffu /* not a status: it comes when the request is done */
#define SEGMENTS_MAX	(VIRTQUEUE_SIZE_MAX - 2) /* the header and the status take one each */
#define TURN_BYTES	(64ull << 20) /* moved before the event loop turns to others */
#define DISCARD_RANGES	16u
#define DISCARD_SECTORS (1u << 22) /* of a range, 2 GiB: a host can take its time */
#define ZEROES_RANGES	1u
#define ZEROES_SECTORS	(1u << 17) /* 64 MiB: some hosts have to write them */

/* A request that is under way, while its chain's segments are the ring's. */
struct pending {
	uint16_t queue, head;
	uint8_t *status_at;
	uint64_t data_len, written; /* for used_length() */
};

struct virtio_blk {
	struct virtio_device base; /* first: operations are handed this */
	struct event_loop *loop;
	struct blk_file file;
	struct rate_limiter limiter;
	uint64_t turn; /* bytes moved since the event loop last came */
	struct virtio_blk_config config;
	bool writethrough; /* as negotiated: no FLUSH, no cache */
	char id[VIRTIO_BLK_ID_BYTES];
	struct virtqueue_chain chain; /* the request at hand */

	struct uring_source {
		struct event_source source; /* first: the handler is handed this */
		struct virtio_blk *blk;
	} completions;
	struct blk_uring *uring; /* NULL: each request is done before the next is looked at */
	bool full; /* a queue waits for a slot of the ring */
	uint32_t completed; /* queues that have something to publish, a bit each */
	struct pending pending[BLK_URING_DEPTH];
};

/* @len bytes from @sector on as an offset into the disk; false when they are not inside. */
static bool locate(const struct virtio_blk *blk, uint64_t sector, uint64_t len, uint64_t *offset)
{
	if (len % BLK_SECTOR != 0 || sector > blk->file.size / BLK_SECTOR)
		return false;
	*offset = sector * BLK_SECTOR;
	return len <= blk->file.size - *offset;
}

static uint8_t status_of(int err)
{
	if (err == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	return err == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static void charge(struct virtio_blk *blk, uint64_t bytes)
{
	rate_limiter_charge(&blk->limiter, bytes);
	blk->turn += bytes;
}

static uint8_t read_sectors(struct virtio_blk *blk, uint64_t sector, struct virtqueue_chain *chain,
			    int slot)
{
	struct iovec *iov = chain->iov + chain->nr_out;
	uint64_t offset;

	if (!locate(blk, sector, chain->in_len, &offset))
		return VIRTIO_BLK_S_IOERR;
	charge(blk, chain->in_len);
	if (slot < 0 || !blk_file_takes(&blk->file, iov, chain->nr_in))
		return status_of(blk_file_read(&blk->file, iov, chain->nr_in, offset));
	blk_uring_read(blk->uring, (unsigned int)slot, iov, chain->nr_in, offset);
	return UNDER_WAY;
}

static uint8_t write_sectors(struct virtio_blk *blk, uint64_t sector, struct virtqueue_chain *chain,
			     int slot)
{
	const bool durable = blk->writethrough;
	uint64_t offset;

	if (blk->file.read_only || !locate(blk, sector, chain->out_len, &offset))
		return VIRTIO_BLK_S_IOERR;
	charge(blk, chain->out_len);
	if (slot < 0 || !blk_file_takes(&blk->file, chain->iov, chain->nr_out))
		return status_of(
			blk_file_write(&blk->file, chain->iov, chain->nr_out, offset, durable));
	blk_uring_write(blk->uring, (unsigned int)slot, chain->iov, chain->nr_out, offset, durable);
	return UNDER_WAY;
}

static uint8_t flush(struct virtio_blk *blk, int slot)
{
	charge(blk, 0);
	if (slot < 0)
		return status_of(blk_file_flush(&blk->file));
	blk_uring_flush(blk->uring, (unsigned int)slot);
	return UNDER_WAY;
}

/* One range of a discard or write-zeroes request (5.2.6.2). */
static uint8_t clear_range(struct virtio_blk *blk, bool zeroes,
			   const struct virtio_blk_discard_write_zeroes *range)
{
	const uint32_t allowed = zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
	const uint64_t len = (uint64_t)range->num_sectors * BLK_SECTOR;
	uint64_t offset;

	if (range->flags & ~allowed)
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > (zeroes ? ZEROES_SECTORS : DISCARD_SECTORS) ||
	    !locate(blk, range->sector, len, &offset))
		return VIRTIO_BLK_S_IOERR;
	charge(blk, zeroes ? len : 0);
	if (len == 0)
		return VIRTIO_BLK_S_OK;
	return status_of(zeroes ? blk_file_zero(&blk->file, offset, len, range->flags != 0)
				: blk_file_discard(&blk->file, offset, len));
}

static uint8_t clear_sectors(struct virtio_blk *blk, bool zeroes, struct virtqueue_chain *chain)
{
	const unsigned int ranges = zeroes ? ZEROES_RANGES : DISCARD_RANGES;
	struct virtio_blk_discard_write_zeroes range;
	uint8_t status = VIRTIO_BLK_S_OK;

	if (blk->file.read_only || chain->out_len == 0 || chain->out_len % sizeof(range) != 0 ||
	    chain->out_len / sizeof(range) > ranges)
		return VIRTIO_BLK_S_IOERR;
	while (status == VIRTIO_BLK_S_OK && virtqueue_chain_take(chain, &range, sizeof(range)))
		status = clear_range(blk, zeroes, &range);
	if (status == VIRTIO_BLK_S_OK && zeroes && blk->writethrough)
		status = status_of(blk_file_flush(&blk->file));
	return status;
}

static uint8_t get_id(const struct virtio_blk *blk, struct virtqueue_chain *chain)
{
	size_t done = 0;

	if (chain->in_len < sizeof(blk->id))
		return VIRTIO_BLK_S_IOERR;
	for (unsigned int i = 0; done < sizeof(blk->id); i++) {
		const struct iovec *iov = &chain->iov[chain->nr_out + i];
		const size_t left = sizeof(blk->id) - done;
		const size_t n = iov->iov_len < left ? iov->iov_len : left;

		memcpy(iov->iov_base, blk->id + done, n);
		done += n;
	}
	return VIRTIO_BLK_S_OK;
}

/*
 * What a driver may count as written: without a gap from the start (2.7.8.2), so the status byte,
 * which comes last, counts only behind data that is all there.
 */
static int64_t used_length(uint64_t data_len, uint64_t written, uint8_t status)
{
	if (status != VIRTIO_BLK_S_OK)
		written = 0;
	if (written == data_len)
		written++;
	return written > UINT32_MAX ? UINT32_MAX : (int64_t)written;
}

/* Alone, a request is sooner done than begun and waited for. */
static int slot_for(const struct virtio_blk *blk, const struct virtqueue *vq)
{
	if (!blk->uring ||
	    (vq->seen_avail == vq->next_avail && blk_uring_in_flight(blk->uring) == 0))
		return -1;
	return blk_uring_slot(blk->uring);
}

/* A request (5.2.6): header, data, and a status byte at the very end. */
static int64_t blk_serve(struct virtio_device *device, unsigned int queue,
			 struct virtqueue_chain *chain)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	const int slot = slot_for(blk, &device->queues[queue]);
	struct virtio_blk_outhdr header;
	uint8_t *status_at = virtqueue_chain_take_last(chain);
	const uint64_t data_len = chain->in_len;
	uint64_t written = 0;
	uint8_t status;

	if (!status_at || !virtqueue_chain_take(chain, &header, sizeof(header))) {
		virtio_device_fail(device, "request without room for header and status");
		return 0;
	}
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		status = read_sectors(blk, header.sector, chain, slot);
		written = data_len;
		break;
	case VIRTIO_BLK_T_OUT:
		status = write_sectors(blk, header.sector, chain, slot);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = flush(blk, slot);
		break;
	case VIRTIO_BLK_T_GET_ID:
		status = get_id(blk, chain);
		written = sizeof(blk->id);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = clear_sectors(blk, header.type == VIRTIO_BLK_T_WRITE_ZEROES, chain);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	if (status == UNDER_WAY) {
		blk->pending[slot] = (struct pending){ (uint16_t)queue, chain->head, status_at,
						       data_len, written };
		return VIRTIO_PENDING;
	}
	*status_at = status;
	return used_length(data_len, written, status);
}

static bool blk_ready(struct virtio_device *device, unsigned int queue)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	if (blk->uring && blk_uring_slot(blk->uring) < 0) {
		blk->full = true;
		return false;
	}
	if (blk->turn >= TURN_BYTES) {
		virtio_device_requeue(device, queue);
		return false;
	}
	return rate_limiter_ready(&blk->limiter);
}

/*
 * What drain left pending goes to the host in one system call. What the host does not take yet is
 * tried again with another notify, which only a queue that runs gets.
 */
static void submit(struct virtio_blk *blk)
{
	unsigned int queue = 0;

	if (!blk->uring || blk_uring_submit(blk->uring) == 0)
		return;
	while (queue < blk->base.nr_queues - 1 && !blk->base.queues[queue].running)
		queue++;
	virtio_device_requeue(&blk->base, queue);
}

static void blk_notify(struct virtio_device *device, unsigned int queue)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	blk->turn = 0;
	virtio_device_drain(device, queue, &blk->chain);
	submit(blk);
}

static void notify_all(struct virtio_device *device)
{
	for (unsigned int i = 0; i < device->nr_queues; i++)
		virtio_device_notify(device, i);
}

static void refilled(void *context)
{
	struct virtio_device *device = context;

	pthread_mutex_lock(&device->lock);
	notify_all(device);
	pthread_mutex_unlock(&device->lock);
}

static void request_done(void *context, unsigned int slot, int err)
{
	struct virtio_blk *blk = context;
	const struct pending *p = &blk->pending[slot];
	const uint8_t status = status_of(err);

	*p->status_at = status;
	virtqueue_push(&blk->base.queues[p->queue], p->head,
		       (uint32_t)used_length(p->data_len, p->written, status));
	blk->completed |= 1u << p->queue;
}

static void publish_completed(struct virtio_blk *blk)
{
	for (unsigned int i = 0; blk->completed != 0; i++, blk->completed >>= 1)
		if (blk->completed & 1)
			virtio_device_publish(&blk->base, i);
}

static void requests_done(struct event_source *source, uint32_t events)
{
	struct virtio_blk *blk = ((struct uring_source *)source)->blk;

	(void)events;
	pthread_mutex_lock(&blk->base.lock);
	blk_uring_reap(blk->uring);
	publish_completed(blk);
	if (blk->full) {
		blk->full = false;
		notify_all(&blk->base);
	}
	submit(blk); /* the rest of short transfers */
	pthread_mutex_unlock(&blk->base.lock);
}

/* The rings and buffers are the guest's again: nothing may be under way into them. */
static void blk_stop_queue(struct virtio_device *device, unsigned int queue)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	(void)queue;
	if (!blk->uring)
		return;
	blk_uring_drain(blk->uring);
	publish_completed(blk);
}

static int blk_start(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	/* A driver that knows no flushes takes every completed write for safe (5.2.6.2). */
	blk->writethrough = !virtio_device_has(device, VIRTIO_BLK_F_FLUSH);
	return 0;
}

static int blk_flush(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	return blk->file.read_only ? 0 : blk_file_flush(&blk->file);
}

static void blk_refresh(struct virtio_device *device)
{
	(void)virtio_blk_resize(device);
}

static void blk_destroy(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	(void)blk_flush(device); /* nobody is left to be told */
	if (blk->uring) {
		(void)event_loop_remove(blk->loop, &blk->completions.source);
		blk_uring_destroy(blk->uring);
	}
	rate_limiter_fini(&blk->limiter);
	blk_file_close(&blk->file);
	virtio_device_fini(device);
	free(blk);
}

static const struct virtio_device_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.start = blk_start,
	.notify = blk_notify,
	.serve = blk_serve,
	.ready = blk_ready,
	.stop_queue = blk_stop_queue,
	.refresh = blk_refresh,
	.flush = blk_flush,
	.destroy = blk_destroy,
};

static uint8_t exponent(uint32_t blocks)
{
	uint8_t n = 0;

	while (blocks >>= 1)
		n++;
	return n;
}

static void describe(struct virtio_blk *blk, const struct virtio_blk_options *options)
{
	const char *slash = strrchr(options->path, '/');
	const char *name = slash ? slash + 1 : options->path;
	const uint32_t block = blk->file.logical_block;
	struct virtio_blk_config *config = &blk->config;
	struct virtio_device *base = &blk->base;

	snprintf(base->name, sizeof(base->name), "disk %s", options->path);
	memcpy(blk->id, name, strnlen(name, sizeof(blk->id)));
	config->capacity = blk->file.size / BLK_SECTOR;
	config->seg_max = SEGMENTS_MAX;
	config->blk_size = block;
	config->physical_block_exp = exponent(blk->file.physical_block / block);
	config->min_io_size = (uint16_t)(blk->file.physical_block / block);
	config->num_queues = (uint16_t)base->nr_queues;
	config->max_discard_sectors = DISCARD_SECTORS;
	config->max_discard_seg = DISCARD_RANGES;
	config->max_write_zeroes_sectors = ZEROES_SECTORS;
	config->max_write_zeroes_seg = ZEROES_RANGES;
	config->discard_sector_alignment = blk->file.physical_block / BLK_SECTOR;
	config->write_zeroes_may_unmap = 1;

	base->config = config;
	base->config_len = offsetof(struct virtio_blk_config, unused1);
	base->offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_QUIET_INTERRUPTS |
			1ull << VIRTIO_F_RING_RESET | 1ull << VIRTIO_RING_F_EVENT_IDX |
			1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_SEG_MAX;
	/* Of the rest, what the guest has a use for: each field it reads is an exit of its boot. */
	if (base->nr_queues > 1)
		base->offered |= 1ull << VIRTIO_BLK_F_MQ;
	if (options->direct)
		base->offered |= 1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_TOPOLOGY;
	if (options->read_only)
		base->offered |= 1ull << VIRTIO_BLK_F_RO;
	else
		base->offered |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	if (!options->read_only && !options->writethrough)
		base->offered |= 1ull << VIRTIO_BLK_F_FLUSH;
	base->offered &= ~options->without;
}

static int start_uring(struct virtio_blk *blk, const struct virtio_blk_options *options,
		       const char **why)
{
	const int err = blk_uring_create(&blk->file, request_done, blk, &blk->uring, why);
	char line[256];

	if (err && options->or_sync && options->report) {
		snprintf(line, sizeof(line), "disk %s: %s", options->path, *why);
		options->report(options->report_context, line);
	}
	if (err)
		return options->or_sync ? 0 : err;
	blk->completions.blk = blk;
	blk->completions.source = (struct event_source){ blk_uring_fd(blk->uring), requests_done };
	*why = "cannot be waited for";
	return event_loop_add(blk->loop, &blk->completions.source, EPOLLIN | EPOLLET);
}

int virtio_blk_create(const struct virtio_blk_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int err;

	*why = "out of memory";
	if (!blk)
		return -ENOMEM;
	blk->loop = loop;
	err = blk_file_open(&blk->file, options->path, options->read_only, options->direct, why);
	if (err)
		goto free_blk;
	err = rate_limiter_init(&blk->limiter, &options->limits, loop, refilled, &blk->base);
	if (err) {
		*why = "has no timer for its rate limit";
		goto close_file;
	}
	*why = "cannot have so many queues";
	err = options->queues > VIRTIO_BLK_QUEUES_MAX
		      ? -EINVAL
		      : virtio_device_init(&blk->base, &blk_ops, mem,
					   options->queues ? options->queues : 1);
	if (err)
		goto fini_limiter;
	if (options->uring) {
		err = start_uring(blk, options, why);
		if (err) {
			blk_destroy(&blk->base);
			return err;
		}
	}
	describe(blk, options);
	*device = &blk->base;
	return 0;

fini_limiter:
	rate_limiter_fini(&blk->limiter);
close_file:
	blk_file_close(&blk->file);
free_blk:
	free(blk);
	return err;
}

int virtio_blk_resize(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	const char *why;

	pthread_mutex_lock(&device->lock);
	const uint64_t before = blk->file.size;
	const int err = blk_file_resize(&blk->file, &why);
	if (!err && blk->file.size != before) {
		blk->config.capacity = blk->file.size / BLK_SECTOR;
		virtio_device_config_changed(device);
	}
	if (err) {
		char what[160];

		snprintf(what, sizeof(what), "%s: to the guest it has its old size", why);
		virtio_device_say(device, what);
	}
	pthread_mutex_unlock(&device->lock);
	return err;
}
