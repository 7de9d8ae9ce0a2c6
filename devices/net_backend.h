/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtio-net needs of the host's side of a wire: packets, each with virtio's header of 12
 * bytes in front, to and from guest memory. One back end serves one pair of queues, under the
 * device's lock. Its file descriptor is non-blocking and waited for edge-triggered.
 */
#ifndef LUPINE_NET_BACKEND_H
#define LUPINE_NET_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NET_HEADER_LEN 12u /* struct virtio_net_hdr_v1 */
#define NET_PACKET_MAX (NET_HEADER_LEN + 18u + 65535u) /* a segmented one, with a VLAN tag */

struct net_backend;

struct net_backend_ops {
	/*
	 * The next packet into @iov, and its length. -EAGAIN when there is none: the descriptor
	 * will become readable. Another -errno: the wire is dead.
	 */
	ssize_t (*receive)(struct net_backend *backend, const struct iovec *iov, unsigned int nr);
	/* A packet of @len bytes leaves, or is lost. Only when it can_send. */
	void (*send)(struct net_backend *backend, const struct iovec *iov, unsigned int nr,
		     size_t len);
	/* False: the descriptor will become writable. NULL: always. */
	bool (*can_send)(struct net_backend *backend);
	/* The offloads (virtio-net features) the guest takes unfinished. -errno. */
	int (*set_offloads)(struct net_backend *backend, uint64_t features);
	/* Whether packets may be steered to this one of several. -errno. */
	int (*enable)(struct net_backend *backend, bool on);
	/* Whether the wire leads anywhere. NULL: nobody can know. */
	bool (*is_up)(struct net_backend *backend);
	void (*close)(struct net_backend *backend);
};

struct net_backend {
	const struct net_backend_ops *ops;
	int fd;
	uint32_t events; /* to wait for: EPOLLIN, EPOLLOUT */
	uint64_t features; /* the offloads it can do */
	int dead; /* -errno: the other side went away, or makes no sense */
	bool tap; /* fd is a tap, which vhost-net can work on */
};

/* All: @why is a static string fit to follow the back end's name; -errno. */

/* Attaches to the existing tap @name; @multi_queue: as one of several, of a tap made for it. */
int net_tap_open(const char *name, bool multi_queue, struct net_backend **backend,
		 const char **why);
/* The same of an inherited descriptor, which stays the caller's. */
int net_tap_adopt(int fd, struct net_backend **backend, const char **why);

/*
 * Ethernet frames over a stream socket, each behind its length in four bytes (big-endian): passt,
 * or anything that speaks QEMU's "stream" protocol. By path, or an inherited descriptor.
 */
int net_stream_connect(const char *path, struct net_backend **backend, const char **why);
int net_stream_adopt(int fd, struct net_backend **backend, const char **why);

#endif
