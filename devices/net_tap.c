/* SPDX-License-Identifier: Apache-2.0 */
/* A host tap that speaks virtio's own header: checksums and segmentation pass through undone. */
#include "net_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
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
		return refuse(fd, why, "is not a tap interface, or not one with such queues", -err);
	default:
		return refuse(fd, why, "cannot be attached to", -err);
	}
}

static ssize_t tap_receive(struct net_backend *tap, const struct iovec *iov, unsigned int nr)
{
	const ssize_t n = readv(tap->fd, iov, (int)nr);

	return n < 0 ? -errno : n;
}

static void tap_send(struct net_backend *tap, const struct iovec *iov, unsigned int nr, size_t len)
{
	(void)len;
	/* What the kernel does not take - a header that lies, an interface that is down - is lost,
	 * as on any wire.
	 */
	(void)!writev(tap->fd, iov, (int)nr);
}

static int tap_set_offloads(struct net_backend *tap, uint64_t features)
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
	return ioctl(tap->fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

static int tap_enable(struct net_backend *tap, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	if (ioctl(tap->fd, TUNSETQUEUE, &ifr) == 0 || errno == EINVAL) /* it is so already */
		return 0;
	return -errno;
}

static bool tap_is_up(struct net_backend *tap)
{
	struct ifreq ifr = { 0 };
	const int any = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* to ask by */
	bool up = true;

	if (ioctl(tap->fd, TUNGETIFF, &ifr) == 0 && ioctl(any, SIOCGIFFLAGS, &ifr) == 0)
		up = (ifr.ifr_flags & IFF_UP) != 0;
	if (any >= 0)
		close(any);
	return up;
}

static void tap_close(struct net_backend *tap)
{
	close(tap->fd);
	free(tap);
}

static const struct net_backend_ops tap_ops = {
	.receive = tap_receive,
	.send = tap_send,
	.set_offloads = tap_set_offloads,
	.enable = tap_enable,
	.is_up = tap_is_up,
	.close = tap_close,
};

/* Takes @fd over, also when it fails. */
static int make(int fd, struct net_backend **backend, const char **why)
{
	int header = NET_HEADER_LEN;

	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return refuse(fd, why, "has no virtio header of 12 bytes", -errno);
	struct net_backend *tap = calloc(1, sizeof(*tap));
	if (!tap)
		return refuse(fd, why, "has no memory", -ENOMEM);
	*tap = (struct net_backend){
		.ops = &tap_ops,
		.fd = fd,
		.events = EPOLLIN,
		.tap = true,
		.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN |
			    1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			    1ull << VIRTIO_NET_F_GUEST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_ECN,
	};
	const int err = tap_set_offloads(tap, 0);
	if (err) {
		tap_close(tap);
		return refuse(-1, why, "takes no offload settings", err);
	}
	*backend = tap;
	return 0;
}

int net_tap_open(const char *name, bool multi_queue, struct net_backend **backend, const char **why)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (multi_queue)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
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
	return make(fd, backend, why);
}

int net_tap_adopt(int fd, struct net_backend **backend, const char **why)
{
	struct ifreq ifr = { 0 };

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return refuse(-1, why, "is not a tap's file descriptor", -EINVAL);
	if ((ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) !=
	    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return refuse(-1, why, "was not opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
			      -EINVAL);
	const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0 || fcntl(own, F_SETFL, O_NONBLOCK) < 0)
		return refuse(own, why, "cannot be taken over", -errno);
	return make(own, backend, why);
}
