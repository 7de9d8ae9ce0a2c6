# SPDX-License-Identifier: Apache-2.0
"""Kernel sources: a tarball or a tree, unpacked and patched once per state of its inputs."""

import os
import re
import shutil
from pathlib import Path

from .base import GUEST, SOURCE, GuestError, cache_dir, hash_of, locked, publish, run

VERSION = "6.12"
DEBIAN = Path(f"/usr/src/linux-source-{VERSION}.tar.xz")


def patches():
    """The patches of guest/patches/VERSION in the order of its `series`; none is fine."""
    folder = GUEST / "patches" / VERSION
    series = folder / "series"
    if not series.exists():
        return []
    names = [line.split("#")[0].strip() for line in series.read_text().splitlines()]
    found = [folder / name for name in names if name]
    for patch in found:
        if not patch.is_file():
            raise GuestError(f"{series}: {patch.name} is listed but missing", SOURCE)
    return found


def tree_version(tree, source):
    try:
        head = (tree / "Makefile").read_text()[:400]
        return ".".join(re.search(rf"^{key} = (\d+)$", head, re.M)[1] for key in ("VERSION", "PATCHLEVEL"))
    except (OSError, TypeError):
        raise GuestError(f"{source}: no Linux kernel source (no Makefile with a version)", SOURCE)


def tree_state(tree):
    """A hash of names, sizes and times: what changes when a developer edits the tree."""
    lines = []
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            lines.append(f"{os.path.relpath(path, tree)} {stat.st_size} {stat.st_mtime_ns}")
    return "\n".join(lines)


def unpack(source, into):
    if source.is_dir():
        shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
        run(["make", "-s", "mrproper"], "clean the copied source", SOURCE, cwd=into)
        return
    run(["tar", "-xf", source, "--strip-components=1", "-C", into], f"unpack {source}", SOURCE)


def prepare(source=None):
    """The folder of a patched source tree."""
    source = Path(source).absolute() if source else DEBIAN
    if not source.exists():
        hint = "apt-get install linux-source-6.12, or give --source" if source == DEBIAN else "no such file"
        raise GuestError(f"{source}: kernel source not found: {hint}", SOURCE)
    series = patches()
    key = hash_of(tree_state(source) if source.is_dir() else source, *series)
    tree = cache_dir("source") / f"linux-{VERSION}-{key}"
    with locked(tree):
        if tree.exists():
            return tree
        with publish(tree) as scratch:
            unpack(source, scratch)
            if (found := tree_version(scratch, source)) != VERSION:
                raise GuestError(f"{source}: Linux {found}; the fragments and patches are for {VERSION}", SOURCE)
            for patch in series:
                run(["patch", "-p1", "-s", "-f", "--no-backup-if-mismatch", "-i", patch], f"apply {patch.name}", SOURCE,
                    cwd=scratch)
    return tree
