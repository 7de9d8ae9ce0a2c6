#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic, its reader of results, and its check."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "bench"))
from lib import check, density, host, kernel_file, phases, plan, report, results, session, stats  # noqa: E402

IMAGE = (0x200000, 0x800000)

RESULTS = """\
group exits 1 vm
clock 1000 501000
{regions}clock 101000 601000
run exits 0 vm
count pid 42
stamp exec 2000
stamp end 90000
count status 0
count late 0
ewarning: something
t# tracer: nop
t              vm-42      [000] d..1.       10000: kvm_entry: vcpu 0, rip 0xfff0
t              vm-42      [000] .....       11000: kvm_exit: vcpu 0 reason io rip 0xfff2 info1 0x0000000005110010 info2 0x0
t              vm-42      [000] .....       11100: kvm_pio: pio_write at 0x511 size 1 count 1 val 0x1
t              vm-42      [000] .....       12000: kvm_userspace_exit: reason KVM_EXIT_IO (2)
t              vm-42      [000] d..1.       15000: kvm_entry: vcpu 0, rip 0xfff4
t              vm-42      [000] .....       16000: kvm_exit: vcpu 0 reason npf rip 0x200100 info1 0x0 info2 0x0
t              vm-42      [000] d..1.       16200: kvm_entry: vcpu 0, rip 0x200100
t              vm-42      [000] .....       16400: kvm_exit: vcpu 0 reason npf rip 0x200100 info1 0x0 info2 0x0
t              vm-42      [000] .....       16500: kvm_mmio: mmio write len 4 gpa 0xd0001050 val 0x0
t              vm-42      [000] d..1.       17000: kvm_entry: vcpu 0, rip 0x200100
t              vm-42      [000] .....       18000: kvm_exit: vcpu 0 reason hlt rip 0xffffffff81000010 info1 0x0 info2 0x0
t              vm-42      [000] .....       20000: kvm_set_irq: gsi 5 level 1 source 0
t              vm-42      [000] d..1.       25000: kvm_entry: vcpu 0, rip 0xffffffff81000011
t              vm-42      [000] .....       30000: kvm_exit: vcpu 0 reason io rip 0x401000 info1 0x0000000000f50010 info2 0x0
t              vm-42      [000] .....       30100: kvm_pio: pio_write at 0xf5 size 1 count 1 val 0x1
t              vm-42      [000] .....       31000: kvm_userspace_exit: reason KVM_EXIT_IO (2)
t              vm-42      [000] d..1.       33000: kvm_entry: vcpu 0, rip 0x401002
t              vm-42      [000] .....       40000: kvm_pio: pio_write at 0xf4 size 1 count 1 val 0x0
t              vm-42      [000] .....       45000: leave: (do_group_exit+0x0/0xa0)
done
"""


def one(text=RESULTS):
    group, = results.parse(text.format(regions="").splitlines(True))
    return group, group.runs[0]


class Statistics(unittest.TestCase):
    def test_percentile_is_one_of_the_values(self):
        values = list(range(100, 0, -1))
        self.assertEqual([stats.percentile(values, p) for p in (0, 1, 50, 95, 99, 100)],
                         [1, 1, 50, 95, 99, 100])

    def test_percentile_of_few(self):
        self.assertEqual(stats.percentile([3, 1, 2], 50), 2)
        self.assertEqual(stats.percentile([1, 2], 50), 1)
        self.assertEqual(stats.percentile([7], 99), 7)
        self.assertIsNone(stats.percentile([], 50))

    def test_summaries_leave_out_what_was_never_seen(self):
        rows = [{"a": 1, "b": None}, {"a": 3}]
        self.assertEqual(stats.summaries(rows)["a"]["max"], 3)
        self.assertNotIn("b", stats.summaries(rows))


class Results(unittest.TestCase):
    def test_phases(self):
        group, run = one()
        self.assertEqual(phases.phases(group, run, IMAGE),
                         {"run": 8000, "kernel": 14000, "init": 28100, "guest_exit": 38000, "leave": 43000,
                          "end": 88000})

    def test_exits_until_init(self):
        group, run = one()
        x = phases.exits(group, run).as_dict()
        self.assertEqual((x["total"], x["to_monitor"], x["page_faults"]), (5, 1, 1))
        self.assertEqual(x["reasons"], {"io 0x511": 1, "npf": 1, "mmio 0xd0001000": 1, "hlt": 1, "io 0xf5": 1})
        self.assertEqual(x["ns"], {"guest": 1000 + 1000 + 200 + 1000 + 5000,
                                   "kvm": 1000 + 200 + 600 + 100,
                                   "monitor": 3000, "halted": 7000})
        self.assertEqual(x["halts"], [[16000, 7000, "0xffffffff81000010",
                                       "set_irq: gsi 5 level 1 source 0"]])

    def test_exits_by_function(self):
        group, run = one()
        x = phases.exits(group, run).as_dict()
        self.assertEqual(report.by_function(x, lambda address: f"f{address & 0xff:x}"),
                         [("f10", "hlt", 1)])
        self.assertIn(["mmio 0xd0001000", "0x200100", 1], x["places"])
        self.assertEqual(sum(n for _, _, n in x["places"]), x["total"])

    def test_functions_only_by_the_kernels_own_map(self):
        group, run = one()
        found = {"vm": {"exits": phases.exits(group, run).as_dict()}}
        named = [line for line in report.exits_text({**found, "other": found["vm"]}, {"vm": lambda a: "f"})
                 if "by the guest's function" in line]
        self.assertEqual(named, ["vm: by the guest's function: f (hlt) 1"])

    def test_every_halt_is_listed_or_none(self):
        group, run = one()
        halted = {"exits": phases.exits(group, run).as_dict()}
        lines = list(report.exits_text({"vm": halted}))
        self.assertIn("vm: halts until init: 1", lines)
        self.assertTrue(lines[-1].endswith("rip 0xffffffff81000010, then set_irq: gsi 5 level 1 source 0"))
        halted["exits"]["halts"] = []
        self.assertIn("vm: halts until init: none", list(report.exits_text({"vm": halted})))

    def test_cost_of_switch_is_the_shortest_period(self):
        self.assertEqual(phases.cost_of_switch(one()[0]), 200)

    def test_standard_error_is_kept(self):
        self.assertEqual(one()[1].stderr, ["warning: something"])

    def test_a_cut_file_is_refused(self):
        with self.assertRaises(results.ResultError):
            results.parse(RESULTS.format(regions="").splitlines(True)[:-1])
        with self.assertRaises(results.ResultError):
            results.parse(["stray line\n"])

    def test_a_guest_without_init_is_no_measurement(self):
        group, run = one(RESULTS.replace("at 0xf5", "at 0xf6"))
        with self.assertRaisesRegex(report.FailedRun, "without the marker.*something"):
            report.check_ended(group, run)

    def test_lost_events_are_no_measurement(self):
        group, run = one(RESULTS.replace("t# tracer", "tCPU:0 [LOST 12 EVENTS]\nt# tracer"))
        with self.assertRaisesRegex(report.FailedRun, "lost"):
            report.check_ended(group, run)

    def test_groups_are_told_apart_by_process(self):
        text = RESULTS.replace("vm-42      [", "vm-43   (     42) [").replace(
            "group exits 1", "group plain 2")
        group, run = one(text)
        self.assertEqual(phases.phases(group, run, IMAGE)["run"], 8000)
        run.counts["pid"] = 99
        self.assertNotIn("run", phases.phases(group, run, IMAGE))

    def test_an_answer_is_the_applications(self):
        group, run = one(RESULTS.replace("count status 0", "stamp answer 60000\ncount status 9"))
        self.assertEqual(phases.phases(group, run, IMAGE)["ready"], 58000)

    def test_other_markers(self):
        def event(name, text):
            return results.Event(1, None, 0, name, text)
        self.assertEqual(phases.marker(event("kvm_mmio", "mmio write len 1 gpa 0xd0000000 val 0x7b")),
                         "init")
        self.assertIsNone(phases.marker(event("kvm_mmio", "mmio read len 1 gpa 0xd0000000 val 0x7b")))
        self.assertEqual(
            phases.marker(event("kvm_pio", "pio_write at 0x80 size 1 count 1 val 0x41")), "init")
        self.assertIsNone(
            phases.marker(event("kvm_pio", "pio_write at 0x80 size 1 count 1 val 0x1")))

    def test_memory_is_split_by_the_slots(self):
        text = RESULTS.format(regions="region 0 0 8192 65536\nsmaps\n"
                              "s10000-12000 rw-p 0 00:00 0\nsRss:      8 kB\n"
                              "s20000-21000 rw-p 0 00:00 0\nsRss:      4 kB\n")
        group, = results.parse(text.splitlines(True))
        self.assertEqual(phases.memory(group), (4096, 8192))


class Density(unittest.TestCase):
    LINES = ["before MemFree:   9000 kB\n", "before Slab: 100 kB\n", "guest 0 1000 10 11\n",
             "guest 1 2000 12 1000000000\n", "after MemFree: 5000 kB\n", "after Slab: 140 kB\n",
             "rollup 00400000-7fff rollup\n", "rollup Rss:  30 kB\n", "rollup Rss:  50 kB\n"]

    def test_each_guest_has_its_part(self):
        f = density.figures(*density.read(self.LINES))
        self.assertEqual((f["count"], f["init"]["max"], f["application"]["p99"]), (2, 12, 1000000000))
        self.assertEqual((f["host_kib"], f["host_kib_by_kind"], f["process_kib"]),
                         (4000, {"Slab": 40}, {"Rss": 40}))
        self.assertAlmostEqual(f["per_second"], 2, places=3)

    def test_a_cut_result_is_refused(self):
        for cut in 0, 4:
            with self.assertRaises(results.ResultError):
                density.read(self.LINES[:cut])


class Ask(unittest.TestCase):
    def test_who_asks_what_is_in_the_plan(self):
        self.assertEqual(session.parse_ask(r"10.0.2.15:6379:PING\r\n"), ("10.0.2.15", 6379, b"PING\r\n"))
        lines = plan.group("plain", "vm", ["/vm"], ask=("vm0x%d", "10.0.2.15", 80, b"a\n"))
        self.assertIn("ask vm0x0 10.0.2.15 80 610a", lines)
        self.assertEqual(lines[-1], "go 60")
        self.assertEqual(session.network("10.0.2.15"), ("10.0.2.1/24", "lupine_net=10.0.2.15/24,10.0.2.1"))

    def test_what_cannot_be_asked_is_refused(self):
        for text in "10.0.2.15:6379", "10.0.2.15:x:PING", "10.0.2.15:80:":
            with self.assertRaises(host.HostError):
                session.parse_ask(text)


class Plan(unittest.TestCase):
    def test_they_take_turns_after_a_warm_up(self):
        text = plan.plan({"a": ["/a"], "b": ["/b"]}, [("plain", 2, 1)])
        runs = [line for line in text.splitlines() if line.startswith("run ")]
        self.assertEqual(runs, ["run plain 1 a", "run plain 1 b"] * 3)

    def test_the_warm_up_is_dropped(self):
        groups = [results.Group("plain", 1, n) for n in "abababab"]
        self.assertEqual([g.name for g in plan.drop_warm_up(groups)], list("ababab"))

    def test_a_newline_cannot_become_a_line_of_the_plan(self):
        with self.assertRaises(ValueError):
            plan.group("plain", "a", ["/a", "x\ngo 1"])


class Check(unittest.TestCase):
    RESULT = {"ns": {"run": {"p50": 1000}, "init": {"p50": 10000}}, "shares": {"guest": 5000},
              "exits": {"total": 105, "host_interrupts": 5, "to_monitor": 0}}

    def changed(self, **to):
        return {**self.RESULT, **to}

    def test_same_is_fine(self):
        lines, grew = check.compare(check.baseline({"vm": self.RESULT}), {"vm": self.RESULT})
        self.assertFalse(grew)
        self.assertEqual(len(lines), 5)

    def test_two_percent_is_the_limit(self):
        before = check.baseline({"vm": self.RESULT})
        for value, expected in ((10200, False), (10201, True), (9000, False)):
            now = self.changed(ns={"run": {"p50": 1000}, "init": {"p50": value}})
            self.assertEqual(check.compare(before, {"vm": now})[1], expected, value)

    def test_exits_without_the_hosts_interrupts(self):
        before = check.baseline({"vm": self.RESULT})
        more = self.changed(exits={"total": 155, "host_interrupts": 55, "to_monitor": 0})
        self.assertFalse(check.compare(before, {"vm": more})[1])
        worse = self.changed(exits={"total": 108, "host_interrupts": 5, "to_monitor": 0})
        self.assertTrue(check.compare(before, {"vm": worse})[1])

    def test_from_nothing_to_something_is_growth(self):
        before = check.baseline({"vm": self.RESULT})
        worse = self.changed(exits={"total": 105, "host_interrupts": 5, "to_monitor": 1})
        self.assertTrue(check.compare(before, {"vm": worse})[1])

    def test_what_is_no_longer_measured_fails(self):
        before = check.baseline({"vm": self.RESULT})
        self.assertTrue(check.compare(before, {})[1])
        self.assertTrue(check.compare(before, {"vm": {"ns": {}}})[1])


class KernelFile(unittest.TestCase):
    def test_neither_elf_nor_note(self):
        self.assertEqual(kernel_file.load_range(os.path.realpath(__file__))[0], 0x100000)
        self.assertFalse(kernel_file.has_pvh_note(os.path.realpath(__file__)))


if __name__ == "__main__":
    unittest.main()
