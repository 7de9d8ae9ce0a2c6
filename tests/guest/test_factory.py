# SPDX-License-Identifier: Apache-2.0
"""The guest factory's own decisions: what it refuses and how it says so, and that the same input gives the same bytes."""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "guest"))
from factory import base, debs, elf, image, kconfig, manifest, source

NAMELESS = 'description = "x"\n'
HELLO = '[image]\nprogram = "hello.c"\n[app]\nargv = ["/hello"]\n'


class FactoryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lupine-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def refused(self, status, words, function, *arguments):
        with self.assertRaises(base.GuestError) as caught:
            function(*arguments)
        self.assertEqual(caught.exception.status, status, caught.exception)
        self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))


class TellingTest(unittest.TestCase):
    def test_the_line_that_says_why(self):
        for output, line in (("a: Error 1\n b: No space left on device\nc: error\n", "b: No space left on device"),
                             ("xz: (stdin): Unexpected end of input\ntar: Error is not recoverable\n", "xz: (stdin): Unexpected end of input"),
                             ("one\nE: error two\nthree\n", "E: error two"), ("one\ntwo\n\n", "two"), ("", None)):
            self.assertEqual(base.telling(output), line)


class FragmentTest(FactoryTest):
    def read(self, text):
        return kconfig.read_fragment(self.file("x.config", text))

    def test_values(self):
        symbols = self.read('# why\nCONFIG_A=y\n\n# CONFIG_B is not set\nCONFIG_C=0x200000\nCONFIG_D=-1\nCONFIG_E="a b"\n')
        self.assertEqual({name: value for name, (value, _) in symbols.items()},
                         {"A": "y", "B": "n", "C": "0x200000", "D": "-1", "E": '"a b"'})
        self.assertEqual(symbols["C"][1], "x.config:5")

    def test_a_line_that_is_none(self):
        self.refused(base.CONFIG, "x.config:2: not `CONFIG_X=value`", self.read, "CONFIG_A=y\nCONFIG_B = y\n")

    def test_a_module_is_refused(self):
        self.refused(base.CONFIG, "x.config:1", self.read, "CONFIG_A=m\n")

    def test_a_misspelt_is_not_set(self):
        self.refused(base.CONFIG, "x.config:1", self.read, "# CONFIG_A is not sett\n")

    def test_twice(self):
        self.refused(base.CONFIG, "already given at x.config:1", self.read, "CONFIG_A=y\n# CONFIG_A is not set\n")

    def test_unknown_fragment(self):
        self.refused(base.CONFIG, "fragment nosuch", kconfig.fragment_path, "nosuch")

    def test_a_later_fragment_overrides(self):
        first, second = self.file("1.config", "CONFIG_A=y\nCONFIG_B=y\n"), self.file("2.config", "# CONFIG_A is not set\n")
        merged = kconfig.merge([str(first), str(second)])
        self.assertEqual((merged["A"][0], merged["B"][0]), ("n", "y"))
        self.assertEqual(kconfig.text(merged), "# CONFIG_A is not set\nCONFIG_B=y\n")

    def test_a_comment_stays_while_an_option_below_it_does(self):
        path = self.file("x.config", "# x.\n# Both.\nCONFIG_A=y\nCONFIG_B=y\n# Gone.\nCONFIG_C=y\n# Kept.\n# CONFIG_D is not set\n")
        kconfig.rewrite(path, {"B", "D"})
        self.assertEqual(path.read_text(), "# x.\n# Both.\nCONFIG_B=y\n# Kept.\n# CONFIG_D is not set\n")

    def test_every_committed_fragment_is_read(self):
        fragments = sorted((ROOT / "guest/fragments").glob("*.config"))
        self.assertTrue(fragments)
        for path in fragments:
            kconfig.read_fragment(path)


class ManifestTest(FactoryTest):
    def load(self, text):
        return manifest.load(str(self.file("x.toml", text)))

    def test_unknown_application(self):
        self.refused(base.MANIFEST, "no application nosuch", manifest.load, "nosuch")

    def test_bad_toml(self):
        self.refused(base.MANIFEST, "x.toml", self.load, "[image\n")

    def test_unknown_key(self):
        self.refused(base.MANIFEST, "unknown key [image] progam", self.load, HELLO.replace("program", "progam"))

    def test_wrong_type(self):
        self.refused(base.MANIFEST, "[app] argv must be a list", self.load, HELLO.replace('["/hello"]', '"/hello"'))

    def test_no_source(self):
        self.refused(base.MANIFEST, "exactly one of", self.load, HELLO.replace('program = "hello.c"', ""))

    def test_two_sources(self):
        self.refused(base.MANIFEST, "exactly one of", self.load, HELLO.replace("[image]", '[image]\ndirectory = "."'))

    def test_probe_step_with_unknown_key(self):
        self.refused(base.MANIFEST, "probe.step", self.load, HELLO + '[[probe.step]]\nrun = ["a"]\nexpects = "b"\n')

    def test_every_committed_manifest_and_its_fragments(self):
        self.assertTrue(manifest.names())
        for name in manifest.names():
            for fragment in manifest.load(name).kernel.get("fragments", []):
                kconfig.fragment_path(fragment)


class SourceTest(FactoryTest):
    def test_missing(self):
        self.refused(base.SOURCE, "kernel source not found", source.prepare, str(self.folder / "none.tar.xz"))

    def test_truncated_tarball_leaves_nothing(self):
        os.environ["LUPINE_CACHE"] = str(self.folder / "cache")
        self.addCleanup(os.environ.pop, "LUPINE_CACHE")
        tarball = self.folder / "linux.tar.gz"
        subprocess.run(["tar", "-czf", tarball, "-C", ROOT, "guest", "boot"], check=True)
        os.truncate(tarball, tarball.stat().st_size // 2)
        self.refused(base.SOURCE, "nexpected e", source.prepare, str(tarball))
        self.assertEqual([p.name for p in (self.folder / "cache/source").iterdir() if p.is_dir()], [])

    def test_another_version(self):
        os.environ["LUPINE_CACHE"] = str(self.folder / "cache")
        self.addCleanup(os.environ.pop, "LUPINE_CACHE")
        self.file("linux/Makefile", "# x\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nmrproper:\n")
        self.refused(base.SOURCE, "Linux 6.1; the fragments and patches are for 6.12", source.prepare,
                     str(self.folder / "linux"))
        self.assertEqual([p.name for p in (self.folder / "cache/source").iterdir() if p.is_dir()], [])

    def test_no_kernel(self):
        self.refused(base.SOURCE, "no Linux kernel source", source.tree_version, self.folder, "x.tar")


@unittest.skipUnless(source.DEBIAN.exists(), "needs linux-source-6.12")
class SurvivalTest(FactoryTest):
    """Kconfig's own judgement, on the real source."""

    @classmethod
    def setUpClass(cls):
        cls.tree = source.prepare()

    def configure(self, text, names=("base",)):
        symbols = kconfig.merge(names)
        symbols.update(kconfig.read_fragment(self.file("x.config", text)))
        build = self.folder / "build"
        build.mkdir(exist_ok=True)
        return kconfig.configure(self.tree, build, symbols, ["make", "-s", f"O={build}", "ARCH=x86"])

    def test_every_committed_set_survives(self):
        sets = {tuple(manifest.load(name).kernel.get("fragments", [])) for name in manifest.names()}
        for names in sorted(sets | {("net", "general"), ("smp", "debug"), ("tiny",), ("kml",), ("microvm",)}):
            with self.subTest(names=names):
                self.configure("", names if names == ("microvm",) else ("base", *names))

    def test_what_does_not_survive_is_named_with_its_reason(self):
        with self.assertRaises(base.GuestError) as caught:
            self.configure("CONFIG_NO_SUCH=y\nCONFIG_INET=y\n# CONFIG_HPET_TIMER is not set\n# CONFIG_CRYPTO_CRC32C is not set\n")
        self.assertEqual(caught.exception.status, base.CONFIG)
        reasons = str(caught.exception).split("; ")
        self.assertEqual(len(reasons), 4, reasons)
        self.assertTrue(reasons[0].startswith("x.config:4: CONFIG_CRYPTO_CRC32C=n did not survive: it is selected by "), reasons[0])
        self.assertEqual(reasons[1:], [
            "x.config:3: CONFIG_HPET_TIMER=n did not survive: it can only be chosen with X86_32",
            "x.config:2: CONFIG_INET=y did not survive: it depends on NET, which is not set",
            "x.config:1: CONFIG_NO_SUCH=y did not survive: there is no such symbol in this kernel"])


class PackageTest(FactoryTest):
    def test_not_a_name(self):
        self.refused(base.IMAGE, "not the name of a Debian package", debs.closure, ["-o=Dir::x"])

    def test_no_such_package(self):
        self.refused(base.IMAGE, "no-such-package-anywhere", debs.closure, ["no-such-package-anywhere"])


class ElfTest(FactoryTest):
    def test_links_stay_inside_the_root(self):
        (self.folder / "etc").mkdir()
        (self.folder / "out").symlink_to("/etc")
        (self.folder / "up").symlink_to("../../../../etc")
        for name in ("out", "up"):
            self.assertEqual(elf.inside(self.folder, f"/{name}/passwd"), self.folder / "etc/passwd")

    def test_closure_of_a_shell(self):
        subprocess.run(["cp", "--parents", "-L", "/bin/sh", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
                        self.folder], check=True)
        names = {path.name for path in elf.closure(self.folder, [self.folder / "bin/sh"])}
        self.assertEqual(names, {"sh", "libc.so.6", "ld-linux-x86-64.so.2"})


class ImageCase(FactoryTest):
    def build(self, app):
        os.environ["LUPINE_CACHE"] = str(self.folder / "cache")
        try:
            return image.build(app)
        finally:
            del os.environ["LUPINE_CACHE"]


@unittest.skipUnless(os.geteuid() == 0, "making device nodes needs root")
class ImageTest(ImageCase):
    def hello(self, extra=""):
        self.file("hello.c", "int main(void)\n{\n\treturn 0;\n}\n")
        path = self.file("hello.toml", HELLO + extra)
        return manifest.load(str(path))

    def same(self, make, what):
        digests = {hashlib.sha256(self.build(make()).read_bytes()).hexdigest() for _ in range(2)}
        self.assertEqual(len(digests), 1, what)

    def test_same_input_same_bytes(self):
        for form in ("erofs", "ext4"):
            def app(form=form):
                made = self.hello('[vm]\ndata = "1M"\n')
                made.image["format"] = form
                return made

            self.same(app, form)

    def test_the_data_disk_has_the_same_bytes_and_is_the_applications(self):
        app = self.hello('user = "5:6"\n[vm]\ndata = "1M"\n')
        digests = {hashlib.sha256(image.data_path(self.build(app)).read_bytes()).hexdigest() for _ in range(2)}
        self.assertEqual(len(digests), 1)
        disk = self.folder / "cache/image/hello.data.img"
        shown = subprocess.run(["debugfs", "-R", "stat /", disk], capture_output=True, text=True, check=True).stdout
        self.assertRegex(shown, r"User:     5   Group:     6")
        app.vm["data"] = "1 MB"
        self.refused(base.MANIFEST, "[vm] data 1 MB: a number with K, M or G", self.build, app)

    def test_a_directory_has_the_same_bytes_in_any_order(self):
        def app():
            shutil.rmtree(self.folder / "tree", ignore_errors=True)
            for name in reversed(names) if next(turn) else names:
                self.file(f"tree/{name}", name)
            return manifest.load(str(self.file("x.toml", '[image]\ndirectory = "tree"\n[app]\nargv = ["/b/2"]\n')))

        names, turn = ["a/1", "b/2", "b/3", "c"], iter((False, True))
        self.same(app, "directory")

    def test_packages_have_the_same_bytes(self):
        text = '[image]\npackages = ["dash"]\nfiles = ["/usr/bin/dash"]\n[app]\nargv = ["dash"]\nuser = "nobody"\n'
        self.same(lambda: manifest.load(str(self.file("x.toml", text))), "packages")

    def test_ext4_holds_the_files(self):
        app = self.hello()
        app.image.update(format="ext4", copy={"/etc/a file": "hello.c"}, empty=["/data 5:6"])
        disk = self.build(app)
        check = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stdout)

        def debugfs(command):
            return subprocess.run(["debugfs", "-R", command, disk], capture_output=True, text=True, check=True).stdout

        self.assertEqual(debugfs('cat "/etc/a file"'), (self.folder / "hello.c").read_text())
        self.assertRegex(debugfs("stat /data"), r"(?s)Type: directory.*Mode:  0755.*User:     5   Group:     6")
        self.assertRegex(debugfs("stat /dev/null"), r"(?s)Type: character special.*Mode:  0666")
        self.assertRegex(debugfs("stat /lupine/init"), r"(?s)Type: regular.*Mode:  0755")
        self.assertIn("/proc/self/fd", debugfs("stat /dev/fd"))

    def test_a_full_file_system_is_refused(self):
        app = self.hello()
        (self.folder / "big").write_bytes(os.urandom(4 << 20))
        app.image.update(format="ext4", size="2M", copy={"/big": "big"})
        self.refused(base.IMAGE, "fill the ext4 image", self.build, app)
        self.assertFalse((self.folder / "cache/image/hello.img").exists())

    def test_description(self):
        app = self.hello('user = "wolf"\nstop = "INT"\nmounts = ["proc proc /proc"]\n')
        app.app["argv"] = ["/hello", "a b", "line\nback\\slash"]
        root = self.folder / "root"
        root.mkdir()
        (root / "hello").touch()
        image.add_accounts(app, root)
        lines = image.describe(app, root).splitlines()
        self.assertEqual(lines[:3], ["arg /hello", "arg a b", "arg line\\nback\\\\slash"])
        self.assertIn("user 100:100", lines)
        self.assertIn("stop 2", lines)
        self.assertIn("mount proc proc /proc", lines)
        self.assertTrue((root / "proc").is_dir())

    def test_refusals_leave_nothing(self):
        for extra, status, words in (('user = "nobody:nosuch"\n', base.IMAGE, "group nosuch is not in the image"),
                                     ('stop = "NONE"\n', base.MANIFEST, "NONE is not a signal"),
                                     ('mounts = ["proc"]\n', base.MANIFEST, "not TYPE SOURCE TARGET"),
                                     ('mounts = ["proc proc ../x"]\n', base.MANIFEST, "absolute path without")):
            self.refused(status, words, self.build, self.hello(extra))
            self.assertEqual(list((self.folder / "cache/scratch").iterdir()), [])
            self.assertFalse((self.folder / "cache/image").exists())

    def test_a_full_disk(self):
        self.hello()
        cache, out = self.folder / "small", self.folder / "out"
        cache.mkdir()
        script = (f"mount -t tmpfs -o size=40k tmpfs {cache} && "
                  f"{ROOT}/guest/build {self.folder}/hello.toml --image-only -o {out}; status=$?; find {cache} -name '*.img'; exit $status")
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False,
                              env={**os.environ, "LUPINE_CACHE": str(cache)})
        self.assertIn(done.returncode, (1, base.BUILD, base.IMAGE))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("No space left", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse(out.exists())

    def test_a_wrong_fragment_leaves_no_image(self):
        self.hello()
        out = self.folder / "out"
        done = subprocess.run([ROOT / "guest/build", self.folder / "hello.toml", "--kernel", "nosuch", "-o", out],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (base.CONFIG, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertFalse(out.exists())

    def test_a_program_that_does_not_compile(self):
        app = self.hello()
        self.file("hello.c", "int main(void) { return x; }\n")
        self.refused(base.BUILD, "compile", self.build, app)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("umoci") and shutil.which("skopeo"), "needs root, skopeo, umoci")
class OciTest(ImageCase):
    """Images made here by hand, layer by layer, the bad ones included."""

    def blob(self, content, kind):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        name = hashlib.sha256(data).hexdigest()
        path = self.folder / "layout/blobs/sha256" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{name}", "size": len(data)}

    def layer(self, *entries):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in entries:
                member = tarfile.TarInfo(name)
                member.mode = 0o755
                if isinstance(content, bytes):
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                else:
                    member.type, member.linkname = tarfile.SYMTYPE, content
                    tar.addfile(member)
        return stream.getvalue()

    def layout(self, layers, architecture="amd64", **config):
        blobs = [self.blob(layer, "layer.v1.tar") for layer in layers]
        described = self.blob({"architecture": architecture, "os": "linux", "config": config, "rootfs": {
            "type": "layers", "diff_ids": [blob["digest"] for blob in blobs]}}, "config.v1+json")
        index = self.blob({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": described,
                           "layers": blobs}, "manifest.v1+json")
        index["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        self.file("layout/oci-layout", '{"imageLayoutVersion": "1.0.0"}')
        self.file("layout/index.json", json.dumps({"schemaVersion": 2, "manifests": [index]}))
        return blobs

    def oci(self):
        app = manifest.load(str(self.file("x.toml", '[image]\noci = "layout:latest"\nformat = "ext4"\n')))
        return self.build(app)

    def show(self, disk, path):
        return subprocess.run(["debugfs", "-R", f"cat {path}", disk], capture_output=True, text=True, check=True).stdout

    def test_layers_whiteouts_and_config(self):
        self.layout([self.layer(("bin/old", b"1"), ("bin/app", b"1"), ("etc/passwd", b"wolf:x:5:6::/:/bin/sh\n")),
                     self.layer(("bin/.wh.old", b""), ("bin/app", b"two"))],
                    Entrypoint=["app"], Cmd=["--serve", "a b"], Env=["PATH=/bin", "A=1"], WorkingDir="/etc", User="wolf")
        disk = self.oci()
        self.assertEqual(self.show(disk, "/bin/app"), "two")
        listing = subprocess.run(["debugfs", "-R", "ls /bin", disk], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("old", listing)
        lines = self.show(disk, "/lupine/app").splitlines()
        for line in ("arg /bin/app", "arg --serve", "arg a b", "env PATH=/bin", "env A=1", "cwd /etc", "user 5:6", "overlay -"):
            self.assertIn(line, lines)

    def test_a_layer_cannot_write_outside(self):
        outside = self.folder / "outside"
        self.layout([self.layer(("bin/app", b"1"), ("link", str(self.folder))),
                     self.layer(("link/outside", b"x"), ("../../../../../../../../../../../.." + str(outside), b"x"))],
                    Entrypoint=["/bin/app"])
        try:
            self.oci()
        except base.GuestError:
            pass
        self.assertFalse(outside.exists())

    def test_an_absolute_link_leads_no_later_layer_outside(self):
        outside = self.folder / "outside"
        outside.mkdir()
        for link in (str(outside), "../../../../../../../../../../../.." + str(outside)):
            self.layout([self.layer(("bin/app", b"1"), ("etc", link)), self.layer(("etc/written", b"x"), ("etc/.wh.kept", b""))],
                        Entrypoint=["/bin/app"])
            (outside / "kept").touch()
            try:
                self.oci()
            except base.GuestError as error:
                self.assertEqual(error.status, base.IMAGE)
            self.assertEqual([path.name for path in outside.iterdir()], ["kept"])

    def test_same_layers_same_bytes(self):
        self.layout([self.layer(("bin/app", b"1"), ("b", b"2"), ("a", b"3")), self.layer(("bin/.wh.b", b""))], Entrypoint=["/bin/app"])
        digests = {hashlib.sha256(self.oci().read_bytes()).hexdigest() for _ in range(2)}
        self.assertEqual(len(digests), 1)

    def test_a_docker_archive(self):
        self.layout([self.layer(("bin/app", b"archived"))], Entrypoint=["/bin/app"], User="7:8")
        subprocess.run(["skopeo", "--insecure-policy", "copy", f"oci:{self.folder}/layout:latest",
                        f"docker-archive:{self.folder}/image.tar:lupine/app:1"], check=True, stdout=subprocess.DEVNULL)
        app = manifest.load(str(self.file("x.toml", '[image]\nmissing = "x"\nformat = "ext4"\n')), self.folder / "image.tar")
        disk = self.build(app)
        self.assertEqual(self.show(disk, "/bin/app"), "archived")
        self.assertIn("user 7:8", self.show(disk, "/lupine/app"))
        os.truncate(self.folder / "image.tar", 2000)
        self.refused(base.IMAGE, "docker-archive:", self.build, app)

    def test_another_architecture(self):
        self.layout([self.layer(("bin/app", b"1"))], architecture="arm64", Entrypoint=["/bin/app"])
        self.refused(base.IMAGE, "is for linux/arm64; a guest is linux/amd64", self.oci)

    def test_a_missing_layer(self):
        blobs = self.layout([self.layer(("bin/app", b"1"))], Entrypoint=["/bin/app"])
        (self.folder / "layout/blobs/sha256" / blobs[0]["digest"].split(":")[1]).unlink()
        self.refused(base.IMAGE, "read the layers of", self.oci)
        self.assertEqual(list((self.folder / "cache/scratch").iterdir()), [])

    def test_no_entry_point_and_no_program(self):
        self.layout([self.layer(("bin/app", b"1"))])
        self.refused(base.IMAGE, "no Entrypoint and no Cmd", self.oci)
        self.layout([self.layer(("bin/app", b"1"))], Entrypoint=["nosuch"])
        self.refused(base.IMAGE, "the image has no nosuch in /usr/local/sbin", self.oci)

    def test_no_image(self):
        self.refused(base.IMAGE, "does not exist", self.oci)
        (self.folder / "layout").mkdir()
        self.refused(base.IMAGE, "a folder without oci-layout", self.oci)


if __name__ == "__main__":
    unittest.main()
