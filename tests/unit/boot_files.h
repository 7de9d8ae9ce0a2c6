/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel files made by hand for the tests of boot/: a small vmlinux, and a bzImage around it. */
#ifndef LUPINE_TEST_BOOT_FILES_H
#define LUPINE_TEST_BOOT_FILES_H

#include <asm/bootparam.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel.h"
#include "mem.h"
#include "unit.h"

#define MEM_SIZE (64ull << 20)

/* vmlinux: text (page-congruent, ends within a page, bss behind it) and data (not congruent). */
#define TEXT_GPA    0x1000000ull
#define TEXT_OFFSET 0x1000u
#define TEXT_SIZE   0x3210u
#define TEXT_MEMORY 0x8000u
#define DATA_GPA    0x1008123ull
#define DATA_OFFSET 0x4300u
#define DATA_SIZE   0x1456u
#define ELF_SIZE    (DATA_OFFSET + DATA_SIZE)

struct vmlinux {
	union {
		struct {
			Elf64_Ehdr eh;
			Elf64_Phdr note, text, data;
		};
		uint8_t bytes[ELF_SIZE];
	};
};

static inline uint8_t file_byte(size_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8) + 1);
}

static inline void vmlinux_make(struct vmlinux *k)
{
	for (size_t i = 0; i < ELF_SIZE; i++)
		k->bytes[i] = file_byte(i);
	k->eh = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB,
					   EV_CURRENT },
			      .e_type = ET_EXEC,
			      .e_machine = EM_X86_64,
			      .e_version = EV_CURRENT,
			      .e_entry = TEXT_GPA + 0x40,
			      .e_phoff = offsetof(struct vmlinux, note),
			      .e_ehsize = sizeof(Elf64_Ehdr),
			      .e_phentsize = sizeof(Elf64_Phdr),
			      .e_phnum = 3 };
	k->note = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_memsz = UINT64_MAX };
	k->text = (Elf64_Phdr){ .p_type = PT_LOAD,
				.p_offset = TEXT_OFFSET,
				.p_vaddr = 0xffffffff81000000,
				.p_paddr = TEXT_GPA,
				.p_filesz = TEXT_SIZE,
				.p_memsz = TEXT_MEMORY };
	k->data = (Elf64_Phdr){ .p_type = PT_LOAD,
				.p_offset = DATA_OFFSET,
				.p_paddr = DATA_GPA,
				.p_filesz = DATA_SIZE,
				.p_memsz = DATA_SIZE };
}

/* bzImage: two setup sectors, then code up to the payload, the payload, a tail. */
#define BZ_CODE	   0x600u /* in the file */
#define BZ_PAYLOAD 0x400u /* from the code */
#define BZ_INIT	   0x100000u
#define BZ_PREF	   0x1000000ull

struct bzimage {
	uint8_t bytes[128 << 10];
	size_t size;
};

static inline struct setup_header *bzimage_header(struct bzimage *bz)
{
	return (struct setup_header *)(bz->bytes + 0x1f1);
}

static inline void bzimage_make(struct bzimage *bz, const void *payload, size_t len)
{
	const size_t code = (BZ_PAYLOAD + len + 15) / 16 * 16;

	assert_true(BZ_CODE + code <= sizeof(bz->bytes));
	for (size_t i = 0; i < sizeof(bz->bytes); i++)
		bz->bytes[i] = file_byte(i);
	*bzimage_header(bz) = (struct setup_header){
		.setup_sects = 2,
		.syssize = (uint32_t)(code / 16),
		.boot_flag = 0xaa55,
		.jump = 0x6aeb,
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.payload_offset = BZ_PAYLOAD,
		.payload_length = (uint32_t)len,
		.pref_address = BZ_PREF,
		.init_size = BZ_INIT,
	};
	memcpy(bz->bytes + BZ_CODE + BZ_PAYLOAD, payload, len);
	bz->size = BZ_CODE + code;
}

/* A file with just these bytes, for the caller to close. */
static inline int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, 0), (ssize_t)len);
	return fd;
}

/* kernel_load() of these bytes into fresh memory, which the caller destroys when it is 0. */
static inline int load_bytes(const void *bytes, size_t len, bool unpack, uint64_t mem_size,
			     struct guest_mem *mem, struct kernel_image *kernel, const char **why)
{
	const int fd = file_of(bytes, len);

	*why = NULL;
	assert_int_equal(mem_create(mem, mem_size), 0);
	const int err = kernel_load(fd, unpack, mem, kernel, why);
	if (err)
		mem_destroy(mem);
	close(fd);
	return err;
}

/* Refused, with this error and a reason that contains @text. */
static inline void assert_refused(const void *bytes, size_t len, bool unpack, int error,
				  const char *text)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	assert_int_equal(load_bytes(bytes, len, unpack, MEM_SIZE, &mem, &kernel, &why), error);
	assert_non_null(why);
	if (!strstr(why, text))
		fail_msg("'%s' does not say '%s'", why, text);
}

static inline void assert_vmlinux_loaded(const struct guest_mem *mem,
					 const struct kernel_image *kernel)
{
	const uint8_t *text = mem_at(mem, TEXT_GPA, TEXT_MEMORY);
	const uint8_t *data = mem_at(mem, DATA_GPA, DATA_SIZE);

	assert_int_equal(kernel->entry, TEXT_GPA + 0x40);
	assert_int_equal(kernel->start, TEXT_GPA);
	assert_int_equal(kernel->end, DATA_GPA + DATA_SIZE);
	for (size_t i = 0; i < TEXT_MEMORY; i++)
		assert_int_equal(text[i], i < TEXT_SIZE ? file_byte(TEXT_OFFSET + i) : 0);
	for (size_t i = 0; i < DATA_SIZE; i++)
		assert_int_equal(data[i], file_byte(DATA_OFFSET + i));
	/* Not a byte around them. */
	assert_int_equal(text[-1], 0);
	for (const uint8_t *p = text + TEXT_MEMORY; p < data; p++)
		assert_int_equal(*p, 0);
	for (size_t i = 0; i < 8192; i++)
		assert_int_equal(data[DATA_SIZE + i], 0);
}

#endif
