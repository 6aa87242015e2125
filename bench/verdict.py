"""The tables, the verdict and the file of a soak."""

import json
import math
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import median

import trend
from report import machine, number, table
from scaling import Scaling
from slots import Soak
from subjects import BASELINE
from trend import Check


@dataclass(frozen=True)
class Findings:
    scalings: dict[str, Scaling]
    soak: Soak
    # The subjects that ended before the soak did.
    ended: list[str]

    @cached_property
    def checks(self) -> list[Check]:
        return trend.checks(self.soak.slots, [name for name in self.soak.running if name != BASELINE])

    def failures(self) -> list[str]:
        """What the proxy is to blame for."""
        found = [failure for scaling in self.scalings.values() for failure in scaling.failures]
        found += [
            f"{slot.subject}, {slot.load}, after {slot.began:.0f} s: {slot.failures} beside {slot.requests} requests"
            for slot in self.soak.slots
            if slot.failures and slot.subject != BASELINE
        ]
        return found + [f"{name} ended" for name in self.ended]

    def left_out(self) -> list[str]:
        """What is no fault of the proxy's, and only leaves fewer values to judge by."""
        control = [
            f"{slot.subject}, {slot.load}, after {slot.began:.0f} s: {slot.failures} failures"
            for slot in self.soak.slots
            if slot.failures and slot.subject == BASELINE
        ]
        return self.soak.troubles + control


def show(findings: Findings) -> int:
    """Prints it all, and returns the exit code."""
    soak = findings.soak
    print("\nCPU per request at full load, in µs and relative to the first line.")
    for title, scaling in findings.scalings.items():
        print()
        costs(title, scaling)
    print("\nAt half load: medians of the second and of the last quarter, and the change per hour since the second.\n")
    growth(findings.checks)
    print(f"\n{machine()}\n")
    for trouble in findings.left_out():
        print(f"left out: {trouble}")
    failures = findings.failures()
    for failure in failures:
        print(f"FAILED {failure}")
    word, code = outcome(failures, findings.checks)
    requests = sum(slot.requests for slot in soak.slots)
    print(f"{word}: {soak.seconds / 60:g} minutes, {requests:,} requests")
    return code


def outcome(failures: list[str], checks: list[Check]) -> tuple[str, int]:
    """Its name and exit code."""
    judged = {check.judged for check in checks}
    if failures or trend.GREW in judged:
        return "FAILED", 1
    return ("UNDECIDED", 2) if trend.TOO_FEW in judged else ("PASSED", 0)


def costs(title: str, scaling: Scaling) -> None:
    rows = list(scaling.cpu.items())
    _, least = rows[0]
    table([title, *least], [[name, *(cost(cpu[column], least[column]) for column in least)] for name, cpu in rows])


def cost(found: list[float], least: list[float]) -> str:
    ratios = [more / less for more, less in zip(found, least)]
    return f"{number(median(found))} ({median(ratios):.2f})" if ratios else "FAILED"


def growth(checks: list[Check]) -> None:
    lines = [
        [
            f"{check.subject}: {check.quantity}",
            f"{check.early:.2f}", f"{check.last:.2f}", f"{check.per_hour:+.2f}", f"{check.limit:.2f}", check.judged,
        ]
        for check in checks
    ]  # fmt: skip
    table(["", "second", "last", "per hour", "at most", ""], lines)


def save(path: str, findings: Findings) -> None:
    soak = findings.soak
    found = {
        "machine": machine(),
        "minutes": soak.seconds / 60,
        "scaling": {title: asdict(scaling) for title, scaling in findings.scalings.items()},
        "paces": [
            {"subject": subject, "load": load, "capacity": pace.capacity, "goal": pace.goal, "pause": pace.load.pause}
            for (subject, load), pace in soak.paces.items()
        ],
        "slots": [asdict(slot) for slot in soak.slots],
        "checks": [{**known(check), "judged": check.judged} for check in findings.checks],
        "failures": findings.failures(),
        "left_out": findings.left_out(),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    print(f"Every slot: {path}", file=sys.stderr)


def known(check: Check) -> dict:
    """JSON has no word for what is no number."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(check).items()
    }
