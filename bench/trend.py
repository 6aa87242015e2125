"""What became of a quantity in the course of a soak, and whether that counts as flat."""

from dataclasses import dataclass
from statistics import StatisticsError, linear_regression, median
from typing import Callable

from pacing import LOADS
from slots import Slot
from subjects import BASELINE

HOUR = 3600

# Growth that is none: of memory, beside a share of it; of what is compared with the control's.
MEMORY_SHARE, MEMORY_MIB, CONTROL_SHARE = 0.02, 1.0, 0.10

FIRST, SECOND, LAST = 0, 1, 3

Value = Callable[[Slot], float]


@dataclass(frozen=True)
class Trend:
    first: float
    last: float
    # From the second quarter on, as a process fills its pools and caches in the first; per hour.
    slope: float

    @property
    def ratio(self) -> float:
        return self.last / self.first if self.first else float("nan")


@dataclass(frozen=True)
class Check:
    """One quantity of one load on one subject, and the most that it may be."""

    criterion: str
    subject: str
    load: str
    quantity: str
    before: float
    after: float
    limit: float

    @property
    def flat(self) -> bool:
        return self.after <= self.limit


def trend(slots: list[Slot], quantity: str) -> Trend:
    def value(slot: Slot) -> float:
        return getattr(slot, quantity)

    later = [(slot.began / HOUR, value(slot)) for slot in slots if slot.quarter > FIRST]
    try:
        slope = linear_regression(*zip(*later)).slope
    except (StatisticsError, TypeError):
        slope = float("nan")
    return Trend(middle(slots, FIRST, value), middle(slots, LAST, value), slope)


def checks(slots: list[Slot], subjects: list[str]) -> list[Check]:
    found = []
    for subject in subjects:
        for load in LOADS:
            ours = [slot for slot in slots if (slot.subject, slot.load) == (subject, load)]
            theirs = {slot.round: slot for slot in slots if (slot.subject, slot.load) == (BASELINE, load)}
            found += [memory(ours, subject, load, quantity) for quantity in ("resident", "resting")]
            found.append(compared(ours, theirs, "latency", subject, load, "p50"))
            found.append(compared(ours, theirs, "cost", subject, load, "cpu"))
    return found


def memory(slots: list[Slot], subject: str, load: str, quantity: str) -> Check:
    before, after = (middle(slots, quarter, lambda slot: getattr(slot, quantity)) for quarter in (SECOND, LAST))
    return Check("memory", subject, load, quantity, before, after, before * (1 + MEMORY_SHARE) + MEMORY_MIB)


def compared(
    slots: list[Slot], control: dict[int, Slot], criterion: str, subject: str, load: str, quantity: str
) -> Check:
    """As ratios to the control's slot of the same round, which what happens to the machine changes alike."""
    pairs = [slot for slot in slots if slot.round in control]

    def ratio(slot: Slot) -> float:
        return getattr(slot, quantity) / max(getattr(control[slot.round], quantity), 1e-9)

    before, after = middle(pairs, FIRST, ratio), middle(pairs, LAST, ratio)
    return Check(criterion, subject, load, quantity, before, after, before * (1 + CONTROL_SHARE))


def middle(slots: list[Slot], quarter: int, value: Value) -> float:
    """The quarter's median; not a number, which is never flat, where there is no slot."""
    found = [value(slot) for slot in slots if slot.quarter == quarter]
    return median(found) if found else float("nan")
