# SPDX-License-Identifier: Apache-2.0
"""Files that no Debian package has, named by address and sha256: fetched once, kept, and looked at each time before use."""

import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import PurePosixPath

from .base import IMAGE, GuestError, cache_dir, locked


def digest(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(url, sha256):
    """The path of the file at URL, whose contents have this SHA256."""
    if not re.fullmatch(r"(https?|file)://\S+", url) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise GuestError(f"{url}: a download needs an http address and a sha256 of 64 hexadecimal digits", IMAGE)
    folder = cache_dir("download")
    kept = folder / f"{sha256[:16]}-{PurePosixPath(url).name}"
    with locked(kept):
        if kept.exists() and digest(kept) == sha256:
            return kept
        partial = kept.with_name(f".{kept.name}.partial")
        try:
            with urllib.request.urlopen(url, timeout=60) as response, open(partial, "wb") as stream:
                shutil.copyfileobj(response, stream, 1 << 20)
            found = digest(partial)
            if found != sha256:
                raise GuestError(f"{url}: {partial.stat().st_size} bytes with sha256 {found}, expected {sha256}: truncated, or another "
                                 "file than the manifest means", IMAGE)
            partial.rename(kept)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            raise GuestError(f"download {url}: {getattr(error, 'reason', error)}", IMAGE)
        finally:
            partial.unlink(missing_ok=True)
    return kept


def unzip(archive, root, skip=0):
    """Unpacks a zip file into ROOT without the first SKIP folders of its names, with their permissions (0644 where it has none)."""
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                parts = PurePosixPath(member.filename).parts
                if PurePosixPath(member.filename).is_absolute() or ".." in parts:
                    raise GuestError(f"{archive.name}: {member.filename} leads outside of where it is unpacked", IMAGE)
                if len(parts) <= skip:
                    continue
                path = root.joinpath(*parts[skip:])
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, open(path, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                path.chmod(member.external_attr >> 16 & 0o777 or 0o644)
    except zipfile.BadZipFile as error:
        raise GuestError(f"{archive}: no zip file: {error}", IMAGE)
