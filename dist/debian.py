"""The package for Debian and Ubuntu: program, manual pages, completions, and the unit for a user's systemd."""

import datetime
import email.utils
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import binary
import licences
from contents import pages
from project import ROOT, Failure, commit_time, manifest, version
from reproducible import File, compress, parents, write

DOCUMENTS = "usr/share/doc/countersign"
UNITS = "usr/lib/systemd/user"
# Debian's names for completions, which its shells load on their own.
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/countersign",
    "zsh": "usr/share/zsh/vendor-completions/_countersign",
    "fish": "usr/share/fish/vendor_completions.d/countersign.fish",
}
DESCRIPTION = """\
 Pages, scripts and tools call http://localhost:8181 as if an IAM-protected API
 on AWS were public; Countersign forwards each call, signed as the Cognito user
 who is signed in. A sandbox with a user pool, an identity pool and an API that
 checks signatures runs without an AWS account."""


def file_name(target):
    return f"countersign_{version()}_{target.debian}.deb"


def files(target, program, writer):
    about = pages(writer)
    packed = {"usr/bin/countersign": File(program, 0o755)}
    for name, text in about.manual.items():
        packed[f"usr/share/man/man1/{name}.gz"] = File(compress(text))
    for shell, path in COMPLETIONS.items():
        packed[path] = File(about.completions[shell])
    packed[f"{UNITS}/countersign.service"] = File(service().encode())
    packed[f"{UNITS}/countersign.socket"] = File((ROOT / "deploy/countersign.socket").read_bytes())
    packed[f"{DOCUMENTS}/copyright"] = File(copyright_file().encode())
    packed[f"{DOCUMENTS}/changelog.gz"] = File(compress(changelog().encode()))
    packed[f"{DOCUMENTS}/CHANGELOG.md.gz"] = File(compress((ROOT / "CHANGELOG.md").read_bytes()))
    packed[f"{DOCUMENTS}/README.md"] = File((ROOT / "README.md").read_bytes())
    packed[f"{DOCUMENTS}/settings.md.gz"] = File(compress((ROOT / "docs/settings.md").read_bytes()))
    packed[f"{DOCUMENTS}/THIRD-PARTY-LICENSES.txt.gz"] = File(compress(licences.document(target.name).encode()))
    if not dynamic(program):
        # Linked statically on purpose: one package for all releases of Debian and Ubuntu.
        tags = ("statically-linked-binary", "shared-library-lacks-prerequisites")
        overrides = "".join(f"countersign: {tag} [usr/bin/countersign]\n" for tag in tags)
        packed["usr/share/lintian/overrides/countersign"] = File(overrides.encode())
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


def copyright_file():
    return f"""\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: countersign
Source: {manifest()["repository"]}

Files: *
Copyright: {year()} The Countersign authors
License: Apache-2.0
 On Debian systems, the text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
Comment: The program contains the crates that THIRD-PARTY-LICENSES.txt.gz lists,
 with their licences.
"""


def changelog():
    when = email.utils.format_datetime(datetime.datetime.fromtimestamp(commit_time(), datetime.timezone.utc))
    return f"""\
countersign ({version()}) unstable; urgency=medium

  * Version {version()}; CHANGELOG.md.gz lists what changed.

 -- {maintainer()}  {when}
"""


def year():
    return time.gmtime(commit_time()).tm_year


def dynamic(program):
    return binary.read(program, "the program").dynamic


def depends(program):
    if not dynamic(program):
        return ""
    return f"Depends: libc6 (>= {binary.oldest_glibc(program)}), libgcc-s1\n"


def maintainer():
    return manifest()["metadata"]["packages"]["maintainer"]


def control(target, program, packed):
    kilobytes = sum(-(-len(file.content) // 1024) for file in packed.values()) + len(parents(packed))
    return f"""\
Package: countersign
Version: {version()}
Architecture: {target.debian}
Maintainer: {maintainer()}
Installed-Size: {kilobytes}
{depends(program)}Recommends: ca-certificates
Section: web
Priority: optional
Homepage: {manifest()["repository"]}
Description: local reverse proxy that signs requests to AWS
{DESCRIPTION}
"""


def package(target, program, writer, out):
    packed = files(target, program, writer)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        lay_out(root, {**packed, "DEBIAN/control": File(control(target, program, packed).encode())})
        made = Path(scratch) / file_name(target)
        build(root, made)
        write(out / made.name, made.read_bytes())


def lay_out(root, packed):
    """With the modes of the files, whatever the umask of the person who makes the package."""
    root.mkdir(mode=0o755)
    for folder in sorted(parents(packed)):
        (root / folder).mkdir()
    for name, file in packed.items():
        (root / name).write_bytes(file.content)
        (root / name).chmod(file.mode)
    for folder in (root, *(root / name for name in parents(packed))):
        folder.chmod(0o755)


def build(root, made):
    """xz with one thread: with several, the result depends on the number of processors."""
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(root), str(made)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(commit_time())}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
    if done.returncode != 0:
        raise Failure(f"dpkg-deb failed:\n{done.stderr.strip()}")
