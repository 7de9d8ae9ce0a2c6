/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_params.h"

#include <errno.h>
#include <string.h>

#include "low_memory.h"
#include "source.h"
#include "tables.h"

#define PAGE		 4096ull
#define E820_RAM	 1u
#define E820_RESERVED	 2u
#define LOADER_UNDEFINED 0xffu /* boot.rst, "type_of_loader": no number assigned */

/* What vmlinux does not bring: the fields a kernel reads out of its own bzImage header. */
static const struct setup_header elf_header = {
	.root_flags = 1, /* the root is mounted read-only unless told otherwise, as from bzImage */
	.boot_flag = 0xaa55,
	.header = 0x53726448, /* "HdrS" */
	.version = 0x020f,
	.loadflags = LOADED_HIGH,
	.initrd_addr_max = 0x7fffffff,
	.kernel_alignment = 0x1000000,
	.cmdline_size = LOW_CMDLINE_END - LOW_CMDLINE - 1, /* COMMAND_LINE_SIZE on x86 */
};

static void add_e820(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry){ .addr = start,
									       .size = end - start,
									       .type = type };
}

static int write_cmdline(const struct guest_mem *mem, const char *cmdline, struct boot_params *bp,
			 const char **why)
{
	const size_t len = strlen(cmdline);

	if (len > bp->hdr.cmdline_size || len >= LOW_CMDLINE_END - LOW_CMDLINE)
		return source_refuse(why, -E2BIG,
				     "the command line is longer than the kernel takes "
				     "(2047 characters)");
	bp->hdr.cmd_line_ptr = LOW_CMDLINE;
	return mem_write(mem, LOW_CMDLINE, cmdline, len + 1);
}

/* As high as it may go, for the kernel to have its low memory in one piece. */
static int load_initrd(const struct guest_mem *mem, const struct kernel_image *kernel, int fd,
		       struct boot_params *bp, const char **why)
{
	struct source src;
	uint64_t top = mem->region[0].size;
	int err = source_from_fd(&src, fd, why);

	if (err)
		return source_refuse(why, err, "the initrd is empty or not a regular file");
	if (top > bp->hdr.initrd_addr_max)
		top = bp->hdr.initrd_addr_max + 1ull;
	if (src.size > top || ((top - src.size) & ~(PAGE - 1)) < kernel->end)
		return source_refuse(why, -E2BIG,
				     "the initrd is too large: it does not fit between the kernel "
				     "and the end of the guest's memory");
	const uint64_t gpa = (top - src.size) & ~(PAGE - 1);
	err = source_place(&src, 0, mem, gpa, src.size);
	if (err)
		return source_refuse(why, err, "the initrd cannot be read");
	bp->hdr.ramdisk_image = (uint32_t)gpa;
	bp->hdr.ramdisk_size = (uint32_t)src.size;
	return 0;
}

/* The kernel wipes it after use, so the seed is in nobody's memory afterwards. */
static int write_rng_seed(const struct guest_mem *mem, const struct boot_config *config,
			  struct boot_params *bp)
{
	struct {
		struct setup_data head;
		uint8_t seed[sizeof(config->rng_seed)];
	} data = { .head = { .type = SETUP_RNG_SEED, .len = sizeof(data.seed) } };

	memcpy(data.seed, config->rng_seed, sizeof(data.seed));
	bp->hdr.setup_data = LOW_SETUP_DATA;
	return mem_write(mem, LOW_SETUP_DATA, &data, sizeof(data));
}

int boot_params_write(const struct guest_mem *mem, const struct kernel_image *kernel,
		      const struct boot_config *config, uint64_t *zero_page, const char **why)
{
	struct boot_params *bp = mem_at(mem, LOW_ZERO_PAGE, sizeof(*bp));
	const uint64_t low_end = mem->region[0].size;
	uint64_t rsdp;

	*why = "the guest's memory is too small";
	if (!bp || low_end < LOW_KERNEL_MIN)
		return -ENOSPC;

	bp->hdr = kernel->has_header ? kernel->header : elf_header;
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	add_e820(bp, 0, LOW_EBDA, E820_RAM);
	add_e820(bp, LOW_EBDA, LOW_KERNEL_MIN, E820_RESERVED);
	add_e820(bp, LOW_KERNEL_MIN, low_end, E820_RAM);
	if (mem->nr > 1)
		add_e820(bp, mem->region[1].gpa, mem->region[1].gpa + mem->region[1].size,
			 E820_RAM);

	int err = write_cmdline(mem, config->cmdline, bp, why);
	if (!err && config->initrd_fd >= 0)
		err = load_initrd(mem, kernel, config->initrd_fd, bp, why);
	if (!err)
		err = write_rng_seed(mem, config, bp);
	if (!err)
		err = mptable_write(mem, config);
	if (!err)
		err = acpi_write(mem, config, &rsdp);
	if (err)
		return err;
	bp->acpi_rsdp_addr = rsdp;
	*zero_page = LOW_ZERO_PAGE;
	return 0;
}
