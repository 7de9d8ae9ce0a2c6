# SPDX-License-Identifier: Apache-2.0
"""Disks and network cards with each of their options under Linux, and the power cut while a guest writes."""

import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from test_linux import ELF, GUEST, HOST, IMAGE, PATTERN, PORT, TOTAL, Linux
from vm import BUILD, DISK, MONITOR, NET, tap

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

    def test_io_uring(self):
        self.right(",io=uring")
        self.right(",io=uring,cache=writethrough,queues=4", cpus=4)

    def test_served_by_the_vcpu(self):
        self.right(",serve=vcpu")
        self.right(",serve=vcpu,io=uring,queues=2", cpus=2)

    def test_direct(self):
        """On a loop device: a rig's tmpfs has no direct I/O."""
        backing = subprocess.run(["losetup", "--find", "--show", self.disk("backing", 8 << 20)], check=True,
                                 capture_output=True, text=True).stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", backing], check=False)
        for options in (",direct=on", ",direct=on,io=sync", ",direct=on,io=uring", ",direct=on,without=6",
                        ",direct=on,without=10", ",direct=on,without=6:10"):  # BLK_SIZE, TOPOLOGY
            with self.subTest(options=options):
                self.answers("disks", "disks are right", "--disk", f"{backing}{options}", "--disk",
                             f"{self.disk('vdc')},ro")

    def test_each_feature_off(self):
        """SEG_MAX, FLUSH, MQ, DISCARD, WRITE_ZEROES, INDIRECT_DESC, EVENT_IDX, RING_RESET, quiet interrupts."""
        for feature in (2, 9, 12, 13, 14, 28, 29, 40, 49, "28:29", "29:49", "2:9:12:13:14:28:29:40:49"):
            with self.subTest(feature=feature):
                self.right(f",queues=2,without={feature}", cpus=2)

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
    def both_ways(self, options, *arguments, name, **more):
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
            result = self.answers("net_out", f"received {TOTAL}", "--net", f"tap={name}{options}", *arguments,
                                  cmdline=f"lupine_net={GUEST}/24", timeout=120, **more)
            thread.join(30)
            return result

    def test_rate_limits(self):
        with tap("lupine0", f"{HOST}/24") as name:
            self.both_ways(",bps=16M,pps=20K", name=name)

    def test_mtu(self):
        with tap("lupine0", f"{HOST}/24") as name:
            self.answers("mtu", "mtu 1280", "--net", f"tap={name},mtu=1280", cmdline=f"lupine_net={GUEST}/24")
            self.both_ways(",mtu=1280", name=name)
            self.answers("mtu", "mtu 1500", "--net", f"tap={name},mtu=1280,without=3",
                         cmdline=f"lupine_net={GUEST}/24")

    def multi_queue_tap(self, name):
        subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "multi_queue", "vnet_hdr"], check=True)
        self.addCleanup(subprocess.run, ["ip", "link", "delete", name], check=False)
        subprocess.run(["ip", "address", "add", f"{HOST}/24", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)

    def test_queues(self):
        self.multi_queue_tap("lupine1")
        for options in ("", ",without=17", ",without=22", ",without=17:22"):  # CTRL_VQ, MQ
            with self.subTest(options=options):
                self.both_ways(f",queues=2{options}", "--cpus", "2", name="lupine1")

    def test_each_feature_off(self):
        """Checksums and segmentation of either side, MAC, MRG_RXBUF, STATUS, and those of the rings."""
        with tap("lupine0", f"{HOST}/24") as name:
            for feature in (0, 1, 5, 7, 8, 9, 11, 12, 13, 15, 16, 28, 29, 40, 49, "28:29", "29:49",
                            "0:1:5:15:16:28:29:40:49"):
                with self.subTest(feature=feature):
                    self.both_ways(f",without={feature}", name=name)

    def test_refusals(self):
        with tap("lupine0") as name:
            self.refused(NET, "queues", "--kernel", ELF, "--net", f"tap={name},queues=2")
        self.refused(NET, "passt", "--kernel", ELF, "--net", f"socket={self.folder}/nobody")
        self.refused(NET, "socket", "--kernel", ELF, "--net", "fd=0")
        self.refused(200, "one of", "--kernel", ELF, "--net", "mtu=1500")
        self.refused(200, "68", "--kernel", ELF, "--net", "tap=lupine0,mtu=67")

    def test_served_by_the_vcpu(self):
        with tap("lupine0", f"{HOST}/24") as name:
            self.both_ways(",serve=vcpu", name=name)

    def vhost(self, options, *arguments, name="lupine0"):
        if not os.path.exists("/sys/module/vhost_net"):
            self.skipTest("no vhost_net on this host")
        if name == "lupine0":
            with tap(name, f"{HOST}/24"):
                result = self.both_ways(f",vhost=on{options}", *arguments, name=name)
        else:
            result = self.both_ways(f",vhost=on{options}", *arguments, name=name)
        self.assertEqual(result.err, "", "it fell back")

    def test_vhost(self):
        self.vhost("")
        self.vhost(",serve=vcpu,mtu=1280", "--cpus", "2")

    def test_vhost_queues(self):
        self.multi_queue_tap("lupine2")
        self.vhost(",queues=2", "--cpus", "2", name="lupine2")
        self.vhost(",queues=2,without=22", "--cpus", "2", name="lupine2")

    def test_vhost_and_each_feature_off(self):
        """MRG_RXBUF and those of the rings; then all there are."""
        for feature in (15, 28, 29, 49, "28:29", "29:49", "0:1:5:15:16:28:29:40:49"):
            with self.subTest(feature=feature):
                self.vhost(f",without={feature}")

    def test_vhost_and_a_hostile_driver(self):
        if not os.path.exists("/sys/module/vhost_net"):
            self.skipTest("no vhost_net on this host")
        with tap("lupine0", f"{HOST}/24") as name:
            done = subprocess.run([BUILD / "tests/unit/test_vhost"], env={**os.environ, "LUPINE_TAP": name},
                                  capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("SKIPPED", done.stdout + done.stderr)

    def test_no_vhost_on_the_host(self):
        """A device of that name which is none: one line says so, and packets pass all the same."""
        wrapper = self.file("wrapper", b"#!/bin/sh\nmount --bind /dev/null /dev/vhost-net\nexec \"$@\"\n")
        if not os.path.exists("/dev/vhost-net"):
            self.skipTest("no vhost_net on this host")
        with tap("lupine0", f"{HOST}/24") as name:
            result = self.both_ways(",vhost=on", name=name, wrapper=("unshare", "-m", "sh", wrapper))
        self.assertIn("vhost", result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)

    def test_passt(self):
        """Without root: passt connects the guest to this host's own sockets."""
        if not shutil.which("passt"):
            self.skipTest("no passt on this host")
        path = self.folder / "passt.socket"
        self.folder.chmod(0o777)
        with tap("lupine3", "192.168.77.1/24"):  # passt wants a default route to copy
            subprocess.run(["ip", "route", "add", "default", "via", "192.168.77.2", "dev", "lupine3"], check=False)
            passt = subprocess.Popen(["passt", "--foreground", "--socket", path, "--address", GUEST,
                                      "--netmask", "255.255.255.0", "--gateway", HOST, "--mac-addr",
                                      "52:54:00:11:22:33", "--interface", "lupine3", "-4", "-t", str(PORT)],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(passt.wait)
            self.addCleanup(passt.kill)
            for _ in range(100):
                if path.exists():
                    break
                self.assertIsNone(passt.poll(), "passt ended")
                time.sleep(0.1)
            self.conversation(f"socket={path}", "127.0.0.1", test="net_greet")

    def conversation(self, net, address, during=None, test="net_in"):
        """A client of this host talks to a server in the guest."""
        process = subprocess.Popen([str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--net", net,
                                    "--timeout", "90", "--cmdline",
                                    f"lupine_test={test} lupine_net={GUEST}/24,{HOST}"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if "listening" in line:
                break
        with socket.create_connection((address, PORT), timeout=30) as sock:
            sock.sendall(PATTERN[:TOTAL // 2])
            if during:
                during(process)
            sock.sendall(PATTERN[TOTAL // 2:])
            sock.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        out, _ = process.communicate(timeout=60)
        self.assertEqual(got, PATTERN)
        self.assertIn(f"received {TOTAL}", out)
        self.assertEqual(process.returncode, 0)

    def test_a_tap_that_goes_down_and_comes_back(self):
        def bounce(process):
            for state in ("down", "up"):
                subprocess.run(["ip", "link", "set", "lupine0", state], check=True)
                process.send_signal(signal.SIGUSR1)
                time.sleep(0.5)

        for options in ("", ",vhost=on"):
            with self.subTest(options=options), tap("lupine0", f"{HOST}/24") as name:
                self.conversation(f"tap={name}{options}", GUEST, bounce)


class Changes(Linux):
    """What SIGUSR1 is for."""

    def test_sizes_and_carriers_are_seen(self):
        disk = self.disk("vdb", 1 << 20)
        with tap("lupine0", f"{HOST}/24") as name:
            process = subprocess.Popen([str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--disk", disk,
                                        "--net", f"tap={name}", "--timeout", "90", "--cmdline",
                                        f"lupine_test=watch lupine_net={GUEST}/24"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.kill)

            def expect(line):
                for got in process.stdout:
                    if got.strip() == line:
                        return
                self.fail(f"the guest ended without {line!r}")

            def change(command, line):
                subprocess.run(command, check=True)
                process.send_signal(signal.SIGUSR1)
                expect(line)

            expect("link up")
            change(["truncate", "-s", "2M", disk], f"vdb has {2 << 20}")
            change(["ip", "link", "set", name, "down"], "link down")
            change(["truncate", "-s", "1M", disk], f"vdb has {1 << 20}")
            change(["ip", "link", "set", name, "up"], "link up")
            change(["truncate", "-s", "3M", disk], f"vdb has {3 << 20}")
            self.assertEqual(process.wait(60), 0)


class Errors(Linux):
    def test_the_hosts_errors_reach_the_guest(self):
        """EIO: the image is cut short under the guest. ENOSPC: a hole in it on a file system that is full."""
        folder = self.folder / "full"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "full", folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=False)
        for options in ("", ",io=uring"):
            with self.subTest(options=options):
                disk, rest = folder / "vdb", folder / "rest"
                with open(disk, "wb") as f:
                    f.truncate(1 << 20)
                process = subprocess.Popen([str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--disk",
                                            f"{disk}{options}", "--timeout", "60", "--cmdline",
                                            "lupine_test=errors"],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self.addCleanup(process.stdout.close)
                self.addCleanup(process.stdin.close)
                self.addCleanup(process.kill)

                def expect(*lines):
                    got = [next(line.strip() for line in process.stdout if line.startswith(("read", "write")))
                           for _ in lines]
                    self.assertEqual(tuple(got), lines)

                expect("read right", "write right")
                os.truncate(disk, 512 << 10)
                with open(rest, "wb", buffering=0) as f:
                    with self.assertRaises(OSError):
                        while True:
                            f.write(bytes(4096))
                process.stdin.write("\n")
                process.stdin.flush()
                # Linux has the name of ENOSPC for itself: any failed write is EIO.
                expect("read I/O error", "write I/O error")
                rest.unlink()
                os.truncate(disk, 1 << 20)
                process.stdin.write("\n")
                process.stdin.flush()
                expect("read right", "write right")
                self.assertEqual(process.wait(60), 0)


class PowerCuts(Linux):
    """The monitor dies by SIGKILL while the guest writes: what fsync acknowledged is on the disk."""

    carried = 0  # requests that went by way of an io_uring

    @staticmethod
    def carried_by_ring(process):
        infos = [info.read_text() for info in pathlib.Path(f"/proc/{process.pid}/fdinfo").iterdir()]
        return sum(int(count) for info in infos for count in re.findall(r"^SqTail:\s*(\d+)", info, re.M))

    def one_round(self, test, disk, options, acknowledged, kept=None):
        """Returns the highest record that was acknowledged before the power went. @kept is told what files have."""
        process = subprocess.Popen([str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--disk",
                                    f"{disk}{options}", "--cmdline", f"lupine_test={test}"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        wanted, seen = random.randint(1, 60), 0
        for line in process.stdout:
            if line.startswith("file "):
                kept(*map(int, line.split()[1::2]))
            if line.startswith("from "):
                self.assertGreaterEqual(int(line.split()[1]), acknowledged)
            if line.startswith("record "):
                acknowledged, seen = int(line.split()[1]), seen + 1
            if seen == wanted:
                time.sleep(random.uniform(0, 0.02))  # anywhere in the next ones
                self.carried += self.carried_by_ring(process)
                process.send_signal(signal.SIGKILL)
                break
        else:
            self.fail("the guest ended by itself")
        rest = process.stdout.read()  # what it had still said before it died
        process.stdout.close()
        process.wait()
        told = [int(line.split()[1]) for line in rest.splitlines(True)
                if line.startswith("record ") and line.endswith("\n")]
        return max([acknowledged, *told])

    def check(self, disk, acknowledged):
        """Each block has the last record that belongs there, whole; one group more may be under way."""
        content = disk.read_bytes()
        blocks = len(content) // BLOCK
        for last in range(max(acknowledged - blocks, 0) + 1, acknowledged + 1):
            index = last * 5 % blocks
            words = struct.unpack(f"<{BLOCK // 8}Q", content[index * BLOCK:][:BLOCK])
            if words[0] != last + blocks:  # one under way
                self.assertEqual(set(words), {last}, f"block {index} of {acknowledged} records")

    def test_acknowledged_records_survive(self):
        for options in ("", ",cache=writethrough", ",io=uring"):
            disk, acknowledged = self.disk(f"records{options}".replace(",", "-"), 32 * BLOCK), 0
            self.carried = 0
            for _ in range(ROUNDS):
                acknowledged = self.one_round("records", disk, options, acknowledged)
                self.check(disk, acknowledged)
            print(f"{ROUNDS} power cuts{options}: {acknowledged} records acknowledged, none lost; "
                  f"{self.carried} requests by io_uring")
            self.assertGreaterEqual(acknowledged, ROUNDS)
            if "uring" in options:
                self.assertGreater(self.carried, acknowledged // 2)

    def test_a_file_system_survives(self):
        """ext4, files that get their name once they are whole: as databases do it. The guest itself replays the
        journal and says what it finds; e2fsck looks at a copy of what the power cut left."""
        files = 64
        for options in ("", ",io=uring"):
            disk, acknowledged = self.disk(f"files{options}".replace(",", "-"), 16 << 20), 0
            subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True)

            def kept(index, number, limit=lambda: acknowledged):
                last = limit() - (limit() - index) % files
                self.assertTrue(last <= 0 or number in (last, last + files),
                                f"file {index} has {number}, {limit()} records were acknowledged")

            for _ in range(ROUNDS):
                acknowledged = self.one_round("files", disk, options, acknowledged, kept)
                copy = self.folder / "copy"
                shutil.copy(disk, copy)
                checked = subprocess.run(["e2fsck", "-fp", copy], capture_output=True, text=True, check=False)
                self.assertIn(checked.returncode, (0, 1), checked.stdout)
                subprocess.run(["e2fsck", "-fn", copy], capture_output=True, check=True)
            print(f"{ROUNDS} power cuts of an ext4{options}: {acknowledged} files acknowledged, none lost")
            self.assertGreaterEqual(acknowledged, ROUNDS)
