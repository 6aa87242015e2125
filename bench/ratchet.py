"""Limits that only come down by hand: bench/instructions.toml."""

import os
import tomllib

from build import ROOT

RECORD = os.path.join(ROOT, "bench", "instructions.toml")

HEAD = """\
# Instructions that callgrind counts, as of `bench/instructions --record`: of one request through the
# release build, and of one run of each operation in benches/operations. More than `tolerance` per cent
# above fail; `.ci/run` counts the requests.
"""

TOLERANCE = 10

Counted = dict[str, dict[str, int]]


def record(counted: Counted) -> int:
    lines = [HEAD, f"tolerance = {TOLERANCE}"]
    for group, values in counted.items():
        lines += ["", f"[{group}]", *(f"{name} = {value:_}" for name, value in values.items())]
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines[1:]))
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
            if limit is None or change > limits["tolerance"]:
                worse.append(name)
            elif change < -limits["tolerance"]:
                better.append(name)
    if better:
        print(f"Fewer than recorded: {', '.join(better)}. `bench/instructions --record` keeps it so.")
    if worse:
        print(f"More instructions than bench/instructions.toml allows: {', '.join(worse)}. If they are worth it,")
        print("`bench/instructions --record`, and say in the commit why.")
    return 1 if worse else 0
