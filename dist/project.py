"""What the packages say about the project, read from Cargo.toml, the commit and `cargo metadata`."""

import functools
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A message for the person who makes the packages."""


@dataclass(frozen=True)
class Target:
    """A system that a program is built for, in the words of Rust, npm, Debian and Python."""

    name: str
    npm: str
    debian: str | None = None
    wheel: str = ""

    @property
    def windows(self):
        return "windows" in self.name

    @property
    def machine(self):
        """The processor, as Rust and rpm call it."""
        return self.name.split("-")[0]

    @property
    def released(self):
        """Those for glibc are for the machine that built them."""
        return not self.name.endswith("-linux-gnu")

    @property
    def program(self):
        return "countersign.exe" if self.windows else "countersign"

    @property
    def archive(self):
        return f"{self.stem}.zip" if self.windows else f"{self.stem}.tar.gz"

    @property
    def stem(self):
        return f"countersign-{version()}-{self.name}"


# The Linux programs are static, so that one wheel serves glibc and musl. The oldest macOS is Rust's.
TARGETS = {
    target.name: target
    for target in (
        Target("x86_64-unknown-linux-musl", "linux-x64", "amd64", "manylinux_2_17_x86_64.musllinux_1_1_x86_64"),
        Target("aarch64-unknown-linux-musl", "linux-arm64", "arm64", "manylinux_2_17_aarch64.musllinux_1_1_aarch64"),
        Target("x86_64-apple-darwin", "darwin-x64", None, "macosx_10_12_x86_64"),
        Target("aarch64-apple-darwin", "darwin-arm64", None, "macosx_11_0_arm64"),
        Target("x86_64-pc-windows-gnu", "win32-x64", None, "win_amd64"),
        # Not released: `cargo build` makes these, for the releases of glibc that this machine's is compatible with.
        Target("x86_64-unknown-linux-gnu", "linux-x64", "amd64", "linux_x86_64"),
        Target("aarch64-unknown-linux-gnu", "linux-arm64", "arm64", "linux_aarch64"),
    )
}


def target(name):
    if name not in TARGETS:
        raise Failure(f"{name} is not one of the targets {', '.join(TARGETS)}")
    return TARGETS[name]


@functools.cache
def manifest():
    return tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]


def version():
    return manifest()["version"]


@functools.cache
def commit_time():
    """Seconds since 1970: the time of all files in all packages. SOURCE_DATE_EPOCH wins over the commit's time."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        if not given.isdecimal():
            raise Failure(f"SOURCE_DATE_EPOCH is {given!r}; it takes seconds since 1970")
        return int(given)
    try:
        return int(output("git", "log", "-1", "--format=%ct"))
    except Failure as failure:
        raise Failure(f"{failure}\nwithout a git checkout, set SOURCE_DATE_EPOCH to seconds since 1970") from failure


def output(*command, cwd=ROOT):
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False)
    except OSError as error:
        raise Failure(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Crates:
    """The crates that a program for one target contains, and what each depends on, by package id."""

    packages: dict
    dependencies: dict


@functools.cache
def crates(target_name):
    """Follows normal and build dependencies from this crate; those of tests and benches are in no program."""
    words = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target_name]
    # As deploy/build-static builds.
    if target_name.endswith("-musl"):
        words += ["--features", "mimalloc"]
    metadata = json.loads(output(*words))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    dependencies = {}
    waiting = [metadata["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package in dependencies:
            continue
        needed = {
            dependency["pkg"]
            for dependency in nodes[package]["deps"]
            if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"])
        }
        dependencies[package] = sorted(needed)
        waiting.extend(needed)
    ordered = sorted(dependencies, key=lambda id: (packages[id]["name"], packages[id]["version"]))
    return Crates({id: packages[id] for id in ordered}, {id: dependencies[id] for id in ordered})


def others(found):
    """All crates but this one."""
    return [package for package in found.packages.values() if package["name"] != manifest()["name"]]


def run_main(main):
    """Ends with the message of a failure and exit code 1, or 2 for wrong arguments (argparse's own)."""
    try:
        main()
    except Failure as failure:
        print(f"{Path(sys.argv[0]).name}: {failure}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(1)
