"""Slots: the same loads on the same processes again and again, and what is taken down of each."""

import sys
import time
from dataclasses import dataclass, field

from cells import peak
from pacing import LOADS, Pace
from processes import cpu_seconds, open_files, settle
from rounds import rotated
from subjects import Running
from wrk import Trouble

# In seconds. Short, so that what the machine does meets a slot and its control alike.
LONGEST = 6

# Rounds of all loads that a short soak has as well if it can, by shorter slots, so that its quarters can be judged.
ROUNDS = 24

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
    # The most under the load.
    resident: float
    # Open when the load has gone.
    files: int


@dataclass
class Soak:
    running: dict[str, Running]
    # By subject and load.
    paces: dict[tuple[str, str], Pace]
    seconds: float
    slots: list[Slot] = field(default_factory=list)
    # Of slots that could not be measured.
    troubles: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Until the time is over, or a subject has ended."""
        length = self.length()
        began = time.monotonic()
        round = 0
        while True:
            for load in LOADS:
                for subject in rotated(list(self.running), round):
                    elapsed = time.monotonic() - began
                    if elapsed + length > self.seconds or self.ended():
                        return
                    self.attempt(subject, load, round, elapsed, length)
            round += 1

    def ended(self) -> list[str]:
        """Those that should run, and do not."""
        return [name for name, running in self.running.items() if running.process.ended()]

    def length(self) -> int:
        """Of a slot, in whole seconds, as wrk wants them."""
        slots = ROUNDS * len(LOADS) * len(self.running)
        return max(1, min(LONGEST, int(self.seconds / slots - BESIDE)))

    def attempt(self, subject: str, load: str, round: int, elapsed: float, length: int) -> None:
        """One slot without values is no reason to lose the others."""
        try:
            slot = self.slot(subject, load, round, elapsed, length)
        except (Trouble, OSError) as trouble:
            self.troubles.append(f"{subject}, {load}, after {elapsed:.0f} s: {trouble}")
            print(f"  {self.troubles[-1]}", file=sys.stderr)
            return
        self.slots.append(slot)
        told(slot)

    def slot(self, subject: str, load: str, round: int, elapsed: float, length: int) -> Slot:
        running = self.running[subject]
        cpu = cpu_seconds(running.pids)
        resident, result = peak(running, self.paces[subject, load].load, length, LOOKING)
        settle(running.pids)
        cpu = cpu_seconds(running.pids) - cpu
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
            files=open_files(running.pids),
        )


def told(slot: Slot) -> None:
    failures = f", {slot.failures} FAILED" if slot.failures else ""
    print(
        f"{slot.began:6.0f} s {slot.subject}, {slot.load}: {slot.rate:,.0f}/s, p50 {slot.p50:.0f} µs, "
        f"CPU {slot.cpu:.1f} µs, {slot.resident:.1f} MiB{failures}",
        file=sys.stderr,
    )
