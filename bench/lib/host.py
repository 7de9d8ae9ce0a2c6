# SPDX-License-Identifier: Apache-2.0
"""Runs a plan where there is a true KVM: on this host if its CPU has one to offer, else in the rig."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile

from . import results

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
RIG = os.path.join(HERE, "..", "tests", "rig", "rig")
CFLAGS = ["-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-static"]
# Apart from where static programs are linked, so that a log of addresses tells the two.
LAUNCH_BASE, LAUNCH_END = 0x20000000, 0x30000000


class HostError(Exception):
    """The text is the one line to print."""


def hardware_kvm():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        flags = re.search(r"^flags\s*:(.*)$", f.read(), re.M)
    return bool(flags and {"vmx", "svm"} & set(flags[1].split()))


def build(folder):
    """The launcher and the floor probe, made anew each time: it takes a second."""
    sources = {"launch": ["launch.c", "launch_args.c", "launch_ask.c", "launch_memory.c", "launch_profile.c",
                          "tracefs.c"],
               "floor": ["floor.c"], "density": ["density.c", "launch_args.c", "tracefs.c"]}
    for program, files in sources.items():
        flags = [f"-Wl,-Ttext-segment={LAUNCH_BASE:#x}"] if program == "launch" else []
        command = [os.environ.get("CC", "cc"), *CFLAGS, *flags, "-o", os.path.join(folder, program),
                   *(os.path.join(HERE, f) for f in files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(f"{program}: {done.stderr.strip().splitlines()[-1]}")


def with_libraries(program):
    """A program and what its loader opens."""
    ldd = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    found = re.findall(r"(/\S+) \(0x", ldd.stdout)
    return [program, *found, *(["/etc/ld.so.cache"] if found else [])]


def tap_lines(taps, count, address=None):
    """Taps carry nothing of this host's own: no addresses of IPv6, so no packets of it."""
    for name in taps:
        for i in range(count):
            tap = shlex.quote(name.replace("%d", str(i)))
            yield f"ip link del {tap} 2>/dev/null"
            yield f"ip tuntap add dev {tap} mode tap || exit 1"
            yield f"echo 1 >/proc/sys/net/ipv6/conf/{tap}/disable_ipv6 2>/dev/null"
            if address:
                yield f"ip address add {address} dev {tap} || exit 1"
            yield f"ip link set {tap} up"


def script(folder, files, taps, count, in_rig, before=(), words=None, address=None):
    """What is run, as root: taps and the launcher or @words, and in the rig a root of memory alone, because a look at a file
    that L1 has from this host waits in real time."""
    lines = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", *tap_lines(taps, count, address),
             *(before if in_rig else ())]
    launch = shlex.join(words or [f"{folder}/launch", f"{folder}/plan", f"{folder}/results"])
    if not in_rig:
        lines += [launch, "status=$?",
                  *(f"ip link del {t.replace('%d', str(i))}" for t in taps for i in range(count)),
                  "exit $status"]
        return "\n".join(lines) + "\n"
    top = "/tmp/bench-root"
    lines += [f"mkdir -p {top} && mount -t tmpfs -o size=90% bench {top} || exit 1",
              f"cd {top} && mkdir -p tmp dev proc sys/kernel usr/bin .{folder}",
              *(f"cp -L --parents {shlex.quote(f)} {top} || exit 1" for f in files),
              *(f"mount --rbind /{d} {top}/{d}" for d in ("dev", "proc", "sys")),
              f"chroot {top} {launch}", "status=$?",
              f"cp {top}{folder}/results {folder}/results", "exit $status"]
    return "\n".join(lines) + "\n"


class Host:
    """@folder: where plan and results go; the same path in the rig."""

    def __init__(self, folder):
        self.folder, self.in_rig = folder, not hardware_kvm()

    def describe(self):
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            model = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.M)
        kernel = os.uname().release
        if not self.in_rig:
            return {"kind": "hardware", "cpu": model and model[1], "kernel": kernel}
        qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True,
                              check=False).stdout.split("\n")[0]
        return {"kind": "rig", "what": "KVM in QEMU TCG, one instruction is one nanosecond",
                "tcg": qemu, "cpu": "EPYC (emulated)"}

    def rig_command(self, mem, options=()):
        return [RIG, "--icount", "--mem", str(mem), "--out", f"{self.folder}/results", *options,
                "sh", f"{self.folder}/script"]

    def prepare(self, plan, files, taps, count, before=(), words=None, address=None):
        with open(f"{self.folder}/plan", "w", encoding="utf-8") as f:
            f.write(plan)
        files = dict.fromkeys([*files, f"{self.folder}/launch", f"{self.folder}/plan"])
        with open(f"{self.folder}/script", "w", encoding="utf-8") as f:
            f.write(script(self.folder, files, taps, count, self.in_rig, before, words,
                           address))

    def run(self, plan, files, taps=(), count=1, mem=2048, before=(), address=None):
        """The groups the plan's runs left. @mem: MiB of the rig's machine, @before: what to do in it,
        @address: of this end of the taps."""
        self.prepare(plan, files, taps, count, before, address=address)
        self.execute(mem)
        with open(f"{self.folder}/results", encoding="utf-8", errors="replace") as f:
            return results.parse(f)

    def execute(self, mem):
        """Runs what was prepared; its results are in the folder then."""
        command = self.rig_command(mem) if self.in_rig else ["sh", f"{self.folder}/script"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise HostError((done.stderr or done.stdout).strip() or
                            f"{command[0]}: status {done.returncode}")


def workspace():
    return tempfile.TemporaryDirectory(prefix="lupine-bench-")


def check_tools():
    missing = [t for t in ("cc", "ip") if not shutil.which(t)]
    if missing:
        raise HostError(f"{', '.join(missing)} missing: apt-get install gcc iproute2")
