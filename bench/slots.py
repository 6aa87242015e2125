"""Slots: the same loads on the same processes again and again, and what is taken down of each."""

import math
import sys
import time
from dataclasses import dataclass

from cells import peak
from origin import Origin
from pacing import LOADS, Pace
from processes import cpu_seconds, open_files, resident_mib, settle
from subjects import BASELINE, Running

# In seconds, of a slot; the control's is shorter, as it only has to show what the machine does.
LONGEST, CONTROL_SHARE = 20, 0.25

# Rounds of all loads that a short soak has time for as well, so that each quarter has some.
ROUNDS = 8

# In seconds: between two looks at the memory, and what a slot takes beside its load.
LOOKING, BESIDE = 0.2, 0.2


@dataclass(frozen=True)
class Slot:
    """One load on one subject. Times in microseconds, memory in MiB."""

    subject: str
    load: str
    # Of all loads on all subjects, counted from 0.
    round: int
    # Seconds since the soak began, and the quarter of its whole time: 0 to 3.
    began: float
    quarter: int
    requests: int
    failures: int
    rate: float
    p50: float
    p99: float
    cpu: float
    # The most under the load, and what is left when it has gone.
    resident: float
    resting: float
    # Open when the load has gone.
    files: int
    # New connections to the origin.
    upstreams: int


@dataclass(frozen=True)
class Soak:
    running: dict[str, Running]
    # By subject and load.
    paces: dict[tuple[str, str], Pace]
    origin: Origin
    seconds: float

    def slots(self) -> list[Slot]:
        """Until the time is over, or a subject has ended."""
        found = []
        began = time.monotonic()
        round = 0
        while True:
            for load in LOADS:
                for subject in self.running:
                    elapsed = time.monotonic() - began
                    if elapsed + self.length(subject) > self.seconds or self.ended():
                        return found
                    found.append(self.slot(subject, load, round, elapsed))
                    told(found[-1])
            round += 1

    def ended(self) -> list[str]:
        """Those that should run, and do not."""
        return [name for name, running in self.running.items() if running.process.ended()]

    def length(self, subject: str) -> int:
        """Of a slot, in whole seconds, as wrk wants them."""
        control = LONGEST * CONTROL_SHARE
        share = len(self.running) - 1 + CONTROL_SHARE
        longest = min(LONGEST, (self.seconds / ROUNDS / len(LOADS) - BESIDE * len(self.running)) / share)
        return max(1, math.floor(longest * CONTROL_SHARE if subject == BASELINE else longest))

    def slot(self, subject: str, load: str, round: int, elapsed: float) -> Slot:
        running = self.running[subject]
        cpu, seen = cpu_seconds(running.pids), self.origin.counters()
        resident, result = peak(running, self.paces[subject, load].load, self.length(subject), LOOKING)
        settle(running.pids)
        cpu, upstreams = cpu_seconds(running.pids) - cpu, self.origin.counters().connections - seen.connections
        return Slot(
            subject=subject,
            load=load,
            round=round,
            began=elapsed,
            quarter=min(int(4 * elapsed / self.seconds), 3),
            requests=result.requests,
            # No request answered is a failure, too.
            failures=result.failed + result.refused + (result.requests == 0),
            rate=result.rate,
            p50=result.p50,
            p99=result.p99,
            cpu=cpu / max(result.requests, 1) * 1e6,
            resident=resident,
            resting=resident_mib(running.pids),
            files=open_files(running.pids),
            upstreams=upstreams,
        )


def told(slot: Slot) -> None:
    failures = f", {slot.failures} FAILED" if slot.failures else ""
    print(
        f"{slot.began:6.0f} s {slot.subject}, {slot.load}: {slot.rate:,.0f}/s, p50 {slot.p50:.0f} µs, "
        f"CPU {slot.cpu:.1f} µs, {slot.resident:.1f} MiB{failures}",
        file=sys.stderr,
    )
