"""The programs that the measurement needs, from Debian's packages where they are missing."""

import os
import resource
import shutil
import subprocess
import sys


def provide(packages: dict[str, str]) -> None:
    """Installs the packages whose programs are missing, or ends with a line that says what is."""
    # nginx and HAProxy are installed where only root's PATH looks.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if missing:
        install(missing)
    raise_file_limit()


def install(packages: list[str]) -> None:
    wanted = "apt-get install --no-install-recommends " + " ".join(packages)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: missing: {', '.join(packages)}. On Debian, as root: {wanted}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update -q", f"{wanted} -q -y"):
        if subprocess.run(command.split(), env=environment, stdout=sys.stderr, check=False).returncode != 0:
            sys.exit(f"{sys.argv[0]}: `{command}` failed; missing: {', '.join(packages)}")


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
