# SPDX-License-Identifier: Apache-2.0
"""What every part of the guest factory shares: errors, the cache, running a command."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GUEST = Path(__file__).resolve().parent.parent


class GuestError(Exception):
    """One line for the user: what, where, what to do."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


# Exit statuses of the guest commands.
USAGE, MANIFEST, SOURCE, CONFIG, BUILD, IMAGE, PROBE = 2, 3, 4, 5, 6, 7, 8


def main(function):
    """Runs a command's main function: a GuestError becomes one line and its exit status."""
    try:
        sys.exit(function(sys.argv[1:]))
    except GuestError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(error.status)
    except OSError as error:
        print(f"{Path(sys.argv[0]).name}: {error.filename or 'files'}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def cache_dir(*parts):
    root = os.environ.get("LUPINE_CACHE") or Path.home() / ".cache" / "lupine"
    path = Path(root).absolute().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuestError(f"cache folder {path}: {error.strerror}; set LUPINE_CACHE to a writable one")
    return path


@contextlib.contextmanager
def locked(path):
    """Holds PATH.lock, so that two builds of one thing do not meet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def publish(path):
    """A fresh folder that becomes PATH when the block ends well, and leaves nothing behind otherwise."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        scratch.chmod(0o755)
        yield scratch
        if path.exists():
            shutil.rmtree(path)
        scratch.rename(path)
    finally:
        if scratch.exists():
            shutil.rmtree(scratch, ignore_errors=True)


def hash_of(*parts):
    """A short name for the given inputs: strings, bytes and files (Path)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with open(part, "rb") as stream:
                part = hashlib.file_digest(stream, "sha256").digest()
        elif isinstance(part, str):
            part = part.encode()
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


def telling(output):
    """The line of a failed command's output that says why, if there is any."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for words in ("No space left", "nexpected e", "rror"):
        if found := [line for line in lines if words in line]:
            return found[0]
    return lines[-1] if lines else None


def run(command, what, status=BUILD, log=None, **options):
    """Runs a command. Its output goes to LOG; on failure the error shows the lines that say why."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              errors="replace", **options)
    except FileNotFoundError:
        raise GuestError(f"{what}: the command {command[0]} is missing; install its Debian package", status)
    if log:
        with open(log, "a") as stream:
            stream.write(done.stdout)
    if done.returncode:
        where = f" (all of it: {log})" if log else ""
        raise GuestError(f"{what}: {command[0]} failed: {telling(done.stdout) or done.returncode}{where}",
                         status)
    return done.stdout
