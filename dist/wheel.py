"""The wheel for Python's installers: the program as a script, without Python code."""

import base64
import hashlib

import licences
from project import ROOT, manifest, version
from reproducible import File, write, zipped


def file_name(target):
    return f"countersign-{version()}-py3-none-{target.wheel}.whl"


def metadata():
    about = manifest()
    return f"""\
Metadata-Version: 2.4
Name: countersign
Version: {version()}
Summary: {about["description"]}
License-Expression: {about["license"]}
License-File: LICENSE
License-File: THIRD-PARTY-LICENSES.txt
Keywords: {",".join(about["keywords"])}
Project-URL: Source, {about["repository"]}
Classifier: Environment :: Console
Classifier: Programming Language :: Rust
Requires-Python: >=3.8
Description-Content-Type: text/markdown

{readme()}"""


def readme():
    """The README, whose relative links lead nowhere on an index: they are made absolute."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    base = f"{manifest()['repository']}/blob/v{version()}/"
    parts = text.split("](")
    absolute = [part if part.startswith(("http", "#")) else base + part for part in parts[1:]]
    return "](".join([parts[0], *absolute])


def tags(target):
    platforms = target.wheel.split(".")
    lines = [f"Tag: py3-none-{platform}" for platform in platforms]
    return "\n".join(["Wheel-Version: 1.0", "Generator: dist/package", "Root-Is-Purelib: false", *lines]) + "\n"


def package(target, program, out):
    info = f"countersign-{version()}.dist-info"
    files = {
        f"countersign-{version()}.data/scripts/{target.program}": File(program, 0o755),
        f"{info}/METADATA": File(metadata().encode()),
        f"{info}/WHEEL": File(tags(target).encode()),
        f"{info}/licenses/LICENSE": File((ROOT / "LICENSE").read_bytes()),
        f"{info}/licenses/THIRD-PARTY-LICENSES.txt": File(licences.document(target.name).encode()),
    }
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={digest(file.content)},{len(file.content)}" for name, file in sorted(files.items())]
    files[record] = File("\n".join([*lines, f"{record},,"]).encode() + b"\n")
    write(out / file_name(target), zipped(files))


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
