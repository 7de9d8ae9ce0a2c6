#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The profile's reader: a small machine's log, call trees and flame graphs from it."""

import os
import sys
import unittest
import xml.dom.minidom

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "bench"))
from lib import exec_log, flame, symbols  # noqa: E402
from lib.exec_log import CALL, GUEST, KERNEL, PLAIN, RETURN, USER  # noqa: E402

USER_FLAGS, KERNEL_FLAGS, GUEST_FLAGS = 0x40C0B3, 0x00C0B0, 0x20C0B0


def paragraph(*instructions):
    return ["IN: \n", *(f"0x{at:016x}:  {code:24} {text}\n" for at, code, text in instructions)]


def trace(number, pc, flags):
    return f"Trace 0: 0x7f{number:04x} [0000000000000000/{pc:016x}/{flags:08x}/ff020200] \n"


LOG = [
    # The launcher, which does not count; then the monitor: main calls f, which does a system call.
    *paragraph((0x20001000, "90", "nop")), trace(1, 0x20001000, USER_FLAGS),
    *paragraph((0x401000, "90", "nop"), (0x401001, "e8 00 00 00 00", "callq    0x402000")),
    trace(2, 0x401000, USER_FLAGS),
    *paragraph((0x402000, "0f 05", "syscall")), trace(3, 0x402000, USER_FLAGS),
    # The host kernel: entry calls work, which enters the guest.
    *paragraph((0xFFFFFFFF81000000, "e8 00 00 00 00", "callq    work")),
    trace(4, 0xFFFFFFFF81000000, KERNEL_FLAGS),
    *paragraph((0xFFFFFFFF81001000, "90", "nop"), (0xFFFFFFFF81001001, "90", "nop"),
               (0xFFFFFFFF81001002, "0f 01 d8", "vmrun    %rax")),
    trace(5, 0xFFFFFFFF81001000, KERNEL_FLAGS),
    # The guest, which QEMU cannot read: start calls init and is stopped once by the clock.
    "IN: \n", "0xffffffff80200ffe: unable to read memory\n", "OP:\n",
    " ---- 0000000000000ffe 0000000000000000\n", trace(6, 0xFFFFFFFF80200FFE, GUEST_FLAGS),
    "Stopped execution of TB chain before 0x7f0006 [ffffffff80200ffe] \n",
    trace(6, 0xFFFFFFFF80200FFE, GUEST_FLAGS),
    "IN: \n", "0xffffffff80300000: unable to read memory\n",
    " ---- 0000000000000000 0000000000000000\n", " ---- 0000000000000001 0000000000000000\n",
    trace(7, 0xFFFFFFFF80300000, GUEST_FLAGS),
    # An exit in between: the host goes on where it was.
    *paragraph((0xFFFFFFFF81001005, "c3", "retq")), trace(8, 0xFFFFFFFF81001005, KERNEL_FLAGS),
    *paragraph((0xFFFFFFFF81000005, "90", "nop")), trace(9, 0xFFFFFFFF81000005, KERNEL_FLAGS),
    "IN: \n", "0xffffffff80201003: unable to read memory\n",
    " ---- 0000000000000003 0000000000000000\n", trace(10, 0xFFFFFFFF80201003, GUEST_FLAGS),
    # init's first instruction: the end.
    "IN: \n", "0x0000000000401000: unable to read memory\n",
    " ---- 0000000000000000 0000000000000000\n", trace(11, 0x401000, GUEST_FLAGS | 3),
    trace(2, 0x401000, USER_FLAGS),
]
CODE = {0xFFFFFFFF80200FFE: b"\xe8\x00\x00\x00\x00", 0xFFFFFFFF80300001: b"\xc3"}


def follow():
    machine = exec_log.Machine(lambda pc: pc < 0x30000000 and pc >= 0x20000000)
    exec_log.read([line.encode() for line in LOG], machine, lambda at: CODE.get(at, b"\x90"))
    return machine


class Instructions(unittest.TestCase):
    def test_kinds(self):
        for code, expected in (
                ("e8 01 02 03 04", (CALL, 5)), ("3e e8 01 02 03 04", (CALL, 6)),
                ("ff d0", (CALL, 2)), ("41 ff d3", (CALL, 3)), ("ff 50 10", (CALL, 3)),
                ("ff 15 01 02 03 04", (CALL, 6)), ("ff 14 25 01 02 03 04", (CALL, 7)),
                ("ff 14 c5 01 02 03 04", (CALL, 7)), ("ff 54 24 08", (CALL, 4)),
                ("ff 90 01 02 03 04", (CALL, 6)), ("c3", (RETURN, 0)), ("f3 c3", (RETURN, 0)),
                ("ff e0", (PLAIN, 0)), ("90", (PLAIN, 0)), ("", (PLAIN, 0))):
            self.assertEqual(exec_log.kind_of(bytes.fromhex(code)), expected, code)


class Log(unittest.TestCase):
    def test_totals(self):
        machine = follow()
        self.assertTrue(machine.ended)
        self.assertEqual({k: n for k, n in machine.totals.items() if n},
                         {(0, USER): 3, (0, KERNEL): 4, (1, GUEST): 1 + 2 + 1, (1, KERNEL): 2})

    def test_callers(self):
        machine = follow()
        start = machine.roots[1, GUEST]
        (ret, pc), callee = next(iter(start.children.items()))
        self.assertEqual((ret, pc), (0xFFFFFFFF80201003, 0xFFFFFFFF80300000))
        self.assertEqual(sum(b.count * n for b, n in callee.blocks.items()), 2)
        # After the return it is the caller's again, across the exit.
        self.assertEqual({b.pc for b, n in start.blocks.items() if n},
                         {0xFFFFFFFF80200FFE, 0xFFFFFFFF80201003})
        self.assertEqual(machine.milestones, {0xFFFFFFFF80300000: 1})

    def test_a_system_call_begins_a_stack(self):
        machine = follow()
        (_, pc), entry = next(iter(machine.roots[0, KERNEL].children.items()))
        self.assertEqual(pc, 0xFFFFFFFF81000000)
        self.assertEqual([p for _, p in entry.children], [0xFFFFFFFF81001000])


class Flame(unittest.TestCase):
    def graph(self):
        names = symbols.Symbols(symbols.parse_map(
            ["ffffffff80200000 T start\n", "ffffffff80300000 t <init>\n", "0 A absolute\n"]))
        root = flame.Frame("guest")
        flame.add_tree(root, follow().roots[1, GUEST], names, lambda b: b.count)
        return root

    def test_sums(self):
        root = self.graph()
        self.assertEqual(root.total, 4)
        self.assertEqual(flame.by_name(root), {"guest": 0, "start": 2, "<init>": 2})

    def test_svg_is_well_formed(self):
        text = flame.svg(self.graph(), "a & b")
        xml.dom.minidom.parseString(text)
        self.assertIn("&lt;init&gt;: 2 (50.00%)", text)


class Symbols(unittest.TestCase):
    def test_nearest_below_and_the_plain_name(self):
        names = symbols.Symbols([(16, "__f"), (16, "f"), (32, "g")], "none")
        self.assertEqual([names(a) for a in (15, 16, 31, 32, 99)], ["none", "f", "f", "g", "g"])


if __name__ == "__main__":
    unittest.main()
