"""The licences of all crates in a program: each text once, with the crates that carry it."""

import functools
import re
from pathlib import Path

from project import Failure, crates, others

NAMES = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
RULE = "=" * 80


def expression(package):
    """The SPDX expression; crates of before 2018 write a slash for OR."""
    return re.sub(r"\s*/\s*", " OR ", package["license"]) if package["license"] else None


def texts(package):
    folder = Path(package["manifest_path"]).parent
    paths = {path for path in folder.iterdir() if path.is_file() and NAMES.match(path.name) and path.suffix != ".rs"}
    for inner in folder.iterdir():
        if inner.is_dir() and NAMES.match(inner.name):
            paths |= {path for path in inner.rglob("*") if path.is_file() and path.suffix != ".rs"}
    if package["license_file"]:
        paths.add(folder / package["license_file"])
    for path in sorted(paths):
        text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip()
        if text:
            yield text


def label(package):
    return f"{package['name']} {package['version']}"


@functools.cache
def document(target_name):
    """Fails for a crate that names neither a licence nor a file with one."""
    carriers = {}
    without = []
    for package in others(crates(target_name)):
        found = list(texts(package))
        if not found and not package["license"]:
            raise Failure(f"{label(package)} has no licence: no expression in its Cargo.toml, and no file")
        if not found:
            without.append(package)
        for text in found:
            # Copies differ in line breaks and indentation only.
            _, users = carriers.setdefault(" ".join(text.split()), (text, []))
            if label(package) not in users:
                users.append(label(package))
    return "\n".join([*heading(target_name), *listed(without), *bodies(carriers)]) + "\n"


def heading(target_name):
    yield f"Countersign for {target_name} contains these crates of other authors:\n"
    for package in others(crates(target_name)):
        yield f"  {label(package)}: {expression(package) or 'a licence of its own, below'}"
    yield ""


def listed(without):
    if not without:
        return
    yield RULE
    yield "The packages of these crates contain no text of their licence. The texts of the licences stand"
    yield "below, with other crates.\n"
    for package in without:
        authors = ", ".join(package["authors"]) or "authors not named"
        yield f"  {label(package)}: {expression(package)}; {authors}; {package['repository'] or 'no repository'}"
    yield ""


def bodies(carriers):
    for text, users in sorted(carriers.values(), key=lambda each: (each[1], each[0])):
        yield f"{RULE}\n{', '.join(users)}\n{RULE}\n\n{text}\n"
