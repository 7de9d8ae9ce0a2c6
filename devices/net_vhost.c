/* SPDX-License-Identifier: Apache-2.0 */
#include "net_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What of a driver's features concerns vhost: how rings and a packet's header look. */
#define FEATURES                                                                                   \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |                            \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_NET_F_MRG_RXBUF)

static int command(int vhost, unsigned long request, const void *argument)
{
	return ioctl(vhost, request, argument) < 0 ? -errno : 0;
}

static int set_memory(int vhost, const struct guest_mem *mem)
{
	struct {
		struct vhost_memory head;
		struct vhost_memory_region regions[2];
	} table = { .head.nregions = mem->nr };

	_Static_assert(sizeof(mem->region) / sizeof(mem->region[0]) == 2, "a region each");
	for (unsigned int i = 0; i < mem->nr; i++)
		table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = mem->region[i].gpa,
			.memory_size = mem->region[i].size,
			.userspace_addr = (uintptr_t)mem->region[i].host,
		};
	return command(vhost, VHOST_SET_MEM_TABLE, &table);
}

int net_vhost_open(const struct guest_mem *mem, const char **why)
{
	const int vhost = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	uint64_t offered = 0;
	int err;

	if (vhost < 0) {
		*why = errno == EACCES || errno == EPERM
			       ? "no permission for /dev/vhost-net"
			       : "this host has no vhost-net: modprobe vhost_net";
		return -errno;
	}
	*why = "this host's vhost-net does not do what it should";
	err = command(vhost, VHOST_SET_OWNER, NULL);
	if (!err)
		err = command(vhost, VHOST_GET_FEATURES, &offered);
	if (!err && (offered & FEATURES) != FEATURES)
		err = -EOPNOTSUPP;
	if (!err)
		err = set_memory(vhost, mem);
	if (!err)
		return vhost;
	close(vhost);
	return err;
}

int net_vhost_set_features(int vhost, uint64_t negotiated)
{
	const uint64_t features = negotiated & FEATURES;

	return command(vhost, VHOST_SET_FEATURES, &features);
}

int net_vhost_set_tap(int vhost, unsigned int index, int tap)
{
	const struct vhost_vring_file file = { .index = index, .fd = tap };

	return command(vhost, VHOST_NET_SET_BACKEND, &file);
}

int net_vhost_start(int vhost, unsigned int index, const struct virtqueue *vq,
		    const struct net_vhost_wires *wires)
{
	const struct vhost_vring_state size = { .index = index, .num = vq->size };
	const struct vhost_vring_state base = { .index = index, .num = vq->next_avail };
	const struct vhost_vring_addr rings = {
		.index = index,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
	};
	const struct vhost_vring_file kick = { .index = index, .fd = wires->kick };
	const struct vhost_vring_file call = { .index = index, .fd = wires->call };
	const struct vhost_vring_file error = { .index = index, .fd = wires->error };
	const struct {
		unsigned long request;
		const void *argument;
	} steps[] = {
		{ VHOST_SET_VRING_NUM, &size },	  { VHOST_SET_VRING_BASE, &base },
		{ VHOST_SET_VRING_ADDR, &rings }, { VHOST_SET_VRING_KICK, &kick },
		{ VHOST_SET_VRING_CALL, &call },  { VHOST_SET_VRING_ERR, &error },
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const int err = command(vhost, steps[i].request, steps[i].argument);

		if (err)
			return err;
	}
	return net_vhost_set_tap(vhost, index, wires->tap);
}
