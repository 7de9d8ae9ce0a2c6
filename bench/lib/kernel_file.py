# SPDX-License-Identifier: Apache-2.0
"""What the benchmark needs to know of a kernel file."""

import struct

PT_LOAD, PT_NOTE, XEN_ELFNOTE_PHYS32_ENTRY = 1, 4, 18


def is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def segments(data):
    offset, = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for i in range(count):
        yield struct.unpack_from("<IIQQQQQQ", data, offset + i * size)


def load_range(path):
    """Physical addresses [low, high) that the kernel occupies when it is entered."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"\x7fELF":
        return 0x100000, 0x4000000  # a bzImage, and what it unpacks itself to
    loads = [s for s in segments(data) if s[0] == PT_LOAD]
    return min(s[4] for s in loads), max(s[4] + s[6] for s in loads)


def has_pvh_note(path):
    """Whether QEMU can enter this ELF kernel directly (CONFIG_PVH)."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"\x7fELF":
        return False
    for kind, _, offset, _, _, size, _, _ in segments(data):
        at, end = offset, offset + size
        while kind == PT_NOTE and at + 12 <= end:
            name_size, desc_size, note = struct.unpack_from("<III", data, at)
            if note == XEN_ELFNOTE_PHYS32_ENTRY and data[at + 12 : at + 15] == b"Xen":
                return True
            at += 12 + (name_size + 3 & ~3) + (desc_size + 3 & ~3)
    return False


def code(path, base):
    """A function from an address, virtual or (below @base) physical, to the bytes there in the file."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"\x7fELF":
        return lambda address: b""
    loads = [(s[3], s[4], s[2], s[5]) for s in segments(data) if s[0] == PT_LOAD]

    def at(address):
        for virtual, physical, offset, size in loads:
            start = virtual if address >= base else physical
            if start <= address < start + size:
                return data[offset + address - start : offset + address - start + 16]
        return b""
    return at
