"""Runs the test modules, classes or tests named on the command line, and prints how many failed."""

import signal
import sys
import unittest


def main(names):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tests = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    # A test with several subtests that fail is one failed test.
    failed = len({getattr(test, "test_case", test) for test, _ in result.failures + result.errors})
    print(f"{result.testsRun - failed} passed, {failed} failed", flush=True)
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
