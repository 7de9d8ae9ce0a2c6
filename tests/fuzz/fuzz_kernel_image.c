/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_load() of any bytes, both ways, and the boot parameters for what it accepts. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot_params.h"
#include "cpu_state.h"
#include "kernel.h"

#define MEM_SIZE (32ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What kernel.h promises of a kernel that was loaded. */
static void check(const struct kernel_image *kernel)
{
	if (kernel->start < 1 << 20 || kernel->end <= kernel->start || kernel->end > MEM_SIZE ||
	    kernel->entry < kernel->start || kernel->entry >= kernel->end || !kernel->format)
		abort();
}

static void load(int fd, bool unpack)
{
	const struct boot_device device = { .gpa = 0xd0001000, .size = 0x1000, .gsi = 5 };
	const struct boot_config config = {
		.cmdline = "quiet", .initrd_fd = fd, .cpus = 2, .nr_devices = 1, .devices = &device
	};
	struct guest_mem mem;
	struct kernel_image kernel;
	uint64_t zero_page;
	const char *why = NULL;

	if (mem_create(&mem, MEM_SIZE))
		abort();
	if (kernel_load(fd, unpack, &mem, &kernel, &why) == 0) {
		check(&kernel);
		if (boot_params_write(&mem, &kernel, &config, &zero_page, &why) && !why)
			abort();
		if (cpu_state_write_tables(&mem))
			abort();
	} else if (!why) {
		abort();
	}
	mem_destroy(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int fd = memfd_create("kernel", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	load(fd, true);
	load(fd, false);
	close(fd);
	return 0;
}
