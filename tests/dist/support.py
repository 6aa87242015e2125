"""What the tests share: the program, one set of packages, and tools that may be missing."""

import functools
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ["COUNTERSIGN"])
TOOLS = Path(os.environ["DIST_TOOLS"])
MACHINE = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())

sys.path.insert(0, str(ROOT / "dist"))

from project import TARGETS, version  # noqa: E402

__all__ = ["TARGETS", "version"]

# Packing a debug build takes a minute and more on a busy machine.
MAX_SECONDS = 300


def run(*command, check=True, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=MAX_SECONDS, check=False, **options
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def dist(script, *arguments, **options):
    return run(sys.executable, ROOT / "dist" / script, *arguments, **options)


def needed(command):
    """The path of a command; without it the test is skipped."""
    found = shutil.which(command, path=f"{TOOLS}/venv/bin{os.pathsep}{os.environ['PATH']}")
    if found is None:
        raise unittest.SkipTest(f"SKIPPED: {command} is not here")
    return found


def target():
    """The target that the tested program was built for."""
    system = platform.system()
    if system == "Darwin":
        return TARGETS[f"{MACHINE}-apple-darwin"]
    if system == "Windows":
        return TARGETS[f"{MACHINE}-pc-windows-gnu"]
    from binary import read

    library = "gnu" if read(PROGRAM.read_bytes(), PROGRAM).dynamic else "musl"
    return TARGETS[f"{MACHINE}-unknown-linux-{library}"]


@functools.cache
def scratch():
    """A folder for the whole run; it is removed when the object of the module goes."""
    folder = tempfile.TemporaryDirectory(prefix="countersign-dist-")
    scratch.owner = folder
    return Path(folder.name)


@functools.cache
def packages():
    """Everything that dist/package makes of the program, once for all tests."""
    out = scratch() / "packages"
    dist("package", out, f"{target().name}={PROGRAM}")
    return out


def unpacked():
    folder = scratch() / "unpacked"
    if not folder.exists():
        shutil.unpack_archive(packages() / target().archive, folder)
    return folder / target().stem


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def small_archive(path, stem, script):
    """An archive as install.sh expects it, with a script for the program."""
    with tarfile.open(path, "w:gz") as writer:
        entry = tarfile.TarInfo(f"{stem}/countersign")
        entry.mode = 0o755
        entry.size = len(script)
        writer.addfile(entry, io.BytesIO(script))
