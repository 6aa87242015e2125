"""The recipes of docs/dev-servers.md: their files, their flags, and which of them the document says CI runs."""

import pathlib
import re
import shlex

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "dev-servers.md"

# What the document calls the proxy, and the ports of its servers; a run has others.
PROXY = "localhost:8181"
SERVER_PORTS = ("8080", "5173")


def section(heading):
    """The text under `heading`, up to the next one."""
    _, rest = DOCUMENT.read_text().split(f"\n## {heading}\n", 1)
    return rest.split("\n## ", 1)[0]


def at(text, proxy, port):
    """`text` with the addresses of this run."""
    text = text.replace(PROXY, proxy)
    for documented in SERVER_PORTS:
        text = text.replace(f":{documented}", f":{port}")
    return text


def write(heading, folder, proxy, port):
    """Writes the files of a recipe below `folder`; one of them must name the proxy."""
    files = re.findall(r"```\w+ file=(\S+)\n(.*?)```", section(heading), re.DOTALL)
    if not any(PROXY in text for _, text in files):
        raise AssertionError(f"no file of the recipe for {heading} names {PROXY}")
    for name, text in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(at(text, proxy, port))


def flags(heading, port):
    """The flags with which the recipe starts the proxy."""
    command = re.search(r"^countersign serve(.*)$", section(heading), re.MULTILINE)
    return shlex.split(at(command[1], "", port)) if command else []


def said_to_run():
    """The headings of the recipes that the document says CI runs."""
    return set(re.findall(r"^\| \[(.+?)\]\(#.*\| yes, .*\|$", DOCUMENT.read_text(), re.MULTILINE))
