# SPDX-License-Identifier: Apache-2.0
"""--profile: one boot in the rig with every executed instruction of its machine logged, guest, monitor
and host kernel alike; flame graphs and tables from that."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time

from . import exec_log, flame, host, kernel_file, plan, symbols
from .exec_log import GUEST, KERNEL, USER

KERNEL_BASE = 0xFFFFFFFF80000000
PHASE_TEXT = ["exec to first KVM_RUN", "first KVM_RUN to init"]
TOP = 40


class Monitor:
    """QEMU's human monitor, to switch the log on and off."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise host.HostError(f"{path}: QEMU's monitor does not answer")
        self.wait()

    def wait(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            data = self.socket.recv(4096)
            if not data:
                raise host.HostError("the rig's QEMU ended during the profile")
            text += data

    def command(self, text):
        self.socket.sendall(text.encode() + b"\n")
        self.wait()


def wait_for(path, rig):
    while not os.path.exists(path):
        if rig.poll() is not None:
            raise host.HostError((rig.stderr.read() or "").strip() or "the rig ended early")
        time.sleep(0.05)
    os.unlink(path)


def log_boot(folder, where, files, taps, text, mem, machine, code_at):
    """Runs the plan @text, whose second run is in mode profile; @machine sees that run."""
    share, fifo, control = (os.path.join(folder, n) for n in ("share", "log", "monitor"))
    os.mkdir(share)
    os.mkfifo(fifo)
    where.prepare(text, files, taps, 1)
    with open(f"{folder}/script", encoding="utf-8") as f:
        script = f.read().replace("chroot ", "cat /proc/kallsyms >" + f"{folder}/kallsyms\n"
                                  f"mkdir -p /tmp/bench-root{share} && "
                                  f"mount --bind {share} /tmp/bench-root{share}\nchroot ", 1)
    with open(f"{folder}/script", "w", encoding="utf-8") as f:
        f.write(script)
    command = where.rig_command(mem, [
        "--out", share, "--out", f"{folder}/kallsyms", "--env", f"LAUNCH_SHARE={share}",
        "--qemu=-monitor", f"--qemu=unix:{control},server=on,wait=off", "--qemu=-D",
        f"--qemu={fifo}"])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as rig:
        def follow():
            with open(fifo, "rb", buffering=1 << 20) as stream:
                exec_log.read(stream, machine, code_at)
        reader = threading.Thread(target=follow, daemon=True)
        reader.start()
        try:
            wait_for(f"{share}/begin", rig)
            monitor = Monitor(control)
            monitor.command("log exec,nochain,in_asm,op")
            open(f"{share}/begin-granted", "w", encoding="ascii").close()
            wait_for(f"{share}/end", rig)
            monitor.command("log none")
            open(f"{share}/end-granted", "w", encoding="ascii").close()
            said = rig.stderr.read()
            if rig.wait():
                raise host.HostError(said.strip() or "the rig failed")
        finally:
            if rig.poll() is None:
                rig.terminate()
        reader.join(60)


def count(block):
    return block.count


def graphs(machine, guest_map, host_map, program_map):
    """{(phase, domain): Frame}."""
    def guest_name(pc):
        return guest_map(pc if pc >> 63 else pc + KERNEL_BASE)  # before paging: where it is loaded
    names = {GUEST: guest_name, KERNEL: host_map, USER: program_map}
    result = {}
    for (phase, domain), root in machine.roots.items():
        frame = flame.Frame(domain)
        # The root itself is no function: what runs without a known caller is a frame on it.
        for block, times in root.blocks.items():
            below = frame.child(names[domain](block.pc))
            below.own += count(block) * times
            below.total += count(block) * times
            frame.total += count(block) * times
        for child in root.children.values():
            frame.total += flame.add_tree(frame.child(names[domain](child.pc)), child,
                                          names[domain], count)
        result[phase, domain] = frame
    return result


def host_graph(all_graphs, phase):
    whole = flame.Frame(PHASE_TEXT[phase])
    for domain in USER, KERNEL:
        frame = all_graphs[phase, domain]
        frame.name = {"user": "monitor", "kernel": "host kernel"}[domain]
        whole.children[frame.name] = frame
        whole.total += frame.total
    return whole


def top_lines(frame, what, total=None):
    total = total or frame.total
    yield f"{what}: {total:,} instructions"
    rows = sorted(flame.by_name(frame).items(), key=lambda r: -r[1])
    for name, own in rows[:TOP]:
        if own:
            yield f"  {own:>12,} {own / total:>7.2%}  {name}"
    yield ""


def below_lines(frame, name, what):
    rows = sorted(flame.below(frame, name).items(), key=lambda r: -r[1])
    yield f"{what}: {sum(n for _, n in rows):,} instructions"
    for callee, total in rows[:TOP]:
        yield f"  {total:>12,}  {callee}"
    yield ""


# Frames on the way to every system call.
PASSED = {"entry_SYSCALL_64", "entry_SYSCALL_64_after_hwframe", "do_syscall_64", "x64_sys_call"}


def tree_lines(frame, least, depth=0):
    """Callees below their callers, the dearest first, of @least instructions in all."""
    if frame.name not in PASSED:
        yield f"  {frame.total:>12,}  {'  ' * depth}{frame.name}"
        depth += 1
    for child in sorted(frame.children.values(), key=lambda c: -c.total):
        if child.total >= least:
            yield from tree_lines(child, least, depth)


MILESTONES = ["start_kernel", "setup_arch", "mm_core_init", "sched_init", "time_init", "vfs_caches_init",
              "arch_cpu_finalize_init", "rest_init", "kernel_init", "do_basic_setup", "do_initcalls",
              "prepare_namespace", "free_initmem", "run_init_process", "begin_new_exec"]


def text_of(machine, all_graphs, guest_map):
    yield "instructions        monitor    host kernel          guest"
    for phase in 0, 1:
        row = [machine.totals[phase, d] for d in (USER, KERNEL, GUEST)]
        yield f"{PHASE_TEXT[phase]:<22}" + "".join(f"{n:>12,}   " for n in row)
    yield ""
    yield "guest instructions until it entered"
    reached = {}
    for pc, at in machine.milestones.items():
        name = guest_map(pc if pc >> 63 else pc + KERNEL_BASE)
        if name in MILESTONES:
            reached.setdefault(name, at)
    for name, at in sorted(reached.items(), key=lambda r: r[1]):
        yield f"  {at:>12,}  {name}"
    yield ""
    guest = all_graphs[1, GUEST]
    yield from below_lines(guest, "start_kernel", "guest, called by start_kernel")
    yield from below_lines(guest, "do_one_initcall", "guest, initcalls")
    yield from top_lines(guest, "guest, by function itself")
    for phase in 0, 1:
        yield from top_lines(host_graph(all_graphs, phase), f"{PHASE_TEXT[phase]}: monitor and host "
                             "kernel, by function itself")
    for phase in 0, 1:
        yield f"{PHASE_TEXT[phase]}: callers and what they called, from 1%"
        graph = host_graph(all_graphs, phase)
        yield from tree_lines(graph, graph.total / 100)
        yield ""


def run(options, guest, vmm, folder, where):
    if not where.in_rig:
        raise host.HostError("--profile counts instructions in the rig; on hardware use perf kvm")
    if not symbols.map_of(options.kernel):
        raise host.HostError(f"{options.kernel}: no System.map beside it, which a profile needs")
    guest_map = symbols.kernel_map(symbols.map_of(options.kernel))
    command = vmm.command(guest, folder)
    lines = [*plan.group("plain", vmm.name, command), *plan.group("profile", vmm.name, command)]
    lines[1:1] = [f"set {s}" for s in plan.PREPARE]
    files = [*host.with_libraries(vmm.path), *vmm.files, *guest.files()]
    machine = exec_log.Machine(lambda pc: host.LAUNCH_BASE <= pc < host.LAUNCH_END)
    log_boot(folder, where, files, vmm.taps(guest), "\n".join(lines) + "\n", 2048 + guest.mem, machine,
             kernel_file.code(vmm.kernel(guest), KERNEL_BASE))
    if not machine.ended:
        print("boot: the guest's init was not reached in the logged run", file=sys.stderr)
    host_map = symbols.kernel_map(os.path.join(folder, "kallsyms"))
    program_map = symbols.Symbols(symbols.elf_functions(vmm.path), f"[{vmm.name}]")
    sys.setrecursionlimit(10000)
    all_graphs = graphs(machine, guest_map, host_map, program_map)
    text = "\n".join(text_of(machine, all_graphs, guest_map)) + "\n"
    print(text, end="")
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        name = os.path.join(options.out, f"profile-{vmm.name}")
        write = {f"{name}.txt": text,
                 f"{name}-guest.svg": flame.svg(all_graphs[1, GUEST],
                                                f"{vmm.name}: guest, kernel entry to init, instructions")}
        for phase, short in enumerate(("start", "run")):
            write[f"{name}-{short}.svg"] = flame.svg(
                host_graph(all_graphs, phase),
                f"{vmm.name}: monitor and host kernel, {PHASE_TEXT[phase]}, instructions", flame.COOL)
        for path, content in write.items():
            with open(path, "w", encoding="utf-8") as f:
                f.write(content)
    shutil.rmtree(os.path.join(folder, "share"), ignore_errors=True)
    return 0
