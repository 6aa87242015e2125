"""The manual pages, as man, its index and two linters read them."""

import os
import re
import subprocess
import unittest

import support
from support import PROGRAM, needed, run

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"]


class ManualPages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = support.scratch() / "man/man1"
        run(PROGRAM, "man", cls.folder)
        cls.pages = sorted(cls.folder.iterdir())

    def test_there_is_one_for_each_command_that_help_lists(self):
        commands = re.findall(r"^  ([a-z]+) ", run(PROGRAM, "--help").stdout, re.MULTILINE)
        expected = {"countersign.1"} | {f"countersign-{name}.1" for name in commands if name != "help"}
        self.assertEqual({page.name for page in self.pages}, expected)

    def test_mandoc_has_no_objection(self):
        done = run(needed("mandoc"), "-T", "lint", "-W", "style", *self.pages, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_groff_has_no_warning(self):
        groff = needed("groff")
        warnings = "".join(run(groff, "-ww", "-man", "-Tutf8", page).stderr for page in self.pages)
        self.assertEqual(warnings, "")

    def test_each_has_the_usual_sections_and_its_usage_in_one_line(self):
        mandoc = needed("mandoc")
        for page in self.pages:
            text = run(mandoc, "-T", "ascii", "-O", "width=100", page).stdout
            text = re.sub(r".\x08", "", text)
            sections = re.findall(r"^(?:1mm)?([A-Z][A-Z ]+)$", text, re.MULTILINE)
            self.assertEqual([name for name in sections if name in SECTIONS], SECTIONS, page.name)
            name = page.name.removesuffix(".1").replace("-", " ", 1)
            self.assertRegex(text, rf"SYNOPSIS\n +{name}( \S+){{0,4}}\n\nDESCRIPTION\n", page.name)

    def test_man_finds_them_and_the_index_has_their_lines(self):
        man, mandb = needed("man"), needed("mandb")
        environment = {**os.environ, "MANPATH": str(self.folder.parent), "MANPAGER": "cat", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([man, "countersign-serve"], env=environment, capture_output=True, text=True, timeout=60)
        self.assertIn("countersign serve [OPTIONS]", done.stdout, done.stderr)
        run(mandb, "--create", "--user-db", self.folder.parent, env=environment)
        found = run(needed("whatis"), "countersign-serve", env=environment).stdout
        self.assertRegex(found, r"^countersign-serve \(1\) +- Run the proxy$")

    def test_those_that_are_named_exist(self):
        names = {page.name for page in self.pages}
        for page in self.pages:
            named = re.findall(r"^\\fB(countersign\S*)\\fR\(1\)", page.read_text(), re.MULTILINE)
            self.assertGreater(len(named), 5, page.name)
            self.assertEqual({f"{name}.1".replace("\\-", "-") for name in named} - names, set(), page.name)


if __name__ == "__main__":
    unittest.main()
