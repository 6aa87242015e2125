"""What dist/package makes of a program."""

import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
import unittest
from pathlib import Path

import support
from project import commit_time
from support import PROGRAM, ROOT, TARGETS, dist, needed, packages, run, target, unpacked, version


class Archive(unittest.TestCase):
    def test_has_the_program_and_all_that_goes_with_it(self):
        names = {path.relative_to(unpacked()).as_posix() for path in unpacked().rglob("*")}
        wanted = {target().program, "LICENSE", "THIRD-PARTY-LICENSES.txt", "README.md", "CHANGELOG.md"}
        wanted |= {"man/countersign.1", "man/countersign-serve.1"}
        shells = ("countersign.bash", "_countersign", "countersign.fish", "_countersign.ps1", "countersign.elv")
        wanted |= {f"completions/{name}" for name in shells}
        self.assertEqual(wanted - names, set())

    def test_program_is_the_built_one_and_runs(self):
        program = unpacked() / target().program
        self.assertEqual(program.read_bytes(), PROGRAM.read_bytes())
        self.assertEqual(run(program, "--version").stdout, f"countersign {version()}\n")

    def test_links_of_the_readme_lead_to_files(self):
        text = (unpacked() / "README.md").read_text()
        links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
        missing = [link for link in links if link and not (unpacked() / link).exists()]
        self.assertEqual(missing, [])

    def test_entries_are_sorted_owned_by_root_and_of_the_commits_time(self):
        with tarfile.open(packages() / target().archive) as reader:
            entries = reader.getmembers()
        self.assertEqual([entry.name for entry in entries], sorted(entry.name for entry in entries))
        self.assertEqual({(entry.uid, entry.gid, entry.uname) for entry in entries}, {(0, 0, "root")})
        self.assertEqual({entry.mtime for entry in entries}, {commit_time()})
        programs = [entry.name for entry in entries if entry.isfile() and entry.mode & 0o111]
        self.assertEqual(programs, [f"{target().stem}/{target().program}"])

    def test_two_runs_are_identical_whatever_the_place_the_zone_the_locale_and_the_umask(self):
        out = support.scratch() / "elsewhere" / "again"
        environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        previous = os.umask(0o077)
        try:
            dist("package", out, f"{target().name}={PROGRAM}", cwd="/", env=environment)
        finally:
            os.umask(previous)
        first = {path.name: support.sha256(path) for path in packages().iterdir()}
        self.assertEqual({path.name: support.sha256(path) for path in out.iterdir()}, first)

    def test_bash_completes_commands(self):
        script = "source countersign.bash; COMP_WORDS=(countersign ser) COMP_CWORD=1;"
        script += ' _countersign countersign ser countersign; echo "${COMPREPLY[@]}"'
        self.assertEqual(self.completed("bash", "--norc", "-c", script), "serve\n")

    def test_zsh_finds_the_completions_by_their_name(self):
        script = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo $_comps[countersign]"
        self.assertEqual(self.completed("zsh", "-fc", script), "_countersign\n")
        run(needed("zsh"), "-n", unpacked() / "completions/_countersign")

    def test_fish_completes_commands(self):
        script = "source countersign.fish; complete -C 'countersign ser'"
        self.assertEqual(self.completed("fish", "--no-config", "-c", script), "serve\tRun the proxy\n")

    def completed(self, shell, *arguments):
        environment = {**os.environ, "HOME": str(support.scratch())}
        return run(needed(shell), *arguments, cwd=unpacked() / "completions", env=environment).stdout

    def test_binstall_finds_the_program_where_cargo_toml_says(self):
        import tomllib

        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        base = package["metadata"]["binstall"]
        rules = {**base, **base.get("overrides", {}).get(target().name, {})}
        extension = ".exe" if target().windows else ""
        values = {"repo": package["repository"], "version": version(), "name": "countersign", "bin": "countersign"}
        values |= {"target": target().name, "binary-ext": extension}
        filled = {key: re.sub(r"\{ ([a-z-]+) \}", lambda found: values[found[1]], rules[key]) for key in ("pkg-url", "bin-dir")}
        self.assertEqual(filled["pkg-url"], f"{package['repository']}/releases/download/v{version()}/{target().archive}")
        self.assertTrue((unpacked().parent / filled["bin-dir"]).exists(), filled["bin-dir"])


class Refusals(unittest.TestCase):
    def refused(self, message, *arguments, **options):
        done = dist("package", support.scratch() / "refused", *arguments, check=False, **options)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertFalse((support.scratch() / "refused").exists())

    def test_program_of_another_system(self):
        other = next(each for each in TARGETS.values() if each.name.split("-")[0] != target().name.split("-")[0])
        self.refused(f"not for {other.name}", f"{other.name}={PROGRAM}")

    def test_text_instead_of_a_program(self):
        self.refused("is not a program", f"{target().name}={ROOT / 'LICENSE'}")

    def test_program_that_is_cut_short(self):
        path = support.scratch() / "short"
        path.write_bytes(PROGRAM.read_bytes()[:20])
        self.refused("is cut short", f"{target().name}={path}")

    def test_dynamic_program_under_the_name_of_the_static_target(self):
        if not target().name.endswith("-gnu"):
            self.skipTest("SKIPPED: the program is static")
        musl = target().name.replace("-gnu", "-musl")
        self.refused("is not linked statically", f"{musl}={PROGRAM}")

    def test_other_program_that_writes_no_manual(self):
        self.refused("countersign.1", "--writer", "/bin/true", f"{target().name}={PROGRAM}")

    def test_time_that_is_no_number(self):
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "yesterday"}
        self.refused("SOURCE_DATE_EPOCH is 'yesterday'", f"{target().name}={PROGRAM}", env=environment)

    def test_unknown_target(self):
        self.refused("is not one of the targets", f"pdp11-unknown-unix={PROGRAM}")


class Licences(unittest.TestCase):
    def test_each_crate_of_the_program_has_a_text_or_is_named(self):
        """Against `cargo tree`, which finds the crates on its own."""
        listed = run("cargo", "tree", "--locked", "--target", target().name, "-e", "normal", "--prefix", "none", cwd=ROOT)
        crates = {tuple(line.split()[:2]) for line in listed.stdout.splitlines() if line.strip()}
        crates = {f"{name} {number.removeprefix('v')}" for name, number in crates if name != "countersign"}
        self.assertGreater(len(crates), 100)
        text = (unpacked() / "THIRD-PARTY-LICENSES.txt").read_text()
        heads, _, bodies = text.partition("=" * 80)
        self.assertEqual({crate for crate in crates if f"  {crate}: " not in heads}, set())
        self.assertEqual({crate for crate in crates if not re.search(rf"{re.escape(crate)}[,:\n]", bodies)}, set())

    def test_crate_without_any_licence_is_an_error(self):
        folder = support.scratch() / "crate"
        folder.mkdir()
        package = {"name": "bare", "version": "1.0.0", "license": None, "license_file": None}
        package |= {"manifest_path": str(folder / "Cargo.toml"), "authors": [], "repository": None}
        import licences
        from project import Crates, Failure

        previous = licences.crates
        licences.crates = lambda name: Crates({"bare": package}, {"bare": []})
        try:
            with self.assertRaisesRegex(Failure, "bare 1.0.0 has no licence"):
                licences.document("a target of this test")
            (folder / "COPYING").write_text("Do as you please.")
            self.assertIn("bare 1.0.0", licences.document("another target of this test"))
        finally:
            licences.crates = previous


class BillOfMaterials(unittest.TestCase):
    def bill(self):
        return json.loads((packages() / f"{target().stem}.cdx.json").read_text())

    def test_is_valid_cyclonedx(self):
        try:
            from cyclonedx.schema import SchemaVersion
            from cyclonedx.validation.json import JsonStrictValidator
        except ImportError:
            self.skipTest("SKIPPED: cyclonedx-python-lib is not here")
        self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_5).validate_str(json.dumps(self.bill())))

    def test_is_about_the_packaged_program(self):
        program = self.bill()["metadata"]["component"]
        self.assertEqual(program["hashes"], [{"alg": "SHA-256", "content": support.sha256(PROGRAM)}])

    def test_names_each_crate_with_the_checksum_of_the_lock_file(self):
        without = [part["name"] for part in self.bill()["components"] if "hashes" not in part or "licenses" not in part]
        self.assertEqual(without, [])
        names = {part["name"] for part in self.bill()["components"]}
        self.assertLessEqual({"hyper", "rustls", "ring", "tokio"}, names)
        # Only tests need these.
        self.assertEqual(names & {"proptest", "rcgen", "criterion"}, set())

    def test_relations_name_listed_crates_only(self):
        bill = self.bill()
        known = {part["bom-ref"] for part in [bill["metadata"]["component"], *bill["components"]]}
        self.assertEqual({each["ref"] for each in bill["dependencies"]}, known)
        self.assertLessEqual({need for each in bill["dependencies"] for need in each["dependsOn"]}, known)


class DebianPackage(unittest.TestCase):
    def setUp(self):
        needed("dpkg-deb")
        found = list(packages().glob("*.deb"))
        self.assertEqual(len(found), 1)
        self.package = found[0]

    def test_installs_below_a_root_runs_and_leaves_nothing_behind(self):
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: dpkg changes owners, which takes root")
        root = support.scratch() / "root"
        state = root / "var/lib/dpkg"
        for folder in ("info", "updates", "triggers"):
            (state / folder).mkdir(parents=True)
        for file in ("status", "available"):
            (state / file).touch()
        dpkg = ["dpkg", f"--admindir={state}", f"--instdir={root}", "--force-depends", "--no-triggers", "--log=/dev/null"]
        before = {path for path in root.rglob("*") if "var" not in path.parts}
        run(*dpkg, "--install", self.package)
        self.assertEqual(run(root / "usr/bin/countersign", "--version").stdout, f"countersign {version()}\n")
        page = root / "usr/share/man/man1/countersign-serve.1.gz"
        self.assertIn(b".TH COUNTERSIGN-SERVE 1 ", gzip.decompress(page.read_bytes()))
        run(*dpkg, "--purge", "countersign")
        left = {path for path in root.rglob("*") if path.is_file() and state not in path.parents}
        self.assertEqual((left, before), (set(), set()))

    def test_unit_starts_the_installed_program(self):
        unit = self.file("./usr/lib/systemd/user/countersign.service").decode()
        self.assertIn("\nExecStart=/usr/bin/countersign serve\n", unit)
        self.assertNotIn("cargo", unit)

    def test_names_the_libraries_of_a_dynamic_program(self):
        depends = run("dpkg-deb", "--field", self.package, "Depends").stdout.strip()
        if target().name.endswith("-gnu"):
            self.assertRegex(depends, r"^libc6 \(>= 2\.\d+\), libgcc-s1$")
        else:
            self.assertEqual(depends, "")

    def test_lintian_has_no_objection(self):
        lintian = needed("lintian")
        # A build for tests has its symbols.
        quiet = "--suppress-tags=unstripped-binary-or-object,hardening-no-pie"
        self.assertEqual(run(lintian, "--allow-root", "--fail-on=error,warning", quiet, self.package).stdout, "")

    def file(self, name):
        packed = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(self.package)], capture_output=True, check=True)
        return subprocess.run(["tar", "-xO", name], input=packed.stdout, capture_output=True, check=True).stdout


class Rpm(unittest.TestCase):
    def setUp(self):
        needed("rpmbuild")
        self.rpm = needed("rpm")
        found = list(packages().glob("*.rpm"))
        self.assertEqual(len(found), 1)
        self.package = found[0]

    def test_installs_below_a_root_runs_and_leaves_nothing_behind(self):
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: rpm changes owners and its root, which takes root")
        root = support.scratch() / "rpm-root"
        root.mkdir()
        rpm = [self.rpm, "--root", root, "--dbpath", "/var/lib/rpm"]
        # Without a shell in the root, and without what this package needs.
        run(*rpm, "--install", "--nodeps", self.package)
        installed = self.below(root)
        self.assertEqual(installed, {name for name, mode in self.listed().items() if not mode.startswith("d")})
        self.assertEqual(run(root / "usr/bin/countersign", "--version").stdout, f"countersign {version()}\n")
        self.assertEqual(run(*rpm, "--query", "--all").stdout.count("countersign-"), 1)
        run(*rpm, "--erase", "countersign")
        self.assertEqual((self.below(root), (root / "usr/share/doc/countersign").exists()), (set(), False))

    def below(self, root):
        """The files, without those of rpm itself."""
        names = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
        return {f"/{name}" for name in names if not name.startswith("var/lib/rpm/")}

    def listed(self):
        """Names and modes, as rpm shows them."""
        query = "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}\n]"
        lines = run(self.rpm, "--query", "--package", f"--queryformat={query}", self.package).stdout.splitlines()
        self.assertEqual({line.split()[2] for line in lines}, {"root"})
        return dict(line.split()[:2] for line in lines)

    def test_has_the_files_of_the_debian_package_and_their_modes(self):
        needed("dpkg-deb")
        debian = next(packages().glob("*.deb"))
        lines = run("dpkg-deb", "--contents", debian).stdout.splitlines()
        theirs = {line.split()[5].removeprefix("."): line.split()[0] for line in lines if line[0] == "-"}
        ours = {name: mode for name, mode in self.listed().items() if mode[0] == "-"}
        # Debian has one file of licences, a changelog of its own form and the exceptions of its linter.
        only_theirs = ("copyright", "changelog.gz", "THIRD-PARTY-LICENSES.txt.gz", "overrides/countersign")
        theirs = {name: mode for name, mode in theirs.items() if not name.endswith(only_theirs)}
        ours = {name: mode for name, mode in ours.items() if not name.startswith("/usr/share/licenses/")}
        zsh = "/usr/share/zsh/{}/_countersign"
        theirs[zsh.format("site-functions")] = theirs.pop(zsh.format("vendor-completions"))
        self.assertEqual(ours, theirs)

    def test_rpmlint_finds_no_error(self):
        rpmlint = needed("rpmlint")
        # The program is static on purpose, a build for tests has its symbols, and the release attests instead of signing.
        found = run(rpmlint, "--ignore-unused-rpmlintrc", self.package, check=False).stdout
        known = ("unstripped-binary-or-object", "statically-linked-binary", "no-signature")
        errors = [line for line in found.splitlines() if ": E: " in line and not any(name in line for name in known)]
        self.assertEqual(errors, [], found)
        self.assertIn("1 packages and 0 specfiles checked", found)


class Wheel(unittest.TestCase):
    def wheel(self):
        return next(packages().glob("*.whl"))

    def test_installs_runs_and_is_removed_by_pip(self):
        try:
            import ensurepip  # noqa: F401
        except ImportError:
            self.skipTest("SKIPPED: python3 has no venv here")
        folder = support.scratch() / "venv"
        run(sys.executable, "-m", "venv", folder)
        pip = [folder / "bin/pip", "--disable-pip-version-check"]
        run(*pip, "install", "--no-index", self.wheel())
        self.assertEqual(run(folder / "bin/countersign", "--version").stdout, f"countersign {version()}\n")
        run(*pip, "check")
        run(*pip, "uninstall", "--yes", "countersign")
        self.assertEqual(list(Path(folder).rglob("countersign*")), [])

    def test_metadata_pass_the_check_of_the_index(self):
        self.assertIn("PASSED", run(needed("twine"), "check", "--strict", self.wheel()).stdout)


class NpmPackages(unittest.TestCase):
    def test_are_made_from_the_archive(self):
        needed("npm")
        out = support.scratch() / "npm"
        out.mkdir()
        archive = packages() / target().archive
        (out / archive.name).write_bytes(archive.read_bytes())
        dist("npm", out)
        made = {path.name for path in out.glob("*.tgz")}
        self.assertEqual(made, {f"countersign-{target().npm}-{version()}.tgz", f"countersign-{version()}.tgz"})


if __name__ == "__main__":
    unittest.main()
