"""What a request costs with more connections, and with more routes."""

from dataclasses import dataclass

import rounds
import subjects
from cells import SmallGet
from origin import Origin
from rounds import Values
from scratch import Scratch
from subjects import Subject

CONNECTIONS = (1, 16, 64, 256)

ROUTES = (1, 200)

# The number in the path of the last listed route; all have as many digits.
LAST = 1200

# How often each load is repeated, and for how many seconds.
REPEATED, SECONDS = 5, 1

ROUTE = """
[[route]]
path = "/services/{number}"
strip-prefix = "/services/{number}"
upstream = "https://localhost:{origin}"
"""


@dataclass(frozen=True)
class Scaling:
    """CPU per request in microseconds, a value for each round, by what grows and by who is asked."""

    cpu: dict[str, dict[str, list[float]]]
    failures: list[str]


def connections(kinds: list[Subject], origin: Origin) -> Scaling:
    cells = [SmallGet(f"{number} connections", number) for number in CONNECTIONS]
    values = rounds.measure(cells, kinds, origin, REPEATED, SECONDS)
    return Scaling(
        {
            str(number): {kind.name: values.samples[f"{cell.name}/cpu"][kind.name] for kind in kinds}
            for number, cell in zip(CONNECTIONS, cells)
        },
        failures(values),
    )


def routes(scratch: Scratch, origin: Origin, command: list[str]) -> Scaling:
    """For the paths whose route is found last: the last of equally long ones, and what none of them takes."""
    path, *flags = command
    kinds = []
    for number in ROUTES:
        configuration = scratch.write(f"{number}-routes.toml", table(number, origin.one))
        serve = [path, "serve", "--config", configuration, *flags]
        kinds.append(subjects.countersign(f"{number} routes", "h1", scratch, serve, origin.one))
    cells = [SmallGet("last route", 64, path=f"/services/{LAST}"), SmallGet("no route", 64)]
    values = rounds.measure(cells, kinds, origin, REPEATED, SECONDS)
    return Scaling(
        {
            str(number): {cell.name: values.samples[f"{cell.name}/cpu"][kind.name] for cell in cells}
            for number, kind in zip(ROUTES, kinds)
        },
        failures(values),
    )


def table(number: int, origin: int) -> str:
    """So many routes, of which the last is the same whatever the number."""
    return "".join(ROUTE.format(number=LAST + place, origin=origin) for place in range(1 - number, 1))


def failures(values: Values) -> list[str]:
    return [f"{cell}, {subject}: {trouble}" for (cell, subject), trouble in values.failures.items()]
