/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bzImage's payload (boot.rst, "payload_offset"): vmlinux packed by gzip, xz, zstd or lz4, told
 * apart by magic numbers. The last four bytes are the unpacked size, little endian: gzip's own
 * trailer, or appended by the kernel's build (scripts/Makefile.lib, size_append).
 *
 * All are unpacked in one call into memory of just that size, so a payload that lies about it is
 * refused by the library's own bound.
 */
#include <endian.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "formats.h"

#define LZ4_BLOCK                                                                                  \
	(8u << 20) /* of the legacy frame format: each block but the last unpacks to it            \
		    */
#define XZ_MEMORY_MAX (256ull << 20) /* the kernel's build uses dictionaries of up to 128 MiB */

/* Each: @src to exactly @dst_len bytes; false on damage, or when there is more or less. */
typedef bool unpack_fn(const uint8_t *src, size_t len, uint8_t *dst, size_t dst_len);

static bool unpack_gzip(const uint8_t *src, size_t len, uint8_t *dst, size_t dst_len)
{
	z_stream z = { .next_in = (uint8_t *)src,
		       .avail_in = (uInt)len,
		       .next_out = dst,
		       .avail_out = (uInt)dst_len };

	if (inflateInit2(&z, 15 + 16) != Z_OK) /* + 16: with gzip's header and trailer */
		return false;
	const int result = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return result == Z_STREAM_END && z.avail_out == 0;
}

static bool unpack_xz(const uint8_t *src, size_t len, uint8_t *dst, size_t dst_len)
{
	uint64_t memory = XZ_MEMORY_MAX;
	size_t in = 0, out = 0;

	return lzma_stream_buffer_decode(&memory, 0, NULL, src, &in, len - 4, dst, &out, dst_len) ==
		       LZMA_OK &&
	       out == dst_len;
}

static bool unpack_zstd(const uint8_t *src, size_t len, uint8_t *dst, size_t dst_len)
{
	return ZSTD_decompress(dst, dst_len, src, len - 4) == dst_len; /* errors are huge values */
}

static bool unpack_lz4(const uint8_t *src, size_t len, uint8_t *dst, size_t dst_len)
{
	size_t in = 4, out = 0; /* the magic number */

	len -= 4;
	while (in < len) {
		uint32_t packed;

		if (len - in < sizeof(packed))
			return false;
		memcpy(&packed, src + in, sizeof(packed));
		packed = le32toh(packed);
		in += sizeof(packed);
		if (packed == 0 || packed > len - in || packed > LZ4_BLOCK * 2)
			return false;
		const size_t room = dst_len - out < LZ4_BLOCK ? dst_len - out : LZ4_BLOCK;
		const int n = LZ4_decompress_safe((const char *)src + in, (char *)dst + out,
						  (int)packed, (int)room);
		if (n <= 0) /* also a block of nothing: a loop must get somewhere */
			return false;
		in += packed;
		out += (size_t)n;
	}
	return out == dst_len;
}

static const struct packing {
	uint8_t magic[4];
	uint8_t magic_len;
	const char *format;
	unpack_fn *unpack;
} packings[] = {
	{ { 0x1f, 0x8b }, 2, "bzImage (gzip payload)", unpack_gzip },
	{ { 0xfd, '7', 'z', 'X' }, 4, "bzImage (xz payload)", unpack_xz },
	{ { 0x28, 0xb5, 0x2f, 0xfd }, 4, "bzImage (zstd payload)", unpack_zstd },
	{ { 0x02, 0x21, 0x4c, 0x18 }, 4, "bzImage (lz4 payload)", unpack_lz4 },
};

int unpack_payload(const uint8_t *payload, uint64_t len, uint64_t max, struct source *dst,
		   const char **format, const char **why)
{
	uint32_t size;

	if (len < 8)
		return source_refuse(why, -ENOEXEC, "is a bzImage without a payload");
	for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
		const struct packing *p = &packings[i];

		if (memcmp(payload, p->magic, p->magic_len) != 0)
			continue;
		memcpy(&size, payload + len - sizeof(size), sizeof(size));
		size = le32toh(size);
		if (size == 0 || size > max)
			return source_refuse(why, -ENOEXEC,
					     "is a bzImage whose payload has an impossible size");
		int err = source_alloc(dst, size);
		if (err)
			return source_refuse(why, err, "cannot be unpacked: no memory");
		if (!p->unpack(payload, len, dst->data, size)) {
			source_free(dst);
			return source_refuse(why, -ENOEXEC, "is a bzImage with a damaged payload");
		}
		*format = p->format;
		return 0;
	}
	return source_refuse(why, -ENOTSUP,
			     "is a bzImage packed neither by gzip, xz, zstd nor lz4");
}
