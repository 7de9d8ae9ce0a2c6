/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzImage (Documentation/arch/x86/boot.rst): a setup header in the first sectors, then the
 * "protected-mode kernel", which is a decompressor with the packed vmlinux as its payload.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "formats.h"
#include "low_memory.h"

#define SECTOR	      512u
#define HEADER_OFFSET 0x1f1u
#define HEADER_MAGIC  0x53726448u /* "HdrS" */
#define ENTRY_64      0x200u /* startup_64, from the start of the protected-mode kernel */

bool bzimage_probe(const struct source *src)
{
	struct setup_header header;

	return !source_read(src, HEADER_OFFSET, &header, offsetof(struct setup_header, version)) &&
	       header.boot_flag == 0xaa55 && header.header == HEADER_MAGIC;
}

/* The header ends where the jump over it leads (boot.rst, "jump"); what lies behind is code. */
static int read_header(const struct source *src, struct setup_header *header, const char **why)
{
	uint8_t jump_length;

	if (source_read(src, 0x201, &jump_length, 1))
		return source_refuse(why, -ENOEXEC, "is a bzImage cut short in its header");
	uint64_t len = 0x202 - HEADER_OFFSET + jump_length;
	if (len > sizeof(*header))
		len = sizeof(*header);
	*header = (struct setup_header){ 0 };
	if (source_read(src, HEADER_OFFSET, header, len))
		return source_refuse(why, -ENOEXEC, "is a bzImage cut short in its header");
	if (header->version < 0x020c)
		return source_refuse(why, -ENOEXEC,
				     "is a bzImage of a boot protocol before 2.12 (Linux 3.8)");
	if (!(header->loadflags & LOADED_HIGH))
		return source_refuse(why, -ENOEXEC, "is a zImage, not a bzImage");
	if (!(header->xloadflags & XLF_KERNEL_64))
		return source_refuse(why, -ENOEXEC,
				     "is a 32-bit bzImage, a 64-bit kernel is needed");
	return 0;
}

/* Where the protected-mode kernel goes: *gpa, with room for init_size. */
static int choose_address(const struct setup_header *header, const struct guest_mem *mem,
			  uint64_t *gpa, const char **why)
{
	const uint64_t align = header->kernel_alignment;

	if (align < 4096 || (align & (align - 1)) != 0)
		return source_refuse(why, -ENOEXEC, "is a bzImage with a wrong kernel_alignment");
	*gpa = header->pref_address;
	if (header->relocatable_kernel && !mem_at(mem, *gpa, header->init_size))
		*gpa = align < LOW_KERNEL_MIN ? LOW_KERNEL_MIN : align;
	if (*gpa < LOW_KERNEL_MIN)
		return source_refuse(why, -ENOEXEC, "is a bzImage to be loaded below 1 MiB");
	if (*gpa > LOW_KERNEL_MAX || header->init_size > LOW_KERNEL_MAX - *gpa)
		return source_refuse(why, -ENOEXEC, "is a bzImage that needs memory above 1 GiB");
	if (!mem_at(mem, *gpa, header->init_size))
		return source_refuse(why, -ENOSPC, "does not fit into the guest's memory");
	return 0;
}

/* The bytes of the protected-mode kernel in the file. */
struct extent {
	uint64_t offset;
	uint64_t len;
};

static int place(const struct source *src, struct extent code, const struct guest_mem *mem,
		 struct kernel_image *kernel, const char **why)
{
	uint64_t gpa;
	int err = choose_address(&kernel->header, mem, &gpa, why);

	if (err)
		return err;
	if (code.len > kernel->header.init_size)
		return source_refuse(why, -ENOEXEC, "is a bzImage larger than its init_size");
	err = source_place(src, code.offset, mem, gpa, code.len);
	if (err)
		return source_refuse(why, err, "cannot be read into the guest's memory");
	kernel->format = "bzImage";
	kernel->entry = gpa + ENTRY_64;
	kernel->start = gpa;
	kernel->end = gpa + kernel->header.init_size;
	return 0;
}

static int unpack_and_load(const struct source *src, struct extent code,
			   const struct guest_mem *mem, struct kernel_image *kernel,
			   const char **why)
{
	const struct setup_header *header = &kernel->header;
	struct source packed, elf;

	if (header->payload_offset > code.len ||
	    header->payload_length > code.len - header->payload_offset)
		return source_refuse(why, -ENOEXEC,
				     "is a bzImage whose payload lies beyond its end");
	if (header->payload_length == 0)
		return source_refuse(why, -ENOEXEC, "is a bzImage without a payload");
	if (header->init_size > mem->region[0].size)
		return source_refuse(why, -ENOSPC, "does not fit into the guest's memory");

	int err = source_alloc(&packed, header->payload_length);
	if (err)
		return source_refuse(why, err, "cannot be unpacked: no memory");
	err = source_read(src, code.offset + header->payload_offset, packed.data, packed.size);
	if (err)
		source_refuse(why, err, "cannot be read");
	else
		err = unpack_payload(packed.data, packed.size, header->init_size, &elf,
				     &kernel->format, why);
	source_free(&packed);
	if (err)
		return err;
	err = elf_load(&elf, mem, kernel, why);
	source_free(&elf);
	return err;
}

int bzimage_load(const struct source *src, bool unpack, const struct guest_mem *mem,
		 struct kernel_image *kernel, const char **why)
{
	struct setup_header *header = &kernel->header;
	int err = read_header(src, header, why);

	if (err)
		return err;
	kernel->has_header = true;

	/* What follows in the file (a signature) is not part of the kernel. */
	const uint64_t setup_sects = header->setup_sects ? header->setup_sects : 4;
	const struct extent code = { .offset = (setup_sects + 1) * SECTOR,
				     .len = header->syssize * 16ull };
	if (code.offset > src->size || code.len > src->size - code.offset)
		return source_refuse(why, -ENOEXEC, "is a bzImage cut short");
	if (code.len <= ENTRY_64)
		return source_refuse(why, -ENOEXEC, "is a bzImage without a kernel");
	return unpack ? unpack_and_load(src, code, mem, kernel, why)
		      : place(src, code, mem, kernel, why);
}
