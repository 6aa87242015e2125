"""The files that people get beside the program: documents, licences, manual pages and completions."""

import functools
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import licences
from project import ROOT, Failure, commit_time
from reproducible import File

# Where each shell looks for completions, by the name that it looks for.
SHELLS = {
    "bash": "countersign.bash",
    "zsh": "_countersign",
    "fish": "countersign.fish",
    "powershell": "_countersign.ps1",
    "elvish": "countersign.elv",
}

# Whole programs that hang would hang the release.
MAX_SECONDS = 60


@dataclass(frozen=True)
class Pages:
    """What the program writes about itself."""

    manual: dict
    completions: dict


@functools.cache
def pages(writer):
    """`writer` is a program that runs on this machine: the packaged one, or the same version for another target."""
    with tempfile.TemporaryDirectory() as folder:
        run(writer, "man", folder, SOURCE_DATE_EPOCH=str(commit_time()))
        manual = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    if "countersign.1" not in manual:
        raise Failure(f"{writer} man wrote no countersign.1")
    completions = {shell: run(writer, "completions", shell) for shell in SHELLS}
    for shell, text in completions.items():
        if b"countersign" not in text:
            raise Failure(f"{writer} completions {shell} wrote no completions")
    return Pages(manual, completions)


def run(program, *arguments, **variables):
    try:
        done = subprocess.run(
            [str(program), *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            timeout=MAX_SECONDS,
            check=False,
        )
    except OSError as error:
        raise Failure(
            f"{program} does not run here ({error.strerror}); --writer PROGRAM names one of the same version that does"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{program} {' '.join(arguments)} did not end within {MAX_SECONDS} s") from error
    if done.returncode != 0:
        raise Failure(f"{program} {' '.join(arguments)} failed:\n{done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def documents():
    """The documents and the files that they lead to, at the places where their links look for them."""
    patterns = ["*.md", "LICENSE", "docs/*.md", "docs/picture/*.svg", "docs/picture/*.png"]
    patterns += ["config/*.toml", "bench/README.md"]
    patterns += [f"deploy/*.{kind}" for kind in ("md", "yaml", "json", "service", "socket")]
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    return {path.relative_to(ROOT).as_posix(): File(path.read_bytes()) for path in paths}


def archive(target, program, writer):
    """All files of an archive, below one folder."""
    about = pages(writer)
    files = {target.program: File(program, 0o755), **documents()}
    files["THIRD-PARTY-LICENSES.txt"] = File(licences.document(target.name).encode())
    for name, text in about.manual.items():
        files[f"man/{name}"] = File(text)
    for shell, name in SHELLS.items():
        files[f"completions/{name}"] = File(about.completions[shell])
    return {f"{target.stem}/{name}": file for name, file in files.items()}
