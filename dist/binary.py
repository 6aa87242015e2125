"""What a built program says about itself in its first bytes, so that no package carries another system's program."""

import re
import struct
from dataclasses import dataclass

from project import Failure

ELF_MACHINES = {62: "x86_64", 183: "aarch64"}
MACH_CPUS = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
PE_MACHINES = {0x8664: "x86_64"}
PT_INTERP = 3


@dataclass(frozen=True)
class Binary:
    system: str
    architecture: str
    # Needs a C library of the system at run time.
    dynamic: bool = True


def read(content, path):
    try:
        if content.startswith(b"\x7fELF\x02\x01"):
            return elf(content)
        if content.startswith(b"\xcf\xfa\xed\xfe"):
            (cpu,) = struct.unpack_from("<I", content, 4)
            return Binary("apple", MACH_CPUS[cpu])
        if content.startswith(b"MZ"):
            (header,) = struct.unpack_from("<I", content, 0x3C)
            (machine,) = struct.unpack_from("<H", content, header + 4)
            return Binary("windows", PE_MACHINES[machine])
    except (struct.error, KeyError) as error:
        raise Failure(f"{path} is a program for a processor that has no target here, or is cut short") from error
    raise Failure(f"{path} is not a program for Linux, macOS or Windows")


def elf(content):
    (machine,) = struct.unpack_from("<H", content, 18)
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    kinds = [struct.unpack_from("<I", content, table + size * index)[0] for index in range(count)]
    return Binary("linux", ELF_MACHINES[machine], PT_INTERP in kinds)


def check(target, content, path):
    """Fails unless the program is one for the target."""
    found = read(content, path)
    if found.system not in target.name or not target.name.startswith(found.architecture):
        raise Failure(f"{path} is a program for {found.system} on {found.architecture}, not for {target.name}")
    if "musl" in target.name and found.dynamic:
        raise Failure(f"{path} is not linked statically; deploy/build-static builds {target.name}")


def oldest_glibc(content):
    """The version of glibc that a dynamic Linux program needs, from the versions of the symbols that it imports."""
    versions = [tuple(int(part) for part in found) for found in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", content)]
    if not versions:
        raise Failure("the program imports no symbol of glibc")
    return ".".join(str(part) for part in max(versions))
