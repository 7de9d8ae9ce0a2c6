# SPDX-License-Identifier: Apache-2.0
"""What the boot tests share: the monitor's command, run once, and what came of it."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LUPINE_BUILD") or ROOT / "build")
MONITOR = BUILD / "lupine-vmm"
GUESTS = pathlib.Path(os.environ.get("LUPINE_GUESTS") or BUILD / "guests")

# Exit codes of the monitor, as its --help lists them.
OPTIONS, HOST, KERNEL, MEMORY, DISK, NET, BOOT, RUN = range(200, 208)
PANIC, TRIPLE_FAULT, TIMEOUT, RESET, REPORT = range(208, 213)


def bare(name):
    return BUILD / "tests/bare" / f"bare_{name}"


class Result:
    def __init__(self, process, report):
        self.status = process.returncode
        self.out = process.stdout.decode(errors="replace")
        self.err = process.stderr.decode(errors="replace")
        self.report = report


class VmTest(unittest.TestCase):
    """A test with a folder of its own, which is gone afterwards."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lupine-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, content=b""):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def disk(self, name="disk.img", size=1 << 20):
        path = self.folder / name
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    def vm(self, *arguments, timeout=60, wall=180, report=True, wrapper=(), **more):
        """Runs the monitor to its end. @timeout: the guest's; @wall: after which the test fails."""
        command = [*map(str, wrapper), str(MONITOR), *map(str, arguments)]
        report_file = self.folder / "report.json"
        if timeout:
            command += ["--timeout", str(timeout)]
        if report:
            command += ["--report", f"json:{report_file}"]
        process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, timeout=wall, check=False, **more)
        parsed = None
        if report and report_file.exists():
            parsed = json.loads(report_file.read_text())
            report_file.unlink()
        return Result(process, parsed)

    def refused(self, code, words, *arguments, **more):
        """The monitor ends with @code and one line on standard error that has @words in it."""
        before = set(self.folder.iterdir())
        result = self.vm(*arguments, **more)
        self.assertEqual(result.status, code, result.err)
        lines = result.err.splitlines()
        self.assertEqual(len(lines), 1, result.err)
        self.assertTrue(lines[0].startswith("lupine-vmm: "), lines[0])
        self.assertIn(words, lines[0])
        self.assertEqual(result.out, "")
        self.assertEqual(set(self.folder.iterdir()), before, "something was left behind")
        return result


@contextlib.contextmanager
def tap(name, address=None):
    """A tap interface of this host, up, with @address (CIDR)."""
    subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"], check=True)
    try:
        if address:
            subprocess.run(["ip", "address", "add", address, "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False)
