# SPDX-License-Identifier: Apache-2.0
"""Makes an application's disk image: its files, /lupine/init and /lupine/app, in a file system with the same bytes each time."""

import grp
import os
import pwd
import re
import shutil
import signal
import stat
import tempfile
from pathlib import Path

from . import debs, download, elf, libc, oci, program
from .base import GUEST, IMAGE, MANIFEST, GuestError, cache_dir, hash_of, locked, publish, run

# Documentation and translations: nothing of it is read by a server.
ALWAYS_DROPPED = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian",
                  "usr/share/bash-completion", "usr/share/bug", "usr/share/doc-base", "usr/share/zoneinfo"]
# The guest has no devtmpfs: the nodes are in the image. Disks are virtio-blk's, which gets the first free dynamic major.
NODES = {"console": (5, 1, 0o600), "null": (1, 3, 0o666), "zero": (1, 5, 0o666), "full": (1, 7, 0o666), "tty": (5, 0, 0o666),
         "random": (1, 8, 0o666), "urandom": (1, 9, 0o666), "ptmx": (5, 2, 0o666)}
DISKS, DISK_MAJOR, DISK_MINORS = "abcdefgh", 254, 16
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UUID = "6c757069-6e65-4000-8000-000000000000"
EPOCH = 1767225600  # 2026-01-01: the time of every file in every image


def guest_path(where, text):
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise GuestError(f"{where}: {text} must be an absolute path without ..", MANIFEST)
    return path.relative_to("/")


# --- the files

def from_packages(manifest, root):
    debs.extract(debs.fetch(manifest.image["packages"], manifest.image.get("suite")), root)


def from_directory(manifest, root):
    source = manifest.folder / manifest.image["directory"]
    if not source.is_dir():
        raise GuestError(f"{manifest.name}: directory {source} does not exist", IMAGE)
    run(["cp", "-a", f"{source}/.", root], f"copy {source}", IMAGE)


def musl_compiler(manifest):
    return libc.compiler() if manifest.kml else "musl-gcc"


def from_program(manifest, root):
    source = manifest.folder / manifest.image["program"]
    if not source.is_file():
        raise GuestError(f"{manifest.name}: program {source} does not exist", IMAGE)
    target = root / guest_path(manifest.name, manifest.app["argv"][0])
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".c":
        program.compile_static([source], target, musl_compiler(manifest))
    elif source.suffix == ".go":
        program.compile_go(source, target)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o755)


def from_module(manifest, root):
    target = root / guest_path(manifest.name, manifest.app["argv"][0])
    target.parent.mkdir(parents=True, exist_ok=True)
    program.compile_module(manifest.image["module"], target)


def from_oci(manifest, root):
    config = oci.unpack(manifest.image["oci"], manifest.folder, root)
    oci.apply(config, manifest.app)
    if not manifest.app["argv"]:
        raise GuestError(f"{manifest.name}: the OCI image has no Entrypoint and no Cmd; give [app] argv", IMAGE)


SOURCES = {"oci": from_oci, "packages": from_packages, "directory": from_directory, "program": from_program,
           "module": from_module}


def add_archives(manifest, root):
    for archive in manifest.image.get("archive", ()):
        file = download.fetch(archive["url"], archive["sha256"])
        download.unzip(file, elf.inside(root, guest_path(manifest.name, archive["to"])), archive.get("skip", 0))


def matches(manifest, root, pattern):
    # Through a link of the image's own a pattern may lead to the host's files.
    found = sorted(path for path in root.glob(str(guest_path(manifest.name, pattern))) if path.parent.resolve().is_relative_to(root.resolve()))
    if not found:
        raise GuestError(f"{manifest.name}: [image] {pattern} names nothing in the image", IMAGE)
    return found


def select(manifest, root):
    """With `files`: keeps only what they name and the libraries that needs. Drops `drop`, and documentation that is not named."""
    if "files" in manifest.image:
        named = [match for pattern in manifest.image["files"] for match in matches(manifest, root, pattern)]
        wanted = {path for match in named for path in ([match, *match.rglob("*")] if match.is_dir() else [match])}
        keep = elf.closure(root, wanted)
        keep |= {parent for path in keep for parent in path.parents}
        keep |= {root / name for name in ("bin", "sbin", "lib", "lib64")}
        for folder, folders, files in os.walk(root, topdown=False):
            for name in (*files, *folders):
                path = Path(folder) / name
                if path in keep:
                    continue
                if path.is_symlink() or not path.is_dir():
                    path.unlink()
                elif not any(path.iterdir()):
                    path.rmdir()
    for name in ALWAYS_DROPPED:
        if not any(pattern.startswith(f"/{name}") for pattern in manifest.image.get("files", ())):
            shutil.rmtree(elf.inside(root, name), ignore_errors=True)
    for pattern in manifest.image.get("drop", ()):
        for path in matches(manifest, root, pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def add_copies(manifest, root):
    for target, source in manifest.image.get("copy", {}).items():
        path = elf.inside(root, guest_path(manifest.name, target))
        origin = manifest.folder / source
        if not origin.exists():
            raise GuestError(f"{manifest.name}: [image.copy] {origin} does not exist", IMAGE)
        path.parent.mkdir(parents=True, exist_ok=True)
        run(["cp", "-a", "--no-preserve=ownership", "-T", origin, path], f"copy {origin}", IMAGE)


def add_folders(manifest, root):
    for folder in manifest.image.get("empty", ()):
        path, _, owner = folder.partition(" ")
        path = elf.inside(root, guest_path(manifest.name, path))
        path.mkdir(parents=True, exist_ok=True)
        if owner:
            uid, gid, _ = user_ids(manifest, root, owner)
            os.chown(path, uid, gid)


def prepare(manifest, root):
    """Runs the manifest's commands inside the image, as the application's user: what packages leave to their first start."""
    uid, gid, _ = user_ids(manifest, root, manifest.app.get("user", "root"))
    for folder in ("proc", "tmp"):
        elf.inside(root, folder).mkdir(exist_ok=True)
    elf.inside(root, "tmp").chmod(0o1777)
    for line in manifest.image.get("prepare", ()):
        run(["unshare", "--mount", "--pid", "--fork", "--net", f"--mount-proc={root}/proc", "chroot", f"--userspec={uid}:{gid}", root, "/bin/sh", "-ec", line],
            f"{manifest.name}: prepare `{line[:60]}`", IMAGE, env={"PATH": PATH, "HOME": "/", "LC_ALL": "C"})
    for path in elf.inside(root, "tmp").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# --- what makes it a guest

def read_table(root, name):
    path = elf.inside(root, f"etc/{name}")
    return [line.split(":") for line in path.read_text().splitlines() if ":" in line] if path.exists() else []


def add_accounts(manifest, root):
    """Maintainer scripts did not run, so their users are missing: root, nobody, the application's and those asked for are there."""
    etc = elf.inside(root, "etc")
    etc.mkdir(parents=True, exist_ok=True)
    users = [manifest.app.get("user", "root").partition(":")[0], *manifest.image.get("users", ())]
    for file, lines in (("passwd", ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/nonexistent:/bin/false"]),
                        ("group", ["root:x:0:", "nogroup:x:65534:"])):
        path = elf.inside(root, f"etc/{file}")
        known = {fields[0] for fields in read_table(root, file)}
        lines += [f"{name}:x:{uid}:{uid}::/nonexistent:/bin/false" if file == "passwd" else f"{name}:x:{uid}:"
                  for uid, name in enumerate(users, 100) if not name.isdecimal()]
        with open(path, "a") as stream:
            stream.writelines(f"{line}\n" for line in lines if line.split(":")[0] not in known)
    for file, text in (("hosts", "127.0.0.1 localhost\n"), ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")):
        if not (path := elf.inside(root, f"etc/{file}")).exists():
            path.write_text(text)


def user_ids(manifest, root, text):
    """(uid, gid, other gids) of USER[:GROUP], names by the image's own tables."""
    user, _, group = text.partition(":")
    passwd = read_table(root, "passwd")
    groups = read_table(root, "group")
    entry = next((fields for fields in passwd if user in (fields[0], fields[2])), None)
    if entry is None and not user.isdecimal():
        raise GuestError(f"{manifest.name}: user {user} is not in the image's /etc/passwd", IMAGE)
    uid = int(entry[2]) if entry else int(user)
    gid = int(entry[3]) if entry else 0
    if group:
        named = next((fields for fields in groups if group in (fields[0], fields[2])), None)
        if named is None and not group.isdecimal():
            raise GuestError(f"{manifest.name}: group {group} is not in the image's /etc/group", IMAGE)
        gid = int(named[2]) if named else int(group)
    others = [int(fields[2]) for fields in groups if entry and entry[0] in fields[3].split(",")] if not group else []
    return uid, gid, [other for other in others if other != gid]


def escape(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def find_program(manifest, root, name):
    """As a shell would, but now: init executes an absolute path."""
    path = {"PATH": PATH, **manifest.app.get("env", {})}["PATH"]
    candidates = [name] if name.startswith("/") else [f"{manifest.app.get('cwd', '/')}/{name}"] if "/" in name else [
        f"{folder}/{name}" for folder in path.split(":") if folder.startswith("/")]
    for candidate in candidates:
        if elf.inside(root, candidate).is_file():
            return candidate
    raise GuestError(f"{manifest.name}: the image has no {name}" + ("" if "/" in name else f" in {path}"), IMAGE)


def describe(manifest, root):
    """The text of /lupine/app; guest/init/app.c reads it."""
    app = manifest.app
    argv = [find_program(manifest, root, app["argv"][0]), *app["argv"][1:]]
    env = {"PATH": PATH, "HOME": "/", **app.get("env", {})}
    lines = [f"arg {escape(word)}" for word in argv]
    lines += [f"env {key}={escape(value)}" for key, value in env.items()]
    lines += [f"{key} {escape(app[key])}" for key in ("cwd", "hostname", "overlay") if key in app]
    if "user" in app:
        uid, gid, others = user_ids(manifest, root, app["user"])
        if uid or gid:
            lines.append(f"user {uid}:{','.join(map(str, [gid, *others]))}")
    if "stop" in app:
        try:
            lines.append(f"stop {int(signal.Signals['SIG' + app['stop']])}")
        except KeyError:
            raise GuestError(f"{manifest.name}: [app] stop: {app['stop']} is not a signal (TERM, INT, QUIT, ...)", MANIFEST)
    for mount in app.get("mounts", ()):
        words = mount.split()
        if len(words) not in (3, 4):
            raise GuestError(f"{manifest.name}: [app] mounts: `{mount}` is not TYPE SOURCE TARGET [OPTIONS]", MANIFEST)
        elf.inside(root, guest_path(manifest.name, words[2])).mkdir(parents=True, exist_ok=True)
        lines.append(f"mount {mount}")
    lines += [f"limit {name} {bounds}" for name, bounds in app.get("limits", {}).items()]
    return "".join(f"{line}\n" for line in lines)


def add_lupine(manifest, root):
    folder = root / "lupine"
    if folder.is_symlink() or folder.exists():
        raise GuestError(f"{manifest.name}: the image has a /lupine of its own", IMAGE)
    (folder / "rw").mkdir(parents=True)
    program.compile_static(sorted((GUEST / "init").glob("*.c")), folder / "init", musl_compiler(manifest))
    (folder / "app").write_text(describe(manifest, root))
    for folder in ("proc", "sys", "tmp"):
        elf.inside(root, folder).mkdir(exist_ok=True)


def add_devices(root):
    dev = elf.inside(root, "dev")
    dev.mkdir(parents=True, exist_ok=True)
    nodes = [(name, stat.S_IFCHR | mode, os.makedev(major, minor)) for name, (major, minor, mode) in NODES.items()]
    nodes += [(f"vd{letter}", stat.S_IFBLK | 0o660, os.makedev(DISK_MAJOR, i * DISK_MINORS)) for i, letter in enumerate(DISKS)]
    for name, mode, device in nodes:
        path = dev / name
        path.unlink(missing_ok=True)
        try:
            os.mknod(path, mode, device)
        except PermissionError:
            raise GuestError("making device nodes needs root", IMAGE)
        path.chmod(stat.S_IMODE(mode))
    for name, target in LINKS.items():
        (dev / name).unlink(missing_ok=True)
        (dev / name).symlink_to(target)


# --- the file system

def set_times(root):
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files):
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(root, (EPOCH, EPOCH))


def make_erofs(root, output, size):
    run(["mkfs.erofs", "--quiet", f"-T{EPOCH}", f"-U{UUID}", "-x-1", output, root], "make the erofs image", IMAGE)


def populate(root):
    """The debugfs commands that write ROOT's files, in order of name. (mke2fs -d takes the order and the change times of the
    host's file system.)"""
    for folder, folders, files in os.walk(root):
        folders.sort()
        yield f'cd "/{os.path.relpath(folder, root)}"'
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            if '"' in path or "\n" in path:
                raise GuestError(f"{os.path.relpath(path, root)!r}: an ext4 image cannot have this name", IMAGE)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                yield f'symlink "{name}" "{os.readlink(path)}"'
            elif stat.S_ISDIR(status.st_mode):
                yield f'mkdir "{name}"'
            elif stat.S_ISREG(status.st_mode):
                yield f'write "{path}" "{name}"'
            else:
                kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
                yield f'mknod "{name}" {kind} {os.major(status.st_rdev)} {os.minor(status.st_rdev)}'
            yield f'sif "{name}" mode 0{status.st_mode:o}'
            yield f'sif "{name}" uid {status.st_uid}'
            yield f'sif "{name}" gid {status.st_gid}'


def make_ext4(root, output, size):
    used = sum(int(count) for count in run(["du", "-s", "--apparent-size", "-B1", root], "measure the image", IMAGE).split()[:1])
    size = size or f"{used * 5 // 4 // 1024 + 8192}K"
    env = {**os.environ, "E2FSPROGS_FAKE_TIME": str(EPOCH)}
    run(["mke2fs", "-q", "-t", "ext4", "-U", UUID, "-E", f"hash_seed={UUID},root_owner=0:0", "-m", "0", "-I", "256", output, size],
        "make the ext4 image", IMAGE, env=env)
    commands = output.with_name("commands")
    commands.write_text("".join(f"{line}\n" for line in populate(root)))
    said = run(["debugfs", "-w", "-f", commands, output], "fill the ext4 image", IMAGE, env=env)
    wrong = [line for line in said.splitlines() if line and not line.startswith(("debugfs", "Allocated inode"))]
    if wrong:
        raise GuestError(f"fill the ext4 image ({size}): {wrong[0]}", IMAGE)


def data_path(image):
    """Where an image's empty data disk is, when its manifest asks for one."""
    return image.with_name(f"{image.stem}.data.img")


def make_data(manifest, root, output):
    """An empty ext4 of the size that [vm] data says; its top folder is the application's."""
    size = manifest.vm["data"]
    if not re.fullmatch(r"\d+[KMG]", size):
        raise GuestError(f"{manifest.name}: [vm] data {size}: a number with K, M or G", MANIFEST)
    uid, gid, _ = user_ids(manifest, root, manifest.app.get("user", "root"))
    run(["mke2fs", "-q", "-t", "ext4", "-U", UUID, "-E", f"hash_seed={UUID},root_owner={uid}:{gid}", "-m", "0", output, size],
        "make the data disk", IMAGE, env={**os.environ, "E2FSPROGS_FAKE_TIME": str(EPOCH)})


FORMATS = {"erofs": make_erofs, "ext4": make_ext4}


def build(manifest):
    """The path of the application's image."""
    if "missing" in manifest.image:
        raise GuestError(f"{manifest.name}: {manifest.image['missing']}", IMAGE)
    form = manifest.image.get("format", "erofs")
    if form not in FORMATS:
        raise GuestError(f"{manifest.name}: [image] format {form}: there are {', '.join(FORMATS)}", MANIFEST)
    size = manifest.image.get("size")
    if size and (form != "ext4" or not re.fullmatch(r"\d+[KMG]", size)):
        raise GuestError(f"{manifest.name}: [image] size is for ext4, a number with K, M or G", MANIFEST)
    work = Path(tempfile.mkdtemp(prefix=f"{manifest.name}-", dir=cache_dir("scratch")))
    try:
        root = work / "root"
        root.mkdir()
        root.chmod(0o755)
        source = next(source for source in SOURCES if source in manifest.image)
        SOURCES[source](manifest, root)
        add_archives(manifest, root)
        if "prepare" in manifest.image:
            add_accounts(manifest, root)
            add_devices(root)
            add_folders(manifest, root)
            prepare(manifest, root)
        select(manifest, root)
        add_accounts(manifest, root)
        add_devices(root)
        add_folders(manifest, root)
        add_copies(manifest, root)
        add_lupine(manifest, root)
        if manifest.kml:
            libc.replace(root)
        set_times(root)
        FORMATS[form](root, work / "image", size)
        image = cache_dir("image") / f"{manifest.name}{'+kml' if manifest.kml else ''}.img"
        if "data" in manifest.vm:
            make_data(manifest, root, work / "data")
            (work / "data").rename(data_path(image))
        (work / "image").rename(image)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return image
