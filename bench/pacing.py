"""The loads of a soak, and the pauses that keep each at half of what a subject can carry."""

from dataclasses import dataclass, replace

import wrk
from cells import KB, checked
from processes import settle
from subjects import Running
from wrk import Load

# In seconds: of the full load, and of the trial of a pause.
TRYING = 2

SHARE = 0.5

MIXED = (
    *[("/", 0)] * 11,
    *[("/upload", KB)] * 5,
    *[("/upload", 100 * KB)] * 2,
    ("/files/1m", 0),
)

# In the order in which they follow each other, again and again.
LOADS = {
    "small": Load("/", 64),
    # Most of it small, so that its p50 is that of small requests, and its p99 that of large ones.
    "mix": Load("/", 64, others=MIXED),
    # A connection for each request.
    "close": Load("/", 64, keep_alive=False),
}


@dataclass(frozen=True)
class Pace:
    """A load, paused as it must be for so many requests per second."""

    load: Load
    capacity: float

    @property
    def goal(self) -> float:
        return self.capacity * SHARE


def half(running: Running, load: Load) -> Pace:
    """Finds the capacity by a full load, and then the pause."""
    capacity = tried(running, load)
    period = load.connections / (capacity * SHARE) * 1000
    # The answer's time is part of the period, and so is what wrk's timers, in whole milliseconds, add.
    beside = load.connections / tried(running, replace(load, pause=period)) * 1000 - period
    return Pace(replace(load, pause=max(period - beside, 0.0)), capacity)


def tried(running: Running, load: Load) -> float:
    result = checked(wrk.run(running.url, load, TRYING))
    settle(running.pids)
    return result.rate
