"""What is done to each subject, and what is taken down: one cell, one load."""

import time
from dataclasses import dataclass
from fnmatch import fnmatch

import wrk
from origin import Origin
from processes import cpu_seconds, resident_mib
from subjects import Running, Subject
from wrk import Load, Trouble, Wrk

KB, MB = 1_000, 1_000_000

SMALL = Load("/", 4)

UPLOADS = Load("/upload", 4, upload=5 * MB)

DOWNLOADS = Load("/files/100m", 2)

MANY_UPLOADS = Load("/upload", 64, upload=5 * MB)

# For the upstream connections that a load needs to be made, in seconds.
SETTLING = 0.3


@dataclass(frozen=True)
class Target:
    """Whom to load, and for how long."""

    subject: Subject
    running: Running
    origin: Origin
    seconds: int


@dataclass(frozen=True)
class SmallGet:
    """Answers of a few bytes; CPU and rate are those of the time when all connections are there."""

    name: str
    connections: int
    # Whether the direct way to the origin is loaded as well.
    direct: bool = False
    rounds: "int | None" = None
    path: str = "/"

    def measure(self, target: Target) -> dict[str, float]:
        load = Load(self.path, self.connections)
        with Wrk(target.running.url, load, target.seconds) as run:
            time.sleep(SETTLING)
            began, cpu, seen = time.monotonic(), cpu_seconds(target.running.pids), target.origin.counters()
            time.sleep(target.seconds - SETTLING - 0.1)
            ended, cpu_after, seen_after = (
                time.monotonic(), cpu_seconds(target.running.pids), target.origin.counters(),
            )  # fmt: skip
            result = checked(run.result())
        requests = seen_after.requests - seen.requests
        if requests == 0:
            raise Trouble("nothing reached the origin while it was looked at")
        return {
            "cpu": (cpu_after - cpu) / requests * 1e6,
            "rate": requests / (ended - began),
            "p50": result.p50,
            "p99": result.p99,
            "connections": (seen_after.connections - seen.connections) / requests * 10_000,
        }


@dataclass(frozen=True)
class Whole:
    """Everything from the first connection to the last; `size` is that of a body in bytes."""

    name: str
    load: Load
    size: int = 0
    direct: bool = False
    rounds: "int | None" = None

    def measure(self, target: Target) -> dict[str, float]:
        before = cpu_seconds(target.running.pids)
        result = checked(wrk.run(target.running.url, self.load, target.seconds))
        cpu = cpu_seconds(target.running.pids) - before
        # Downloads that the end of the run cut off count for what had come.
        downloads = self.size and not self.load.upload
        requests = result.bytes / self.size if downloads else result.requests
        if requests == 0:
            raise Trouble("nothing was answered whole")
        return {"cpu": cpu / requests * 1e6, "rate": requests * (self.size / MB or 1) / result.seconds}


@dataclass(frozen=True)
class Beside:
    """How long small requests take while large bodies pass on other connections."""

    name: str
    bodies: Load
    direct: bool = False
    rounds: "int | None" = None

    def measure(self, target: Target) -> dict[str, float]:
        with Wrk(target.running.url, self.bodies, target.seconds + 1) as bodies:
            time.sleep(SETTLING)
            result = checked(wrk.run(target.running.url, SMALL, target.seconds))
            checked(bodies.result())
        return {"p50": result.p50}


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process that has just started: at rest, or the most under a load."""

    name: str
    load: "Load | None" = None
    # Whether it may refuse what it has no room for, which is one way to stay within limits.
    may_refuse: bool = False
    direct: bool = False
    rounds: "int | None" = 2

    def measure(self, target: Target) -> dict[str, float]:
        fresh = target.subject.start()
        try:
            time.sleep(SETTLING)
            if self.load is None:
                return {"resident": resident_mib(fresh.pids)}
            resident, result = peak(fresh, self.load, target.seconds + 1)
        finally:
            fresh.stop()
        answered = result.requests - result.refused
        if result.failed or answered == 0 or not self.may_refuse:
            checked(result)
        return {"resident": resident, "answered": 100 * answered / result.requests}


@dataclass(frozen=True)
class Start:
    """From the start of the program to its first good answer."""

    name: str
    direct: bool = False
    rounds: "int | None" = None

    def measure(self, target: Target) -> dict[str, float]:
        if target.subject.given is not None:
            return {}
        began = time.monotonic()
        fresh = target.subject.start()
        fresh.stop()
        return {"first": (fresh.ready - began) * 1000}


def peak(running: Running, load: Load, seconds: int, pause: float = 0.01) -> tuple[float, wrk.Result]:
    """The most memory under a load, looked at every `pause` seconds."""
    most = 0.0
    with Wrk(running.url, load, seconds) as run:
        while run.running():
            most = max(most, resident_mib(running.pids))
            time.sleep(pause)
        return most, run.result()


def checked(result: wrk.Result) -> wrk.Result:
    trouble = result.trouble()
    if trouble is not None:
        raise Trouble(trouble)
    return result


def upload(name: str, size: int, connections: int) -> Whole:
    return Whole(name, Load("/upload", connections, upload=size), size)


def download(name: str, file: str, size: int, connections: int) -> Whole:
    return Whole(name, Load(f"/files/{file}", connections), size)


CELLS = [
    SmallGet("get-small-1", 1, direct=True),
    SmallGet("get-small-16", 16),
    SmallGet("get-small-64", 64),
    SmallGet("get-small-256", 256),
    upload("post-1k", KB, 16),
    upload("post-100k", 100 * KB, 8),
    upload("post-5m", 5 * MB, 4),
    download("get-16k", "16k", 16 << 10, 16),
    download("get-1m", "1m", 1 << 20, 8),
    download("get-100m", "100m", 100 << 20, 2),
    Beside("beside-uploads", UPLOADS),
    Beside("beside-downloads", DOWNLOADS),
    Memory("memory-idle"),
    Memory("memory-256", Load("/", 256)),
    Memory("memory-uploads", MANY_UPLOADS, may_refuse=True),
    Start("start"),
    # Last, because the kernel remembers its many connections for a minute.
    Whole("get-small-close", Load("/", 16, keep_alive=False)),
]

NAMES = [cell.name for cell in CELLS]


def chosen(patterns: list[str]) -> list:
    """The cells that match one of `patterns`; all without patterns."""
    return [cell for cell in CELLS if not patterns or any(fnmatch(cell.name, pattern) for pattern in patterns)]
