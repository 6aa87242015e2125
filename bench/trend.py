"""Whether a quantity grew in the course of a soak."""

from dataclasses import dataclass
from statistics import StatisticsError, linear_regression, median, quantiles
from typing import Callable

from pacing import LOADS
from slots import Slot
from subjects import BASELINE

HOUR = 3600

# Growth that is none: of memory, a share and some MiB; of open files, a number; of what is divided by the control's, a
# share.
MEMORY_SHARE, MEMORY_MIB, FILES, CONTROL_SHARE = 0.02, 1.0, 8, 0.10

# Rounds that a quarter must have: the quartiles of fewer tell nothing about noise.
FEWEST = 5

# The second, because a process fills its pools and caches in the first.
EARLY, LAST = 1, 3

GREW, TOO_FEW = "GREW", "too few rounds"

Value = Callable[[Slot], float]


@dataclass(frozen=True)
class Check:
    """One quantity of one subject in an early and in the last quarter, and the most that it may come to."""

    subject: str
    quantity: str
    early: float
    last: float
    # From the early quarter on.
    per_hour: float
    limit: float
    # Whether the middle half of the early values is wholly below that of either half of the last: noise widens them or
    # ends, growth parts them for good.
    apart: bool
    # Whether both quarters have enough rounds.
    measured: bool

    @property
    def judged(self) -> str:
        if not self.measured:
            return TOO_FEW
        if self.last <= self.limit:
            return "flat"
        return GREW if self.apart else "noise"


def checks(slots: list[Slot], subjects: list[str]) -> list[Check]:
    good = [slot for slot in slots if not slot.failures]
    control = {(slot.load, slot.round): slot for slot in good if slot.subject == BASELINE}
    found = []
    for subject in subjects:
        ours = [slot for slot in good if slot.subject == subject]
        found.append(check(ours, subject, "resident, MiB", lambda slot: slot.resident, MEMORY_SHARE, MEMORY_MIB))
        found.append(check(ours, subject, "open files", lambda slot: slot.files, 0.0, FILES))
        for quantity in ("p50", "cpu"):
            for load in LOADS:
                # What happens to the machine changes both slots of a round alike.
                pairs = [slot for slot in ours if slot.load == load and (load, slot.round) in control]
                value = relative(quantity, control)
                found.append(check(pairs, subject, f"{quantity}, {load}, / {BASELINE}", value, CONTROL_SHARE))
    return found


def relative(quantity: str, control: dict[tuple[str, int], Slot]) -> Value:
    def value(slot: Slot) -> float:
        return getattr(slot, quantity) / max(getattr(control[slot.load, slot.round], quantity), 1e-9)

    return value


def check(slots: list[Slot], subject: str, quantity: str, value: Value, share: float, more: float = 0) -> Check:
    quarters = [[slot for slot in slots if slot.quarter == quarter] for quarter in (EARLY, LAST)]
    early, last = ([value(slot) for slot in quarter] for quarter in quarters)
    measured = all(len({slot.round for slot in quarter}) >= FEWEST for quarter in quarters)
    before = middle(early)
    return Check(
        subject=subject,
        quantity=quantity,
        early=before,
        last=middle(last),
        per_hour=slope([(slot.began / HOUR, value(slot)) for slot in slots if slot.quarter >= EARLY]),
        limit=before * (1 + share) + more,
        apart=measured and all(quartiles(half)[0] > quartiles(early)[1] for half in halves(last)),
        measured=measured,
    )


def middle(values: list[float]) -> float:
    return median(values) if values else float("nan")


def halves(values: list[float]) -> tuple[list[float], list[float]]:
    place = len(values) // 2
    return values[:place], values[place:]


def quartiles(values: list[float]) -> tuple[float, float]:
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return lower, upper


def slope(points: list[tuple[float, float]]) -> float:
    try:
        return linear_regression(*zip(*points)).slope
    except (StatisticsError, TypeError):
        return float("nan")
