"""Runs everything in this folder, and says how it went."""

import sys
import unittest

MODULES = ["test_outages", "test_replacement"]

tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
failed = len(result.failures) + len(result.errors)
print(f"{result.testsRun - failed} rehearsed well, {failed} not", flush=True)
sys.exit(1 if failed or not result.testsRun else 0)
