/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "boot_params.h"

static const struct kernel_image kernel = { .entry = 0x1000000,
					    .start = 0x1000000,
					    .end = 0x1800123 };
static struct boot_config config;
static struct guest_mem mem;
static const char *why;

static int make(void **state)
{
	(void)state;
	config = (struct boot_config){ .cmdline = "console=ttyS0 quiet",
				       .initrd_fd = -1,
				       .cpus = 1 };
	for (uint8_t i = 0; i < sizeof(config.rng_seed); i++)
		config.rng_seed[i] = (uint8_t)(0xa0 + i);
	why = NULL;
	return mem_create(&mem, MEM_SIZE);
}

static int destroy(void **state)
{
	(void)state;
	mem_destroy(&mem);
	return 0;
}

static const struct boot_params *written(const struct kernel_image *k)
{
	uint64_t gpa;

	assert_int_equal(boot_params_write(&mem, k, &config, &gpa, &why), 0);
	assert_int_equal(gpa, 0x7000);
	return mem_at(&mem, gpa, 4096);
}

static void refused(int error, const char *text)
{
	uint64_t gpa;

	assert_int_equal(boot_params_write(&mem, &kernel, &config, &gpa, &why), error);
	if (!strstr(why, text))
		fail_msg("'%s' does not say '%s'", why, text);
}

static void for_an_elf(void **state)
{
	const struct boot_params *bp = written(&kernel);

	(void)state;
	assert_int_equal(bp->sentinel, 0);
	assert_int_equal(bp->hdr.boot_flag, 0xaa55);
	assert_int_equal(bp->hdr.header, 0x53726448);
	assert_int_equal(bp->hdr.version, 0x020f);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->hdr.ramdisk_size, 0);
	assert_string_equal(mem_at(&mem, bp->hdr.cmd_line_ptr, 32), "console=ttyS0 quiet");
	assert_memory_equal(mem_at(&mem, bp->acpi_rsdp_addr, 8), "RSD PTR ", 8);
}

static void for_a_bzimage(void **state)
{
	struct kernel_image bz = kernel;

	(void)state;
	bz.has_header = true;
	bz.header = (struct setup_header){ .boot_flag = 0xaa55,
					   .version = 0x020c,
					   .cmdline_size = 2047,
					   .initrd_addr_max = 0x37ffffff,
					   .vid_mode = 0x1234,
					   .setup_data = 0xbad };
	const struct boot_params *bp = written(&bz);
	assert_int_equal(bp->hdr.version, 0x020c);
	assert_int_equal(bp->hdr.vid_mode, 0x1234);
	assert_int_equal(bp->hdr.initrd_addr_max, 0x37ffffff);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_not_equal(bp->hdr.setup_data, 0xbad);
}

static void assert_e820(const struct boot_params *bp, unsigned int i, uint64_t start, uint64_t end,
			uint32_t type)
{
	assert_int_equal(bp->e820_table[i].addr, start);
	assert_int_equal(bp->e820_table[i].addr + bp->e820_table[i].size, end);
	assert_int_equal(bp->e820_table[i].type, type);
}

static void memory_map(void **state)
{
	const struct boot_params *bp = written(&kernel);

	(void)state;
	assert_int_equal(bp->e820_entries, 3);
	assert_e820(bp, 0, 0, 0x9fc00, 1);
	assert_e820(bp, 1, 0x9fc00, 0x100000, 2);
	assert_e820(bp, 2, 0x100000, MEM_SIZE, 1);

	/* 5 GiB: the MMIO gap is nobody's memory. */
	mem_destroy(&mem);
	assert_int_equal(mem_create(&mem, 5ull << 30), 0);
	bp = written(&kernel);
	assert_int_equal(bp->e820_entries, 4);
	assert_e820(bp, 2, 0x100000, 3ull << 30, 1);
	assert_e820(bp, 3, 4ull << 30, 6ull << 30, 1);
}

static void command_line(void **state)
{
	struct kernel_image bz = kernel;
	uint64_t gpa;
	char *line = malloc(4096);

	(void)state;
	memset(line, 'x', 4096);
	config.cmdline = line;
	line[2047] = 0;
	const struct boot_params *bp = written(&kernel);
	assert_string_equal(mem_at(&mem, bp->hdr.cmd_line_ptr, 2048), line);
	line[2047] = 'x';
	line[2048] = 0;
	refused(-E2BIG, "command line");

	/* A kernel that takes less says so; one that takes more is not believed. */
	bz.has_header = true;
	bz.header.cmdline_size = 255;
	line[256] = 0;
	assert_int_equal(boot_params_write(&mem, &bz, &config, &gpa, &why), -E2BIG);
	line[255] = 0;
	assert_int_equal(boot_params_write(&mem, &bz, &config, &gpa, &why), 0);
	line[255] = line[256] = 'x';
	bz.header.cmdline_size = UINT32_MAX;
	assert_int_equal(boot_params_write(&mem, &bz, &config, &gpa, &why), -E2BIG);
	config.cmdline = "";
	assert_string_equal(mem_at(&mem, written(&kernel)->hdr.cmd_line_ptr, 1), "");
	free(line);
}

static void rng_seed(void **state)
{
	const struct boot_params *bp = written(&kernel);
	const struct setup_data *data = mem_at(&mem, bp->hdr.setup_data, sizeof(*data) + 32);

	(void)state;
	assert_int_equal(data->next, 0);
	assert_int_equal(data->type, SETUP_RNG_SEED);
	assert_int_equal(data->len, 32);
	assert_memory_equal(data->data, config.rng_seed, 32);
}

/* A file of @size bytes whose last one is 'Z'. */
static int initrd_of(uint64_t size)
{
	const int fd = memfd_create("initrd", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "Z", 1, (off_t)size - 1), 1);
	return fd;
}

static void initrd(void **state)
{
	const uint64_t size = (1 << 20) + 5;

	(void)state;
	config.initrd_fd = initrd_of(size);
	const struct boot_params *bp = written(&kernel);
	assert_int_equal(bp->hdr.ramdisk_size, size);
	assert_int_equal(bp->hdr.ramdisk_image, MEM_SIZE - size - 4096 + 5); /* a page's start */
	assert_int_equal(bp->hdr.ramdisk_image % 4096, 0);
	assert_int_equal(*(char *)mem_at(&mem, bp->hdr.ramdisk_image + size - 1, 1), 'Z');
	close(config.initrd_fd);
}

static void initrd_limits(void **state)
{
	const uint64_t room = MEM_SIZE - 0x1801000; /* from the page behind the kernel */
	struct kernel_image bz = kernel;

	(void)state;
	config.initrd_fd = initrd_of(room);
	const struct boot_params *bp = written(&kernel);
	assert_int_equal(bp->hdr.ramdisk_image, 0x1801000);
	assert_int_equal(ftruncate(config.initrd_fd, (off_t)room + 1), 0);
	refused(-E2BIG, "initrd is too large");
	assert_int_equal(ftruncate(config.initrd_fd, 1ll << 40), 0);
	refused(-E2BIG, "initrd is too large");

	/* The kernel's own limit lies below the end of memory. */
	bz.has_header = true;
	bz.header = (struct setup_header){ .cmdline_size = 255, .initrd_addr_max = 0x1ffffff };
	assert_int_equal(ftruncate(config.initrd_fd, 4096), 0);
	assert_int_equal(written(&bz)->hdr.ramdisk_image, 0x1fff000);
	close(config.initrd_fd);
}

static void initrd_is_no_file(void **state)
{
	(void)state;
	config.initrd_fd = open("/", O_RDONLY | O_DIRECTORY);
	refused(-EINVAL, "initrd is empty or not a regular file");
	close(config.initrd_fd);
	config.initrd_fd = memfd_create("empty", MFD_CLOEXEC);
	refused(-EINVAL, "initrd is empty or not a regular file");
	close(config.initrd_fd);
}

static void memory_too_small(void **state)
{
	(void)state;
	mem_destroy(&mem);
	assert_int_equal(mem_create(&mem, 4096), 0);
	refused(-ENOSPC, "memory is too small");
	mem_destroy(&mem);
	assert_int_equal(mem_create(&mem, (1 << 20) - 4096), 0);
	refused(-ENOSPC, "memory is too small");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(for_an_elf, make, destroy),
		cmocka_unit_test_setup_teardown(for_a_bzimage, make, destroy),
		cmocka_unit_test_setup_teardown(memory_map, make, destroy),
		cmocka_unit_test_setup_teardown(command_line, make, destroy),
		cmocka_unit_test_setup_teardown(rng_seed, make, destroy),
		cmocka_unit_test_setup_teardown(initrd, make, destroy),
		cmocka_unit_test_setup_teardown(initrd_limits, make, destroy),
		cmocka_unit_test_setup_teardown(initrd_is_no_file, make, destroy),
		cmocka_unit_test_setup_teardown(memory_too_small, make, destroy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
