"""A copy of the repository with the mutants in it, and its build."""

import json
import os
import shutil
import subprocess

import lists
from lists import ROOT, Mutant, Trouble

FOLDER = os.path.join(ROOT, "target", "mutants")
TREE = os.path.join(FOLDER, "tree")
LIB = os.path.join("src", "lib.rs")

# Tests start the program with an empty environment: what is switched on stands in that of the test, its ancestor.
SWITCH = """
pub mod mutant {
    use std::{env, fs, process, sync::LazyLock};

    static ON: LazyLock<String> = LazyLock::new(|| env::var("ACTIVE_MUTANT").unwrap_or_else(|_| of_ancestors()));

    pub fn on(name: &str) -> bool {
        *ON == name
    }

    fn of_ancestors() -> String {
        let mut pid = process::id().to_string();
        while let Some(parent) = parent(&pid) {
            let environment = fs::read(format!("/proc/{parent}/environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            if let Some(name) = environment.split('\\0').find_map(|entry| entry.strip_prefix("ACTIVE_MUTANT=")) {
                return name.to_owned();
            }
            pid = parent;
        }
        String::new()
    }

    fn parent(pid: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
        (parent != "0").then(|| parent.to_owned())
    }
}
"""


def build(mutants: list[Mutant], judged: list[Mutant], built_in: "Mutant | None" = None) -> dict[str, str]:
    """Builds the tests that judge; their programs by name. `built_in` has no switch and is always on."""
    copy(mutants, built_in)
    names = sorted({test.partition(":")[0] for mutant in judged for test in mutant.tests})
    command = ["cargo", "test", "--locked", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]
    for name in names:
        command += ["--lib"] if name == "lib" else ["--test", name]
    environment = {**os.environ, "CARGO_TARGET_DIR": os.path.join(FOLDER, "target"), "CARGO_BUILD_JOBS": jobs()}
    built = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, check=False)
    if built.returncode != 0:
        raise Trouble(f"the mutants do not compile; the source as it was compiled is in {TREE}")
    programs = {}
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message.get("executable") and message["profile"]["test"]:
            target = message["target"]
            programs["lib" if "lib" in target["kind"] else target["name"]] = message["executable"]
    return programs


def jobs() -> str:
    return os.environ.get("CARGO_BUILD_JOBS", str(os.cpu_count() or 1))


def copy(mutants: list[Mutant], built_in: "Mutant | None") -> None:
    """Makes the copy what the repository is now. Files that stay the same keep their time, for cargo."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    files = {name for name in listed.stdout.decode().split("\0") if name and os.path.isfile(os.path.join(ROOT, name))}
    by_file: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        if mutant.file not in files:
            raise Trouble(f"{mutant.area}/{mutant.name}: there is no file {mutant.file}")
        by_file.setdefault(mutant.file, []).append(mutant)
    for name in files:
        with open(os.path.join(ROOT, name), "rb") as file:
            content = file.read()
        if name in by_file:
            content = lists.mutated(content.decode(), by_file[name], built_in).encode()
        if name == LIB:
            content = b"#![allow(warnings)]\n" + content + SWITCH.encode()
        write(os.path.join(TREE, name), content)
        shutil.copymode(os.path.join(ROOT, name), os.path.join(TREE, name))
    for folder, _, names in os.walk(TREE):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, TREE) not in files:
                os.remove(path)


def write(path: str, content: bytes) -> None:
    try:
        with open(path, "rb") as file:
            if file.read() == content:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
