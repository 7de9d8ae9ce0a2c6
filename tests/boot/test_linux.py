# SPDX-License-Identifier: Apache-2.0
"""Our kernel and init, and an application that behaves as the command line says (tests/boot/linux)."""

import signal
import socket
import subprocess
import threading
import time

from vm import GUESTS, MONITOR, PANIC, TIMEOUT, VmTest, tap

ELF, BZIMAGE, IMAGE = (GUESTS / f"linux.{suffix}" for suffix in ("vmlinux", "bzImage", "img"))
HOST, GUEST, PORT, TOTAL = "10.77.0.1", "10.77.0.2", 7777, 4 << 20
PATTERN = (bytes(i % 251 for i in range(65536)) * (TOTAL // 65536))


class Linux(VmTest):
    def linux(self, test, *arguments, kernel=ELF, cmdline="", **more):
        return self.vm("--kernel", kernel, "--disk", f"{IMAGE},ro", "--mem", "64M", "--cmdline",
                       f"lupine_test={test} {cmdline}", *arguments, **more)

    def answers(self, test, words, *arguments, **more):
        result = self.linux(test, *arguments, **more)
        self.assertEqual(result.status, 0, result.out + result.err)
        self.assertIn(words, result.out)
        return result


class Kernels(Linux):
    def test_every_format_and_cpu_count(self):
        for kernel, ways in ((ELF, ("unpack",)), (BZIMAGE, ("unpack", "enter"))):
            for way in ways:
                for cpus in (1, 4):
                    with self.subTest(kernel=kernel.name, way=way, cpus=cpus):
                        result = self.answers("cpus", f"cpus {cpus}", "--bzimage", way, "--cpus",
                                              cpus, kernel=kernel)
                        steps = result.report["step_ns"]
                        self.assertLess(steps["run"], steps["init"])
                        self.assertLessEqual(steps["init"], steps["application"])

    def test_without_the_sandbox(self):
        self.answers("cpus", "cpus 2", "--cpus", 2, "--seccomp", "off")

    def test_the_seed_makes_the_crng_ready_and_differs(self):
        words = {self.answers("seeded", "random ").out.split()[-1] for _ in range(2)}
        self.assertEqual(len(words), 2)

    def test_time_passes(self):
        self.answers("sleep", "slept enough")


class Ends(Linux):
    def test_exit_status(self):
        self.assertEqual(self.linux("status").status, 42)

    def test_death_by_signal(self):
        self.assertEqual(self.linux("die").status, 128 + signal.SIGKILL)

    def test_panic(self):
        result = self.linux("status", "--console", "null", cmdline="init=/nothing")
        self.assertEqual(result.status, PANIC)

    def test_panic_shows_why(self):
        result = self.linux("status", "--console", f"file:{self.folder}/console",
                            cmdline="init=/nothing")
        self.assertEqual(result.status, PANIC)
        self.assertIn("Requested init /nothing failed", result.err)

    def test_timeout(self):
        self.assertEqual(self.linux("hang", timeout=5).status, TIMEOUT)


class Stops(Linux):
    def start(self, test):
        process = subprocess.Popen(
            [str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--timeout", "90",
             "--cmdline", f"lupine_test={test}"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if "ready" in line:
                break
        return process

    def test_sigterm_asks_the_application(self):
        process = self.start("graceful")
        process.terminate()
        self.assertEqual(process.wait(60), 17)
        self.assertIn("asked to end", process.stdout.read())

    def test_an_application_that_will_not_is_cut_off(self):
        process = self.start("stubborn")
        process.terminate()
        time.sleep(0.5) # two pending signals would be handled in the order of their numbers
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 128 + signal.SIGINT)
        process = self.start("stubborn")
        process.terminate()
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM)


class Console(Linux):
    def test_output_arrives_whole(self):
        result = self.linux("flood")
        lines = [line for line in result.out.splitlines() if line.startswith("line ")]
        self.assertEqual(lines, [f"line {i}" for i in range(2000)])

    def test_none_at_all(self):
        result = self.linux("nowhere", "--console", "null")
        self.assertEqual((result.status, result.out), (23, ""))

    def test_into_a_file(self):
        console = self.folder / "console"
        self.assertEqual(self.linux("cpus", "--console", f"file:{console}").status, 0)
        self.assertIn("cpus 1", console.read_text())

    def test_input(self):
        process = subprocess.Popen(
            [str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--timeout", "60",
             "--cmdline", "lupine_test=read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self.addCleanup(process.kill)
        line = ""
        while "ready" not in line:
            line = process.stdout.readline()
            self.assertTrue(line, "the guest ended early")
        # More than the UART holds, and then nobody at the other end.
        sent = "".join(f" {i}" for i in range(200))
        out, _ = process.communicate(f"across the console{sent}\n", timeout=60)
        self.assertIn(f"got across the console{sent}", out)
        self.assertEqual(process.returncode, 0)


class Devices(Linux):
    def test_three_disks(self):
        vdb, vdc = self.disk("vdb", 8 << 20), self.disk("vdc", 1 << 20)
        for cpus in (1, 4):
            with self.subTest(cpus=cpus):
                self.answers("disks", "disks are right", "--disk", vdb, "--disk", f"{vdc},ro",
                             "--cpus", cpus)
                content = vdb.read_bytes()
                for block in (0, 1, 2047):
                    expected = bytes((block * 31 + i) % 256 for i in range(4096))
                    self.assertEqual(content[block * 4096:][:4096], expected)

    def host_side(self, sock):
        """Receives everything, then sends as much."""
        got = b""
        while len(got) < TOTAL:
            chunk = sock.recv(1 << 16)
            if not chunk:
                break
            got += chunk
        sock.sendall(PATTERN)
        sock.shutdown(socket.SHUT_WR)
        return got == PATTERN

    def test_network_from_the_guest(self):
        with tap("lupine0", f"{HOST}/24") as name, socket.create_server((HOST, PORT)) as server:
            outcome = []

            def serve():
                connection, _ = server.accept()
                with connection:
                    outcome.append(self.host_side(connection))
                    connection.recv(1)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            self.answers("net_out", f"received {TOTAL}", "--net", f"tap={name}", cmdline=f"lupine_net={GUEST}/24")
            thread.join(30)
            self.assertEqual(outcome, [True])

    def test_network_into_the_guest(self):
        for cpus in ("1", "4"):
            with self.subTest(cpus=cpus), tap("lupine0", f"{HOST}/24") as name:
                process = subprocess.Popen(
                    [str(MONITOR), "--kernel", str(ELF), "--disk", f"{IMAGE},ro", "--net",
                     f"tap={name}", "--cpus", cpus, "--timeout", "90", "--cmdline",
                     f"lupine_test=net_in lupine_net={GUEST}/24"], stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, text=True)
                self.addCleanup(process.kill)
                with self.connect(process) as sock:
                    sock.sendall(PATTERN)
                    sock.shutdown(socket.SHUT_WR)
                    got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
                out, _ = process.communicate(timeout=60)
                self.assertEqual(got, PATTERN)
                self.assertIn(f"received {TOTAL}", out)
                self.assertEqual(process.returncode, 0)

    def connect(self, process):
        """The guest's server comes up when it does; a minute is generous."""
        for _ in range(300):
            self.assertIsNone(process.poll(), "the monitor ended")
            try:
                return socket.create_connection((GUEST, PORT), timeout=30)
            except OSError:
                threading.Event().wait(0.2)
        self.fail("the guest does not listen")
        raise AssertionError
