# SPDX-License-Identifier: Apache-2.0
"""Whether figures have grown against a baseline."""

LIMIT = 0.02
# What is guarded: where it is in a result, and how to say it.
GUARDED = [
    (("ns", "run", "p50"), "exec to first KVM_RUN, instructions"),
    (("ns", "init", "p50"), "exec to init, instructions"),
    (("shares", "guest"), "guest, first KVM_RUN to init, instructions"),
    (("exits", "guest_caused"), "exits until init"),
    (("exits", "to_monitor"), "exits to the monitor until init"),
]


def look_up(result, path):
    for key in path:
        if not isinstance(result, dict):
            return None
        result = result.get(key)
    return result


def guarded(result):
    """{path as text: figure}. Host interrupts are left out of exits: they are the host's timer."""
    flat = dict(result)
    if "exits" in result:
        exits = result["exits"]
        flat["exits"] = {**exits, "guest_caused": exits["total"] - exits["host_interrupts"]}
    return {"/".join(path): look_up(flat, path) for path, _ in GUARDED}


def baseline(results):
    return {name: {k: v for k, v in guarded(result).items() if v is not None}
            for name, result in results.items()}


def compare(before, now):
    """(lines for people, whether something grew). @before: as baseline() makes it. A figure of the
    baseline that is no longer there is a failure: it cannot be guarded."""
    texts = {"/".join(path): text for path, text in GUARDED}
    lines, grew = [], False
    for name, old in before.items():
        new = guarded(now[name]) if name in now else {}
        for key, value in old.items():
            current = new.get(key)
            if current is None:
                lines.append(f"{name}: {texts.get(key, key)}: {value}, now not measured: FAIL")
                grew = True
                continue
            change = (current - value) / value if value else float(current > 0)
            bad = change > LIMIT
            grew = grew or bad
            verdict = "FAIL" if bad else "lower: update the baseline" if change < -LIMIT else "ok"
            lines.append(f"{name}: {texts.get(key, key)}: {value} -> {current} "
                         f"({change:+.2%}): {verdict}")
    return lines, grew
