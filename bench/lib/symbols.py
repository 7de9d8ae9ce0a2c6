# SPDX-License-Identifier: Apache-2.0
"""Names of addresses: System.map, /proc/kallsyms, the symbol table of a static program."""

import bisect
import os
import struct

SHT_SYMTAB, STT_FUNC, STT_NOTYPE = 2, 2, 0


class Symbols:
    def __init__(self, pairs, otherwise="?"):
        names = {}
        for address, name in pairs:
            old = names.get(address)
            # Of several names the one a person would know: no compiler's or linker's mark.
            if old is None or (old.startswith(("_", ".")) and not name.startswith(("_", "."))):
                names[address] = name
        self.addresses = sorted(names)
        self.names = [names[a] for a in self.addresses]
        self.otherwise = otherwise

    def __call__(self, address):
        i = bisect.bisect_right(self.addresses, address) - 1
        return self.names[i] if i >= 0 else self.otherwise


def parse_map(lines):
    """"ffffffff81000000 T _text" or, of a module, "ffffffffc0000000 t name\t[module]"."""
    for line in lines:
        words = line.split()
        if len(words) >= 3 and words[1] in "tTwW":
            yield int(words[0], 16), words[2]


def kernel_map(path):
    with open(path, encoding="ascii", errors="replace") as f:
        return Symbols(parse_map(f))


def map_of(kernel):
    """The System.map that belongs to a kernel's file, or None."""
    stem = kernel.rsplit(".", 1)[0]
    near = f"{stem}.System.map", os.path.join(os.path.dirname(kernel), "System.map")
    return next((path for path in near if os.path.exists(path)), None)


def elf_functions(path):
    """(address, name) of an ELF file's functions; none of one that is stripped or relocated."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"\x7fELF" or struct.unpack_from("<H", data, 16)[0] != 2:  # ET_EXEC
        return
    offset, = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQII", data, offset + i * size) for i in range(count)]
    for _, kind, _, _, at, length, link, _ in headers:
        if kind != SHT_SYMTAB:
            continue
        strings = headers[link][4]
        for symbol in range(at, at + length, 24):
            name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, symbol)
            if info & 15 in (STT_FUNC, STT_NOTYPE) and section and value:
                end = data.index(b"\0", strings + name)
                text = data[strings + name : end].decode("ascii", "replace")
                if text:
                    yield value, text
