/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "formats.h"

int kernel_load(int fd, bool unpack, const struct guest_mem *mem, struct kernel_image *kernel,
		const char **why)
{
	struct source src;
	char magic[SELFMAG];

	*kernel = (struct kernel_image){ 0 };
	int err = source_from_fd(&src, fd, why);
	if (err)
		return err;
	if (source_read(&src, 0, magic, sizeof(magic)))
		return source_refuse(why, -ENOEXEC, "is too short for a kernel");
	if (memcmp(magic, ELFMAG, SELFMAG) == 0) {
		kernel->format = "ELF";
		return elf_load(&src, mem, kernel, why);
	}
	if (bzimage_probe(&src))
		return bzimage_load(&src, unpack, mem, kernel, why);
	return source_refuse(why, -ENOEXEC, "is neither an ELF vmlinux nor a bzImage");
}
