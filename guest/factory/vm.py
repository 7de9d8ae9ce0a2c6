# SPDX-License-Identifier: Apache-2.0
"""Boots a guest under lupine-vmm and asks it, as a client would, whether it answers."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .base import GUEST, PROBE, GuestError, run
from .image import data_path

MONITOR = Path(os.environ.get("LUPINE_BUILD") or GUEST.parent / "build") / "lupine-vmm"
CMDLINE = "console=ttyS0 quiet root=/dev/vda rootfstype={format} {access} init=/lupine/init"


@contextlib.contextmanager
def tap():
    """A tap of our own with a /30 of our own: two probes do not meet. Gives (name, host address, guest address)."""
    number = os.getpid() % 16384
    name, net = f"lup{number}", f"10.{77 + number // 4096}.{number // 16 % 256}"
    host, guest = (f"{net}.{number % 16 * 4 + i}" for i in (1, 2))
    what = "make a tap (needs root and iproute2)"
    run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr"], what, PROBE)
    try:
        run(["ip", "address", "add", f"{host}/30", "dev", name], what, PROBE)
        # A guest that does not know its address yet is asked for it again at once, not in a second.
        Path(f"/proc/sys/net/ipv4/neigh/{name}/retrans_time_ms").write_text("10")
        run(["ip", "link", "set", name, "up"], what, PROBE)
        yield name, host, guest
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False)


class Guest:
    """A guest that runs until the block ends; then the monitor is asked to stop it."""

    def __init__(self, manifest, kernel, image, memory=None, report=None, extra=()):
        self.manifest, self.kernel, self.image = manifest, kernel, image
        self.memory = memory or manifest.vm.get("memory", "128M")
        self.report, self.extra, self.answered = report, list(extra), None
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="lupine-probe-")))
        form = self.manifest.image.get("format", "erofs")
        access = "ro" if form == "erofs" else "rw"
        words = [CMDLINE.format(format=form, access=access)]
        disk = f"{self.image},ro"
        if access == "rw":
            # The built image stays as it is: the guest writes on a copy.
            run(["cp", "--sparse=always", self.image, self.folder / "disk"], "copy the image", PROBE)
            disk = self.folder / "disk"
        arguments = [MONITOR, "--kernel", self.kernel, "--disk", disk, "--mem", self.memory]
        if "data" in self.manifest.vm:
            run(["cp", "--sparse=always", data_path(self.image), self.folder / "data"], "copy the data disk", PROBE)
            arguments += ["--disk", self.folder / "data"]
        self.address = None
        if self.manifest.vm.get("ports"):
            name, host, self.address = self.stack.enter_context(tap())
            arguments += ["--net", f"tap={name}"]
            words.append(f"lupine_net={self.address}/30,{host}")
        if self.report:
            arguments += ["--report", self.report]
        arguments += ["--cmdline", " ".join(words), *self.extra]
        self.output = self.stack.enter_context(open(self.folder / "console", "w+b"))
        self.started = time.monotonic_ns()
        try:
            self.process = subprocess.Popen([str(word) for word in arguments], stdin=subprocess.DEVNULL, stdout=self.output,
                                            stderr=subprocess.STDOUT)
        except FileNotFoundError:
            self.stack.close()
            raise GuestError(f"{MONITOR} does not exist: build it with `make build`", PROBE)
        return self

    def stop(self, patience=30):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def __exit__(self, *exception):
        self.stop()
        self.stack.close()

    def console(self):
        return (self.folder / "console").read_bytes().decode(errors="replace").replace("\r\n", "\n")


def step(guest, words, patience):
    command = [word.replace("{ip}", guest.address or "").replace("{app}", str(guest.manifest.folder)) for word in words]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              errors="replace", timeout=max(patience, 1))
    except FileNotFoundError:
        raise GuestError(f"{guest.manifest.name}: the probe's client {command[0]} is missing; install its Debian package", PROBE)
    except subprocess.TimeoutExpired:
        return None, "(no answer in time)"
    return done.returncode, done.stdout


def wait_for_port(guest, deadline):
    """Until the application listens: a client in the rig costs the guest more than a refused connection."""
    while guest.process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection((guest.address, guest.manifest.vm["ports"][0]), 1).close()
        except OSError:
            time.sleep(0.005)


def probe(guest, show=lambda text: None):
    """Runs the manifest's probe; returns when the guest has answered every step, and fails with what it said otherwise."""
    wanted = guest.manifest.probe
    deadline = time.monotonic() + wanted.get("seconds", 60)

    def fail(why):
        tail = "\n  ".join(guest.console().splitlines()[-60:])
        raise GuestError(f"{guest.manifest.name} does not answer: {why}; its console ends:\n  {tail}", PROBE)

    first = True
    if wanted.get("step") and guest.address:
        wait_for_port(guest, deadline)
    for entry in wanted.get("step", ()):
        while True:
            if guest.process.poll() is not None:
                fail(f"the guest ended with status {guest.process.returncode}")
            status, output = step(guest, entry["run"], deadline - time.monotonic())
            if status == 0 and re.search(entry.get("expect", ""), output, re.M):
                break
            # Only the first step may come too early: an application that answered once has to go on answering.
            if not first or time.monotonic() > deadline:
                fail(f"`{' '.join(entry['run'])}` gave {status}: {output.strip()[-300:]}")
            time.sleep(0.2)
        guest.answered = guest.answered or time.monotonic_ns()
        show(f"$ {' '.join(entry['run']).replace('{ip}', guest.address or '')}\n{output.rstrip()}")
        first = False
    if "output" in wanted:
        try:
            status = guest.process.wait(max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            fail("it did not end in time")
        if status != wanted.get("status", 0):
            fail(f"the guest ended with status {status}")
        if not re.search(wanted["output"], guest.console(), re.M):
            fail(f"its output has no {wanted['output']!r}")
        show(guest.console().rstrip())
