"""Limits that only come down by hand: bench/instructions.toml."""

import os
import tomllib

from build import ROOT

RECORD = os.path.join(ROOT, "bench", "instructions.toml")

HEAD = """\
# What one request through the release build costs, as of `bench/instructions --record`: instructions that
# callgrind counts, allocations, and bytes that are copied by more than 256 at a time. Beside them, the
# instructions of one run of each operation in benches/operations. More than the tolerance, in per cent,
# above a count fails; `.ci/run` counts all but the operations.
"""

# In per cent: instructions depend a little on the machine, the others only on how the system cuts what it delivers.
TOLERANCE = {"requests": 10, "allocations": 5, "copied": 5, "operations": 10}

Counted = dict[str, dict[str, int]]


def record(counted: Counted) -> int:
    lines = [HEAD.rstrip()]
    for group, values in {"tolerance": TOLERANCE, **counted}.items():
        lines += ["", f"[{group}]", *(f"{name} = {value:_}" for name, value in values.items())]
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines[2:]))
    return 0


def compare(counted: Counted) -> int:
    """Prints each count beside its limit; 1 if one is exceeded."""
    with open(RECORD, "rb") as file:
        limits = tomllib.load(file)
    worse, better = [], []
    for group, values in counted.items():
        for name, value in values.items():
            limit = limits.get(group, {}).get(name)
            change = 100 * (value / limit - 1) if limit else 0.0
            shown = f"{limit:>12,} {change:+7.1f} %" if limit else f"{'no limit':>12}"
            print(f"{group + '/' + name:36} {value:>12,} {shown}")
            tolerance = limits["tolerance"][group]
            if limit is None or change > tolerance:
                worse.append(f"{group}/{name}")
            elif change < -tolerance:
                better.append(f"{group}/{name}")
    if better:
        print(f"Fewer than recorded: {', '.join(better)}. `bench/instructions --record` keeps it so.")
    if worse:
        print(f"More than bench/instructions.toml allows: {', '.join(worse)}. If it is worth it,")
        print("`bench/instructions --record`, and say in the commit why.")
    return 1 if worse else 0
