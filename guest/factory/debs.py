# SPDX-License-Identifier: Apache-2.0
"""Debian packages as files: the closure apt computes, fetched once, extracted without running maintainer scripts."""

import re
import shlex
import subprocess

from .base import IMAGE, GuestError, cache_dir, locked, run, telling

# An empty dpkg status: the closure does not depend on what this host has installed.
APT = ["apt-get", "-qq", "-y", "-o", "Dir::State::status=/dev/null", "-o", "Debug::NoLocking=1", "--no-install-recommends"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def of_suite(suite):
    """apt's options for another suite of Debian than the host's, from the same mirror: its index is fetched here once."""
    folder = cache_dir("apt", suite)
    options = ["-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
               "-o", f"Dir::State::Lists={folder}/lists", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
               "-o", "APT::Sandbox::User=root"]
    with locked(folder / "update"):
        if not (folder / "sources.list").exists():
            mirrors = [line.split()[0] for line in run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL) $(COMPONENT)",
                                                        "Identifier: Packages"], "look for apt's mirror", IMAGE).splitlines()
                       if line.split()[1:] == ["Debian", "Debian", "main"]]
            if not mirrors:
                raise GuestError(f"suite {suite}: apt has no Debian mirror; add one and apt-get update", IMAGE)
            scratch = folder / "sources.new"
            scratch.write_text(f"deb [signed-by={KEYRING}] {mirrors[0]} {suite} main\n")
            (folder / "lists/partial").mkdir(parents=True, exist_ok=True)
            run(["apt-get", "-qq", *options, "-o", f"Dir::Etc::SourceList={scratch}", "-o", "APT::Update::Error-Mode=any", "update"],
                f"suite {suite} of {mirrors[0]}", IMAGE)
            scratch.rename(folder / "sources.list")
    return options


def closure(packages, suite=None):
    """The file names of PACKAGES and all they depend on, in apt's order."""
    for package in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package):
            raise GuestError(f"{package!r} is not the name of a Debian package", IMAGE)
    options = of_suite(suite) if suite else []
    output = run([*APT, *options, "--print-uris", "install", *packages], f"packages {' '.join(packages)}", IMAGE)
    found = [shlex.split(line) for line in output.splitlines() if line.startswith("'")]
    if not found:
        raise GuestError(f"packages {' '.join(packages)}: apt names no files; run apt-get update", IMAGE)
    return [words[1] for words in found]


def fetch(packages, suite=None, again=True):
    """The paths of the .deb files of the closure of PACKAGES."""
    files = closure(packages, suite)
    folder = cache_dir("debs")
    with locked(folder / "fetch"):
        missing = [name for name in files if not (folder / name).exists()]
        if missing:
            (folder / "partial").mkdir(exist_ok=True)
            try:
                run([*APT, *(of_suite(suite) if suite else []), "-o", f"Dir::Cache::archives={folder}", "--download-only", "install",
                     *packages], f"download {len(missing)} packages", IMAGE)
            except GuestError:
                if not suite or not again:
                    raise
                # A suite that is not released moves on, and what our index names is deleted.
                (cache_dir("apt", suite) / "sources.list").unlink()
    if missing and not all((folder / name).exists() for name in files):
        return fetch(packages, suite, False)
    return [folder / name for name in files]


def extract(files, root):
    """Unpacks .deb files into ROOT, whose /bin, /sbin, /lib and /lib64 are Debian 12's links into /usr."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for file in files:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as tar:
            done = subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], stdin=tar.stdout, capture_output=True,
                                  text=True)
        if tar.returncode or done.returncode:
            raise GuestError(f"unpack {file.name}: {telling(done.stderr) or 'not a package'}", IMAGE)
