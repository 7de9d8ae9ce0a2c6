/* SPDX-License-Identifier: Apache-2.0 */
#include "cmdline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "address_map.h"
#include "config.h"
#include "virtio_mmio.h"

struct text {
	char *at;
	size_t room;
	bool overflow;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const int n = vsnprintf(text->at, text->room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= text->room) {
		text->overflow = true;
		return;
	}
	text->at += n;
	text->room -= (size_t)n;
}

/* Whether a word of @cmdline begins with @prefix. */
static bool has_word(const char *cmdline, const char *prefix)
{
	for (const char *at = strstr(cmdline, prefix); at; at = strstr(at + 1, prefix))
		if (at == cmdline || at[-1] == ' ')
			return true;
	return false;
}

int cmdline_write(const struct lupine_config *config, char cmdline[CMDLINE_SIZE])
{
	struct text text = { cmdline, CMDLINE_SIZE, false };

	/* A panic ends in a reset at once, by the one port this machine has for it. */
	append(&text, "panic=-1 reboot=k quiet");
	if (config->console)
		append(&text, " console=ttyS0");
	if (config->nr_disks && !config->initrd && !has_word(config->cmdline, "root="))
		append(&text, " root=/dev/vda %s", config_disk(config, 0).read_only ? "ro" : "rw");
	for (unsigned int i = 0; i < config->nr_disks + config->nr_nets; i++)
		append(&text, " virtio_mmio.device=4K@0x%llx:%u",
		       ADDR_VIRTIO + (unsigned long long)i * VIRTIO_MMIO_WINDOW,
		       ADDR_VIRTIO_GSI + i);
	if (config->cmdline[0])
		append(&text, " %s", config->cmdline);
	return text.overflow ? -E2BIG : 0;
}
