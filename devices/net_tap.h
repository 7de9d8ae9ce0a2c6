/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end of virtio-net: a host tap interface that speaks virtio's own packet header, so that
 * checksums and segmentation pass through undone.
 */
#ifndef LUPINE_NET_TAP_H
#define LUPINE_NET_TAP_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Attaches to the existing tap @name; the file descriptor (non-blocking), or -errno and *why, a
 * static string.
 */
int net_tap_open(const char *name, const char **why);

/* What the guest can take unfinished: the virtio-net features it accepted. -errno. */
int net_tap_set_offloads(int fd, uint64_t features);

#endif
