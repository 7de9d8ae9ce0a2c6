# SPDX-License-Identifier: Apache-2.0
"""What the benchmark's programs share: options of the guest and the monitors, and the record of what
was measured where."""

import datetime
import os
import subprocess
import sys

from . import host, kernel_file, vmms

BUILD = os.path.join(host.HERE, "..", "build")


def add_options(parser):
    add = parser.add_argument
    add("--kernel", default="build/guests/hello.vmlinux", help="ELF vmlinux or bzImage (%(default)s)")
    add("--bzimage", help="for what boots no ELF (the kernel's name with .bzImage)")
    add("--pvh", metavar="ELF", help="the same kernel with CONFIG_PVH, for QEMU and cloud-hypervisor")
    add("--disk", action="append", help="a disk, read-only; the first is the root (hello.img)")
    add("--initrd")
    add("--net", type=int, default=1, metavar="N", help="network cards, on taps (1)")
    add("--cmdline", default="rootfstype=erofs init=/lupine/init", help="(%(default)s)")
    add("--mem", type=int, default=128, metavar="MIB", help="guest memory (128)")
    add("--ask", metavar="ADDRESS:PORT:BYTES",
        help=r"the application's answer to these ends a run, e.g. 10.0.2.15:6379:PING\r\n")
    add("--cpus", type=int, default=1, help="vCPUs (1)")
    add("--vmm", action="append", metavar="NAME[=PATH]",
        help=f"of {', '.join(v.name for v in vmms.MONITORS)} (all that are found)")


def parse_ask(text):
    """(address, port, bytes)"""
    words = text.split(":", 2)
    if len(words) != 3 or not words[1].isdigit() or not words[2]:
        raise host.HostError(f"--ask {text}: not ADDRESS:PORT:BYTES")
    return words[0], int(words[1]), words[2].encode().decode("unicode_escape").encode("latin-1")


def network(address):
    """(the host's end, the guest's setting), both of one /24"""
    gateway = address.rsplit(".", 1)[0] + ".1"
    return f"{gateway}/24", f"lupine_net={address}/24,{gateway}"


def asks(options, monitors, guest):
    """{monitor's name: who asks its guest}, for a plan"""
    if not options.ask:
        return {}
    return {n: (v.taps(guest)[0], *parse_ask(options.ask)) for n, v in monitors.items() if v.taps(guest)}


def guest_of(options):
    if options.ask:
        if not options.net:
            raise host.HostError("--ask: without a network card (--net 0) nobody can")
        options.cmdline += " " + network(parse_ask(options.ask)[0])[1]
    stem = options.kernel.rsplit(".", 1)[0]
    near = {"bzimage": f"{stem}.bzImage", "pvh": f"{stem}.pvh"}
    for name, path in near.items():
        if not getattr(options, name) and os.path.exists(path):
            setattr(options, name, path)
    disks = options.disk or ([f"{stem}.img"] if os.path.exists(f"{stem}.img") else [])
    paths = [options.kernel, options.bzimage, options.pvh, options.initrd, *disks]
    for path in filter(None, paths):
        if not os.path.exists(path):
            raise host.HostError(f"{path}: no such file; guest/build makes a kernel and a disk")
    absolute = [path and os.path.realpath(path) for path in paths]
    return vmms.Guest(*absolute[:3], initrd=absolute[3], disks=absolute[4:], taps=options.net,
                      mem=options.mem, cpus=options.cpus, cmdline=options.cmdline)


def chosen(options):
    given = dict(v.split("=", 1) for v in options.vmm or () if "=" in v)
    names = [v.split("=", 1)[0] for v in options.vmm or ()]
    found = vmms.find(given, BUILD)
    for name in names or vmms.ALWAYS:
        if name not in found:
            raise host.HostError(f"{name}: not found; build it (meson), install it, or give its path: "
                                 f"--vmm {name}=PATH")
    return {n: v for n, v in found.items() if not names or n in names}


def usable(monitors, guest):
    """Without those that cannot boot this kernel; says which and why."""
    fit = {}
    for name, vmm in monitors.items():
        kernel = vmm.kernel(guest)
        if isinstance(vmm, vmms.Qemu) and kernel_file.is_elf(kernel) \
                and not kernel_file.has_pvh_note(kernel):
            print(f"boot: {name} left out: {kernel} has no PVH note and there is no bzImage",
                  file=sys.stderr)
        elif name == "qemu-bz" and kernel == monitors.get("qemu", vmm).kernel(guest) \
                and "qemu" in monitors:
            continue  # the same again
        else:
            fit[name] = vmm
    return fit


def files_of(monitors, guest):
    files = [f for v in monitors.values() for f in (*host.with_libraries(v.path), *v.files)]
    return [*dict.fromkeys([*files, *guest.files()])]


def git_version():
    done = subprocess.run(["git", "-C", host.HERE, "describe", "--always", "--dirty"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def without_folders(word, files):
    """Where files are on one machine says nothing on another."""
    for folder in {os.path.dirname(f) for f in files}:
        word = word.replace(f"{folder}/", "")
    return word


def document(guest, monitors, commands, figures, where):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join([f"bench/{os.path.basename(sys.argv[0])}", *sys.argv[1:]]),
        "commit": git_version(),
        "host": where.describe(),
        "unit": "ns; in the rig one instruction is 1 ns",
        "guest": {"kernel": os.path.basename(guest.kernel), "mem_mib": guest.mem,
                  "cpus": guest.cpus, "disks": len(guest.disks), "nets": guest.taps,
                  "cmdline": guest.cmdline},
        "versions": {n: v.version() for n, v in monitors.items()},
        "commands": {n: [without_folders(w, [c[0], *guest.files()]) for w in c]
                     for n, c in commands.items()},
        "results": figures,
    }


def write(path, text):
    """Whole or not at all."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(f"{path}.tmp", path)
