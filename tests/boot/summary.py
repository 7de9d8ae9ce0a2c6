# SPDX-License-Identifier: Apache-2.0
"""unittest, with a last line that says how many tests passed and failed."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

if __name__ == "__main__":
    result = unittest.main(module=None, exit=False, verbosity=2, argv=["tests/boot/run", *sys.argv[1:]]).result
    # A test counts once, however many of its subtests failed.
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    print(f"{result.testsRun - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not result.testsRun else 0)
