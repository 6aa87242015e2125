"""Archives that depend on nothing but names, modes and contents: sorted, with one time, owned by root."""

import gzip
import io
import os
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from project import commit_time

# The first time that a zip file can hold.
MIN_ZIP_TIME = 315_532_800


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644


def parents(names):
    """All folders above the names, without the root."""
    return {str(parent) for name in names for parent in PurePosixPath(name).parents if str(parent) != "."}


def compress(content):
    """As `gzip -9n`: without a name and a time."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as writer:
        writer.write(content)
    return packed.getvalue()


def tar(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as writer:
        for name in sorted([*files, *parents(files)]):
            entry = tarfile.TarInfo(name)
            entry.mtime = commit_time()
            entry.uname = entry.gname = "root"
            if name in files:
                entry.mode = files[name].mode
                entry.size = len(files[name].content)
                writer.addfile(entry, io.BytesIO(files[name].content))
            else:
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o755
                writer.addfile(entry)
    return packed.getvalue()


def zipped(files):
    packed = io.BytesIO()
    when = time.gmtime(max(commit_time(), MIN_ZIP_TIME))[:6]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as writer:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, when)
            # Made on Unix, whatever made it, so that the modes count.
            entry.create_system = 3
            entry.external_attr = (0o100000 | files[name].mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            writer.writestr(entry, files[name].content)
    return packed.getvalue()


def write(path, content):
    """Whole or not at all: a reader, and the next run after an interruption, never finds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_bytes(content)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
