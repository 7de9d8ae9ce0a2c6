/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device is to its transport: a constant table of operations and an instance.
 * The transport owns negotiation and the queues until DRIVER_OK; after that the device works on
 * them until it is stopped.
 *
 * Locking: ->lock is held around every operation, so a device is never entered twice at once,
 * whichever thread (vCPU or event loop) it is entered on. A back end's own event handler takes the
 * lock itself. Only irq_status is touched without it.
 *
 * A guest's mistake ends in virtio_device_fail(): DEVICE_NEEDS_RESET for this device, one line to
 * the reporter, and nothing served until the driver resets it.
 *
 * A system call that code under devices/ makes once the guest runs has to be in the sandbox's list,
 * vmm/seccomp_gen.c; event loop and vCPU threads may make the same, since a register write may
 * serve a queue.
 */
#ifndef LUPINE_VIRTIO_DEVICE_H
#define LUPINE_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mem.h"
#include "virtqueue.h"

struct virtio_device;

#define VIRTIO_PENDING (-1)

/*
 * A feature of ours, in the range reserved for extensions; stock drivers ignore it. With it a used
 * buffer interrupts without a bit in InterruptStatus, so that the driver neither reads nor
 * acknowledges it: two exits less. A configuration change sets its bit there and, until that is
 * acknowledged, a flag in each used ring. The driver's side is a patch in guest/patches.
 */
#define VIRTIO_F_QUIET_INTERRUPTS 49
#define VRING_USED_F_CONFIG	  0x8000

struct virtio_device_ops {
	uint32_t id; /* virtio 1.2, 5 */
	/* Optional: whether this set of features makes sense together. */
	bool (*accept)(uint64_t features);
	/* Optional. DRIVER_OK: the features are final. -errno makes the device need a reset. */
	int (*start)(struct virtio_device *device);
	/* Chains may be available in @queue, which is running. */
	void (*notify)(struct virtio_device *device, unsigned int queue);
	/*
	 * For virtio_device_drain(). serve does a request and returns how many bytes it wrote to
	 * the chain, or VIRTIO_PENDING when it will push and publish it itself. ready (optional)
	 * says whether one more may be taken; if not, the device sees to a later notify.
	 */
	int64_t (*serve)(struct virtio_device *device, unsigned int queue,
			 struct virtqueue_chain *chain);
	bool (*ready)(struct virtio_device *device, unsigned int queue);
	/*
	 * Optional: whether notifications of @queue, which come on notify_fds, are for somebody
	 * else to wait for.
	 */
	bool (*served_elsewhere)(const struct virtio_device *device, unsigned int queue);
	/*
	 * Optional: @queue is reset, alone (2.6.1) or with the device: nothing of it is in flight
	 * afterwards, and it is not touched before it runs again.
	 */
	void (*stop_queue)(struct virtio_device *device, unsigned int queue);
	/* Optional: something on the host was changed; the driver is told what of it is new. */
	void (*refresh)(struct virtio_device *device);
	/* Makes acknowledged writes durable; -errno. NULL where there is nothing to keep. */
	int (*flush)(struct virtio_device *device);
	/* Closes and frees everything, @device included. Not held under the lock. */
	void (*destroy)(struct virtio_device *device);
};

/* Called with the device's lock held, on any thread. @line has no newline. */
typedef void virtio_report_fn(void *context, const char *line);

struct virtio_device {
	const struct virtio_device_ops *ops;
	const struct guest_mem *mem;
	char name[64]; /* for messages: "disk /path", "net tap0" */
	uint64_t offered; /* features: what the device can do, set before the transport is made */
	const void *config; /* the device's configuration space, owned by the device */
	uint32_t config_len;
	unsigned int nr_queues;
	struct virtqueue *queues;

	pthread_mutex_t lock;
	uint64_t negotiated; /* features: what the driver accepted, final from FEATURES_OK */
	uint8_t status; /* 2.1 */
	uint32_t config_generation;

	/* The way up, set by the transport. */
	int irq_fd;
	_Atomic uint32_t irq_status;
	int *notify_fds;

	virtio_report_fn *report;
	void *report_context;
	uint64_t mistakes;
};

/* For a device's create function: fills in the base; @device is zeroed. -errno. */
int virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops,
		       const struct guest_mem *mem, unsigned int nr_queues);
/* And for its destroy. */
void virtio_device_fini(struct virtio_device *device);

/* Disk flushed, queues stopped, files closed, freed. After every thread that could enter it ended.
 */
void virtio_device_destroy(struct virtio_device *device);

/* Where lines about a guest's mistakes go; none before. Before any thread runs the guest. */
void virtio_device_set_report(struct virtio_device *device, virtio_report_fn *report,
			      void *context);

static inline bool virtio_device_has(const struct virtio_device *device, unsigned int feature)
{
	return (device->negotiated >> feature) & 1;
}

/* The following are called with the lock held. */

/* Whether the driver said DRIVER_OK and nothing went wrong since. */
bool virtio_device_live(const struct virtio_device *device);
/* Serves @queue if it can be. */
void virtio_device_notify(struct virtio_device *device, unsigned int queue);
/* Asks for another notify of @queue, later, on the event loop. */
void virtio_device_requeue(struct virtio_device *device, unsigned int queue);
/* Publishes what was pushed to @queue and interrupts if the driver wants to know. */
void virtio_device_publish(struct virtio_device *device, unsigned int queue);
/* The same for what somebody else pushed and published. */
void virtio_device_interrupt(struct virtio_device *device);
/* The configuration space changed: the driver is told (2.5). */
void virtio_device_config_changed(struct virtio_device *device);
/* The driver has seen that; for the transport. */
void virtio_device_config_seen(struct virtio_device *device);
/* Back to the state after power-on (2.4). */
void virtio_device_reset(struct virtio_device *device);
/* One queue back to it. */
void virtio_device_stop_queue(struct virtio_device *device, unsigned int queue);
/* To the reporter: @what, behind the device's name. */
void virtio_device_say(struct virtio_device *device, const char *what);
/* The guest broke a rule. */
void virtio_device_fail(struct virtio_device *device, const char *why);
void virtio_device_fail_queue(struct virtio_device *device, unsigned int queue);

/*
 * What notify is for most queues: pops chains of @queue while ops->ready, has ops->serve do each,
 * publishes the batch. Takes at most a queue's size of chains, then asks to be called again, so
 * that no guest holds the event loop. @chain: the device's, too large for a stack.
 */
void virtio_device_drain(struct virtio_device *device, unsigned int queue,
			 struct virtqueue_chain *chain);

#endif
