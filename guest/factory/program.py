# SPDX-License-Identifier: Apache-2.0
"""Compiles the static programs of a guest: C with musl, Go with a toolchain of known bytes."""

import os
import shutil
import tempfile
from pathlib import Path

from . import download
from .base import BUILD, GuestError, cache_dir, locked, publish, run

FLAGS = ["-static", "-Os", "-s", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none"]
# Debian 12's Go is older than what applications are written in; the Go module proxy has every toolchain as a module.
PROXY = "https://proxy.golang.org"
GO = ("1.26.11", "e1edb778de0aa08c8e827f5a873b35a46afe680fb241482c531725b2355e470d")


def compile_static(sources, output, compiler="musl-gcc"):
    if not shutil.which(compiler):
        raise GuestError("musl-gcc is missing: apt-get install musl-tools", BUILD)
    # Names without folders: the same bytes wherever the tree is.
    run([compiler, *FLAGS, "-o", output, *(source.name for source in sources)], f"compile {output.name}", BUILD,
        cwd=sources[0].parent, env={**os.environ, "LC_ALL": "C"})
    output.chmod(0o755)


def go_toolchain():
    version, sha256 = GO
    folder = cache_dir("go") / f"go{version}"
    with locked(folder):
        if not folder.exists():
            archive = download.fetch(f"{PROXY}/golang.org/toolchain/@v/v0.0.1-go{version}.linux-amd64.zip", sha256)
            with publish(folder) as scratch:
                download.unzip(archive, scratch, 2)
                # A module's zip carries no permissions.
                for program in (*scratch.glob("bin/*"), *scratch.glob("pkg/tool/*/*")):
                    program.chmod(0o755)
    return folder


def go_build(source, folder, output, **settings):
    """Builds SOURCE (a file or package in FOLDER) without C, paths, times or build identity in its bytes."""
    caches = {"GOCACHE": cache_dir("go", "build"), "GOMODCACHE": cache_dir("go", "modules")}
    run([go_toolchain() / "bin/go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", output, source], f"compile {source}", BUILD,
        cwd=folder, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw -buildvcs=false", "GOTOOLCHAIN": "local",
                         "GOPROXY": PROXY, "GOSUMDB": "off", **{key: str(path) for key, path in caches.items()}, **settings})
    output.chmod(0o755)


def compile_go(source, output):
    """One file of Go that needs nothing but the standard library."""
    go_build(source.name, source.parent, output, GO111MODULE="off")


def compile_module(module, output):
    """A command of a Go module of known bytes; its go.sum says the bytes of all the modules that it needs."""
    path, version, command = module["path"], module["version"], module.get("command", ".")
    archive = download.fetch(f"{PROXY}/{path}/@v/{version}.zip", module["sha256"])
    with tempfile.TemporaryDirectory(prefix="module-", dir=cache_dir("scratch")) as tree:
        download.unzip(archive, Path(tree), len(Path(path).parts))
        go_build(f"./{command}", tree, output)
