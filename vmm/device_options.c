/* SPDX-License-Identifier: Apache-2.0 */
#include "device_options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define VERSION_1 32 /* VIRTIO_F_VERSION_1 */

/* What a NAME=VALUE sets. A name that takes no value has kind WORD. */
struct key {
	const char *name;
	enum {
		WORD,
		SWITCH,
		TEXT,
		SIZE,
		NUMBER,
		NUMBER16,
		MAC,
		CACHE,
		IO,
		SERVE,
		FEATURES,
		DESCRIPTOR
	} kind;
	size_t offset; /* in the structure that is set */
};

#define DISK(field) offsetof(struct lupine_disk, field)
#define NET(field)  offsetof(struct lupine_net, field)

static const struct key disk_keys[] = {
	{ "ro", WORD, DISK(read_only) },
	{ "direct", SWITCH, DISK(direct) },
	{ "cache", CACHE, DISK(writethrough) },
	{ "io", IO, DISK(io) },
	{ "serve", SERVE, DISK(serve_on_vcpu) },
	{ "queues", NUMBER, DISK(queues) },
	{ "without", FEATURES, DISK(without) },
	{ "bps", SIZE, DISK(bytes_per_second) },
	{ "iops", SIZE, DISK(operations_per_second) },
};

static const struct key net_keys[] = {
	{ "without", FEATURES, NET(without) },
	{ "tap", TEXT, NET(tap) },
	{ "socket", TEXT, NET(socket) },
	{ "fd", DESCRIPTOR, 0 },
	{ "mac", MAC, NET(mac) },
	{ "mtu", NUMBER16, NET(mtu) },
	{ "queues", NUMBER, NET(queues) },
	{ "vhost", SWITCH, NET(vhost) },
	{ "serve", SERVE, NET(serve_on_vcpu) },
	{ "bps", SIZE, NET(bytes_per_second) },
	{ "pps", SIZE, NET(packets_per_second) },
};

static int parse_number(const char *text, uint64_t max, uint64_t *number)
{
	return options_parse_size(text, number) < 0 || *number > max ? -EINVAL : 0;
}

static int parse_mac(const char *text, uint8_t mac[6])
{
	int end = 0;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		      &mac[3], &mac[4], &mac[5], &end) == 6 &&
			       end == 17 && !text[end]
		       ? 0
		       : -EINVAL;
}

/* One of two words; @field is true for the first. */
static int parse_choice(const char *text, const char *yes, const char *no, bool *field)
{
	*field = !strcmp(text, yes);
	return *field || !strcmp(text, no) ? 0 : -EINVAL;
}

static int parse_io(const char *text, enum lupine_io *io)
{
	static const char *const names[] = { "auto", "sync", "uring" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i])) {
			*io = (enum lupine_io)i;
			return 0;
		}
	return -EINVAL;
}

/* Numbers of features, parted by colons; VERSION_1 is what makes a device of today's. */
static int parse_features(const char *text, uint64_t *features)
{
	char *end;

	do {
		const unsigned long bit = strtoul(text, &end, 10);

		if (end == text || *text < '0' || *text > '9' || bit > 63 || bit == VERSION_1)
			return -EINVAL;
		*features |= 1ull << bit;
		text = end + 1;
	} while (*end == ':');
	return *end ? -EINVAL : 0;
}

static int set(const struct key *key, void *object, char *value)
{
	void *field = (char *)object + key->offset;
	uint64_t number;

	switch (key->kind) {
	case WORD:
		*(bool *)field = true;
		return 0;
	case SWITCH:
		return parse_choice(value, "on", "off", field);
	case CACHE:
		return parse_choice(value, "writethrough", "writeback", field);
	case FEATURES:
		return parse_features(value, field);
	case IO:
		return parse_io(value, field);
	case SERVE:
		return parse_choice(value, "vcpu", "loop", field);
	case TEXT:
		*(const char **)field = value;
		return *value ? 0 : -EINVAL;
	case SIZE:
		return parse_number(value, UINT64_MAX, field);
	case NUMBER:
		if (parse_number(value, UINT_MAX, &number) < 0 || number == 0)
			return -EINVAL;
		*(unsigned int *)field = (unsigned int)number;
		return 0;
	case NUMBER16:
		if (parse_number(value, UINT16_MAX, &number) < 0)
			return -EINVAL;
		*(uint16_t *)field = (uint16_t)number;
		return 0;
	case MAC:
		return parse_mac(value, field);
	case DESCRIPTOR: {
		struct lupine_net *net = object;

		if (parse_number(value, INT_MAX, &number) < 0)
			return -EINVAL;
		net->fd = (int)number;
		net->use_fd = true;
		return 0;
	}
	default:
		return -EINVAL;
	}
}

static const char *usage_of(const struct key *key)
{
	static const char *const usages[] = {
		[WORD] = "takes no value",
		[SWITCH] = "on or off",
		[TEXT] = "needs a value",
		[SIZE] = "a number, or one with K, M or G",
		[NUMBER] = "a number above 0",
		[NUMBER16] = "a number up to 65535",
		[MAC] = "not six bytes as xx:xx:xx:xx:xx:xx",
		[CACHE] = "writeback or writethrough",
		[FEATURES] = "numbers of features, parted by colons; not 32",
		[IO] = "auto, sync or uring",
		[SERVE] = "loop or vcpu",
		[DESCRIPTOR] = "a file descriptor's number",
	};

	return usages[key->kind];
}

static int parse_word(char *word, const struct key *keys, size_t nr_keys, void *object, char *why,
		      size_t size)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < nr_keys; i++) {
		if (strcmp(word, keys[i].name) != 0)
			continue;
		if ((value != NULL) != (keys[i].kind != WORD) || set(&keys[i], object, value) < 0) {
			snprintf(why, size, "%s=%s: %s", word, value ? value : "",
				 usage_of(&keys[i]));
			return -EINVAL;
		}
		return 0;
	}
	snprintf(why, size, "%s: unknown: see --help", word);
	return -EINVAL;
}

int device_options_disk(char *text, struct lupine_disk *disk, char *why, size_t size)
{
	char *word = strchr(text, ',');
	int err = 0;

	if (word)
		*word++ = '\0';
	disk->path = text;
	if (!*text) {
		snprintf(why, size, "needs a file: --disk FILE[,ro]...");
		return -EINVAL;
	}
	while (!err && word) {
		char *next = strchr(word, ',');

		if (next)
			*next++ = '\0';
		err = parse_word(word, disk_keys, sizeof(disk_keys) / sizeof(disk_keys[0]), disk,
				 why, size);
		word = next;
	}
	return err;
}

int device_options_net(char *text, struct lupine_net *net, char *why, size_t size)
{
	int err = 0;

	while (!err && text && *text) {
		char *next = strchr(text, ',');

		if (next)
			*next++ = '\0';
		err = parse_word(text, net_keys, sizeof(net_keys) / sizeof(net_keys[0]), net, why,
				 size);
		text = next;
	}
	if (!err && (net->tap != NULL) + (net->socket != NULL) + net->use_fd != 1) {
		snprintf(why, size, "needs one of tap=NAME, socket=PATH and fd=N");
		err = -EINVAL;
	}
	return err;
}
