"""What dist/manifests makes: checksums, the install script, formula and manifest."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import unittest

import support
from support import ROOT, TARGETS, dist, needed, run, version

RELEASED = [target for target in TARGETS.values() if target.released]
PROGRAM = f"#!/bin/sh\necho countersign {version()}\n".encode()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def release(name):
    """A folder with small archives for all released targets, and what dist/manifests made of them."""
    folder = support.scratch() / name
    folder.mkdir()
    for target in RELEASED:
        support.small_archive(folder / target.archive, target.stem, PROGRAM + f"# {target.name}\n".encode())
    dist("manifests", "--all", folder)
    return folder


class Manifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = release("manifests")

    def test_checksums_are_those_of_the_files(self):
        done = run(needed("sha256sum"), "--check", "--strict", "SHA256SUMS", cwd=self.folder)
        self.assertEqual(done.stdout.count(": OK"), len(RELEASED))

    def test_formula_and_manifest_name_each_archive_by_its_checksum(self):
        for name, kind in (("countersign.rb", "homebrew"), ("countersign.json", "scoop")):
            text = (self.folder / name).read_text()
            targets = [target for target in RELEASED if target.windows == (kind == "scoop")]
            for target in targets:
                self.assertIn(f"/releases/download/v{version()}/{target.archive}", text)
                self.assertIn(support.sha256(self.folder / target.archive), text)
            self.assertNotRegex(text, r"@[A-Z]")
        json.loads((self.folder / "countersign.json").read_text())

    def test_formula_is_ruby(self):
        run(needed("ruby"), "-wc", self.folder / "countersign.rb")

    def test_flake_parses_as_nix(self):
        run(needed("nix-instantiate"), "--parse", ROOT / "flake.nix")

    def test_second_run_changes_nothing(self):
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        dist("manifests", "--all", self.folder)
        self.assertEqual({path.name: path.read_bytes() for path in self.folder.iterdir()}, before)

    def test_missing_target_fails_a_release(self):
        folder = support.scratch() / "incomplete"
        folder.mkdir()
        shutil.copy(self.folder / RELEASED[0].archive, folder)
        done = dist("manifests", "--all", folder, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(RELEASED[-1].archive, done.stderr)

    def test_package_of_another_version_fails(self):
        folder = support.scratch() / "mixed"
        folder.mkdir()
        (folder / "countersign-0.0.9-x86_64-apple-darwin.tar.gz").write_bytes(b"")
        done = dist("manifests", folder, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not of version", done.stderr)

    def test_address_of_the_repository_stands_in_one_place(self):
        address = re.search(r'^repository = "https://([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        named = [str(file.relative_to(ROOT)) for file in sources() if address.encode() in file.read_bytes()]
        self.assertEqual(named, ["Cargo.toml"])


def sources():
    """The files of the project, without what programs put beside them."""
    made = {".git", "target", "node_modules", "__pycache__", "corpus", "artifacts"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in made]
        yield from (pathlib.Path(folder, name) for name in files if pathlib.Path(folder, name).is_file())


class InstallScript(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = release("install")
        cls.script = cls.folder / "install.sh"

    def setUp(self):
        self.home = support.scratch() / self.id()
        self.home.mkdir()
        self.target = self.home / "bin"

    def install(self, address, *arguments, path=None):
        environment = {"HOME": str(self.home), "PATH": path or os.environ["PATH"], "TMPDIR": str(self.home)}
        environment["COUNTERSIGN_DOWNLOAD_URL"] = address
        words = ["/bin/sh", str(self.script), *arguments]
        return subprocess.run(words, capture_output=True, text=True, timeout=support.MAX_SECONDS, env=environment, check=False)

    def assert_nothing_installed(self, done, message):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertEqual([path for path in self.home.rglob("*") if path.is_file()], [])

    def test_passes_shellcheck(self):
        run(needed("shellcheck"), self.script)

    def test_installs_the_program_of_this_system(self):
        with served(self.folder) as address:
            done = self.install(address, "--to", str(self.target))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{self.target} is not in PATH", done.stdout)
        self.assertEqual(run(self.target / "countersign").stdout, f"countersign {version()}\n")
        self.assertIn(support.MACHINE, (self.target / "countersign").read_text())
        self.assertEqual([path for path in self.home.rglob("*") if path.is_file()], [self.target / "countersign"])

    def test_goes_below_the_home_folder_unless_told_otherwise(self):
        with served(self.folder) as address:
            self.install(address)
        self.assertTrue((self.home / ".local/bin/countersign").exists())

    def test_replaces_an_older_program(self):
        self.target.mkdir()
        (self.target / "countersign").write_text("an older one")
        with served(self.folder) as address:
            self.install(address, "--to", str(self.target))
        self.assertEqual(run(self.target / "countersign").stdout, f"countersign {version()}\n")

    def test_installs_nothing_from_a_tampered_archive(self):
        tampered = support.scratch() / f"tampered-{self.id()}"
        tampered.mkdir()
        for target in RELEASED:
            support.small_archive(tampered / target.archive, target.stem, b"#!/bin/sh\necho taken over\n")
        with served(tampered) as address:
            done = self.install(address, "--to", str(self.target))
        self.assert_nothing_installed(done, "nothing was installed")

    def test_keeps_the_installed_program_when_the_new_one_does_not_run(self):
        broken = support.scratch() / f"broken-{self.id()}"
        broken.mkdir()
        for target in RELEASED:
            support.small_archive(broken / target.archive, target.stem, b"#!/bin/sh\nexit 1\n")
        dist("manifests", "--all", broken)
        self.target.mkdir()
        (self.target / "countersign").write_text("the installed one")
        with served(broken) as address:
            words = ["/bin/sh", str(broken / "install.sh"), "--to", str(self.target)]
            environment = {**os.environ, "COUNTERSIGN_DOWNLOAD_URL": address}
            done = subprocess.run(words, capture_output=True, text=True, timeout=support.MAX_SECONDS, env=environment, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not run on this system", done.stderr)
        self.assertEqual({path.name: path.read_text() for path in self.target.iterdir()}, {"countersign": "the installed one"})

    def test_without_a_tool_for_checksums_nothing_is_installed(self):
        tools = self.tools("uname", "mktemp", "rm", "cut", "tar", "gzip", "mkdir", "cp", "chmod", "mv", "curl")
        with served(self.folder) as address:
            done = self.install(address, "--to", str(self.target), path=str(tools))
        self.assert_nothing_installed(done, "sha256sum, shasum or openssl is needed")

    def test_installs_nothing_from_a_server_that_has_no_archive(self):
        empty = support.scratch() / f"empty-{self.id()}"
        empty.mkdir()
        with served(empty) as address:
            done = self.install(address, "--to", str(self.target))
        self.assert_nothing_installed(done, "cannot fetch")

    def test_half_a_script_does_nothing(self):
        text = self.script.read_text()
        half = self.home / "half.sh"
        half.write_text(text[: text.rindex("main ")])
        done = run("/bin/sh", half, env={"HOME": str(self.home), "PATH": os.environ["PATH"]})
        self.assertEqual((done.stdout, done.stderr), ("", ""))

    def test_says_what_is_missing(self):
        tools = self.tools("uname", "mktemp", "rm", "cut", "tar", "mkdir", "cp", "chmod", "mv")
        self.assert_nothing_installed_with(tools, "curl or wget is needed")

    def test_does_without_curl_and_sha256sum(self):
        if not all(shutil.which(tool) for tool in ("wget", "openssl")):
            self.skipTest("SKIPPED: wget or openssl is not here")
        tools = self.tools("uname", "mktemp", "rm", "cut", "tar", "gzip", "mkdir", "cp", "chmod", "mv", "wget", "openssl")
        with served(self.folder) as address:
            done = self.install(address, "--to", str(self.target), path=str(tools))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_system_without_an_archive_is_named(self):
        tools = self.tools("mktemp", "rm", "cut")
        (tools / "uname").write_text('#!/bin/sh\n[ "$1" = -s ] && echo Plan9 || echo mips\n')
        (tools / "uname").chmod(0o755)
        self.assert_nothing_installed_with(tools, "there is no archive for mips-Plan9")

    def test_refuses_words_that_it_does_not_know(self):
        done = self.install("http://127.0.0.1:9", "--too", "x")
        self.assert_nothing_installed(done, "unknown argument --too")

    def tools(self, *names):
        folder = support.scratch() / f"tools-{self.id()}"
        folder.mkdir()
        for name in names:
            (folder / name).symlink_to(shutil.which(name))
        return folder

    def assert_nothing_installed_with(self, tools, message):
        done = self.install("http://127.0.0.1:9", "--to", str(self.target), path=str(tools))
        self.assert_nothing_installed(done, message)


if __name__ == "__main__":
    unittest.main()
