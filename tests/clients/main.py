"""Runs everything in this folder, and says how it went."""

import signal
import sys
import unittest

MODULES = ["test_clients_of_sandbox", "test_program_at_ministack"]

signal.signal(signal.SIGTERM, signal.default_int_handler)
tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
result = unittest.TextTestRunner(verbosity=2).run(tests)
failed = len(result.failures) + len(result.errors)
print(f"{result.testsRun - failed} passed, {failed} failed")
sys.exit(1 if failed or not result.testsRun else 0)
