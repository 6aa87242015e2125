"""The tables, the verdict and the file of a soak."""

import json
import math
import sys
from dataclasses import asdict, dataclass
from statistics import median

import trend
from pacing import Pace
from report import machine, number, table
from scaling import Scaling
from slots import Slot
from subjects import BASELINE
from trend import Check

# The field of a slot, and what it is.
QUANTITIES = {
    "rate": "requests per second",
    "p50": "p50, µs",
    "p99": "p99, µs",
    "cpu": "CPU per request, µs",
    "resident": "resident under load, MiB",
    "resting": "resident at rest, MiB",
    "files": "open files at rest",
    "upstreams": "new upstream connections",
}

CRITERIA = {
    "memory": f"{trend.MEMORY_SHARE:.0%} + {trend.MEMORY_MIB:g} MiB over the second quarter",
    "latency": f"{trend.CONTROL_SHARE:.0%} over the first quarter, relative to {BASELINE}",
    "cost": f"{trend.CONTROL_SHARE:.0%} over the first quarter, relative to {BASELINE}",
}


@dataclass(frozen=True)
class Findings:
    minutes: float
    scalings: dict[str, Scaling]
    # By subject and load.
    paces: dict[tuple[str, str], Pace]
    slots: list[Slot]
    # The subjects that ended before the soak did.
    ended: list[str]

    def failures(self) -> list[str]:
        found = [failure for scaling in self.scalings.values() for failure in scaling.failures]
        found += [
            f"{slot.subject}, {slot.load}, after {slot.began:.0f} s: {slot.failures} of {slot.requests} requests"
            for slot in self.slots
            if slot.failures
        ]
        return found + [f"{name} ended" for name in self.ended]


def show(findings: Findings, path: "str | None") -> bool:
    """Prints it all; whether everything is flat and nothing failed."""
    for title, scaling in findings.scalings.items():
        print(f"\nCPU per request, µs, at full load, and relative to the first line: {title}.\n")
        costs(scaling)
    for subject in dict.fromkeys(subject for subject, _ in findings.paces):
        print(f"\n{subject}: medians of the first and of the last quarter, and the change per hour after the first.\n")
        trends(subject, findings)
    print(f"\n{machine()}\n")
    subjects = [name for name in dict.fromkeys(subject for subject, _ in findings.paces) if name != BASELINE]
    checks = trend.checks(findings.slots, subjects)
    failures = findings.failures()
    for failure in failures:
        print(f"FAILED {failure}")
    for criterion, limit in CRITERIA.items():
        judge(criterion, limit, [check for check in checks if check.criterion == criterion])
    good = not failures and all(check.flat for check in checks)
    requests = sum(slot.requests for slot in findings.slots)
    print(f"{'PASSED' if good else 'FAILED'}: {findings.minutes:g} minutes, {requests:,} requests")
    if path:
        save(path, findings, checks)
    return good


def costs(scaling: Scaling) -> None:
    rows = list(scaling.cpu.items())
    _, least = rows[0]
    lines = [
        [name, *(cost(cpu[column], least[column]) for column in least)]
        for name, cpu in rows
    ]  # fmt: skip
    table(["", *least], lines)


def cost(found: list[float], least: list[float]) -> str:
    ratios = [more / less for more, less in zip(found, least)]
    return f"{number(median(found))} ({median(ratios):.2f})" if ratios else "FAILED"


def trends(subject: str, findings: Findings) -> None:
    lines = []
    for name, load in findings.paces:
        if name != subject:
            continue
        slots = [slot for slot in findings.slots if (slot.subject, slot.load) == (subject, load)]
        for quantity, label in QUANTITIES.items():
            found = trend.trend(slots, quantity)
            if quantity == "rate":
                label += f" (half: {number(findings.paces[subject, load].goal)})"
            lines.append([
                f"{load}: {label}", number(found.first), number(found.last), f"{found.ratio:.2f}", f"{found.slope:+,.1f}"
            ])  # fmt: skip
    table(["", "first", "last", "ratio", "per hour"], lines)


def judge(criterion: str, limit: str, checks: list[Check]) -> None:
    """One line that says flat or not, with the quantity that is nearest to its limit or farthest over it."""
    worst = max(checks, key=lambda check: math.inf if math.isnan(check.after) else check.after / check.limit)
    verdict = "flat" if all(check.flat for check in checks) else "NOT FLAT"
    print(
        f"{criterion} {verdict} (at most {limit}). Nearest to it: {worst.subject}, {worst.load}: {worst.quantity} "
        f"{worst.before:.2f}, then {worst.after:.2f} of {worst.limit:.2f}"
    )


def save(path: str, findings: Findings, checks: list[Check]) -> None:
    found = {
        "machine": machine(),
        "minutes": findings.minutes,
        "scaling": {title: asdict(scaling) for title, scaling in findings.scalings.items()},
        "paces": [
            {"subject": subject, "load": load, "capacity": pace.capacity, "goal": pace.goal, "pause": pace.load.pause}
            for (subject, load), pace in findings.paces.items()
        ],
        "slots": [asdict(slot) for slot in findings.slots],
        "checks": [{**asdict(check), "flat": check.flat} for check in checks],
        "failures": findings.failures(),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    print(f"Every slot: {path}", file=sys.stderr)
