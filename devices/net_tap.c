/* SPDX-License-Identifier: Apache-2.0 */
#include "net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int refuse(int fd, const char **why, const char *text, int err)
{
	if (fd >= 0)
		close(fd);
	*why = text;
	return err;
}

static int refuse_attach(int fd, const char **why, int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return refuse(fd, why, "may not be used: not its owner", -err);
	case EBUSY:
		return refuse(fd, why, "is in use by another process", -err);
	case EINVAL:
		return refuse(fd, why, "is not a tap interface", -err);
	default:
		return refuse(fd, why, "cannot be attached to", -err);
	}
}

int net_tap_open(const char *name, const char **why)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(struct virtio_net_hdr_v1);

	if (strlen(name) == 0 || strlen(name) >= IFNAMSIZ || strchr(name, '/'))
		return refuse(-1, why, "is not an interface's name", -EINVAL);
	/* TUNSETIFF would make one, without address or bridge. */
	if (if_nametoindex(name) == 0)
		return refuse(-1, why, "does not exist: make it with \"ip tuntap add\"", -ENODEV);
	memcpy(ifr.ifr_name, name, strlen(name));

	const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return refuse(-1, why, "cannot be used: /dev/net/tun cannot be opened", -errno);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return refuse_attach(fd, why, errno);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return refuse(fd, why, "has no virtio header of 12 bytes", -errno);
	const int err = net_tap_set_offloads(fd, 0);
	return err < 0 ? refuse(fd, why, "takes no offload settings", err) : fd;
}

int net_tap_set_offloads(int fd, uint64_t features)
{
	static const struct {
		unsigned int feature, flag;
	} map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
	};
	unsigned long flags = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if ((features >> map[i].feature) & 1)
			flags |= map[i].flag;
	return ioctl(fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}
