# SPDX-License-Identifier: Apache-2.0
"""init as process 1 of a PID namespace, in a root of its own and without the right to I/O ports: what it makes of its
description, good and bad. What only a VM can show (ports, exit status, network) is in the boot tests."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "guest"))
from factory import program

SHOW = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
	char cwd[256];
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	for (int i = 0; i < argc; i++)
		printf("arg=[%s]\n", argv[i]);
	for (char **e = environ; *e; e++)
		printf("env=[%s]\n", *e);
	printf("cwd=%s uid=%d gid=%d groups=%d nofile=%d leader=%d\n", getcwd(cwd, sizeof(cwd)), (int)getuid(), (int)getgid(),
	       getgroups(0, NULL), (int)files.rlim_cur, getsid(0) == getpid());
	fflush(stdout);
	if (argc > 1 && argv[1][0] == '!')
		raise(SIGSEGV);
	return 0;
}
"""


@unittest.skipUnless(os.geteuid() == 0, "a PID namespace needs root")
class InitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory(prefix="lupine-test-")
        cls.root = pathlib.Path(cls.holder.name)
        cls.root.chmod(0o755)
        (cls.root / "lupine").mkdir()
        (cls.root / "tmp").mkdir()
        program.compile_static(sorted((ROOT / "guest/init").glob("*.c")), cls.root / "lupine/init")
        (cls.root / "show.c").write_text(SHOW)
        program.compile_static([cls.root / "show.c"], cls.root / "show")

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def run_init(self, description, env=None):
        (self.root / "lupine/app").write_bytes(description.encode())
        done = subprocess.run(["unshare", "--pid", "--fork", "--mount", "--net", "--uts", "setpriv", "--bounding-set",
                               "-sys_rawio", "--inh-caps", "-all", "chroot", self.root, "/lupine/init"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, env={"PATH": os.environ["PATH"], **(env or {})}, check=False)
        return done.stdout

    def test_runs_as_described(self):
        out = self.run_init("# comment\narg /show\narg two words\narg a\\nb\\\\c\nenv A=1\nenv B=x y\ncwd /tmp\nuser 7:8,9,10\n"
                            "limit nofile 32:64\nhostname wolf\nstop 2\n")
        self.assertEqual(out, "arg=[/show]\narg=[two words]\narg=[a\nb\\c]\nenv=[A=1]\nenv=[B=x y]\n"
                              "cwd=/tmp uid=7 gid=8 groups=2 nofile=32 leader=1\n")

    def test_nothing_of_inits_environment_reaches_the_application(self):
        self.assertNotIn("env=", self.run_init("arg /show\n", {"HOME": "/", "lupine_x": "1"}))

    def test_death_by_signal_is_told(self):
        self.assertIn("lupine-init: /show was ended by signal 11", self.run_init("arg /show\narg !\n"))

    def test_not_found_and_not_executable(self):
        self.assertEqual(self.run_init("arg /none\n"), "lupine-init: cannot execute /none: No such file or directory\n")
        self.assertEqual(self.run_init("arg /tmp\n"), "lupine-init: cannot execute /tmp: Permission denied\n")

    def test_bad_descriptions(self):
        for text, why in (("", "lupine-init: /lupine/app has no arg line"),
                          ("arg /show\nfoo bar\n", "/lupine/app:2: unknown key"),
                          ("arg\n", "/lupine/app:1: a line is KEY VALUE"),
                          ("arg a\\tb\n", "/lupine/app:1: a backslash is followed by n or a backslash"),
                          ("arg a\\\n", "/lupine/app:1: a backslash is followed by n or a backslash"),
                          ("cwd /\ncwd /\n", "/lupine/app:2: given twice"),
                          ("cwd tmp\n", "/lupine/app:1: cwd needs an absolute path"),
                          ("user 1\n", "/lupine/app:1: user needs UID:GID"),
                          ("user 1:2,\n", "/lupine/app:1: a number is expected"),
                          ("user 4294967295:0\n", "/lupine/app:1: number too large"),
                          ("user 99999999999999999999:0\n", "/lupine/app:1: number too large"),
                          ("env X\n", "/lupine/app:1: env needs NAME=VALUE"),
                          ("env =X\n", "/lupine/app:1: env needs NAME=VALUE"),
                          ("limit files 1\n", "/lupine/app:1: unknown limit"),
                          ("limit nofile 1:\n", "/lupine/app:1: a number is expected"),
                          ("limit nofile\n", "/lupine/app:1: limit needs NAME SOFT[:HARD]"),
                          ("mount proc proc\n", "/lupine/app:1: mount needs TYPE SOURCE /TARGET [OPTIONS]"),
                          ("mount proc proc proc\n", "/lupine/app:1: mount needs TYPE SOURCE /TARGET [OPTIONS]"),
                          ("stop 0\n", "/lupine/app:1: stop needs a signal's number"),
                          ("stop 99\n", "/lupine/app:1: number too large"),
                          ("arg a\n" * 257, "/lupine/app:257: too many arguments"),
                          ("arg a\0b\n", "not a text"),
                          ("#" * 70000, "too long")):
            out = self.run_init(text)
            self.assertEqual(out.count("\n"), 1, out)
            self.assertTrue(out.startswith("lupine-init: "), out)
            self.assertIn(why, out)

    def test_a_mount_that_fails(self):
        self.assertIn("cannot mount /none: No such file or directory", self.run_init("arg /show\nmount tmpfs tmpfs /none\n"))
        self.assertIn("this kernel lacks the file system for /tmp", self.run_init("arg /show\nmount nosuchfs x /tmp\n"))

    def test_mount_options(self):
        out = self.run_init("arg /show\narg x\ncwd /tmp\nmount tmpfs tmpfs /tmp size=1M,ro,mode=711\n")
        self.assertIn("cwd=/tmp", out)
        self.assertIn("cannot mount /tmp: Invalid argument", self.run_init("arg /show\nmount tmpfs tmpfs /tmp nosuch=1\n"))

    def test_bad_network_settings(self):
        for setting in ("", "10.0.0.1", "10.0.0.1/", "10.0.0.1/0", "10.0.0.1/33", "10.0.0/24", "10.0.0.1/24,", "10.0.0.1/24,x",
                        "10.0.0.1/-1", "x" * 100):
            self.assertIn("lupine_net needs ADDRESS/PREFIX[,GATEWAY], not", self.run_init("arg /show\n", {"lupine_net": setting}))

    def test_no_interface(self):
        out = self.run_init("arg /show\n", {"lupine_net": "10.0.0.1/24"})
        self.assertEqual(out, "lupine-init: cannot set an address of eth0: No such device\n")


if __name__ == "__main__":
    unittest.main()
