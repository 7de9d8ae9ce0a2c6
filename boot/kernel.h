/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel file in guest memory: ELF vmlinux or bzImage, told apart by their magic.
 *
 * The file is untrusted input. On failure a function returns -errno and sets *why to a static
 * string that says what in the file (or the memory) is wrong, fit to follow "FILE: ".
 */
#ifndef LUPINE_KERNEL_H
#define LUPINE_KERNEL_H

#include <asm/bootparam.h>
#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

struct kernel_image {
	uint64_t entry; /* gpa of the 64-bit entry point */
	uint64_t start; /* gpa range the kernel occupies, */
	uint64_t end; /* bss and (bzImage) work area included */
	bool has_header; /* from a bzImage: @header is its setup header */
	struct setup_header header;
	const char *format; /* for the report: "ELF", "bzImage", "bzImage (zstd payload)", ...;
			       static */
};

/*
 * Loads the kernel in @fd (a regular file, stays open and is the caller's).
 * @unpack: of a bzImage load the ELF inside its payload, so that the guest does not decompress;
 * otherwise place the bzImage as the 64-bit boot protocol says and enter it there.
 * @mem is fresh (zero): bss is not cleared. The kernel lies between 1 MiB and 1 GiB afterwards.
 * -EINVAL not a file with bytes in it, -ENOEXEC not a (sound) 64-bit kernel, -ENOTSUP a payload
 * packed in another way (load it with @unpack off), -ENOSPC memory too small, others from the host.
 */
int kernel_load(int fd, bool unpack, const struct guest_mem *mem, struct kernel_image *kernel,
		const char **why);

#endif
