# SPDX-License-Identifier: Apache-2.0
"""Disks and network cards with each of their options under Linux, and the power cut while a guest writes."""

import os
import random
import signal
import socket
import struct
import subprocess
import threading

from test_linux import ELF, GUEST, HOST, IMAGE, PORT, TOTAL, Linux
from vm import DISK, MONITOR, NET, tap

BLOCK = 4096
ROUNDS = int(os.environ.get("LUPINE_ROUNDS", "5"))


class Disks(Linux):
    def right(self, options, cpus=1):
        vdb, vdc = self.disk("vdb", 4 << 20), self.disk("vdc")
        self.answers("disks", "disks are right", "--disk", f"{vdb}{options}", "--disk", f"{vdc},ro", "--cpus", cpus)
        content = vdb.read_bytes()
        for block in (0, 1, 1023):
            self.assertEqual(content[block * BLOCK:][:BLOCK], bytes((block * 31 + i) % 256 for i in range(BLOCK)))

    def test_cache_modes(self):
        for options in (",cache=writeback", ",cache=writethrough"):
            with self.subTest(options=options):
                self.right(options)

    def test_queues(self):
        self.right(",queues=4", cpus=4)
        self.right(",queues=2", cpus=1)

    def test_rate_limits(self):
        self.right(",bps=64M,iops=5K")

    def test_discard_and_write_zeroes(self):
        vdb = self.file("vdb", b"x" * (8 << 20))
        self.answers("clear", "cleared", "--disk", vdb)
        content = vdb.read_bytes()
        self.assertEqual(len(content), 8 << 20)
        self.assertEqual(content[1 << 20:2 << 20], bytes(1 << 20))
        self.assertEqual(content[5 << 20:], b"x" * (3 << 20))

    def test_refusals(self):
        self.refused(DISK, "queues", "--kernel", ELF, "--disk", f"{self.disk()},queues=17")
        self.refused(200, "direct", "--kernel", ELF, "--disk", f"{self.disk()},direct=maybe")


class Nets(Linux):
    def both_ways(self, options, *arguments, name):
        """The guest sends TOTAL bytes, and gets as many."""
        with socket.create_server((HOST, PORT)) as server:
            server.settimeout(120)

            def serve():
                connection, _ = server.accept()
                with connection:
                    got = 0
                    while got < TOTAL:
                        got += len(connection.recv(1 << 16)) or TOTAL
                    pattern = bytes(i % 251 for i in range(65536))
                    for _ in range(TOTAL // 65536):
                        connection.sendall(pattern)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            self.answers("net_out", f"received {TOTAL}", "--net", f"tap={name}{options}", *arguments,
                         cmdline=f"lupine_net={GUEST}/24", timeout=120)
            thread.join(30)

    def test_rate_limits(self):
        with tap("lupine0", f"{HOST}/24") as name:
            self.both_ways(",bps=16M,pps=20K", name=name)

    def test_mtu(self):
        with tap("lupine0", f"{HOST}/24") as name:
            self.answers("mtu", "mtu 1280", "--net", f"tap={name},mtu=1280", cmdline=f"lupine_net={GUEST}/24")
            self.both_ways(",mtu=1280", name=name)

    def test_queues(self):
        subprocess.run(["ip", "tuntap", "add", "dev", "lupine1", "mode", "tap", "multi_queue", "vnet_hdr"], check=True)
        self.addCleanup(subprocess.run, ["ip", "link", "delete", "lupine1"], check=False)
        subprocess.run(["ip", "address", "add", f"{HOST}/24", "dev", "lupine1"], check=True)
        subprocess.run(["ip", "link", "set", "lupine1", "up"], check=True)
        self.both_ways(",queues=2", "--cpus", "2", name="lupine1")

    def test_refusals(self):
        with tap("lupine0") as name:
            self.refused(NET, "queues", "--kernel", ELF, "--net", f"tap={name},queues=2")
        self.refused(NET, "passt", "--kernel", ELF, "--net", f"socket={self.folder}/nobody")
        self.refused(NET, "socket", "--kernel", ELF, "--net", "fd=0")
        self.refused(200, "one of", "--kernel", ELF, "--net", "mtu=1500")


class PowerCuts(Linux):
    """The monitor dies by SIGKILL while the guest writes: what fsync acknowledged is on the disk."""

    def one_round(self, disk, options, acknowledged):
        process = subprocess.Popen([str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--disk",
                                    f"{disk}{options}", "--cmdline", "lupine_test=records"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        wanted, seen = random.randint(1, 60), 0
        for line in process.stdout:
            if line.startswith("from "):
                self.assertGreaterEqual(int(line.split()[1]), acknowledged)
            if line.startswith("record "):
                acknowledged, seen = int(line.split()[1]), seen + 1
            if seen == wanted:
                process.send_signal(signal.SIGKILL)
                break
        else:
            self.fail("the guest ended by itself")
        rest = process.stdout.read()  # what it had still said before it died
        process.wait()
        told = [int(line.split()[1]) for line in rest.splitlines(True)
                if line.startswith("record ") and line.endswith("\n")]
        return max([acknowledged, *told])

    def check(self, disk, acknowledged):
        """Each block has the last record that belongs there, whole; one more may be under way."""
        content = disk.read_bytes()
        blocks = len(content) // BLOCK
        for index in range(blocks):
            words = struct.unpack(f"<{BLOCK // 8}Q", content[index * BLOCK:][:BLOCK])
            last = acknowledged - (acknowledged - index) % blocks
            if last <= 0:
                continue
            if words[0] != last + blocks:  # the one under way
                self.assertEqual(set(words), {last}, f"block {index} of {acknowledged} records")

    def test_acknowledged_records_survive(self):
        for options in ("", ",cache=writethrough"):
            disk, acknowledged = self.disk(f"records{options}".replace(",", "-"), 32 * BLOCK), 0
            for _ in range(ROUNDS):
                acknowledged = self.one_round(disk, options, acknowledged)
                self.check(disk, acknowledged)
            print(f"{ROUNDS} power cuts{options}: {acknowledged} records acknowledged, none lost")
            self.assertGreaterEqual(acknowledged, ROUNDS)
