# SPDX-License-Identifier: Apache-2.0
"""Wrong input: one line that says what and where, an exit code of its own, nothing left behind."""

import os
import struct
import subprocess

from vm import BOOT, DISK, HOST, KERNEL, MEMORY, MONITOR, NET, OPTIONS, VmTest, bare


def elf(segments=((0x1000000, b"\xf4", 1),), machine=62, bits=2, entry=0x1000000, kind=2):
    """An ELF of @segments: (gpa, content, size in memory)."""
    header_size, entry_size = 64, 56
    offset = header_size + entry_size * len(segments)
    headers, contents = b"", b""
    for gpa, content, size in segments:
        headers += struct.pack("<IIQQQQQQ", 1, 7, offset + len(contents), gpa, gpa, len(content),
                               size, 4096)
        contents += content
    ident = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, header_size, 0, 0,
                               header_size, entry_size, len(segments), 0, 0, 0) + headers + contents


class Options(VmTest):
    def refused_options(self, words, *arguments):
        self.refused(OPTIONS, words, *arguments, report=False, timeout=None)

    def test_each(self):
        kernel = ("--kernel", bare("exit_42"))
        for words, arguments in (
            ("no kernel", ()),
            ("--frobnicate: unknown option", (*kernel, "--frobnicate")),
            ("--kernel needs a value", ("--kernel",)),
            ("not an option", (*kernel, "stray")),
            ("--mem 0", (*kernel, "--mem", "0")),
            ("--mem -1", (*kernel, "--mem", "-1")),
            ("--mem 12Q", (*kernel, "--mem", "12Q")),
            ("--mem 99999999999T", (*kernel, "--mem", "99999999999T")),
            ("not a multiple of 4096", (*kernel, "--mem", "33554433")),
            ("1 TiB", (*kernel, "--mem", "1025G")),
            ("only hugetlb", (*kernel, "--mem", "128M,huge")),
            ("--mem ,hugetlb", (*kernel, "--mem", ",hugetlb")),
            ("huge page of 2 MiB", (*kernel, "--mem", "33M,hugetlb")),
            ("--cpus 0", (*kernel, "--cpus", "0")),
            ("--cpus 17", (*kernel, "--cpus", "17")),
            ("--cpus two", (*kernel, "--cpus", "two")),
            ("--timeout 0", (*kernel, "--timeout", "0")),
            ("--timeout never", (*kernel, "--timeout", "never")),
            ("--disk", (*kernel, "--disk", "")),
            ("--net", (*kernel, "--net", "")),
            ("--net: mac=", (*kernel, "--net", "tap=t,mac=12:34")),
            ("colour", (*kernel, "--net", "tap=t,colour=9")),
            ("multicast", (*kernel, "--net", "tap=t,mac=01:00:5e:00:00:01")),
            ("--console tty", (*kernel, "--console", "tty")),
            ("--console file:", (*kernel, "--console", "file:/nowhere/at/all")),
            ("--report xml", (*kernel, "--report", "xml")),
            ("--seccomp maybe", (*kernel, "--seccomp", "maybe")),
            ("--exit-port maybe", (*kernel, "--exit-port", "maybe")),
            ("--bzimage maybe", (*kernel, "--bzimage", "maybe")),
            ("room for 19", (*kernel, *["--disk", "x"] * 20)),
        ):
            with self.subTest(words=words):
                self.refused_options(words, *arguments)

    def test_help_and_version(self):
        for option, word in (("--help", "--kernel FILE"), ("--version", "lupine-vmm 0")):
            with self.subTest(option=option):
                result = self.vm(option, report=False, timeout=None)
                self.assertEqual((result.status, result.err), (0, ""))
                self.assertIn(word, result.out)


class Kernels(VmTest):
    def bad(self, words, content, code=KERNEL, *more):
        self.refused(code, words, "--kernel", self.file("kernel", content), *more)

    def test_files(self):
        self.refused(KERNEL, "No such file", "--kernel", self.folder / "missing")
        self.refused(KERNEL, "kernel /", "--kernel", self.folder)
        self.refused(KERNEL, "kernel /dev/null", "--kernel", "/dev/null")
        self.bad("empty", b"")
        self.bad("kernel", b"#!/bin/sh\n" * 1000)
        self.bad("kernel", os.urandom(1 << 16))

    def test_elf(self):
        gpa, mib = 0x1000000, 1 << 20
        self.assertEqual(self.vm("--kernel", self.file("good", elf()), timeout=0.3).status, 210)
        for words, content in (
            ("64-bit", elf(bits=1)),
            ("x86-64", elf(machine=183)),
            ("cut short", elf()[:100]),
            ("overlap", elf([(gpa, b"a" * 8192, 8192), (gpa + 4096, b"b" * 8192, 8192)])),
            ("entry", elf(entry=0x2000000)),
        ):
            with self.subTest(words=words):
                self.bad(words, content)
        for name, content in (
            ("wrapping", elf([(2**64 - 4096, b"a", 8192)], entry=2**64 - 4096)),
            ("in the monitor's place", elf([(0x7000, b"a", 1)], entry=0x7000)),
            ("file larger than memory", elf([(gpa, b"a" * 4096, 1)])),
            ("no segments", elf([])),
        ):
            with self.subTest(name=name):
                self.bad("kernel", content)
        self.bad("memory", elf([(gpa, b"a", 300 * mib)]), MEMORY)

    def test_memory_too_small(self):
        self.refused(MEMORY, "memory", "--kernel", bare("exit_42"), "--mem", "8M")
        self.refused(MEMORY, "memory", "--kernel", bare("exit_42"), "--mem", "4K")

    def test_no_huge_pages_reserved(self):
        self.refused(MEMORY, "vm.nr_hugepages", "--kernel", bare("exit_42"), "--mem",
                     "900G,hugetlb")

    def test_no_permission_on_kvm(self):
        mode = os.stat("/dev/kvm").st_mode
        self.addCleanup(os.chmod, "/dev/kvm", mode)
        os.chmod("/dev/kvm", 0o600)
        self.refused(HOST, "/dev/kvm: no permission", "--kernel", bare("exit_42"),
                     report=False, user=65534, group=65534, extra_groups=[])

    def test_no_kvm(self):
        command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh",
                   str(MONITOR), "--kernel", str(bare("exit_42"))]
        process = subprocess.run(command, capture_output=True, check=False)
        self.assertEqual(process.returncode, HOST)
        self.assertIn(b"/dev/kvm: not there", process.stderr)


class Disks(VmTest):
    def test_each(self):
        kernel = ("--kernel", bare("exit_42"))
        self.refused(DISK, "does not exist", *kernel, "--disk", self.folder / "missing")
        self.refused(DISK, "directory", *kernel, "--disk", self.folder)
        self.refused(DISK, "512", *kernel, "--disk", self.file("odd", b"x" * 1000))
        self.refused(DISK, "disk /dev/null", *kernel, "--disk", "/dev/null")
        self.refused(DISK, "disk", *kernel, "--disk", self.file("empty", b""))

    def test_in_use(self):
        disk = self.disk()
        with subprocess.Popen([str(MONITOR), "--kernel", str(bare("chatter")), "--disk",
                               str(disk)], stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            self.refused(DISK, "in use", "--kernel", bare("exit_42"), "--disk", disk)
            self.refused(DISK, "in use", "--kernel", bare("exit_42"), "--disk", f"{disk},ro")
            other.kill()
        self.assertEqual(self.vm("--kernel", bare("exit_42"), "--disk", disk).status, 42)

    def test_read_only_without_ro(self):
        disk = self.disk()
        os.chmod(disk, 0o444)
        os.chmod(self.folder, 0o755)
        run = dict(user=65534, group=65534, extra_groups=[os.stat("/dev/kvm").st_gid],
                   report=False)
        self.addCleanup(os.chmod, "/dev/kvm", os.stat("/dev/kvm").st_mode)
        os.chmod("/dev/kvm", 0o666)
        self.refused(DISK, "ro", "--kernel", bare("exit_42"), "--disk", disk, **run)
        self.assertEqual(
            self.vm("--kernel", bare("exit_42"), "--disk", f"{disk},ro", **run).status, 42)


class Nets(VmTest):
    def test_missing_tap(self):
        self.refused(NET, "net lupinenone", "--kernel", bare("exit_42"), "--net",
                     "tap=lupinenone")
        self.refused(NET, "net", "--kernel", bare("exit_42"), "--net", "tap=lo")
        self.refused(NET, "net", "--kernel", bare("exit_42"), "--net", "tap=" + "x" * 64)


class Boot(VmTest):
    def test_initrd(self):
        kernel = ("--kernel", bare("exit_42"))
        self.refused(BOOT, "No such file", *kernel, "--initrd", self.folder / "missing")
        self.refused(BOOT, "initrd", *kernel, "--initrd", self.folder)
        huge = self.disk("huge", 200 << 20)
        self.refused(BOOT, "too large", *kernel, "--initrd", huge)

    def test_command_line(self):
        self.refused(BOOT, "command line", "--kernel", bare("exit_42"), "--cmdline", "x" * 3000)
        self.refused(BOOT, "command line", "--kernel", bare("exit_42"), "--cmdline", "x" * 9000)
