"""What a running program asks of the C library, counted by a preloaded library: bench/calls.c."""

import mmap
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

from build import ROOT
from scratch import Scratch

SOURCE = os.path.join(ROOT, "bench", "calls.c")

# Two counters of eight bytes.
SIZE = 16


@dataclass(frozen=True)
class Calls:
    allocations: int
    # In bytes, by copies of more than 256 at a time.
    copied: int


class Counters:
    """The counters of one program, to read while it runs."""

    def __init__(self, scratch: Scratch, name: str) -> None:
        self.shared_object = scratch.path("calls.so")
        self.path = scratch.write(f"{name}.counters", "\0" * SIZE)
        if not os.path.exists(self.shared_object):
            compile_library(self.shared_object)
        with open(self.path, "rb") as file:
            self.mapped = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)

    def command(self, command: list[str]) -> list[str]:
        """The same command, with its calls counted."""
        return ["env", f"LD_PRELOAD={self.shared_object}", f"COUNTERS={self.path}", *command]

    def read(self) -> Calls:
        return Calls(*(int.from_bytes(self.mapped[at : at + 8], sys.byteorder) for at in (0, 8)))


def compile_library(path: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit("bench/instructions: there is no C compiler, which Rust needs to link as well")
    # Without the compiler's knowledge of these functions, which would make one of another.
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", path, SOURCE], check=True)
