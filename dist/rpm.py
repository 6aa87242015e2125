"""The package for Fedora, openSUSE and other systems with rpm: the files of the Debian package, at rpm's places."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import binary
import installed
import licences
from project import ROOT, Failure, commit_time, manifest, version
from reproducible import File, parents, write

RELEASE = "1"
LICENCES = "usr/share/licenses/countersign"
ZSH = "usr/share/zsh/site-functions"
OWNED = (installed.DOCUMENTS, LICENCES)
DESCRIPTION = """\
Pages, scripts and tools call http://localhost:8181 as if an IAM-protected API
on AWS were public; Countersign forwards each call, signed as the Cognito user
who is signed in. A sandbox with a user pool, an identity pool and an API that
checks signatures runs without an AWS account."""

# rpmbuild would strip the program, compress pages again, look for debug symbols and write down this machine's name.
MACROS = {
    "__os_install_post": "%{nil}",
    "debug_package": "%{nil}",
    "_build_id_links": "none",
    "_buildhost": "localhost",
    "use_source_date_epoch_as_buildtime": "1",
    # Read by rpm of 4.14 and later; one thread, so that the result does not depend on the number of processors.
    "_binary_payload": "w9.zstdio",
}


def rpm_version():
    """rpm takes no hyphen in a version, and sorts what follows a tilde before the version itself."""
    return version().replace("-", "~")


def file_name(target):
    return f"countersign-{rpm_version()}-{RELEASE}.{target.machine}.rpm"


def files(target, program, writer):
    packed = installed.files(program, writer, ZSH)
    packed[f"{LICENCES}/LICENSE"] = File((ROOT / "LICENSE").read_bytes())
    packed[f"{LICENCES}/THIRD-PARTY-LICENSES.txt"] = File(licences.document(target.name).encode())
    return packed


def requires(program):
    if not installed.dynamic(program):
        return ""
    return f"Requires: libc.so.6(GLIBC_{binary.oldest_glibc(program)})(64bit), libgcc_s.so.1()(64bit)\n"


def kind(name):
    if name.startswith(LICENCES):
        return "%license "
    if name.startswith((installed.DOCUMENTS, "usr/share/man/")):
        return "%doc "
    return ""


def spec(program, packed, root):
    maintainer = manifest()["metadata"]["packages"]["maintainer"]
    day = time.strftime("%a %b %d %Y", time.gmtime(commit_time()))
    listed = [f"%dir %attr(0755, root, root) /{folder}" for folder in OWNED]
    listed += [f"{kind(name)}%attr({file.mode:04o}, root, root) /{name}" for name, file in sorted(packed.items())]
    # The dependencies are given, since rpm's own search runs programs that know only this machine's kind.
    return f"""\
Name: countersign
Version: {rpm_version()}
Release: {RELEASE}
Summary: Local reverse proxy that signs requests to AWS
License: {manifest()["license"]}
Group: Applications/Internet
URL: {manifest()["repository"]}
Packager: {maintainer}
AutoReqProv: no
{requires(program)}Recommends: ca-certificates

%description
{DESCRIPTION}

%install
cp -a '{root}/.' '%{{buildroot}}'

%files
{chr(10).join(listed)}

%changelog
* {day} {maintainer} - {rpm_version()}-{RELEASE}
- Version {version()}; CHANGELOG.md.gz lists what changed.
"""


def package(target, program, writer, out):
    packed = files(target, program, writer)
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        root = top / "root"
        lay_out(root, packed)
        described = top / "countersign.spec"
        described.write_text(spec(program, packed, root), encoding="utf-8")
        build(target, described, top)
        made = top / "RPMS" / target.machine / file_name(target)
        write(out / made.name, made.read_bytes())


def lay_out(root, packed):
    """With the commit's time, which the package keeps."""
    folders = [root, *(root / name for name in parents(packed))]
    for folder in sorted(folders):
        folder.mkdir()
    for name, file in packed.items():
        path = root / name
        path.write_bytes(file.content)
        os.utime(path, (commit_time(), commit_time()))
    for folder in folders:
        folder.chmod(0o755)
        os.utime(folder, (commit_time(), commit_time()))


def build(target, described, top):
    command = ["rpmbuild", "-bb", "--nodeps", "--quiet", "--target", f"{target.machine}-linux"]
    for name, value in {**MACROS, "_topdir": str(top)}.items():
        command += ["--define", f"{name} {value}"]
    # The home is the scratch folder, so that the macros of the person who makes the package have no say.
    environment = {**os.environ, "HOME": str(top), "LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(commit_time())}
    done = subprocess.run(
        [*command, str(described)], capture_output=True, encoding="utf-8", env=environment, check=False
    )
    if done.returncode != 0:
        raise Failure(f"rpmbuild failed:\n{done.stderr.strip()}")
