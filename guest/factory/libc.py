# SPDX-License-Identifier: Apache-2.0
"""The patched musl (guest/libc) for images whose applications run at CPL 0: their system calls are calls."""

import shutil
import sys
from pathlib import Path

from . import elf
from .base import BUILD, GUEST, run

LOADER = "lib/ld-musl-x86_64.so.1"  # musl's loader and its libc.so are one file


def folder():
    return Path(run([GUEST / "libc/build"], "build the patched musl", BUILD).splitlines()[-1])


def compiler():
    return folder() / "bin/lupine-musl-gcc"


def symbols(library):
    return {line.split()[-1] for line in run(["nm", "-D", "--defined-only", library], f"read {library}", BUILD).splitlines()}


def replace(root):
    """Ours in the place of an image's musl. The latter may be newer, and its programs need what ours does not have."""
    path = elf.inside(root, LOADER)
    if not path.is_file():
        return
    ours = folder() / "lib/libc.so"
    if missing := sorted(symbols(path) - symbols(ours)):
        print(f"the image's musl stays, and makes system calls by instruction: it has {missing[0]}, the patched one does not",
              file=sys.stderr, flush=True)
        return
    shutil.copyfile(ours, path)
    path.chmod(0o755)
