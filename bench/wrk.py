"""wrk, the load generator, and what it tells."""

import json
import os
import subprocess
from dataclasses import dataclass

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.lua")


class Trouble(Exception):
    """Why a load has no value."""


@dataclass(frozen=True)
class Load:
    """Requests of one kind, on a number of connections."""

    path: str
    connections: int
    # Of the body to send; GET without.
    upload: int = 0
    # Whether each connection carries many requests.
    keep_alive: bool = True
    # Milliseconds before each request of a connection, on average; no part of the latency.
    pause: float = 0.0
    # Path and upload of further requests, in turn with the first.
    others: tuple[tuple[str, int], ...] = ()

    def arguments(self) -> list[str]:
        """For load.lua, whose opening has their order."""
        others = [str(word) for other in self.others for word in other]
        return [str(self.upload), f"{self.pause:.3f}", *others]


@dataclass(frozen=True)
class Result:
    requests: int
    bytes: int
    seconds: float
    # Microseconds.
    p50: int
    p99: int
    # Connections that failed, and answers that were not 2xx.
    failed: int
    refused: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def trouble(self) -> "str | None":
        """Why nothing may be concluded from it."""
        if self.failed or self.refused:
            return f"{self.failed} socket errors and {self.refused} error answers beside {self.requests} requests"
        return None if self.bytes else "nothing was answered"


class Wrk:
    """A load under way."""

    def __init__(self, url: str, load: Load, seconds: int) -> None:
        command = ["wrk", "-t", "1", "-c", str(load.connections), "-d", f"{seconds}s", "--timeout", "30s"]
        if not load.keep_alive:
            command += ["-H", "Connection: close"]
        command += ["-s", SCRIPT, url + load.path, "--", *load.arguments()]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def __enter__(self) -> "Wrk":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def running(self) -> bool:
        return self.process.poll() is None

    def result(self) -> Result:
        """Waits for the end."""
        output, _ = self.process.communicate()
        try:
            told = json.loads(output.strip().rpartition("\n")[2])
        except ValueError:
            told = None
        if self.process.returncode != 0 or told is None:
            raise Trouble(f"`{' '.join(self.process.args)}` failed: {output[-500:]}")
        return Result(seconds=told.pop("microseconds") / 1e6, **told)


def run(url: str, load: Load, seconds: int) -> Result:
    with Wrk(url, load, seconds) as wrk:
        return wrk.result()
