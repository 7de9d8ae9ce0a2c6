# SPDX-License-Identifier: Apache-2.0
"""Which shared libraries the programs of a root folder need, by reading them (never by running them)."""

import re
import subprocess
from pathlib import Path

DIRECTORIES = ("usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib64", "lib/x86_64-linux-gnu", "lib", "lib64")


def is_elf(path):
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as stream:
        return stream.read(4) == b"\x7fELF"


def inside(root, path):
    """PATH (absolute in the guest, or relative) as a host path below ROOT; links are followed as the guest would."""
    seen, parts, current = 0, [part for part in Path(path).parts if part != "/"], Path()
    while parts:
        part = parts.pop(0)
        if part == "..":
            current = current.parent
            continue
        here = root / current / part
        if here.is_symlink() and seen < 40:
            seen += 1
            target = here.readlink()
            if target.is_absolute():
                current = Path()
            parts = [p for p in target.parts if p != "/"] + parts
            continue
        current = current / part
    return root / current


def needs(root, path):
    """The files (guest paths, links included) that the ELF file PATH asks its loader for directly."""
    text = subprocess.run(["readelf", "-dlW", path], capture_output=True, text=True).stdout
    origin = str(Path("/") / path.relative_to(root).parent)
    runpath = [entry.replace("$ORIGIN", origin).replace("${ORIGIN}", origin)
               for line in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", text) for entry in line.split(":")]
    found = re.findall(r"Requesting program interpreter: (.*)\]", text)
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
        for folder in (*runpath, *DIRECTORIES):
            candidate = inside(root, Path(folder)) / name
            if candidate.is_symlink() or candidate.exists():
                found.append("/" + str(candidate.relative_to(root)))
                break
    return found


def closure(root, paths):
    """PATHS (host paths below ROOT) and every library file they need, with the links on the way."""
    keep, todo = set(), list(paths)
    while todo:
        path = todo.pop()
        if path in keep:
            continue
        keep.add(path)
        if path.is_symlink():
            target = inside(root, "/" + str(path.relative_to(root)))
            if target.exists():
                todo.append(target)
        elif is_elf(path):
            for needed in needs(root, path):
                todo += [inside(root, str(Path(needed).parent)) / Path(needed).name]
    return keep
