# SPDX-License-Identifier: Apache-2.0
"""An application's manifest: guest/apps/NAME.toml, read strictly."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .base import GUEST, MANIFEST, GuestError

# Table -> key -> type. A key that is not here is a mistake, and named.
KEYS = {
    "": {"description": str, "kernel": dict, "image": dict, "app": dict, "vm": dict, "probe": dict},
    "kernel": {"fragments": list},
    "image": {"format": str, "size": str, "packages": list, "suite": str, "program": str, "module": dict, "directory": str, "archive": list,
              "files": list, "drop": list, "oci": str, "missing": str, "copy": dict, "empty": list, "users": list, "prepare": list},
    "module": {"path": str, "version": str, "sha256": str, "command": str},
    "app": {"argv": list, "env": dict, "cwd": str, "user": str, "hostname": str, "mounts": list, "limits": dict, "stop": str,
            "overlay": str},
    "vm": {"memory": str, "ports": list, "data": str},
    "probe": {"seconds": int, "output": str, "status": int, "step": list},
}
# What an item of a list of tables must have, and may have.
ITEMS = {"step": ({"run"}, {"expect"}), "archive": ({"url", "sha256", "to"}, {"skip"})}
SOURCES = ("packages", "program", "module", "directory", "oci")


@dataclass
class Manifest:
    name: str
    folder: Path
    description: str = ""
    kernel: dict = field(default_factory=dict)
    image: dict = field(default_factory=dict)
    app: dict = field(default_factory=dict)
    vm: dict = field(default_factory=dict)
    probe: dict = field(default_factory=dict)
    kml: bool = False  # for the image: guest/build --kml


def check(where, table, content):
    for key, value in content.items():
        expected = KEYS[table].get(key)
        label = f"[{table}] {key}" if table else key
        if expected is None:
            raise GuestError(f"{where}: unknown key {label}; known here: {', '.join(KEYS[table])}", MANIFEST)
        if not isinstance(value, expected):
            raise GuestError(f"{where}: {label} must be a {expected.__name__}", MANIFEST)
        if expected is dict and key in KEYS:
            check(where, key, value)
        elif key in ITEMS:
            must, may = ITEMS[key]
            if not all(isinstance(item, dict) and must <= set(item) <= must | may for item in value):
                raise GuestError(f"{where}: [[{table}.{key}]] has {', '.join(sorted(must))} and may have {', '.join(sorted(may))}", MANIFEST)
        elif expected is list and not all(isinstance(item, int if key == "ports" else str) for item in value):
            raise GuestError(f"{where}: {label} must be a list of {'numbers' if key == 'ports' else 'strings'}", MANIFEST)


def names():
    return sorted(path.stem for path in (GUEST / "apps").glob("*.toml"))


def load(name, oci=None):
    """The manifest of guest/apps/NAME.toml, or of a path that ends in .toml; OCI is an image to use instead of its source."""
    path = Path(name) if name.endswith(".toml") else GUEST / "apps" / f"{name}.toml"
    try:
        with open(path, "rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError:
        raise GuestError(f"no application {name}: {path} does not exist (there are: {', '.join(names())})", MANIFEST)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise GuestError(f"{path}: {error}", MANIFEST)
    check(path.name, "", content)
    manifest = Manifest(path.stem, path.resolve().parent, **content)
    if oci:
        for source in (*SOURCES, "archive", "missing", "files", "drop", "prepare"):
            manifest.image.pop(source, None)
        manifest.image["oci"] = str(Path(oci).absolute())
    if "missing" in manifest.image:
        return manifest
    sources = [source for source in SOURCES if source in manifest.image]
    if len(sources) != 1:
        raise GuestError(f"{path.name}: [image] needs exactly one of {', '.join(SOURCES)}", MANIFEST)
    if "module" in manifest.image and not {"path", "version", "sha256"} <= set(manifest.image["module"]):
        raise GuestError(f"{path.name}: [image.module] needs path, version and sha256 (of the module proxy's zip)", MANIFEST)
    if not manifest.app.get("argv") and "oci" not in manifest.image:
        raise GuestError(f"{path.name}: [app] needs argv", MANIFEST)
    return manifest
