# SPDX-License-Identifier: Apache-2.0
"""An OCI image, a layout folder (FOLDER or FOLDER:TAG) or a docker-archive tar, as the files and the entry point of a guest."""

import json
import shutil
import tempfile
from pathlib import Path

from .base import IMAGE, GuestError, cache_dir, run


def reference(text, base):
    """skopeo's name of the image that TEXT gives by path."""
    path, _, tag = str(text).partition(":")
    path = base / path
    if path.is_dir():
        if not (path / "oci-layout").is_file():
            raise GuestError(f"{path}: a folder without oci-layout is no OCI image", IMAGE)
        return f"oci:{path}{':' + tag if tag else ''}"
    if path.is_file():
        return f"docker-archive:{path}{':' + tag if tag else ''}"
    raise GuestError(f"OCI image {path} does not exist", IMAGE)


def configuration(name):
    """The image's own config: Entrypoint, Cmd, Env, WorkingDir, User."""
    described = json.loads(run(["skopeo", "inspect", "--config", name], f"read {name}", IMAGE))
    platform = f"{described.get('os')}/{described.get('architecture')}"
    if platform != "linux/amd64":
        raise GuestError(f"{name} is for {platform}; a guest is linux/amd64", IMAGE)
    return described.get("config") or {}


def unpack(text, base, root):
    """Puts the image's files into ROOT and returns its config. umoci applies layers and whiteouts, and keeps every path inside."""
    name = reference(text, base)
    config = configuration(name)
    work = Path(tempfile.mkdtemp(prefix="oci-", dir=cache_dir("scratch")))
    try:
        run(["skopeo", "--insecure-policy", "copy", name, f"oci:{work}/layout:image"], f"read the layers of {name}", IMAGE)
        run(["umoci", "unpack", "--image", f"{work}/layout:image", f"{work}/bundle"], f"unpack {name}", IMAGE)
        root.rmdir()
        shutil.move(work / "bundle/rootfs", root)
        root.chmod(0o755)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return config


def apply(config, app):
    """What the manifest's [app] does not say, the image's config does."""
    if "argv" not in app:
        app["argv"] = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    env = dict(item.split("=", 1) for item in config.get("Env") or [] if "=" in item)
    app["env"] = {**env, **app.get("env", {})}
    if config.get("WorkingDir"):
        app.setdefault("cwd", config["WorkingDir"])
    if config.get("User"):
        app.setdefault("user", config["User"])
    # An image made for containers expects these, and a root it may write on.
    app.setdefault("overlay", "-")
    app.setdefault("mounts", ["proc proc /proc", "sysfs sysfs /sys", "tmpfs tmpfs /dev/shm mode=1777"])
