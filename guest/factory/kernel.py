# SPDX-License-Identifier: Apache-2.0
"""Builds a kernel from fragments, once per state of its inputs."""

import os
import shutil
from pathlib import Path

from . import kconfig, source
from .base import BUILD, GuestError, cache_dir, hash_of, locked, publish, run

OUTPUTS = ("vmlinux", "bzImage", "config", "System.map")
# Same inputs, same bytes: who, where and when is not in the kernel.
STAMP = ("KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026", "KBUILD_BUILD_USER=lupine", "KBUILD_BUILD_HOST=lupine",
         "KBUILD_BUILD_VERSION=1")


# Fragments that are a whole configuration of somebody else's, to compare with: not on top of base.
WHOLE = ("microvm",)


def compiler():
    return ", ".join(run([tool, "--version"], "look for the compiler").splitlines()[0] for tool in ("gcc", "ld"))


def make_command(build, jobs):
    """Builds lie right inside the source tree, so that every path in a command is relative and ccache and the bytes do not
    depend on where the cache is."""
    cc = "ccache gcc" if shutil.which("ccache") else "gcc"
    return ["make", "-s", f"-j{jobs}", f"O={build.name}", "ARCH=x86", f"CC={cc}", *STAMP]


def environment(tree):
    env = {key: os.environ[key] for key in ("PATH", "HOME", "CCACHE_DIR", "TMPDIR") if key in os.environ}
    env.update(LC_ALL="C", CCACHE_BASEDIR=str(tree), CCACHE_NOHASHDIR="1")
    return env


def seed(work, symbols, tree):
    """A new work folder starts as a copy of the one whose symbols are nearest: make then builds only the difference."""
    def distance(folder):
        other = set((folder / "asked.config").read_text().splitlines())
        return len(other ^ set(kconfig.text(symbols).splitlines()))

    finished = [path.parent for path in tree.glob("build-*/finished")]
    for nearest in sorted(finished, key=distance)[:1]:
        # Copied beside its place: half of a copy, with its new times, would look up to date to make.
        with locked(work_lock(nearest, tree)), publish(work) as scratch:
            run(["cp", "-a", "--reflink=auto", f"{nearest}/.", scratch], f"copy {nearest}")
            (scratch / "finished").unlink(missing_ok=True)
            # objtool's make knows its folder by the whole path: in another one it compiles objtool again, and with it every object.
            for path in (scratch / "tools").rglob(".*.cmd"):
                stat = path.stat()
                path.write_text(path.read_text().replace(f"{nearest}/", f"{work}/"))
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def work_lock(work, tree):
    return cache_dir("kernel") / f"{work.name}-{tree.name}"


def name_of(fragments):
    return "+".join(Path(fragment).stem for fragment in fragments) or "base"


def build(fragments, name, source_path=None, jobs=None):
    """The folder with vmlinux (stripped), bzImage, config and System.map for base and FRAGMENTS."""
    jobs = jobs or os.cpu_count()
    names = [*(["base"] if not set(fragments) & set(WHOLE) else []), *(f for f in fragments if f != "base")]
    symbols = kconfig.merge(names)
    tree = source.prepare(source_path)
    key = hash_of(tree.name, kconfig.text(symbols), compiler(), Path(__file__))
    result = cache_dir("kernel") / f"{name}-{key}"
    work = tree / f"build-{name}"
    # The work folder is kept: touching one fragment rebuilds only what reads the changed symbols.
    with locked(work_lock(work, tree)):
        if all((result / output).exists() for output in OUTPUTS):
            return result
        if not work.exists():
            seed(work, symbols, tree)
        work.mkdir(exist_ok=True)
        (work / "finished").unlink(missing_ok=True)
        make = make_command(work, jobs)
        env = environment(tree)
        kconfig.configure(tree, work, symbols, make)
        log = work / "build.log"
        log.unlink(missing_ok=True)
        run([*make, "vmlinux", "bzImage"], f"build kernel {name}", BUILD, log, cwd=tree, env=env)
        (work / "finished").touch()
        with publish(result) as folder:
            run(["strip", "-o", folder / "vmlinux", work / "vmlinux"], "strip the kernel", env=env)
            for path in ("arch/x86/boot/bzImage", "System.map"):
                shutil.copy2(work / path, folder)
            shutil.copy2(work / ".config", folder / "config")
    return result
