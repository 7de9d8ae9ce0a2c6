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

#include "blk_file.h"

#define SEGMENTS_MAX (VIRTQUEUE_SIZE_MAX - 2) /* the header and the status take one each */

struct virtio_blk {
	struct virtio_device base; /* first: operations are handed this */
	struct blk_file file;
	struct virtio_blk_config config;
	char id[VIRTIO_BLK_ID_BYTES];
	struct virtqueue_chain chain; /* the request at hand: too large for a stack */
};

/* The request's data as [offset, offset + len) of the disk; false when it is not inside. */
static bool locate(const struct virtio_blk *blk, uint64_t sector, uint64_t len, uint64_t *offset)
{
	if (len % BLK_SECTOR != 0 || sector > blk->file.size / BLK_SECTOR)
		return false;
	*offset = sector * BLK_SECTOR;
	return len <= blk->file.size - *offset;
}

static uint8_t status_of(int err)
{
	return err == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t read_sectors(struct virtio_blk *blk, uint64_t sector, struct virtqueue_chain *chain)
{
	uint64_t offset;

	if (!locate(blk, sector, chain->in_len, &offset))
		return VIRTIO_BLK_S_IOERR;
	return status_of(
		blk_file_read(&blk->file, chain->iov + chain->nr_out, chain->nr_in, offset));
}

static uint8_t write_sectors(struct virtio_blk *blk, uint64_t sector, struct virtqueue_chain *chain)
{
	uint64_t offset;

	if (blk->file.read_only || !locate(blk, sector, chain->out_len, &offset))
		return VIRTIO_BLK_S_IOERR;
	return status_of(blk_file_write(&blk->file, chain->iov, chain->nr_out, offset));
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

/* A request (5.2.6): header, data, and a status byte at the very end. Returns the bytes written. */
static uint32_t serve(struct virtio_device *device, struct virtqueue_chain *chain)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	struct virtio_blk_outhdr header;
	uint8_t *status = virtqueue_chain_take_last(chain);
	uint64_t written = 0; /* of the data */

	if (!status || !virtqueue_chain_take(chain, &header, sizeof(header))) {
		virtio_device_fail(device, "request without room for header and status");
		return 0;
	}
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		*status = read_sectors(blk, header.sector, chain);
		written = chain->in_len;
		break;
	case VIRTIO_BLK_T_OUT:
		*status = write_sectors(blk, header.sector, chain);
		break;
	case VIRTIO_BLK_T_FLUSH:
		*status = status_of(blk_file_flush(&blk->file));
		break;
	case VIRTIO_BLK_T_GET_ID:
		*status = get_id(blk, chain);
		written = sizeof(blk->id);
		break;
	default:
		*status = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	/* What is counted must be written from the start without a gap (2.7.8.2), so the status
	 * byte counts only behind data that is all there.
	 */
	if (written == chain->in_len && *status == VIRTIO_BLK_S_OK)
		written++;
	else if (*status != VIRTIO_BLK_S_OK)
		written = chain->in_len == 0;
	return written > UINT32_MAX ? UINT32_MAX : (uint32_t)written;
}

static int blk_start(struct virtio_device *device)
{
	(void)device;
	return 0;
}

static void blk_notify(struct virtio_device *device, unsigned int queue)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	virtio_device_drain(device, queue, &blk->chain, serve);
}

static void blk_stop(struct virtio_device *device)
{
	(void)device; /* nothing is in flight between two calls */
}

static int blk_flush(struct virtio_device *device)
{
	const struct virtio_blk *blk = (struct virtio_blk *)device;

	return blk->file.read_only ? 0 : blk_file_flush(&blk->file);
}

static void blk_destroy(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	(void)blk_flush(device); /* nobody is left to be told */
	blk_file_close(&blk->file);
	virtio_device_fini(device);
	free(blk);
}

static const struct virtio_device_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.start = blk_start,
	.notify = blk_notify,
	.stop = blk_stop,
	.flush = blk_flush,
	.destroy = blk_destroy,
};

int virtio_blk_create(const struct virtio_blk_options *options, const struct guest_mem *mem,
		      struct event_loop *loop, struct virtio_device **device, const char **why)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	const char *base_name = strrchr(options->path, '/');
	int err;

	(void)loop;
	*why = "out of memory";
	if (!blk)
		return -ENOMEM;
	err = blk_file_open(&blk->file, options->path, options->read_only, why);
	if (err)
		goto free_blk;
	err = virtio_device_init(&blk->base, &blk_ops, mem, 1);
	if (err)
		goto close_file;

	snprintf(blk->base.name, sizeof(blk->base.name), "disk %s", options->path);
	memcpy(blk->id, base_name ? base_name + 1 : options->path,
	       strnlen(base_name ? base_name + 1 : options->path, sizeof(blk->id)));
	blk->config.capacity = blk->file.size / BLK_SECTOR;
	blk->config.seg_max = SEGMENTS_MAX;
	blk->base.config = &blk->config;
	blk->base.config_len = sizeof(blk->config);
	blk->base.offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			    1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_BLK_F_SEG_MAX |
			    1ull << VIRTIO_BLK_F_FLUSH;
	if (options->read_only)
		blk->base.offered |= 1ull << VIRTIO_BLK_F_RO;
	*device = &blk->base;
	return 0;

close_file:
	blk_file_close(&blk->file);
free_blk:
	free(blk);
	return err;
}
