# SPDX-License-Identifier: Apache-2.0
"""Reads what bench/launch wrote (its format is at the top of launch.c)."""

import re

# "  lupine-vmm-123 (  120) [000] d..1.  2611097620: kvm_entry: vcpu 0, rip 0x0"
EVENT = re.compile(r"\s*.{1,16}-(\d+)\s+(?:\(\s*([\d-]+)\)\s+)?\[\d+\]\s+\S+\s+(\d+): (\w+): ?(.*)")
# raw_syscalls print as "sys_enter: NR 16 (...)"; others print as their own name.


class Event:
    __slots__ = ("thread", "group", "tsc", "name", "text")

    def __init__(self, thread, group, tsc, name, text):
        self.thread, self.group, self.tsc, self.name, self.text = thread, group, tsc, name, text

    def field(self, name):
        found = re.search(rf"\b{name} (\S+)", self.text)
        return found and found[1]


class Run:
    def __init__(self, mode, index, name):
        self.mode, self.index, self.name = mode, index, name
        self.counts, self.stamps, self.stderr = {}, {}, []


class Group:
    """Runs that were alive at the same time, and the trace they share."""

    def __init__(self, mode, count, name):
        self.mode, self.count, self.name = mode, count, name
        self.clocks, self.runs, self.events = [], [], []
        self.regions, self.smaps, self.lost = [], [], 0

    def nanoseconds(self, tsc):
        """CLOCK_MONOTONIC of a time stamp, by the pairs taken before and after the group."""
        (tsc0, ns0), (tsc1, ns1) = self.clocks[0], self.clocks[-1]
        if tsc1 == tsc0:
            return ns0
        return ns0 + (tsc - tsc0) * (ns1 - ns0) / (tsc1 - tsc0)


class ResultError(Exception):
    pass


def parse_event(line):
    found = EVENT.match(line)
    if not found:
        return None
    group = int(found[2]) if found[2] and found[2].isdigit() else None
    return Event(int(found[1]), group, int(found[3]), found[4], found[5])


def parse(lines):
    """All groups, in order. An unfinished one (a launcher that was killed) is an error."""
    groups, group = [], None
    for line in lines:
        line = line.rstrip("\n")
        words = line.split(" ")
        if words[0] == "group":
            group = Group(words[1], int(words[2]), words[3])
            continue
        if group is None:
            raise ResultError(f"results: {line!r} outside of a group")
        if words[0] == "clock":
            group.clocks.append((int(words[1]), int(words[2])))
        elif words[0] == "run":
            group.runs.append(Run(words[1], int(words[2]), words[3]))
        elif words[0] == "count":
            group.runs[-1].counts[words[1]] = int(words[2])
        elif words[0] == "stamp":
            group.runs[-1].stamps[words[1]] = int(words[2])
        elif words[0] == "region":
            group.regions.append(tuple(map(int, words[1:])))
        elif words[0] == "smaps":
            group.smaps.append([])
        elif words[0] == "done":
            groups.append(group)
            group = None
        elif line[:1] == "t":
            if "LOST" in line and "EVENTS" in line:
                group.lost += 1
            event = parse_event(line[1:])
            if event:
                group.events.append(event)
        elif line[:1] == "s" and group.smaps:
            group.smaps[-1].append(line[1:])
        elif line[:1] == "e":
            group.runs[-1].stderr.append(line[1:])
        else:
            raise ResultError(f"results: {line!r} not understood")
    if group is not None:
        raise ResultError(f"results: the group {group.name} ({group.mode}) did not end")
    return groups
