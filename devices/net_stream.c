/* SPDX-License-Identifier: Apache-2.0 */
#include "net_backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LENGTH_LEN 4u
#define FRAME_MAX  (NET_PACKET_MAX - NET_HEADER_LEN)
#define BUFFER	   (LENGTH_LEN + FRAME_MAX)

/*
 * A stream has no packet boundaries, so what comes goes through a buffer of ours, many packets to a
 * read; what leaves is copied only where the socket did not take all of it.
 */
struct stream {
	struct net_backend base; /* first: operations are handed this */
	uint32_t in_at, in_end; /* in[in_at .. in_end) is not yet delivered */
	uint32_t out_at, out_end; /* out[out_at .. out_end) is not yet sent */
	uint8_t in[BUFFER];
	uint8_t out[BUFFER];
};

/* Copies to @iov from its byte @at on. */
static void scatter(const struct iovec *iov, unsigned int nr, size_t at, const uint8_t *from,
		    size_t len)
{
	for (unsigned int i = 0; i < nr && len > 0; i++) {
		if (at >= iov[i].iov_len) {
			at -= iov[i].iov_len;
			continue;
		}
		const size_t room = iov[i].iov_len - at;
		const size_t n = room < len ? room : len;

		memcpy((uint8_t *)iov[i].iov_base + at, from, n);
		from += n;
		len -= n;
		at = 0;
	}
}

/* The whole frame at in_at: its length, or 0 when it is not all there, or -errno. */
static int frame_length(const struct stream *stream)
{
	const uint32_t have = stream->in_end - stream->in_at;
	uint32_t length;

	if (have < LENGTH_LEN)
		return 0;
	memcpy(&length, stream->in + stream->in_at, LENGTH_LEN);
	length = ntohl(length);
	if (length == 0 || length > FRAME_MAX)
		return -EPROTO;
	return have - LENGTH_LEN >= length ? (int)length : 0;
}

static ssize_t stream_receive(struct net_backend *backend, const struct iovec *iov, unsigned int nr)
{
	static const uint8_t header[NET_HEADER_LEN];
	struct stream *stream = (struct stream *)backend;
	int length;

	while (!stream->base.dead && (length = frame_length(stream)) <= 0) {
		if (length < 0) {
			stream->base.dead = length;
			break;
		}
		memmove(stream->in, stream->in + stream->in_at, stream->in_end - stream->in_at);
		stream->in_end -= stream->in_at;
		stream->in_at = 0;
		const ssize_t n = read(backend->fd, stream->in + stream->in_end,
				       sizeof(stream->in) - stream->in_end);
		if (n > 0)
			stream->in_end += (uint32_t)n;
		else if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		else if (n == 0 || errno != EINTR)
			stream->base.dead = n == 0 ? -EPIPE : -errno;
	}
	if (stream->base.dead)
		return stream->base.dead;
	scatter(iov, nr, 0, header, sizeof(header));
	scatter(iov, nr, sizeof(header), stream->in + stream->in_at + LENGTH_LEN, (size_t)length);
	stream->in_at += LENGTH_LEN + (uint32_t)length;
	return (ssize_t)sizeof(header) + length;
}

static void flush(struct stream *stream)
{
	while (stream->out_at < stream->out_end && !stream->base.dead) {
		const ssize_t n = send(stream->base.fd, stream->out + stream->out_at,
				       stream->out_end - stream->out_at, MSG_NOSIGNAL);

		if (n > 0)
			stream->out_at += (uint32_t)n;
		else if (n < 0 && errno == EAGAIN)
			return;
		else if (n < 0 && errno != EINTR)
			stream->base.dead = -errno;
	}
}

static bool stream_can_send(struct net_backend *backend)
{
	struct stream *stream = (struct stream *)backend;

	flush(stream);
	return stream->base.dead || stream->out_at == stream->out_end;
}

/* Keeps the packet's bytes from @done on, of length and frame together. */
static void keep(struct stream *stream, const struct iovec *iov, unsigned int nr, size_t done)
{
	stream->out_at = stream->out_end = 0;
	for (unsigned int i = 0; i < nr; i++) {
		const size_t skip = done < iov[i].iov_len ? done : iov[i].iov_len;

		memcpy(stream->out + stream->out_end, (uint8_t *)iov[i].iov_base + skip,
		       iov[i].iov_len - skip);
		stream->out_end += (uint32_t)(iov[i].iov_len - skip);
		done -= skip;
	}
}

static void stream_send(struct net_backend *backend, const struct iovec *iov, unsigned int nr,
			size_t len)
{
	struct stream *stream = (struct stream *)backend;
	uint32_t length = htonl((uint32_t)(len - NET_HEADER_LEN));
	struct iovec out[1 + 256]; /* the length, then the frame without virtio's header */
	unsigned int nr_out = 1;
	size_t skip = NET_HEADER_LEN;

	if (stream->base.dead || len <= NET_HEADER_LEN || len > NET_PACKET_MAX)
		return;
	out[0] = (struct iovec){ &length, LENGTH_LEN };
	for (unsigned int i = 0; i < nr; i++) {
		const size_t drop = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		skip -= drop;
		if (iov[i].iov_len > drop)
			out[nr_out++] = (struct iovec){ (uint8_t *)iov[i].iov_base + drop,
							iov[i].iov_len - drop };
	}
	const struct msghdr message = { .msg_iov = out, .msg_iovlen = nr_out };
	const ssize_t n = sendmsg(backend->fd, &message, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		stream->base.dead = -errno;
	else
		keep(stream, out, nr_out, n < 0 ? 0 : (size_t)n);
}

static int stream_set_offloads(struct net_backend *backend, uint64_t features)
{
	(void)backend;
	(void)features; /* none are offered */
	return 0;
}

static void stream_close(struct net_backend *backend)
{
	close(backend->fd);
	free(backend);
}

static const struct net_backend_ops stream_ops = {
	.receive = stream_receive,
	.send = stream_send,
	.can_send = stream_can_send,
	.set_offloads = stream_set_offloads,
	.close = stream_close,
};

static int refuse(int fd, const char **why, const char *text, int err)
{
	if (fd >= 0)
		close(fd);
	*why = text;
	return err;
}

/* Takes @fd over, also when it fails. */
static int make(int fd, struct net_backend **backend, const char **why)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return refuse(fd, why, "cannot be made non-blocking", -errno);
	struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return refuse(fd, why, "has no memory", -ENOMEM);
	stream->base =
		(struct net_backend){ .ops = &stream_ops, .fd = fd, .events = EPOLLIN | EPOLLOUT };
	*backend = &stream->base;
	return 0;
}

int net_stream_connect(const char *path, struct net_backend **backend, const char **why)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return refuse(-1, why, "is too long for a socket's path", -ENAMETOOLONG);
	strcpy(address.sun_path, path);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(fd, why, "needs a socket, which cannot be made", -errno);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return refuse(fd, why,
			      errno == ENOENT ? "does not exist: start passt with --socket"
			      : errno == ECONNREFUSED
				      ? "has nobody listening: start passt with --socket"
				      : "cannot be connected to",
			      -errno);
	return make(fd, backend, why);
}

int net_stream_adopt(int fd, struct net_backend **backend, const char **why)
{
	socklen_t len = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return refuse(-1, why, "is not a stream socket's file descriptor", -EINVAL);
	const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return refuse(-1, why, "cannot be taken over", -errno);
	return make(own, backend, why);
}
