"""Whether a quantity grew in the course of a soak."""

from dataclasses import dataclass
from statistics import StatisticsError, linear_regression, median, quantiles
from typing import Callable

from pacing import LOADS
from slots import Slot
from subjects import BASELINE

HOUR = 3600

# Growth that is none: of memory, a share of it and some MiB; of what is compared with the control's, a share.
MEMORY_SHARE, MEMORY_MIB, CONTROL_SHARE = 0.02, 1.0, 0.10

# The second, because a process fills its pools and caches in the first.
EARLY, LAST = 1, 3

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
    # Whether the last quarter's middle half is wholly above the early one's: noise widens them, growth parts them.
    apart: bool
    # Whether both quarters have values.
    measured: bool

    @property
    def flat(self) -> bool:
        return self.measured and not (self.last > self.limit and self.apart)


def checks(slots: list[Slot], subjects: list[str]) -> list[Check]:
    good = [slot for slot in slots if not slot.failures]
    control = {(slot.load, slot.round): slot for slot in good if slot.subject == BASELINE}
    found = []
    for subject in subjects:
        ours = [slot for slot in good if slot.subject == subject]
        found.append(check(ours, subject, "resident, MiB", lambda slot: slot.resident, MEMORY_SHARE, MEMORY_MIB))
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


def check(slots: list[Slot], subject: str, quantity: str, value: Value, share: float, more: float = 0.0) -> Check:
    early, last = ([value(slot) for slot in slots if slot.quarter == quarter] for quarter in (EARLY, LAST))
    before = middle(early)
    return Check(
        subject=subject,
        quantity=quantity,
        early=before,
        last=middle(last),
        per_hour=slope([(slot.began / HOUR, value(slot)) for slot in slots if slot.quarter >= EARLY]),
        limit=before * (1 + share) + more,
        apart=bool(early and last) and quartiles(last)[0] > quartiles(early)[1],
        measured=bool(early and last),
    )


def middle(values: list[float]) -> float:
    return median(values) if values else float("nan")


def quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return lower, upper


def slope(points: list[tuple[float, float]]) -> float:
    try:
        return linear_regression(*zip(*points)).slope
    except (StatisticsError, TypeError):
        return float("nan")
