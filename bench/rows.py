"""The rows of the table: what is told about the subjects, and the goals for Countersign."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    # Divided by the baseline's value of the same round.
    RATIO = "ratio"
    # What a proxy adds to the direct way, divided by what the baseline adds.
    ADDED = "added"
    # As it is.
    PLAIN = "plain"


@dataclass(frozen=True)
class Goal:
    limit: float
    at_least: bool = False
    # Where HTTP/2 to the upstream is to do better than HTTP/1.1.
    limit_h2: "float | None" = None
    # Whether it must also be below the baseline.
    beats_baseline: bool = False

    def met(self, value: float, protocol: str, baseline: "float | None") -> bool:
        limit = self.limit_h2 if protocol == "h2" and self.limit_h2 is not None else self.limit
        if self.beats_baseline and baseline is not None and value >= baseline:
            return False
        return value >= limit if self.at_least else value <= limit

    def __str__(self) -> str:
        text = f"{'>=' if self.at_least else '<='} {self.limit:g}"
        if self.limit_h2 is not None:
            text += f", h2 {self.limit_h2:g}"
        return text + (", < nginx" if self.beats_baseline else "")


@dataclass(frozen=True)
class Row:
    """`key` is CELL/QUANTITY."""

    key: str
    label: str
    unit: str
    kind: Kind = Kind.RATIO
    goal: "Goal | None" = None

    @property
    def cell(self) -> str:
        return self.key.partition("/")[0]


def at_most(limit: float, h2: "float | None" = None, beats_baseline: bool = False) -> Goal:
    return Goal(limit, limit_h2=h2, beats_baseline=beats_baseline)


def at_least(limit: float, h2: "float | None" = None) -> Goal:
    return Goal(limit, at_least=True, limit_h2=h2)


def small(
    connections: "int | str", told: str, cpu: "Goal | None" = None, rate: "Goal | None" = None
) -> list[Row]:
    cell = f"get-small-{connections}"
    return [
        Row(f"{cell}/cpu", f"small GET, {told}: CPU per request", "µs", goal=cpu),
        Row(f"{cell}/rate", f"small GET, {told}: requests per second", "/s", goal=rate),
    ]


def new_connections(connections: int) -> Row:
    label = f"{connections} connections: new upstream connections per 10,000 requests"
    return Row(f"get-small-{connections}/connections", label, "", Kind.PLAIN, at_most(0))


def body(cell: str, told: str, cpu: "Goal | None" = None, rate: "Goal | None" = None) -> list[Row]:
    return [
        Row(f"{cell}/cpu", f"{told}: CPU per request", "µs", goal=cpu),
        Row(f"{cell}/rate", f"{told}: throughput", "MB/s", goal=rate),
    ]


# The goals are those of a build with a profile.
ROWS = [
    *small(1, "1 connection", cpu=at_most(0.75, h2=0.90)),
    Row("get-small-1/p50", "small GET, 1 connection: added p50", "µs", Kind.ADDED, at_most(0.85, h2=0.90)),
    Row("get-small-1/p99", "small GET, 1 connection: added p99", "µs", Kind.ADDED),
    *small(16, "16 connections"),
    *small(64, "64 connections", cpu=at_most(0.80, h2=0.55), rate=at_least(1.2, h2=1.4)),
    new_connections(64),
    *small(256, "256 connections", rate=at_least(1.2)),
    new_connections(256),
    *body("post-1k", "POST 1 KB, 16 connections", cpu=at_most(0.70)),
    *body("post-100k", "POST 100 KB, 8 connections"),
    *body("post-5m", "POST 5 MB, 4 connections", cpu=at_most(0.95), rate=at_least(1.0)),
    *body("get-16k", "GET 16 KB, 16 connections", cpu=at_most(0.75, h2=0.70)),
    *body("get-1m", "GET 1 MB, 8 connections", cpu=at_most(0.65), rate=at_least(1.3)),
    *body("get-100m", "GET 100 MB, 2 connections", cpu=at_most(0.70), rate=at_least(1.3)),
    Row("beside-uploads/p50", "small GETs beside 5 MB uploads: p50", "µs", goal=at_most(0.2)),
    Row("beside-downloads/p50", "small GETs beside 100 MB downloads: p50", "µs", goal=at_most(2)),
    Row("memory-idle/resident", "resident, idle", "MiB", Kind.PLAIN, at_most(9)),
    Row("memory-256/resident", "resident, 256 connections", "MiB", Kind.PLAIN, at_most(25)),
    Row("memory-uploads/resident", "resident, 64 uploads of 5 MB at once", "MiB", Kind.PLAIN, at_most(96)),
    Row("memory-uploads/answered", "answered 200 of these uploads", "%", Kind.PLAIN),
    Row("start/first", "start to the first answer", "ms", Kind.PLAIN, at_most(25, beats_baseline=True)),
    *small("close", "a connection each, 16 at once"),
]
