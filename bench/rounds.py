"""Rounds: every load on every subject in turn, in an order that rotates, so that drift hits all alike."""

import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

import wrk
from cells import Target
from origin import Origin
from processes import settle
from subjects import Given, Running, Subject
from waiting import NotReady
from wrk import Load, Trouble

DIRECT = "direct"


@dataclass
class Values:
    """By CELL/QUANTITY and subject: a value per round, None where there is none."""

    samples: dict[str, dict[str, list]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    # By cell and subject.
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, cell: str, subject: str, measured: dict[str, float]) -> None:
        for quantity, value in measured.items():
            self.samples[f"{cell}/{quantity}"][subject].append(value)


def measure(cells: list, subjects: list[Subject], origin: Origin, rounds: int, seconds: int) -> Values:
    values = Values()
    direct = Subject(DIRECT, given=Given(origin.url(), ()))
    with ExitStack() as stack:
        running = {DIRECT: Running(origin.url(), ())}
        for subject in subjects:
            running[subject.name] = started = subject.start()
            stack.callback(started.stop)
            wrk.run(started.url, Load("/", 64), 1)
        for number in range(rounds):
            for cell in cells:
                if cell.rounds is not None and number >= cell.rounds:
                    continue
                print(f"round {number + 1} of {rounds}: {cell.name}", file=sys.stderr)
                taking_part = [*subjects, direct] if cell.direct else subjects
                for subject in rotated(taking_part, number):
                    target = Target(subject, running[subject.name], origin, seconds)
                    attempt(cell, target, values)
    return values


def attempt(cell, target: Target, values: Values) -> None:
    name = target.subject.name
    try:
        values.take(cell.name, name, cell.measure(target))
        settle(target.running.pids)
    # A subject that died fails its cells, not the run.
    except (Trouble, NotReady, OSError) as trouble:
        values.failures[cell.name, name] = str(trouble)
        print(f"  {name}: {trouble}", file=sys.stderr)


def rotated(subjects: list[Subject], by: int) -> list[Subject]:
    by %= len(subjects)
    return subjects[by:] + subjects[:by]
