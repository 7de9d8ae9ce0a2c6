/* SPDX-License-Identifier: Apache-2.0 */
/* The loaders behind kernel_load(), one a format; see kernel.h for the errors. */
#ifndef LUPINE_FORMATS_H
#define LUPINE_FORMATS_H

#include <stdbool.h>

#include "kernel.h"
#include "source.h"

/* Sets entry, start and end of @kernel. */
int elf_load(const struct source *src, const struct guest_mem *mem, struct kernel_image *kernel,
	     const char **why);

/* Is it a bzImage of whatever kind? */
bool bzimage_probe(const struct source *src);
int bzimage_load(const struct source *src, bool unpack, const struct guest_mem *mem,
		 struct kernel_image *kernel, const char **why);

/*
 * Unpacks @len bytes of @payload, as the kernel's build packs it, into a new @dst; its size is what
 * the payload says in its last four bytes, refused above @max. *format is the report's word for it.
 */
int unpack_payload(const uint8_t *payload, uint64_t len, uint64_t max, struct source *dst,
		   const char **format, const char **why);

#endif
