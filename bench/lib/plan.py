# SPDX-License-Identifier: Apache-2.0
"""Plans for bench/launch: which events each kind of run records, and in which order runs go."""

MARK = "kvm:kvm_entry:1"
BUFFER_KIB = 16384

# Every run begins from these.
CLEAN = [
    "set_event_pid ",
    "options/event-fork 0",
    "?events/kvm/kvm_entry/trigger !traceoff:1",
    f"?events/kvm/kvm_exit/trigger !disable_event:{MARK}",
    "events/kvm/kvm_pio/filter 0",
    "events/kvm/kvm_mmio/filter 0",
]
MARKERS = [
    "events/kvm/kvm_pio/filter port==0xf5||port==0xf4||port==0x80",
    "events/kvm/kvm_mmio/filter gpa==0xd0000000",
    "events/kvm/kvm_pio/enable 1",
    "events/kvm/kvm_mmio/enable 1",
    "?events/launch/leave/enable 1",
]
SETTINGS = {
    # What costs next to nothing: the markers, and the first kvm_entry, which the first kvm_exit
    # turns off.
    "plain": [*MARKERS, f"events/kvm/kvm_exit/trigger disable_event:{MARK}",
              "events/kvm/kvm_entry/enable 1"],
    # Several guests: each has a first entry, and needs its events told from the others'.
    "group": [*MARKERS, "options/record-tgid 1", "events/kvm/kvm_entry/enable 1"],
    "exits": [f"{optional}events/kvm/{event}/enable 1" for optional, event in (
        ("", "kvm_entry"), ("", "kvm_exit"), ("", "kvm_pio"), ("", "kvm_mmio"),
        ("", "kvm_userspace_exit"), ("?", "kvm_fast_mmio"), ("?", "kvm_inj_virq"),
        ("?", "kvm_set_irq"), ("?", "kvm_apic_accept_irq"))],
    # System calls and page faults up to the first KVM_RUN.
    "calls": ["options/event-fork 1", "events/raw_syscalls/enable 1",
              "?events/exceptions/enable 1", "?events/sched/sched_switch/enable 1",
              "events/kvm/kvm_entry/trigger traceoff:1", "events/kvm/kvm_entry/enable 1"],
    "memory": [],
    "profile": [],
}


def group(mode, name, command, count=1, timeout=60, ask=None):
    """One line a list item; @command's words may have a "%d", the index within the group. @ask: who asks
    the application, as (tap, address, port, bytes)."""
    for word in command:
        if "\n" in word:
            raise ValueError(f"{name}: an argument with a newline: {word!r}")
    settings = SETTINGS["group" if mode == "plain" and count > 1 else mode]
    return [f"run {mode} {count} {name}", *(f"set {s}" for s in [*CLEAN, *settings]),
            *(f"arg {word}" for word in command),
            *([f"ask {ask[0].replace('%d', '0')} {ask[1]} {ask[2]} {ask[3].hex()}"] if ask else []),
            f"go {timeout}"]


# "leave": the monitor has said all it has to say; what follows is the kernel closing its VM.
PREPARE = [f"buffer_size_kb {BUFFER_KIB}", "trace_clock x86-tsc",
           "?kprobe_events p:launch/leave do_group_exit"]


def plan(commands, modes, asks=None):
    """@commands: {name: words}; @modes: [(mode, runs, count)]; @asks: {name: as for group()}. Each mode is warmed up with a run
    of each that the reader drops (see drop_warm_up), then they take turns: A B A B."""
    lines, first = [], True
    for mode, runs, count in modes:
        for _ in range(runs + 1):
            for name, command in commands.items():
                lines += group(mode, name, command, count, ask=(asks or {}).get(name))
                if first:
                    go = lines.index(f"arg {command[0]}")
                    lines[go:go] = [f"set {s}" for s in PREPARE]
                    first = False
    return "\n".join(lines) + "\n"


def drop_warm_up(groups):
    seen, kept = set(), []
    for g in groups:
        key = g.mode, g.count, g.name
        if key in seen:
            kept.append(g)
        seen.add(key)
    return kept
