# SPDX-License-Identifier: Apache-2.0
"""A stock distribution kernel (Debian's cloud kernel): ACPI, modules, an initramfs, a shell on the
disk's root. What boots is made by tests/boot/stock."""

import os
import pathlib
import selectors
import shutil
import subprocess
import time

from vm import MONITOR, RESET, VmTest

CACHE = pathlib.Path(os.environ.get("LUPINE_CACHE") or pathlib.Path.home() / ".cache/lupine")
STOCK = max(CACHE.glob("stock/current-*"), default=CACHE / "stock/none")
PROMPT = "stock# "


class Shell:
    """The monitor, with its console on pipes."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(MONITOR), *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.seen = ""

    def expect(self, text, seconds=120):
        """Reads until @text; what came before it."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while text not in self.seen:
                ready = selector.select(max(0, deadline - time.monotonic()))
                data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
                if not data:
                    self.process.kill()
                    raise AssertionError(f"no {text!r} but: {self.seen[-3000:]}"
                                         f"{self.process.communicate()[1].decode()}")
                self.seen += data.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, line):
        """The output of a command: what comes between its echo and the next prompt."""
        self.type(line)
        self.expect("\n")
        return self.expect(PROMPT).replace("\r", "").strip()

    def end(self):
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.decode(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.communicate()


class Stock(VmTest):
    def boot(self, way, *arguments):
        if not STOCK.exists():
            self.fail(f"no stock guest in {CACHE}: run tests/boot/stock")
        root = self.folder / f"{way}.img"
        shutil.copyfile(STOCK / "root.img", root)
        shell = Shell("--kernel", STOCK / "vmlinuz", "--initrd", STOCK / "initrd", "--disk", root,
                      "--bzimage", way, "--mem", "256M", "--timeout", "170", *arguments)
        self.addCleanup(shell.kill)
        shell.expect(PROMPT)
        return shell, root

    def check_machine(self, shell, cpus):
        self.assertIn("/dev/vda / ext4 rw", shell.ask("grep ' / ' /proc/mounts"))
        self.assertIn("cloud", shell.ask("cat /made-for"))
        self.assertEqual(shell.ask("uname -r"), shell.ask("cat /made-for"))
        self.assertEqual(shell.ask("nproc"), str(cpus))
        self.assertEqual(shell.ask("cat /sys/block/vdb/size"), "2048")
        self.assertEqual(shell.ask("ls -d /sys/bus/acpi/devices/LNRO0005:*").count("LNRO0005"), 2)
        self.assertIn("random: crng init done", shell.ask("dmesg | head -n 30"))

    def test_boots_to_a_shell_and_powers_off(self):
        for way, cpus in (("unpack", 4), ("enter", 1)):
            with self.subTest(way=way, cpus=cpus):
                shell, root = self.boot(way, "--cpus", cpus, "--disk", self.disk())
                self.check_machine(shell, cpus)
                self.assertEqual(shell.ask(f"echo {way} >/written; sync; cat /written"), way)
                shell.type("poweroff -f")
                self.assertEqual(shell.end(), (0, ""))
                written = subprocess.run(["debugfs", "-R", "cat /written", root],
                                         capture_output=True, text=True, check=True).stdout
                self.assertEqual(written, f"{way}\n")

    def test_reboot_resets(self):
        shell, _ = self.boot("unpack")
        shell.type("reboot -f")
        self.assertEqual(shell.end()[0], RESET)
