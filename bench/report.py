"""The tables and the file of one run."""

import json
import os
import platform
import sys
from statistics import median, quantiles

from arguments import Options
from rounds import DIRECT, Values
from rows import ROWS, Kind, Row
from subjects import BASELINE, Subject


def show(values: Values, subjects: list[Subject], options: Options) -> None:
    rows = [row for row in ROWS if row.key in values.samples or failed(values, row)]
    print(f"\nRatios against {BASELINE} = 1.00 in the same round, median of {options.rounds} rounds, ± half the")
    print("distance of the quartiles; rows with a unit hold absolute values. `!` misses the goal.\n")
    table(["", *(subject.name for subject in subjects), "goal"], [ratios(row, values, subjects) for row in rows])
    print("\nAbsolute values, medians.\n")
    names = [DIRECT, *(subject.name for subject in subjects)]
    table(["", *names], [absolutes(row, values, names) for row in rows])
    for (cell, subject), trouble in values.failures.items():
        print(f"\nFAILED {cell}, {subject}: {trouble}")
    print(f"\n{machine()}")
    if options.json:
        save(options.json, rows, values, subjects)


def failed(values: Values, row: Row) -> bool:
    return any(cell == row.cell for cell, _ in values.failures)


def ratios(row: Row, values: Values, subjects: list[Subject]) -> list[str]:
    label = f"{row.label}, {row.unit}" if row.kind is Kind.PLAIN and row.unit else row.label
    return [label, *(told(row, values, subject) for subject in subjects), str(row.goal or "")]


def told(row: Row, values: Values, subject: Subject) -> str:
    if (row.cell, subject.name) in values.failures:
        return "FAILED"
    found = compared(row, values, subject.name)
    if not found:
        return "-"
    middle = median(found)
    text = number(middle) if row.kind is Kind.PLAIN else f"{middle:.2f}"
    if row.kind is not Kind.PLAIN and subject.name != BASELINE and len(found) > 2:
        low, _, high = quantiles(found, n=4, method="inclusive")
        text += f" ±{(high - low) / 2:.2f}"
    if subject.protocol is not None and row.goal is not None:
        theirs = compared(row, values, BASELINE)
        if not row.goal.met(middle, subject.protocol, median(theirs) if theirs else None):
            text += " !"
    return text


def compared(row: Row, values: Values, subject: str) -> list[float]:
    """What the row says of the subject in each round that has it."""
    ours = samples(row, values, subject)
    if row.kind is Kind.PLAIN:
        return ours
    pairs = zip(ours, samples(row, values, BASELINE))
    return [our / their for our, their in pairs if their > 0]


def samples(row: Row, values: Values, subject: str) -> list[float]:
    """The values of the subject, less those of the direct way where the row asks for it."""
    if (row.cell, subject) in values.failures:
        return []
    found = values.samples[row.key][subject]
    if row.kind is Kind.ADDED and subject != DIRECT:
        return [value - direct for value, direct in zip(found, values.samples[row.key][DIRECT])]
    return found


def absolutes(row: Row, values: Values, names: list[str]) -> list[str]:
    cells = []
    for name in names:
        found = samples(row, values, name)
        # The direct way has no process of its own, so no CPU.
        shown = found and not (name == DIRECT and row.key.endswith("/cpu"))
        cells.append(number(median(found)) if shown else "-")
    return [f"{row.label}, {row.unit}" if row.unit else row.label, *cells]


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def table(head: list[str], lines: list[list[str]]) -> None:
    """In Markdown, with columns that line up."""
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for line in [head, rule, *lines]:
        first, rest = line[0].ljust(widths[0]), [text.rjust(width) for text, width in zip(line[1:], widths[1:])]
        print("| " + " | ".join([first, *rest]) + " |")


def machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}"


def save(path: str, rows: list[Row], values: Values, subjects: list[Subject]) -> None:
    names = [DIRECT, *(subject.name for subject in subjects)]
    found = {
        "machine": machine(),
        "rows": [
            {
                "key": row.key,
                "label": row.label,
                "unit": row.unit,
                "kind": row.kind.value,
                "goal": str(row.goal or ""),
                "values": {name: samples(row, values, name) for name in names},
                "compared": {subject.name: compared(row, values, subject.name) for subject in subjects},
            }
            for row in rows
        ],
        "failures": [
            {"cell": cell, "subject": subject, "trouble": trouble}
            for (cell, subject), trouble in values.failures.items()
        ],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    print(f"Every value: {path}", file=sys.stderr)
