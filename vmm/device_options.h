/* SPDX-License-Identifier: Apache-2.0 */
/* The values of --disk and --net: a list of words and NAME=VALUE, parted by commas. */
#ifndef LUPINE_DEVICE_OPTIONS_H
#define LUPINE_DEVICE_OPTIONS_H

#include "lupine.h"

/*
 * Reads @text, which is changed and kept. 0, or -EINVAL and in @why (of @size bytes) what is wrong
 * with it, fit to follow "--disk " or "--net ".
 */
int device_options_disk(char *text, struct lupine_disk *disk, char *why, size_t size);
int device_options_net(char *text, struct lupine_net *net, char *why, size_t size);

#endif
