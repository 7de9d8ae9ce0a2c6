# SPDX-License-Identifier: Apache-2.0
"""From what bench/density.c wrote to the figures of many guests at once."""

import re

from . import report, results, stats

# /proc/meminfo and smaps_rollup: what of a guest's memory is worth telling.
HOST = ("AnonPages", "AnonHugePages", "PageTables", "SecPageTables", "Slab", "KernelStack", "Percpu")
PROCESS = ("Rss", "Pss", "Private_Dirty", "Private_Clean", "Shared_Clean", "AnonHugePages")


def read(lines):
    """(guests, kB of the host with one guest, with all, kB of all processes together)"""
    guests, before, after, own = [], {}, {}, {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        found = re.match(r"(\w+):\s+(\d+) kB", rest)
        if kind == "guest":
            _, begin, init, application = (int(word) for word in rest.split())
            guests.append({"begin": begin, "init": init, "application": application})
        elif found and kind in ("before", "after"):
            (before if kind == "before" else after)[found[1]] = int(found[2])
        elif found and kind == "rollup":
            own[found[1]] = own.get(found[1], 0) + int(found[2])
    if len(guests) < 2 or "MemFree" not in before or "MemFree" not in after:
        raise results.ResultError("density: the results end early")
    return guests, before, after, own


def figures(guests, before, after, own):
    count, more = len(guests), len(guests) - 1
    last = guests[-1]
    return {
        "count": count,
        "init": stats.summary([g["init"] for g in guests]),
        "application": stats.summary([g["application"] for g in guests]),
        "per_second": count * 1e9 / (last["begin"] + last["application"] - guests[0]["begin"]),
        # All that the host has less of for each more: guest memory, the monitor, page tables, KVM's and the kernel's own.
        "host_kib": (before["MemFree"] - after["MemFree"]) // more,
        "host_kib_by_kind": {kind: (after[kind] - before[kind]) // more
                             for kind in HOST if kind in after and kind in before},
        "process_kib": {kind: own[kind] // count for kind in PROCESS if kind in own},
    }


def lines_of(name, f, unit):
    yield f"{name}: {f['count']} guests, one after the other, all left running"
    for what, key in ("exec to init", "init"), ("exec to the application's exec", "application"):
        yield f"  {what}, {unit}: " + ", ".join(
            f"{p} {report.millions(f[key][p])}" for p in ("min", "p50", "p95", "p99", "max"))
    second = "second" if unit == "ms" else "virtual second, 1000 million instructions"
    yield f"  started in a {second}: {f['per_second']:.1f}"
    yield f"  the host's memory for each more, KiB: {f['host_kib']}"
    yield "    of it " + ", ".join(f"{k} {v}" for k, v in f["host_kib_by_kind"].items())
    yield "    the process: " + ", ".join(f"{k} {v}" for k, v in f["process_kib"].items())
