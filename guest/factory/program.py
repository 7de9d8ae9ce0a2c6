# SPDX-License-Identifier: Apache-2.0
"""Compiles the static programs of a guest: C with musl, Go with Debian's go."""

import os
import shutil

from .base import BUILD, GuestError, run

FLAGS = ["-static", "-Os", "-s", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none"]


def compile_static(sources, output):
    if not shutil.which("musl-gcc"):
        raise GuestError("musl-gcc is missing: apt-get install musl-tools", BUILD)
    # Names without folders: the same bytes wherever the tree is.
    run(["musl-gcc", *FLAGS, "-o", output, *(source.name for source in sources)], f"compile {output.name}", BUILD,
        cwd=sources[0].parent, env={**os.environ, "LC_ALL": "C"})
    output.chmod(0o755)


def compile_go(source, output):
    # Its own module-less build: nothing is fetched, no path and no time gets into the bytes.
    run(["go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", output, source.name], f"compile {source.name}", BUILD,
        cwd=source.parent, env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"})
    output.chmod(0o755)
