# SPDX-License-Identifier: Apache-2.0
"""The monitors that are compared: where they are, and the command line that boots the same guest
the fastest way each has."""

import json
import os
import shutil
import subprocess

# The guest tells by port 0xf5 (1: init started, 2: the application is about to be executed, 3: it
# answers) and ends by a byte to port 0xf4; every monitor but lupine-vmm needs a device to end by.
QEMU_MACHINE = "microvm,accel=kvm,pit=off,pic=off,rtc=off,acpi=off,x-option-roms=off,isa-serial=off"


class Guest:
    """What is booted, the same for all."""

    def __init__(self, kernel, bzimage=None, pvh=None, disks=(), initrd=None, taps=0, mem=128,
                 cpus=1, cmdline=""):
        self.kernel, self.bzimage, self.pvh, self.initrd = kernel, bzimage, pvh, initrd
        self.disks, self.taps, self.mem, self.cpus = list(disks), taps, mem, cpus
        self.cmdline = cmdline

    def files(self):
        return [f for f in (self.kernel, self.bzimage, self.pvh, self.initrd, *self.disks) if f]

    def root(self):
        return "root=/dev/vda ro " if self.disks and not self.initrd else ""


def tap_name(vmm, index):
    """A name for each run that may be alive at the same time; "%d" is the index within a group."""
    return f"{vmm[:6]}{index}x%d"


class Vmm:
    name = program = ""
    files = ()  # read at run-time beside the program and its libraries

    def __init__(self, path):
        self.path = os.path.realpath(path)

    def version(self):
        try:
            done = subprocess.run([self.path, "--version"], capture_output=True, text=True,
                                  timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        return (done.stdout or done.stderr).strip().split("\n")[0]

    def taps(self, guest):
        return [tap_name(self.name, i) for i in range(guest.taps)]

    def kernel(self, guest):
        """The form of the kernel it boots fastest."""
        return guest.kernel

    def command(self, guest, folder):
        raise NotImplementedError


class Lupine(Vmm):
    name, program = "lupine", "lupine-vmm"

    def command(self, guest, folder):
        words = [self.path, "--kernel", self.kernel(guest), "--mem", f"{guest.mem}M",
                 "--cpus", str(guest.cpus), "--console", "null"]
        for disk in guest.disks:
            words += ["--disk", f"{disk},ro"]
        for tap in self.taps(guest):
            words += ["--net", f"tap={tap}"]
        if guest.initrd:
            words += ["--initrd", guest.initrd]
        if guest.cmdline:
            words += ["--cmdline", guest.cmdline]
        return words


class Qemu(Vmm):
    """An ELF kernel with a PVH note is entered by qboot directly."""
    name, program = "qemu", "qemu-system-x86_64"
    files = ("/usr/share/qemu/qboot.rom",)

    def kernel(self, guest):
        return guest.pvh or guest.bzimage or guest.kernel

    def command(self, guest, folder):
        words = [self.path, "-M", QEMU_MACHINE, "-cpu", "host", "-m", str(guest.mem),
                 "-smp", str(guest.cpus), "-nodefaults", "-no-user-config", "-nographic",
                 "-no-reboot", "-kernel", self.kernel(guest),
                 "-append", f"panic=-1 reboot=t quiet {guest.root()}{guest.cmdline}".strip(),
                 "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        for i, disk in enumerate(guest.disks):
            words += ["-drive", f"id=d{i},file={disk},format=raw,if=none,readonly=on,"
                                "file.locking=off",
                      "-device", f"virtio-blk-device,drive=d{i}"]
        for i, tap in enumerate(self.taps(guest)):
            words += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no",
                      "-device", f"virtio-net-device,netdev=n{i}"]
        if guest.initrd:
            words += ["-initrd", guest.initrd]
        return words


class QemuBzimage(Qemu):
    name = "qemu-bz"

    def kernel(self, guest):
        return guest.bzimage or guest.kernel


class Kvmtool(Vmm):
    """PCI only: the guest's kernel must have it. A guest ends by resetting the machine."""
    name, program = "kvmtool", "lkvm"

    def kernel(self, guest):
        return guest.bzimage or guest.kernel

    def command(self, guest, folder):
        words = [self.path, "run", "-k", self.kernel(guest), "-m", str(guest.mem),
                 "-c", str(guest.cpus), "--console", "virtio",
                 "-p", f"nolapic_timer quiet panic=-1 {guest.root()}{guest.cmdline}".strip()]
        for disk in guest.disks:
            words += ["-d", f"{disk},ro"]
        for tap in self.taps(guest) or ():
            words += ["-n", f"mode=tap,tapif={tap}"]
        if not guest.taps:
            words += ["-n", "mode=none"]
        if guest.initrd:
            words += ["-i", guest.initrd]
        return words


class Firecracker(Vmm):
    name, program = "firecracker", "firecracker"

    def command(self, guest, folder):
        config = {
            "boot-source": {"kernel_image_path": self.kernel(guest), "boot_args":
                            f"quiet panic=-1 reboot=k {guest.cmdline}".strip()},
            "machine-config": {"vcpu_count": guest.cpus, "mem_size_mib": guest.mem},
            "drives": [{"drive_id": f"d{i}", "path_on_host": disk, "is_read_only": True,
                        "is_root_device": i == 0} for i, disk in enumerate(guest.disks)],
            "network-interfaces": [{"iface_id": f"n{i}", "host_dev_name": tap.replace("%d", "0")}
                                   for i, tap in enumerate(self.taps(guest))],
        }
        if guest.initrd:
            config["boot-source"]["initrd_path"] = guest.initrd
        path = os.path.join(folder, "firecracker.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        return [self.path, "--no-api", "--config-file", path]


class CloudHypervisor(Vmm):
    name, program = "cloud-hv", "cloud-hypervisor"

    def kernel(self, guest):
        return guest.pvh or guest.kernel

    def command(self, guest, folder):
        words = [self.path, "--kernel", self.kernel(guest), "--memory", f"size={guest.mem}M",
                 "--cpus", f"boot={guest.cpus}", "--console", "off", "--serial", "off",
                 "--cmdline", f"quiet panic=-1 {guest.root()}{guest.cmdline}".strip()]
        if guest.disks:
            words += ["--disk", *(f"path={disk},readonly=on" for disk in guest.disks)]
        if guest.taps:
            words += ["--net", *(f"tap={tap}" for tap in self.taps(guest))]
        if guest.initrd:
            words += ["--initramfs", guest.initrd]
        return words


class Floor(Vmm):
    """Not a monitor: the KVM calls none can do without, and a guest of one instruction."""
    name = "floor"

    def version(self):
        return "bench/floor.c"

    def taps(self, guest):
        return []

    def command(self, guest, folder):
        return [self.path, str(guest.mem)]


MONITORS = (Lupine, Qemu, QemuBzimage, Kvmtool, Firecracker, CloudHypervisor)
ALWAYS = ("lupine", "qemu")


def find(given, build):
    """Monitors by name; @given maps a name to a path. lupine-vmm is the one built here."""
    found = {}
    for kind in MONITORS:
        path = given.get(kind.name)
        if not path and kind is Lupine:
            path = os.path.join(build, "lupine-vmm")
        path = path or shutil.which(kind.program)
        if path and os.access(path, os.X_OK):
            found[kind.name] = kind(path)
    return found
