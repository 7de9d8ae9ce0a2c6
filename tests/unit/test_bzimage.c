/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_files.h"

#include <endian.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define PAYLOAD_MAX (64u << 10)

typedef size_t pack_fn(uint8_t *dst, const uint8_t *src, size_t len);

static size_t append_size(uint8_t *dst, size_t packed, size_t len)
{
	const uint32_t word = htole32((uint32_t)len);

	memcpy(dst + packed, &word, sizeof(word));
	return packed + sizeof(word);
}

static size_t pack_gzip(uint8_t *dst, const uint8_t *src, size_t len)
{
	z_stream z = { .next_in = (uint8_t *)src,
		       .avail_in = (uInt)len,
		       .next_out = dst,
		       .avail_out = PAYLOAD_MAX };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

/* As scripts/xz_wrap.sh: the x86 filter, CRC32. */
static size_t pack_xz(uint8_t *dst, const uint8_t *src, size_t len)
{
	lzma_options_lzma options;
	lzma_filter filters[] = { { LZMA_FILTER_X86, NULL },
				  { LZMA_FILTER_LZMA2, &options },
				  { LZMA_VLI_UNKNOWN, NULL } };
	size_t out = 0;

	assert_false(lzma_lzma_preset(&options, 6));
	assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, src, len, dst,
						   &out, PAYLOAD_MAX),
			 LZMA_OK);
	return append_size(dst, out, len);
}

static size_t pack_zstd(uint8_t *dst, const uint8_t *src, size_t len)
{
	return append_size(dst, ZSTD_compress(dst, PAYLOAD_MAX, src, len, 19), len);
}

static size_t lz4_block(uint8_t *dst, const uint8_t *src, size_t len)
{
	const int n = LZ4_compress_default((const char *)src, (char *)dst + 4, (int)len,
					   (int)PAYLOAD_MAX);

	assert_true(n > 0);
	append_size(dst, 0, (size_t)n);
	return 4 + (size_t)n;
}

static size_t pack_lz4(uint8_t *dst, const uint8_t *src, size_t len)
{
	memcpy(dst, "\x02\x21\x4c\x18", 4);
	return append_size(dst, 4 + lz4_block(dst + 4, src, len), len);
}

static const struct {
	pack_fn *pack;
	const char *format;
} packings[] = {
	{ pack_gzip, "bzImage (gzip payload)" },
	{ pack_xz, "bzImage (xz payload)" },
	{ pack_zstd, "bzImage (zstd payload)" },
	{ pack_lz4, "bzImage (lz4 payload)" },
};
#define NR_PACKINGS (sizeof(packings) / sizeof(packings[0]))

static struct bzimage bz;
static uint8_t payload[PAYLOAD_MAX];
static size_t payload_len;

static void make_packed(unsigned int i)
{
	struct vmlinux elf;

	vmlinux_make(&elf);
	payload_len = packings[i].pack(payload, elf.bytes, ELF_SIZE);
	bzimage_make(&bz, payload, payload_len);
}

static int make(void **state)
{
	(void)state;
	make_packed(0);
	return 0;
}

static void refused(bool unpack, int error, const char *text)
{
	assert_refused(bz.bytes, bz.size, unpack, error, text);
	make(NULL);
}

static void unpacks(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	for (unsigned int i = 0; i < NR_PACKINGS; i++) {
		make_packed(i);
		assert_int_equal(load_bytes(bz.bytes, bz.size, true, MEM_SIZE, &mem, &kernel, &why),
				 0);
		assert_string_equal(kernel.format, packings[i].format);
		assert_true(kernel.has_header);
		assert_memory_equal(&kernel.header, bzimage_header(&bz), 0x6a + 0x11);
		assert_vmlinux_loaded(&mem, &kernel);
		mem_destroy(&mem);
	}
}

static void lz4_of_many_blocks(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;
	struct vmlinux elf;
	size_t len = 4;

	(void)state;
	vmlinux_make(&elf);
	memcpy(payload, "\x02\x21\x4c\x18", 4);
	for (size_t at = 0; at < ELF_SIZE; at += 4096)
		len += lz4_block(payload + len, elf.bytes + at,
				 ELF_SIZE - at < 4096 ? ELF_SIZE - at : 4096);
	bzimage_make(&bz, payload, append_size(payload, len, ELF_SIZE));
	assert_int_equal(load_bytes(bz.bytes, bz.size, true, MEM_SIZE, &mem, &kernel, &why), 0);
	assert_vmlinux_loaded(&mem, &kernel);
	mem_destroy(&mem);
}

static void placed_as_it_is(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	assert_int_equal(load_bytes(bz.bytes, bz.size, false, MEM_SIZE, &mem, &kernel, &why), 0);
	assert_string_equal(kernel.format, "bzImage");
	assert_int_equal(kernel.entry, BZ_PREF + 0x200);
	assert_int_equal(kernel.start, BZ_PREF);
	assert_int_equal(kernel.end, BZ_PREF + BZ_INIT);
	assert_memory_equal(mem_at(&mem, BZ_PREF, 1), bz.bytes + BZ_CODE, bz.size - BZ_CODE);
	mem_destroy(&mem);

	/* Where the preferred address is not there, a relocatable kernel goes lower. */
	assert_int_equal(load_bytes(bz.bytes, bz.size, false, 8 << 20, &mem, &kernel, &why), 0);
	assert_int_equal(kernel.entry, 0x200000 + 0x200);
	assert_memory_equal(mem_at(&mem, 0x200000, 1), bz.bytes + BZ_CODE, bz.size - BZ_CODE);
	mem_destroy(&mem);
	bzimage_header(&bz)->relocatable_kernel = 0;
	assert_int_equal(load_bytes(bz.bytes, bz.size, false, 8 << 20, &mem, &kernel, &why),
			 -ENOSPC);
	bzimage_header(&bz)->relocatable_kernel = 1;
	assert_int_equal(load_bytes(bz.bytes, bz.size, false, 2 << 20, &mem, &kernel, &why),
			 -ENOSPC);
}

/* setup_sects 0 means 4, and a signature behind the kernel is not an error. */
static void old_and_signed(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	memmove(bz.bytes + 5 * 512, bz.bytes + BZ_CODE, bz.size - BZ_CODE);
	bzimage_header(&bz)->setup_sects = 0;
	bz.size += 5 * 512 - BZ_CODE + 1000;
	assert_int_equal(load_bytes(bz.bytes, bz.size, true, MEM_SIZE, &mem, &kernel, &why), 0);
	assert_vmlinux_loaded(&mem, &kernel);
	mem_destroy(&mem);
}

/* The code that follows a short header does not become header. */
static void short_header(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	bzimage_header(&bz)->jump = 0x66eb; /* ends before kernel_info_offset */
	bzimage_header(&bz)->kernel_info_offset = 0x12345678;
	assert_int_equal(load_bytes(bz.bytes, bz.size, true, MEM_SIZE, &mem, &kernel, &why), 0);
	assert_int_equal(kernel.header.kernel_info_offset, 0);
	assert_int_equal(kernel.header.init_size, BZ_INIT);
	mem_destroy(&mem);
}

static void wrong_kinds(void **state)
{
	(void)state;
	bzimage_header(&bz)->version = 0x020b;
	refused(true, -ENOEXEC, "2.12");
	bzimage_header(&bz)->loadflags = 0;
	refused(true, -ENOEXEC, "zImage");
	bzimage_header(&bz)->xloadflags = XLF_CAN_BE_LOADED_ABOVE_4G;
	refused(true, -ENOEXEC, "32-bit");
	bzimage_header(&bz)->xloadflags = 0;
	refused(false, -ENOEXEC, "32-bit");
	bzimage_header(&bz)->boot_flag = 0;
	refused(true, -ENOEXEC, "neither");
	bzimage_header(&bz)->header = 0;
	refused(true, -ENOEXEC, "neither");
}

static void truncated(void **state)
{
	struct guest_mem mem;
	struct kernel_image kernel;
	const char *why;

	(void)state;
	for (size_t len = 4; len < bz.size; len += 97)
		for (int unpack = 0; unpack < 2; unpack++)
			assert_int_equal(
				load_bytes(bz.bytes, len, unpack, MEM_SIZE, &mem, &kernel, &why),
				-ENOEXEC);
	assert_refused(bz.bytes, 0x202, true, -ENOEXEC, "neither");
	assert_refused(bz.bytes, 0x220, true, -ENOEXEC, "cut short in its header");
	assert_refused(bz.bytes, bz.size - 1, true, -ENOEXEC, "cut short");
}

static void lying_sizes(void **state)
{
	(void)state;
	bzimage_header(&bz)->syssize++;
	refused(true, -ENOEXEC, "cut short");
	bzimage_header(&bz)->syssize = UINT32_MAX;
	refused(false, -ENOEXEC, "cut short");
	bzimage_header(&bz)->syssize = 0;
	refused(true, -ENOEXEC, "without a kernel");
	bzimage_header(&bz)->setup_sects = 255;
	refused(true, -ENOEXEC, "cut short");
	bzimage_header(&bz)->init_size = 100;
	refused(false, -ENOEXEC, "larger than its init_size");
	bzimage_header(&bz)->init_size = UINT32_MAX;
	refused(false, -ENOEXEC, "above 1 GiB");
	bzimage_header(&bz)->init_size = UINT32_MAX;
	refused(true, -ENOSPC, "does not fit");
	bzimage_header(&bz)->init_size = (uint32_t)MEM_SIZE;
	refused(false, -ENOSPC, "does not fit");
}

static void lying_addresses(void **state)
{
	(void)state;
	bzimage_header(&bz)->kernel_alignment = 0;
	refused(false, -ENOEXEC, "kernel_alignment");
	bzimage_header(&bz)->kernel_alignment = 0x300000;
	refused(false, -ENOEXEC, "kernel_alignment");
	bzimage_header(&bz)->pref_address = 0x7000;
	refused(false, -ENOEXEC, "below 1 MiB");
	bzimage_header(&bz)->pref_address = UINT64_MAX - 0xfff;
	bzimage_header(&bz)->relocatable_kernel = 0;
	refused(false, -ENOEXEC, "above 1 GiB");
	bzimage_header(&bz)->pref_address = 0x200000000;
	bzimage_header(&bz)->kernel_alignment = 0x80000000;
	refused(false, -ENOEXEC, "above 1 GiB");
}

static void lying_payload(void **state)
{
	(void)state;
	bzimage_header(&bz)->payload_offset = UINT32_MAX;
	refused(true, -ENOEXEC, "payload lies beyond");
	bzimage_header(&bz)->payload_length = UINT32_MAX;
	refused(true, -ENOEXEC, "payload lies beyond");
	bzimage_header(&bz)->payload_length = 0;
	refused(true, -ENOEXEC, "without a payload");
	bzimage_header(&bz)->payload_length = 7;
	refused(true, -ENOEXEC, "without a payload");
	bzimage_header(&bz)->payload_offset += 4;
	refused(true, -ENOTSUP, "packed neither by");
	bzimage_header(&bz)->init_size = ELF_SIZE - 1;
	refused(true, -ENOEXEC, "impossible size");
}

/* A size word that is wrong, a payload cut short, bits flipped: each packing notices each. */
static void damaged_payload(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < NR_PACKINGS; i++) {
		static const uint32_t sizes[] = { ELF_SIZE - 1, ELF_SIZE + 1, 1, BZ_INIT };
		struct vmlinux not_elf = { 0 };

		for (unsigned int j = 0; j < 4; j++) {
			make_packed(i);
			append_size(bz.bytes + BZ_CODE + BZ_PAYLOAD, payload_len - 4, sizes[j]);
			assert_refused(bz.bytes, bz.size, true, -ENOEXEC, "damaged payload");
		}
		make_packed(i);
		append_size(bz.bytes + BZ_CODE + BZ_PAYLOAD, payload_len - 4, 0);
		assert_refused(bz.bytes, bz.size, true, -ENOEXEC, "impossible size");

		make_packed(i);
		memmove(bz.bytes + BZ_CODE + BZ_PAYLOAD + payload_len / 2,
			bz.bytes + BZ_CODE + BZ_PAYLOAD + payload_len / 2 + 16,
			payload_len - payload_len / 2 - 16);
		bzimage_header(&bz)->payload_length -= 16;
		assert_refused(bz.bytes, bz.size, true, -ENOEXEC, "damaged payload");

		payload_len = packings[i].pack(payload, not_elf.bytes, ELF_SIZE);
		bzimage_make(&bz, payload, payload_len);
		assert_refused(bz.bytes, bz.size, true, -ENOEXEC, "no ELF");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unpacks),
		cmocka_unit_test(lz4_of_many_blocks),
		cmocka_unit_test_setup(placed_as_it_is, make),
		cmocka_unit_test_setup(old_and_signed, make),
		cmocka_unit_test_setup(short_header, make),
		cmocka_unit_test_setup(wrong_kinds, make),
		cmocka_unit_test_setup(truncated, make),
		cmocka_unit_test_setup(lying_sizes, make),
		cmocka_unit_test_setup(lying_addresses, make),
		cmocka_unit_test_setup(lying_payload, make),
		cmocka_unit_test_setup(damaged_payload, make),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
