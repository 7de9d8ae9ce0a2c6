# SPDX-License-Identifier: Apache-2.0
"""Ends of a VM, with guests of a few instructions (tests/bare)."""

import json
import os
import pathlib
import resource
import signal
import subprocess


from vm import (MONITOR, PANIC, REPORT, RESET, TIMEOUT, TRIPLE_FAULT, VmTest, bare)


class Ends(VmTest):
    def test_exit_status_is_the_applications(self):
        self.assertEqual(self.vm("--kernel", bare("exit_42")).status, 42)

    def test_exit_port_off(self):
        result = self.vm("--kernel", bare("exit_42"), "--exit-port", "off", timeout=1)
        self.assertEqual(result.status, TIMEOUT, result.err)

    def test_triple_fault(self):
        result = self.vm("--kernel", bare("triple_fault"))
        self.assertEqual(result.status, TRIPLE_FAULT)
        self.assertIn("triple fault", result.err)

    def test_reset(self):
        self.assertEqual(self.vm("--kernel", bare("reset")).status, RESET)

    def test_panic_shows_the_last_lines(self):
        for console in ("null", f"file:{self.folder}/console"):
            with self.subTest(console=console):
                result = self.vm("--kernel", bare("panic"), "--console", console)
                self.assertEqual(result.status, PANIC)
                self.assertIn("Kernel panic - not syncing: a test", result.err)
                self.assertIn("lupine-vmm: guest: kernel panic", result.err)

    def test_panic_on_stdio_is_shown_once(self):
        result = self.vm("--kernel", bare("panic"))
        self.assertEqual(result.out, "Kernel panic - not syncing: a test\n")
        self.assertNotIn("a test", result.err)

    def test_timeout_ends_a_spinning_and_a_sleeping_guest(self):
        for guest in ("spin", "sleep", "chatter"):
            with self.subTest(guest=guest):
                result = self.vm("--kernel", bare(guest), "--console", "null", timeout=0.5)
                self.assertEqual(result.status, TIMEOUT)
                self.assertIn("--timeout", result.err)

    def test_accesses_to_nothing_and_odd_widths_are_harmless(self):
        result = self.vm("--kernel", bare("nowhere"), "--disk", self.disk(), "--console", "null")
        self.assertEqual(result.status, 7, result.err)

    def test_rng_seed(self):
        self.assertEqual(self.vm("--kernel", bare("seed")).status, 0)

    def test_all_cpu_counts_and_memory_sizes(self):
        for cpus in (1, 2, 16):
            for memory in ("32M", "3G", "3073M", "64G"):
                with self.subTest(cpus=cpus, memory=memory):
                    result = self.vm("--kernel", bare("exit_42"), "--cpus", cpus, "--mem", memory)
                    self.assertEqual(result.status, 42, result.err)

    def test_nineteen_disks(self):
        disks = [a for i in range(19) for a in ("--disk", self.disk(f"d{i}"))]
        self.assertEqual(self.vm("--kernel", bare("exit_42"), *disks).status, 42)


class Signals(VmTest):
    def start(self, *arguments):
        process = subprocess.Popen([str(MONITOR), *map(str, arguments)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        return process

    def test_sigterm_and_sigint_stop_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            for cpus in (1, 4):
                with self.subTest(number=number, cpus=cpus):
                    report = self.folder / "report.json"
                    process = self.start("--kernel", bare("chatter"), "--cpus", cpus, "--report",
                                         f"json:{report}", "--disk", self.disk())
                    process.stdout.readline()
                    process.send_signal(number)
                    process.communicate(timeout=30)
                    self.assertEqual(process.returncode, 128 + number)
                    self.assertEqual(json.loads(report.read_text())["end"], "stopped")

    def test_a_reader_that_goes_away_does_not_end_the_guest(self):
        process = self.start("--kernel", bare("chatter"), "--timeout", "2")
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=30), TIMEOUT)

    def test_a_console_on_a_full_disk_is_told_once(self):
        result = self.vm("--kernel", bare("panic"), "--console", "file:/dev/full")
        self.assertEqual(result.status, PANIC)
        self.assertEqual(result.err.count("console: some of its output is lost: No space left"), 1)

    def test_a_killed_monitor_leaves_nothing(self):
        process = self.start("--kernel", bare("chatter"), "--report",
                             f"json:{self.folder}/report.json", "--disk", self.disk())
        process.stdout.readline()
        process.kill()
        process.communicate()
        self.assertFalse((self.folder / "report.json").exists())


class Reports(VmTest):
    def test_steps_are_in_order(self):
        report = self.vm("--kernel", bare("markers")).report
        steps = ["create", "vm", "devices", "vcpus", "kernel", "run", "init", "application",
                 "ready", "exit"]
        self.assertEqual(list(report["step_ns"]), steps)
        stamps = list(report["step_ns"].values())
        self.assertEqual(stamps, sorted(stamps))
        self.assertEqual(report["end"], "status")
        self.assertEqual(report["kernel_format"], "ELF")
        self.assertEqual(report["exits"]["io_other"], 4)
        self.assertGreaterEqual(report["kvm"]["exits"], 4)
        self.assertGreater(report["guest_rss"], 0)
        self.assertGreater(report["monitor_anonymous"], 0)
        self.assertGreater(report["monitor_rss"], report["monitor_anonymous"])

    def test_memory_of_huge_pages(self):
        reserved = pathlib.Path("/proc/sys/vm/nr_hugepages")
        before = reserved.read_text()
        reserved.write_text(str(int(before) + 16))
        self.addCleanup(reserved.write_text, before)
        report = self.vm("--kernel", bare("markers"), "--mem", "32M,hugetlb").report
        self.assertEqual(report["guest_rss"] % (2 << 20), 0)
        self.assertGreater(report["guest_rss"], 0)
        self.assertLess(report["monitor_rss"], 2 << 20)

    def test_firecrackers_boot_timer(self):
        report = self.vm("--kernel", bare("boot_timer")).report
        self.assertIn("init", report["step_ns"])
        self.assertEqual(report["exits"]["mmio_other"], 1)

    def test_text_goes_to_standard_error(self):
        result = self.vm("--kernel", bare("markers"), "--report", "text", report=False)
        self.assertEqual(result.status, 0)
        self.assertEqual(result.out, "")
        for word in ("init started", "exits to the monitor: io_other 4", "end: status, status 0"):
            self.assertIn(word, result.err)

    def test_a_full_disk_leaves_no_half_report(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        report = self.folder / "r.json"
        result = self.vm("--kernel", bare("markers"), "--report", f"json:{report}", report=False,
                         preexec_fn=limit)
        self.assertEqual(result.status, REPORT)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_report_into_a_missing_folder(self):
        self.refused(REPORT, "No such file or directory", "--kernel", bare("markers"), "--report",
                     f"json:{self.folder}/missing/r.json", report=False)


class Sandbox(VmTest):
    def test_boots_without_it_too(self):
        self.assertEqual(self.vm("--kernel", bare("exit_42"), "--seccomp", "off").status, 42)

    def confinement(self, *arguments):
        """Seccomp modes of a running monitor's threads, from /proc."""
        process = subprocess.Popen([str(MONITOR), "--kernel", str(bare("chatter")), "--cpus", "2",
                                    *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            process.stdout.readline()
            modes = []
            for task in os.listdir(f"/proc/{process.pid}/task"):
                with open(f"/proc/{process.pid}/task/{task}/status", encoding="ascii") as status:
                    modes += [line.split()[1] for line in status if line.startswith("Seccomp:")]
            return modes
        finally:
            process.kill()
            process.communicate()

    def test_every_thread_is_confined(self):
        self.assertEqual(self.confinement(), ["2"] * 4)

    def test_off_is_off(self):
        self.assertEqual(self.confinement("--seccomp", "off"), ["0"] * 4)
