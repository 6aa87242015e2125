"""The recipes of docs/dev-servers.md: the files that each one has a reader write, and which ones CI is said to run."""

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "dev-servers.md"
PROXY = "localhost:8181"


def section(heading):
    """The text under `heading`, up to the next one."""
    _, rest = DOCUMENT.read_text().split(f"\n## {heading}\n", 1)
    return rest.split("\n## ", 1)[0]


def files(heading):
    """Each file of a recipe, by name."""
    blocks = re.findall(r"```\w+ file=(\S+)\n(.*?)```", section(heading), re.DOTALL)
    if not blocks:
        raise AssertionError(f"{heading}: no file in the recipe")
    return dict(blocks)


def write(heading, folder, **replacements):
    """Writes the files of a recipe below `folder`, with addresses of this run in place of those in the document."""
    for name, text in files(heading).items():
        for address, replacement in replacements.items():
            if address == "proxy" and PROXY not in text and "8181" in text:
                raise AssertionError(f"{heading}: {name} does not name the proxy as {PROXY}")
            text = text.replace({"proxy": PROXY, "server": "8080"}[address], replacement)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def said_to_run():
    """The headings of the recipes that the document says CI runs."""
    rows = re.findall(r"^\| \[(.+?)\]\(#.*\| yes, .*\|$", DOCUMENT.read_text(), re.MULTILINE)
    return set(rows)
