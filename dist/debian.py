"""The package for Debian and Ubuntu: program, manual pages, completions, and the unit for a user's systemd."""

import datetime
import email.utils
import os
import subprocess
import tempfile
import time
from pathlib import Path

import binary
import installed
import licences
from installed import DOCUMENTS
from project import ROOT, Failure, commit_time, manifest, version
from reproducible import File, compress, parents, write

# Where Debian's zsh looks for the completions of packages.
ZSH = "usr/share/zsh/vendor-completions"
DESCRIPTION = """\
 Pages, scripts and tools call http://localhost:8181 as if an IAM-protected API
 on AWS were public; Countersign forwards each call, signed as the Cognito user
 who is signed in. A sandbox with a user pool, an identity pool and an API that
 checks signatures runs without an AWS account."""


def file_name(target):
    return f"countersign_{version()}_{target.debian}.deb"


def files(target, program, writer):
    packed = installed.files(program, writer, ZSH)
    packed[f"{DOCUMENTS}/copyright"] = File(copyright_file().encode())
    packed[f"{DOCUMENTS}/changelog.gz"] = File(compress(changelog().encode()))
    packed[f"{DOCUMENTS}/THIRD-PARTY-LICENSES.txt.gz"] = File(compress(licences.document(target.name).encode()))
    if not installed.dynamic(program):
        # Linked statically on purpose: one package for all releases of Debian and Ubuntu.
        tags = ("statically-linked-binary", "shared-library-lacks-prerequisites")
        overrides = "".join(f"countersign: {tag} [usr/bin/countersign]\n" for tag in tags)
        packed["usr/share/lintian/overrides/countersign"] = File(overrides.encode())
    return packed


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


def depends(program):
    if not installed.dynamic(program):
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
