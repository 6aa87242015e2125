"""The files below /usr that the Debian package and the rpm share."""

import re

import binary
from contents import pages
from project import ROOT, Failure
from reproducible import File, compress

DOCUMENTS = "usr/share/doc/countersign"
UNITS = "usr/lib/systemd/user"


def files(program, writer, zsh):
    """`zsh` is the folder in which the system's zsh looks for completions of packages; the others agree on theirs."""
    about = pages(writer)
    packed = {"usr/bin/countersign": File(program, 0o755)}
    for name, text in about.manual.items():
        packed[f"usr/share/man/man1/{name}.gz"] = File(compress(text))
    completions = {
        "bash": "usr/share/bash-completion/completions/countersign",
        "zsh": f"{zsh}/_countersign",
        "fish": "usr/share/fish/vendor_completions.d/countersign.fish",
    }
    for shell, path in completions.items():
        packed[path] = File(about.completions[shell])
    packed[f"{UNITS}/countersign.service"] = File(service().encode())
    packed[f"{UNITS}/countersign.socket"] = File((ROOT / "deploy/countersign.socket").read_bytes())
    packed[f"{DOCUMENTS}/CHANGELOG.md.gz"] = File(compress((ROOT / "CHANGELOG.md").read_bytes()))
    packed[f"{DOCUMENTS}/README.md"] = File((ROOT / "README.md").read_bytes())
    packed[f"{DOCUMENTS}/settings.md.gz"] = File(compress((ROOT / "docs/settings.md").read_bytes()))
    return packed


def service():
    """The unit of deploy/, with the path of the packaged program and the commands that enable it."""
    text = (ROOT / "deploy/countersign.service").read_text(encoding="utf-8")
    unit = text[text.index("[Unit]") :]
    unit, replaced = re.subn(r"^ExecStart=\S+", "ExecStart=/usr/bin/countersign", unit, flags=re.MULTILINE)
    if replaced != 1:
        raise Failure("deploy/countersign.service has no ExecStart= to replace")
    return f"""\
# The proxy of one user, started by that user's service manager:
#
#   systemctl --user enable --now countersign.socket countersign.service
#
# Settings are in ~/.config/countersign/config.toml; `countersign login` signs in.

{unit}"""


def dynamic(program):
    return binary.read(program, "the program").dynamic
