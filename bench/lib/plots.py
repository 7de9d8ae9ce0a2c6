# SPDX-License-Identifier: Apache-2.0
"""The pictures of a session, as SVG; the same figures give the same bytes."""

try:
    import matplotlib
except ImportError as error:
    raise OSError("plots need matplotlib: apt-get install python3-matplotlib") from error
matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "lupine"  # otherwise identifiers are random
from matplotlib import pyplot  # noqa: E402

# (phase, text, colour): what is shown of a boot, in order; a phase begins where the last ended.
SHOWN = [("run", "exec to first KVM_RUN", "#4c78a8"), ("kernel", "firmware", "#b279a2"),
         ("init", "kernel entry to init", "#f58518"),
         ("application", "init to application's exec", "#54a24b"),
         ("ready", "application's exec to its answer", "#e45756"),
         ("guest_exit", "to the guest's exit", "#bab0ac")]


def caption(doc):
    g = doc["guest"]
    what = (f"{g['kernel']}, {g['mem_mib']} MiB, {g['cpus']} vCPU, {g['disks']} virtio-blk, "
            f"{g['nets']} virtio-net")
    if doc["host"]["kind"] == "rig":
        return what + "\nInstructions in an emulated machine with KVM, not time on hardware."
    return f"{what}\n{doc['host']['cpu']}"


NAMES = {"lupine": "lupine-vmm", "qemu": "QEMU microvm", "qemu-bz": "QEMU microvm, bzImage"}


def unit(doc):
    return "million instructions" if doc["host"]["kind"] == "rig" else "ms"


def save(figure, path):
    figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def segments(result):
    """[(phase, begin, end)] in ns of one monitor, medians."""
    at = {name: s["p50"] for name, s in result["ns"].items()}
    if "run" in at and result.get("kernel_entry_ns"):
        at["kernel"] = at["run"] + result["kernel_entry_ns"]["p50"]
    begin, found = 0, []
    for phase, _, _ in SHOWN:
        if phase in at and at[phase] >= begin:
            found.append((phase, begin, at[phase]))
            begin = at[phase]
    return found


def phases(doc, path):
    names = [n for n in doc["results"] if n != "floor" and "init" in doc["results"][n]["ns"]][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.55 * len(names)))
    used = set()
    for row, name in enumerate(names):
        for phase, begin, end in segments(doc["results"][name]):
            text, colour = next((t, c) for p, t, c in SHOWN if p == phase)
            axes.barh(row, (end - begin) / 1e6, left=begin / 1e6, color=colour, height=0.6,
                      label=None if phase in used else text)
            used.add(phase)
        init = doc["results"][name]["ns"]["init"]["p50"] / 1e6
        axes.annotate(f"init at {init:.1f}", (segments(doc["results"][name])[-1][2] / 1e6, row),
                      xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [NAMES.get(n, n) for n in names])
    axes.set_xlabel(f"{unit(doc)} since exec (median)")
    axes.set_title(caption(doc), fontsize=9, loc="left")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.45 / len(names) - 0.15),
                frameon=False)
    save(figure, path)


def cdf(doc, path):
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, result in doc["results"].items():
        values = sorted(run["init"] / 1e6 for run in result["runs"] if "init" in run)
        if values and name != "floor":
            steps = [(i + 1) / len(values) for i in range(len(values))]
            axes.step([values[0], *values], [0, *steps], where="post", label=NAMES.get(name, name))
    axes.set_xlim(left=0)
    axes.set_xlabel(f"exec to init, {unit(doc)}")
    axes.set_ylabel("part of the runs")
    axes.set_title(caption(doc), fontsize=9, loc="left")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    save(figure, path)


def scale(doc, path):
    """Exec to init against one setting (memory, vCPUs, devices), a line for each monitor."""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, points in doc["points"].items():
        points = [(p["value"], p["init"] / 1e6, p["run"] / 1e6) for p in points if p.get("init")]
        if points:
            line, = axes.plot([p[0] for p in points], [p[1] for p in points], "o-",
                              label=f"{NAMES.get(name, name)}: exec to init")
            axes.plot([p[0] for p in points], [p[2] for p in points], "o:", color=line.get_color(),
                      label=f"{NAMES.get(name, name)}: exec to first KVM_RUN")
    if doc["what"] == "memory":
        axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    axes.set_xlabel({"memory": "guest memory, MiB", "vcpus": "vCPUs",
                     "devices": "virtio devices"}[doc["what"]])
    axes.set_ylabel(unit(doc))
    axes.set_title(caption(doc), fontsize=9, loc="left")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    save(figure, path)


def devices(results, meaning, path, unit_text):
    """Bars of what an operation takes, a group for each test: of @unit_text, and of exits."""
    tests = list(dict.fromkeys(test for _, test in results))
    monitors = list(dict.fromkeys(name for name, _ in results))
    figure, panels = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    width = 0.8 / len(monitors)
    for panel, key in zip(panels, ("ns", "exits")):
        for i, name in enumerate(monitors):
            values = [results[name, test][key] / results[name, test]["count"] if (name, test) in results else 0
                      for test in tests]
            places = [at + (i - (len(monitors) - 1) / 2) * width for at in range(len(tests))]
            bars = panel.bar(places, values, width, label=NAMES.get(name, name))
            panel.bar_label(bars, [f"{v / 1000:.0f}k" if key == "ns" else f"{v:.2f}" for v in values], fontsize=6)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"{unit_text} an operation")
    panels[1].set_ylabel("exits an operation")
    panels[0].legend(frameon=False)
    panels[1].set_xticks(range(len(tests)), [meaning[test].replace(", ", "\n") for test in tests], fontsize=7,
                         rotation=30, ha="right")
    save(figure, path)
