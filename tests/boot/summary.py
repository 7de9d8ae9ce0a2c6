# SPDX-License-Identifier: Apache-2.0
"""unittest, with a last line that says how many tests passed and failed; one that was skipped did neither."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

if __name__ == "__main__":
    result = unittest.main(module=None, exit=False, verbosity=2, argv=["tests/boot/run", *sys.argv[1:]]).result
    # A test counts once, however many of its subtests failed.
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    skipped = {getattr(test, "test_case", test).id(): why for test, why in result.skipped}
    for test, why in skipped.items():
        print(f"not tested: {test}: {why}")
    print(f"{result.testsRun - failed - len(skipped)} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not result.testsRun else 0)
