# SPDX-License-Identifier: Apache-2.0
"""Downloads of known bytes, and what is unpacked of them: a file that is not the one meant is never used."""

import hashlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "guest"))
from factory import base, debs, download, manifest


class DownloadCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lupine-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        os.environ["LUPINE_CACHE"] = str(self.folder / "cache")
        self.addCleanup(os.environ.pop, "LUPINE_CACHE")

    def refused(self, words, function, *arguments, status=base.IMAGE):
        with self.assertRaises(base.GuestError) as caught:
            function(*arguments)
        self.assertEqual(caught.exception.status, status, caught.exception)
        self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def archive(self, *entries):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as content:
            for name, text, mode in entries:
                member = zipfile.ZipInfo(name)
                member.external_attr = mode << 16
                content.writestr(member, text)
        path = self.folder / "x.zip"
        path.write_bytes(stream.getvalue())
        return path


class FetchTest(DownloadCase):
    def setUp(self):
        super().setUp()
        self.served = self.folder / "served"
        self.served.write_bytes(b"wolf" * 1000)
        self.url, self.sha256 = self.served.as_uri(), hashlib.sha256(b"wolf" * 1000).hexdigest()

    def kept(self):
        return sorted(path.name for path in (self.folder / "cache/download").iterdir() if not path.name.endswith(".lock"))

    def test_once(self):
        path = download.fetch(self.url, self.sha256)
        self.assertEqual(path.read_bytes(), self.served.read_bytes())
        self.served.unlink()
        self.assertEqual(download.fetch(self.url, self.sha256), path)

    def test_truncated_or_another(self):
        os.truncate(self.served, 3999)
        self.refused("served: 3999 bytes with sha256 ", download.fetch, self.url, self.sha256)
        self.assertEqual(self.kept(), [])

    def test_what_is_kept_is_looked_at_again(self):
        path = download.fetch(self.url, self.sha256)
        path.write_bytes(b"fox")
        self.assertEqual(download.fetch(self.url, self.sha256).read_bytes(), self.served.read_bytes())

    def test_not_there(self):
        self.served.unlink()
        self.refused(f"download {self.url}: ", download.fetch, self.url, self.sha256)
        self.assertEqual(self.kept(), [])

    def test_not_an_address_or_a_sum(self):
        self.refused("sha256 of 64", download.fetch, self.url, "abc")
        self.refused("needs an http address", download.fetch, "/etc/passwd", self.sha256)


class UnzipTest(DownloadCase):
    def test_folders_skipped_and_permissions(self):
        path = self.archive(("top/bin/run", "a", 0o755), ("top/plain", "b", 0o640), ("other", "c", 0o600))
        download.unzip(path, self.folder / "root", 1)
        root = self.folder / "root"
        self.assertEqual(sorted(str(file.relative_to(root)) for file in root.rglob("*")), ["bin", "bin/run", "plain"])
        self.assertEqual([(root / name).stat().st_mode & 0o777 for name in ("bin/run", "plain")], [0o755, 0o640])

    def test_nothing_is_written_outside(self):
        for name in ("../outside", "a/../../outside", "/outside"):
            self.refused("leads outside", download.unzip, self.archive((name, "x", 0o644)), self.folder / "root")
        self.assertFalse((self.folder / "outside").exists())

    def test_truncated(self):
        path = self.archive(("a", "x" * 1000, 0o644))
        os.truncate(path, 500)
        self.refused("no zip file", download.unzip, path, self.folder / "root")


class ManifestTest(DownloadCase):
    def load(self, image):
        path = self.folder / "x.toml"
        path.write_text(f'[app]\nargv = ["/a"]\n[image]\n{image}')
        return manifest.load(str(path))

    def test_archives_and_modules_are_read_strictly(self):
        self.refused("[[image.archive]] has sha256, to, url and may have skip", self.load,
                     'directory = "."\n[[image.archive]]\nurl = "x"\nto = "/"\n', status=base.MANIFEST)
        self.refused("[image.module] needs path, version and sha256", self.load, '[image.module]\npath = "x"\n', status=base.MANIFEST)
        self.refused("unknown key [module] name", self.load, '[image.module]\nname = "x"\n', status=base.MANIFEST)


class SuiteTest(DownloadCase):
    def test_a_suite_that_is_none(self):
        self.refused("suite no-such-suite of http", debs.closure, ["dash"], "no-such-suite")
        self.assertFalse((self.folder / "cache/apt/no-such-suite/sources.list").exists())


if __name__ == "__main__":
    unittest.main()
