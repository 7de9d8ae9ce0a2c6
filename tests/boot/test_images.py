# SPDX-License-Identifier: Apache-2.0
"""What guest/build makes of other sources than a program, booted (tests/boot/images/make): an OCI image as a layout and as a
docker-archive, and a second disk for data."""

import shutil
import subprocess

from vm import GUESTS, VmTest

KERNEL = GUESTS / "data.vmlinux"


class Images(VmTest):
    def boot(self, image, *arguments):
        return self.vm("--kernel", KERNEL, "--disk", f"{GUESTS / image},ro", "--mem", "64M", *arguments)

    def test_an_oci_image_runs_as_its_configuration_says(self):
        for kind in ("layout", "archive"):
            with self.subTest(kind=kind):
                result = self.boot(f"oci-{kind}.img")
                self.assertEqual(result.out.replace("\r\n", "\n"),
                                 "arguments one two words, wolf lupine, in /srv, user 65534:65534\nwhiteouts applied\nkept\n", result.err)
                self.assertEqual(result.status, 5)

    def test_a_data_disk_keeps_what_is_written(self):
        disk = self.folder / "data"
        shutil.copyfile(GUESTS / "data.data.img", disk)
        for number in (1, 2, 3):
            result = self.boot("data.img", "--disk", disk)
            self.assertEqual((result.status, result.out.strip()), (0, f"boot {number}"), result.err)
        check = subprocess.run(["/sbin/e2fsck", "-fn", disk], capture_output=True, text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stdout)

    def test_without_its_data_disk_the_guest_says_so(self):
        result = self.boot("data.img")
        self.assertEqual(result.status, 125, result.err)
        self.assertIn("lupine-init: cannot mount /data: No such device or address", result.out)
