"""The release build of this repository."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def release() -> str:
    """Builds it, and returns the path of the program."""
    command = ["cargo", "build", "--release", "--locked"]
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode != 0:
        sys.exit(f"{sys.argv[0]}: `{' '.join(command)}` failed")
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return os.path.join(ROOT, target, "release", "countersign")
