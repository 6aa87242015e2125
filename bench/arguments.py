"""The command line."""

import argparse
import os
import shlex
from dataclasses import dataclass

import cells
from subjects import Given


@dataclass(frozen=True)
class Options:
    binaries: dict[str, list[str]]
    given: dict[str, Given]
    only: list[str]
    skip: list[str]
    rounds: int
    seconds: int
    json: "str | None"
    origin_port: "int | None"
    origin_workers: int
    certificates: "str | None"


def parse() -> Options:
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures the proxy against nginx and HAProxy.")
    parser.add_argument(
        "--binary", action="append", default=[], metavar="[NAME=]PATH [FLAG...]",
        type=binary,
        help="measure this build, with more flags if wanted, instead of making one; several are measured side by side",
    )
    parser.add_argument(
        "--subject", action="append", default=[], metavar="NAME=URL,PID[,PID...]", type=given,
        help="measure one more proxy, which runs already and forwards to https://localhost:PORT of --origin-port",
    )
    parser.add_argument(
        "--origin-port", type=int, metavar="PORT",
        help="where the origin speaks HTTP/1.1; it speaks HTTP/2 as well on the next port (default: free ports)",
    )
    parser.add_argument(
        "--origin-workers", type=int, default=1, metavar="NUMBER", help="worker processes of the origin (default: 1)"
    )
    parser.add_argument(
        "--certificates", metavar="FOLDER", help="keep the origin's authority, ca.pem, here, and use what is there"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN",
        help=f"measure only these: {', '.join(cells.NAMES)}; * stands for anything",
    )
    parser.add_argument("--skip", action="append", default=[], metavar="PATTERN", help="leave this subject out")
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five")
    parser.add_argument("--rounds", type=int, help="how often each load is repeated")
    parser.add_argument("--seconds", type=int, default=1, help="how long each load lasts (default: 1)")
    parser.add_argument("--json", metavar="FILE", help="write every value of every round to this file")
    typed = parser.parse_args()
    for pattern in typed.only:
        if not cells.chosen([pattern]):
            parser.error(f"--only {pattern} is none of {', '.join(cells.NAMES)}")
    return Options(
        binaries=dict(typed.binary),
        given=dict(typed.subject),
        only=typed.only,
        skip=typed.skip,
        rounds=typed.rounds or (2 if typed.quick else 5),
        seconds=typed.seconds,
        json=typed.json,
        origin_port=typed.origin_port,
        origin_workers=typed.origin_workers,
        certificates=typed.certificates,
    )


def binary(text: str) -> tuple[str, list[str]]:
    """A name, and the program with further flags for `serve`."""
    path, *flags = shlex.split(text)
    name, equals, rest = path.partition("=")
    if equals:
        path = rest
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is not a program")
    return name if equals else "countersign", [os.path.abspath(path), *flags]


def given(text: str) -> tuple[str, Given]:
    name, _, rest = text.partition("=")
    url, *pids = rest.split(",")
    if not url.startswith("http://") or not pids or not all(pid.isdigit() for pid in pids):
        raise argparse.ArgumentTypeError("NAME=URL,PID[,PID...] is expected, with an http URL")
    return name, Given(url.rstrip("/"), tuple(int(pid) for pid in pids))
