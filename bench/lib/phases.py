# SPDX-License-Identifier: Apache-2.0
"""From KVM's trace of a run: when each phase of the boot was reached, what the exits were, who ran
how long, and every period the guest spent halted."""

# Phases in order: each is the time at which it ENDS, in ns since exec.
PHASES = ["run", "kernel", "init", "application", "ready", "guest_exit", "leave",
          "end"]
PORT_MARKERS = {0xF5: {1: "init", 2: "application", 3: "ready"}, 0x80: {0x41: "init"},
                0xF4: {}}
MMIO_TIMER, MMIO_TIMER_VALUE = 0xD0000000, 123  # Firecracker's boot timer
KERNEL_HALF = 0xFFFFFFFF80000000


def marker(event):
    """The phase a port or MMIO write tells of, or None. Cloud Hypervisor's guests write 0x40 to
    port 0x80 when their kernel is entered and 0x41 when user space is."""
    if event.name == "kvm_pio" and event.text.startswith("pio_write"):
        port, value = int(event.field("at"), 16), int(event.field("val"), 16)
        if port == 0xF4:
            return "guest_exit"
        return PORT_MARKERS.get(port, {}).get(value)
    if event.name == "kvm_mmio" and event.text.startswith("mmio write"):
        gpa, value = int(event.field("gpa"), 16), int(event.field("val"), 16)
        if gpa == MMIO_TIMER and value & 0xFF == MMIO_TIMER_VALUE:
            return "init"
    return None


def in_kernel(rip, image):
    """@image: physical addresses the kernel is loaded at and below which it ends."""
    return rip >= KERNEL_HALF or image[0] <= rip < image[1]


def events_of(group, run):
    """Those of one process of a group: by thread group where the trace has it."""
    if group.count == 1:
        return group.events
    return [e for e in group.events if e.group == run.counts["pid"]]


def phases(group, run, image):
    """{phase: ns since exec}; a phase that was not seen is not in it."""
    start = group.nanoseconds(run.stamps["exec"])
    at = {}
    for event in events_of(group, run):
        name = marker(event)
        if event.name == "kvm_entry":
            name = "run"
        elif event.name == "leave":
            name = "leave"
        elif event.name == "kvm_exit" and in_kernel(int(event.field("rip"), 16), image):
            name = "kernel"
        if name and name not in at:
            at[name] = group.nanoseconds(event.tsc) - start
    if "answer" in run.stamps:
        at["ready"] = group.nanoseconds(run.stamps["answer"]) - start
    at["end"] = group.nanoseconds(run.stamps["end"]) - start
    return {name: round(at[name]) for name in PHASES if name in at}


def reason(event):
    """An exit's reason: KVM's word, and for port I/O on SVM which port (APM vol. 2, 15.10.2)."""
    word = event.field("reason")
    if word == "io":
        return f"io 0x{int(event.field('info1'), 16) >> 16:x}"
    return word


class Exits:
    """Exits up to init (or to the end when no guest marked it)."""

    def __init__(self):
        self.total = self.to_monitor = self.host_interrupts = 0
        self.last = self.rip = None  # of the last exit, until it is known to be MMIO
        self.reasons, self.places = {}, {}  # by reason; by (reason, rip)
        self.guest = self.kvm = self.monitor = self.halted = 0  # ns between first entry and init
        self.halts = []  # (ns since exec, ns long, rip, what ended it)

    def count(self, event):
        self.last, self.rip = reason(event), event.field("rip")
        self.total += 1
        self.add(self.last, 1)
        if self.last in ("interrupt", "intr", "EXTERNAL_INTERRUPT"):
            self.host_interrupts += 1

    def add(self, why, n):
        self.reasons[why] = self.reasons.get(why, 0) + n
        self.places[why, self.rip] = self.places.get((why, self.rip), 0) + n

    def is_mmio(self, page):
        """The last exit, which looked like a page fault, was an access to a device's @page."""
        if self.last in ("npf", "EPT_VIOLATION", "EPT_MISCONFIG"):
            self.add(self.last, -1)
            self.add(f"mmio {page:#x}", 1)
            self.last = None

    def as_dict(self):
        return {"total": self.total, "to_monitor": self.to_monitor,
                "host_interrupts": self.host_interrupts, "page_faults": sum(self.reasons.get(w, 0) for w in ("npf", "EPT_VIOLATION")),
                "reasons": {why: n for why, n in sorted(self.reasons.items(),
                                                        key=lambda r: -r[1]) if n},
                "places": sorted(([why, rip, n] for (why, rip), n in self.places.items() if n),
                                 key=lambda p: (-p[2], p[0], p[1])),
                "ns": {"guest": self.guest, "kvm": self.kvm, "monitor": self.monitor,
                       "halted": self.halted},
                "halts": self.halts}


WAKERS = ("kvm_inj_virq", "kvm_set_irq", "kvm_apic_accept_irq")


def exits(group, run):
    """From a trace of all of KVM's events, of a guest with one vCPU.

    Time goes to the guest between kvm_entry and kvm_exit, to the monitor between
    kvm_userspace_exit and the next kvm_entry, to "halted" between an exit for HLT and the next entry,
    to KVM otherwise. The world switch and the trace's own cost lie between entry and exit too:
    cost_of_switch() says how much that is.
    """
    result = Exits()
    start = group.nanoseconds(run.stamps["exec"])
    owner, since, halt = None, 0, None

    def charge(until):
        if owner:
            spent = group.nanoseconds(until) - group.nanoseconds(since)
            setattr(result, owner, getattr(result, owner) + spent)

    for event in events_of(group, run):
        if marker(event) in ("init", "guest_exit"):
            charge(event.tsc)
            break
        if event.name == "kvm_entry":
            charge(event.tsc)
            if halt:
                at = group.nanoseconds(halt[0])
                result.halts.append([round(at - start),
                                     round(group.nanoseconds(event.tsc) - at), halt[1], halt[2]])
                halt = None
            owner, since = "guest", event.tsc
        elif event.name == "kvm_exit":
            charge(event.tsc)
            result.count(event)
            owner, since = "kvm", event.tsc
            if result.last in ("hlt", "HLT"):
                owner, halt = "halted", [event.tsc, event.field("rip"), ""]
        elif event.name == "kvm_userspace_exit":
            charge(event.tsc)
            result.to_monitor += 1
            owner, since = "monitor", event.tsc
        elif event.name in ("kvm_mmio", "kvm_fast_mmio"):
            result.is_mmio(int(event.field("gpa"), 16) & ~0xFFF)
        elif halt and event.name in WAKERS:
            halt[2] = f"{event.name[4:]}: {event.text.strip()}"
    for name in "guest", "kvm", "monitor", "halted":
        setattr(result, name, round(getattr(result, name)))
    return result


def cost_of_switch(group):
    """Instructions between kvm_entry and kvm_exit that are not the guest's: the shortest such period
    of the floor probe, whose guest executes one or two."""
    shortest, entered = None, None
    for event in group.events:
        if event.name == "kvm_entry":
            entered = event.tsc
        elif event.name == "kvm_exit" and entered is not None:
            spent = group.nanoseconds(event.tsc) - group.nanoseconds(entered)
            shortest = spent if shortest is None else min(shortest, spent)
    return shortest


def memory(group):
    """(resident outside guest memory, resident guest memory) in bytes, at the exit of the thread
    that ended the program."""
    slots = {slot: (host, host + size) for slot, _, size, host in group.regions}
    best = (0, 0)
    for smaps in group.smaps:
        own = guest = 0
        low = high = 0
        for line in smaps:
            word = line.split(" ", 1)[0]
            if "-" in word and not word.endswith(":"):
                low, high = (int(x, 16) for x in word.split("-"))
            elif word == "Rss:":
                rss = int(line.split()[1]) << 10
                inside = any(min(high, b) - max(low, a) > (high - low) // 2
                             for a, b in slots.values())
                if inside:
                    guest += rss
                else:
                    own += rss
        best = max(best, (own, guest), key=sum)
    return best
