# SPDX-License-Identifier: Apache-2.0
"""From the groups of a session to its figures, and from those to a table for people."""

from . import phases, stats


class FailedRun(Exception):
    """The text says which run, how it ended and what it wrote."""


def check_ended(group, run):
    """A guest that did not reach its end was not measured."""
    events = [phases.marker(e) for e in phases.events_of(group, run)]
    if run.counts["late"] or (group.mode in ("plain", "exits") and "init" not in events):
        how = "stopped by the time-out" if run.counts["late"] else \
            f"status {run.counts['status']} without the marker of init"
        said = "; ".join(run.stderr[-3:]) or "it wrote nothing"
        raise FailedRun(f"{run.name} ({group.mode}): {how}: {said}")
    if group.lost:
        raise FailedRun(f"{run.name} ({group.mode}): the trace lost events: a larger BUFFER_KIB")


def figures(groups, images):
    """{name: {...}} of groups without their warm-up. @images: {name: kernel's load range}."""
    rows = {}
    for group in groups:
        for run in group.runs:
            check_ended(group, run)
            row = rows.setdefault(run.name, {"plain": [], "exits": [], "memory": [], "parallel": {}})
            if group.mode == "plain" and group.count == 1:
                row["plain"].append((phases.phases(group, run, images[run.name]), run.counts))
            elif group.mode == "plain":
                row["parallel"].setdefault(group.count, []).append(
                    phases.phases(group, run, images[run.name]))
            elif group.mode == "exits":
                row["exits"].append((phases.phases(group, run, images[run.name]),
                                     phases.exits(group, run)))
            elif group.mode == "memory":
                row["memory"].append(phases.memory(group))
    switch = min((phases.cost_of_switch(g) for g in groups
                  if g.mode == "exits" and g.name == "floor"), default=0)
    return {name: figures_of(row, switch) for name, row in rows.items()}


def figures_of(row, switch):
    result = {}
    if row["plain"]:
        result["ns"] = stats.summaries([p for p, _ in row["plain"]])
        result["runs"] = [p for p, _ in row["plain"]]
        result["faults"] = stats.summaries(
            [{k: c[k] for k in ("minor_faults", "major_faults", "switches")}
             for _, c in row["plain"]])
    if row["exits"]:
        result["exits"] = middle([e.as_dict() for _, e in row["exits"]],
                                 lambda e: e["total"] - e["host_interrupts"])
        result["kernel_entry_ns"] = stats.summary([p.get("kernel", 0) - p.get("run", 0)
                                                   for p, _ in row["exits"]])
        result["shares"] = shares(result, switch)
    if row["memory"]:
        own, guest = middle(row["memory"], lambda m: m[0])
        result["memory"] = {"monitor": own, "guest": guest}
    if row["parallel"]:
        result["parallel"] = {str(n): stats.summaries(p) for n, p in row["parallel"].items()}
    return result


def middle(values, key):
    """The run in the middle, as a whole: its figures belong together."""
    return sorted(values, key=key)[(len(values) - 1) // 2]


def shares(result, switch):
    """Who spent what from the first KVM_RUN to init. The traced run tells the guest's part, less
    @switch for every exit; what is left of the untraced run's total is KVM's and the monitor's, in the
    proportion the traced run shows."""
    at, e = result["ns"], result["exits"]
    if "init" not in at:
        return None
    total = at["init"]["p50"] - at["run"]["p50"]
    guest = max(e["ns"]["guest"] - switch * e["total"], 0)
    rest = max(total - guest - e["ns"]["halted"], 0)
    outside = e["ns"]["kvm"] + e["ns"]["monitor"] + switch * e["total"]
    monitor = round(rest * e["ns"]["monitor"] / outside) if outside else 0
    return {"guest": guest, "kvm": rest - monitor, "monitor": monitor,
            "halted": e["ns"]["halted"], "switch": switch}


# --- for people ---


def millions(value):
    return "-" if value is None else f"{value / 1e6:.2f}"


def cell(result, *path):
    for key in path:
        if not isinstance(result, dict) or key not in result:
            return None
        result = result[key]
    return result


def between(result, first, last, percent="p50"):
    one = 0 if first is None else cell(result, "ns", first, percent)
    two = cell(result, "ns", last, percent)
    return None if one is None or two is None else two - one


def rows_of(result):
    """(what, text) of one monitor."""
    at, x = cell(result, "ns") or {}, cell(result, "exits") or {}
    ns = cell(result, "shares") or {}
    yield "exec to init, p50", millions(cell(at, "init", "p50"))
    yield "  min / p95 / p99 / max", " / ".join(
        millions(cell(at, "init", p)) for p in ("min", "p95", "p99", "max"))
    yield "  exec to first KVM_RUN", millions(cell(at, "run", "p50"))
    yield "  firmware, to kernel entry", millions(cell(result, "kernel_entry_ns", "p50"))
    entry = cell(result, "kernel_entry_ns", "p50") or 0
    to_init = between(result, "run", "init")
    yield "  kernel entry to init", millions(None if to_init is None else to_init - entry)
    yield "    of first KVM_RUN to init: guest", millions(ns.get("guest"))
    yield "    KVM", millions(ns.get("kvm"))
    yield "    monitor", millions(ns.get("monitor"))
    yield "    halted (waits)", f"{millions(ns.get('halted'))} in {len(x.get('halts', []))}"
    yield "init to application's exec", millions(between(result, "init", "application"))
    yield "application's exec to ready", millions(between(result, "application", "ready"))
    yield "guest's exit to monitor's exit", millions(between(result, "guest_exit", "leave"))
    yield "  and to the end of its process", millions(between(result, "guest_exit", "end"))
    yield "exits until init", str(x.get("total", "-"))
    yield "  of them to the monitor", str(x.get("to_monitor", "-"))
    yield "  of them page faults", str(x.get("page_faults", "-"))
    yield "  of them device registers (MMIO)", str(sum(
        n for why, n in x["reasons"].items() if why.startswith("mmio")) if x else "-")
    yield "monitor's page faults", str(cell(result, "faults", "minor_faults", "p50") or "-")
    for what, key in ("monitor memory without guest RAM, KiB", "monitor"), \
            ("guest memory touched, KiB", "guest"):
        value = cell(result, "memory", key)
        yield what, "-" if value is None else str(value >> 10)


def table(results, unit):
    names = list(results)
    columns = {name: list(rows_of(results[name])) for name in names}
    rows = [[f"({unit})", *names]]
    for i, (what, _) in enumerate(columns[names[0]]):
        rows.append([what, *(columns[name][i][1] for name in names)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(w) if i == 0 else text.rjust(w)
                               for i, (text, w) in enumerate(zip(row, widths))).rstrip()
                     for row in rows) + "\n"


def by_function(exits, name_of):
    """[(function, reason, exits)] of the guest's kernel, the most first."""
    found = {}
    for why, rip, n in exits["places"]:
        address = int(rip, 16)
        if address >= phases.KERNEL_HALF:
            key = name_of(address), why
            found[key] = found.get(key, 0) + n
    return sorted(((f, w, n) for (f, w), n in found.items()), key=lambda r: -r[2])


def exits_text(results, names=None):
    """@names: {monitor: what names an address of its guest's kernel, or None}"""
    for name, result in results.items():
        x = cell(result, "exits")
        if not x:
            continue
        reasons = ", ".join(f"{why} {n}" for why, n in x["reasons"].items())
        yield f"{name}: exits until init: {reasons}"
        name_of = (names or {}).get(name)
        if name_of:
            yield f"{name}: by the guest's function: " + ", ".join(
                f"{function} ({why}) {n}" for function, why, n in by_function(x, name_of)[:30])
        yield f"{name}: halts until init: {len(x['halts']) or 'none'}"
        for at, spent, rip, waker in x["halts"]:
            yield f"{name}: halted at {at / 1e6:.3f} for {spent / 1e6:.3f}, rip {rip}, then {waker}"
    for name, result in results.items():
        for count, summary in (cell(result, "parallel") or {}).items():
            init = summary.get("init", {})
            yield (f"{name}: {count} at once: exec to init " + ", ".join(
                f"{p} {millions(init.get(p))}" for p in ("min", "p50", "p95", "p99", "max")))
