/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_files.h"

#include <errno.h>
#include <fcntl.h>

#include "source.h"

static struct vmlinux file;

static int make(void **state)
{
	(void)state;
	vmlinux_make(&file);
	return 0;
}

static void refused(int error, const char *text)
{
	assert_refused(&file, ELF_SIZE, true, error, text);
}

static void loads(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	assert_int_equal(load_bytes(&file, ELF_SIZE, true, MEM_SIZE, &mem, &kernel, &why), 0);
	assert_string_equal(kernel.format, "ELF");
	assert_false(kernel.has_header);
	assert_vmlinux_loaded(&mem, &kernel);
	mem_destroy(&mem);
}

/* A loaded kernel has nothing more to do with its file, whatever happens to that. */
static void file_is_done_with(void **state)
{
	const int fd = file_of(&file, ELF_SIZE);
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	assert_int_equal(mem_create(&mem, MEM_SIZE), 0);
	assert_int_equal(kernel_load(fd, true, &mem, &kernel, &why), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_vmlinux_loaded(&mem, &kernel);
	mem_destroy(&mem);
	close(fd);
}

/* The file is cut short after its size was asked for. */
static void file_shrinks(void **state)
{
	const int fd = file_of(&file, ELF_SIZE);
	uint8_t buffer[ELF_SIZE];
	struct source src;
	const char *why;

	(void)state;
	assert_int_equal(source_from_fd(&src, fd, &why), 0);
	assert_int_equal(source_read(&src, 0, buffer, ELF_SIZE), 0);
	assert_int_equal(source_read(&src, 1, buffer, ELF_SIZE), -ENODATA);
	assert_int_equal(source_read(&src, ELF_SIZE + 1, buffer, 0), -ENODATA);
	assert_int_equal(source_read(&src, UINT64_MAX, buffer, 2), -ENODATA);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(source_read(&src, 0, buffer, 100), 0);
	assert_int_equal(source_read(&src, 0, buffer, ELF_SIZE), -ENODATA);
	close(fd);
}

static void no_files(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(mem_create(&mem, MEM_SIZE), 0);
	assert_int_equal(kernel_load(fd, true, &mem, &kernel, &why), -EINVAL);
	assert_string_equal(why, "is not a regular file");
	close(fd);
	assert_int_equal(kernel_load(-1, true, &mem, &kernel, &why), -EBADF);
	mem_destroy(&mem);
	assert_refused("", 0, true, -EINVAL, "is empty");
}

static void not_kernels(void **state)
{
	static const uint8_t zeroes[8192];

	(void)state;
	assert_refused("\x7f", 1, true, -ENOEXEC, "too short");
	assert_refused("#!/bin/sh\nexit 0\n", 17, true, -ENOEXEC, "neither");
	assert_refused(zeroes, sizeof(zeroes), true, -ENOEXEC, "neither");
}

static void truncated(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	for (size_t len = 1; len < ELF_SIZE; len += len < 512 ? 1 : 61)
		assert_int_equal(load_bytes(&file, len, true, MEM_SIZE, &mem, &kernel, &why),
				 -ENOEXEC);
	assert_refused(&file, 40, true, -ENOEXEC, "cut short in its header");
	assert_refused(&file, 100, true, -ENOEXEC, "cut short in its program headers");
	assert_refused(&file, ELF_SIZE - 1, true, -ENOEXEC, "beyond its end");
}

static void wrong_kinds(void **state)
{
	(void)state;
	file.eh.e_ident[EI_CLASS] = ELFCLASS32;
	file.eh.e_machine = EM_386;
	refused(-ENOEXEC, "32-bit");
	make(NULL);
	file.eh.e_machine = EM_AARCH64;
	refused(-ENOEXEC, "another machine");
	make(NULL);
	file.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	refused(-ENOEXEC, "another machine");
	make(NULL);
	file.eh.e_type = ET_DYN;
	refused(-ENOEXEC, "fixed addresses");
	file.eh.e_type = ET_REL;
	refused(-ENOEXEC, "fixed addresses");
}

static void program_headers(void **state)
{
	(void)state;
	file.eh.e_phnum = 0;
	refused(-ENOEXEC, "program headers");
	file.eh.e_phnum = 65;
	refused(-ENOEXEC, "program headers");
	file.eh.e_phnum = UINT16_MAX;
	refused(-ENOEXEC, "program headers");
	make(NULL);
	file.eh.e_phentsize = 32;
	refused(-ENOEXEC, "program headers");
	make(NULL);
	file.eh.e_phoff = UINT64_MAX - 8;
	refused(-ENOEXEC, "cut short in its program headers");
	make(NULL);
	file.text.p_type = file.data.p_type = PT_NOTE;
	refused(-ENOEXEC, "entry lies in no segment");
}

static void overlapping_segments(void **state)
{
	(void)state;
	file.data.p_paddr = TEXT_GPA + TEXT_MEMORY - 1;
	refused(-ENOEXEC, "overlapping");
	make(NULL);
	file.note = file.text; /* the very same twice */
	refused(-ENOEXEC, "overlapping");
}

static void wrapping_segments(void **state)
{
	(void)state;
	file.data.p_offset = UINT64_MAX - 0x10;
	refused(-ENOEXEC, "wraps around");
	make(NULL);
	file.data.p_paddr = UINT64_MAX - 0x10;
	refused(-ENOEXEC, "wraps around");
	make(NULL);
	file.data.p_memsz = UINT64_MAX;
	refused(-ENOEXEC, "wraps around");
}

static void misplaced_segments(void **state)
{
	(void)state;
	file.data.p_paddr = 0x7000;
	refused(-ENOEXEC, "below 1 MiB");
	file.data.p_paddr = 0xfffff;
	refused(-ENOEXEC, "below 1 MiB");
	make(NULL);
	file.data.p_memsz = 1ull << 40;
	refused(-ENOEXEC, "above 1 GiB");
	make(NULL);
	file.data.p_paddr = 0x40000000 - DATA_SIZE + 1;
	refused(-ENOEXEC, "above 1 GiB");
	make(NULL);
	file.data.p_filesz = file.data.p_memsz + 1;
	refused(-ENOEXEC, "more bytes than memory");
	make(NULL);
	file.data.p_offset = ELF_SIZE - DATA_SIZE + 1;
	refused(-ENOEXEC, "beyond its end");
}

static void memory_too_small(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	file.data.p_paddr = MEM_SIZE - DATA_SIZE + 1;
	refused(-ENOSPC, "does not fit");
	make(NULL);
	file.text.p_memsz = MEM_SIZE;
	refused(-ENOSPC, "does not fit");
	make(NULL);
	assert_int_equal(load_bytes(&file, ELF_SIZE, true, 4096, &mem, &kernel, &why), -ENOSPC);
	/* The last byte that fits. */
	file.data.p_paddr = MEM_SIZE - DATA_SIZE;
	assert_int_equal(load_bytes(&file, ELF_SIZE, true, MEM_SIZE, &mem, &kernel, &why), 0);
	assert_int_equal(kernel.end, MEM_SIZE);
	mem_destroy(&mem);
}

static void entry(void **state)
{
	(void)state;
	file.eh.e_entry = TEXT_GPA + TEXT_SIZE; /* in bss */
	refused(-ENOEXEC, "entry lies in no segment");
	file.eh.e_entry = TEXT_GPA - 1;
	refused(-ENOEXEC, "entry lies in no segment");
	file.eh.e_entry = 0xffffffff81000000; /* virtual */
	refused(-ENOEXEC, "entry lies in no segment");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(loads, make),
		cmocka_unit_test_setup(file_is_done_with, make),
		cmocka_unit_test_setup(file_shrinks, make),
		cmocka_unit_test(no_files),
		cmocka_unit_test(not_kernels),
		cmocka_unit_test_setup(truncated, make),
		cmocka_unit_test_setup(wrong_kinds, make),
		cmocka_unit_test_setup(program_headers, make),
		cmocka_unit_test_setup(overlapping_segments, make),
		cmocka_unit_test_setup(wrapping_segments, make),
		cmocka_unit_test_setup(misplaced_segments, make),
		cmocka_unit_test_setup(memory_too_small, make),
		cmocka_unit_test_setup(entry, make),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
