"""The lists of mutants, and the source text with mutants in it."""

import os
import tomllib
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Trouble(Exception):
    """Why the run cannot go on, in words for people."""


@dataclass(frozen=True)
class Mutant:
    area: str
    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    # The text right before `find`, where that alone does not tell the place.
    after: str = ""
    # Why no test can see it; such a mutant is not judged.
    equivalent: str = ""
    # Needs a build of its own, since the replaced text is no expression that can be chosen at run time.
    build: bool = False


def read() -> list[Mutant]:
    """Every mutant of every list."""
    mutants = []
    for file in sorted(os.listdir(HERE)):
        area, extension = os.path.splitext(file)
        if extension != ".toml":
            continue
        with open(os.path.join(HERE, file), "rb") as opened:
            listed = tomllib.load(opened)
        for entry in listed["mutant"]:
            tests = tuple(entry.pop("tests", listed["tests"]))
            mutants.append(Mutant(area=area, tests=tests, **entry))
    return mutants


def chosen(mutants: list[Mutant], names: list[str]) -> list[Mutant]:
    """The mutants of these lists or of these names; all without a name."""
    for name in names:
        if not any(name in (mutant.area, mutant.name) for mutant in mutants):
            raise Trouble(f"{name} is neither a list nor a mutant in {HERE}")
    return [mutant for mutant in mutants if not names or mutant.area in names or mutant.name in names]


def mutated(text: str, mutants: list[Mutant], built_in: "Mutant | None") -> str:
    """`text` with each mutant behind a switch, and `built_in` in place of the text it replaces."""
    spans: dict[tuple[int, int], list[Mutant]] = {}
    for mutant in mutants:
        place = mutant.after + mutant.find
        if text.count(place) != 1:
            raise Trouble(f"{mutant.area}/{mutant.name}: {mutant.file} has {place!r} {text.count(place)} times")
        start = text.index(place) + len(mutant.after)
        spans.setdefault((start, start + len(mutant.find)), []).append(mutant)
    return render(text, 0, len(text), spans, built_in)


def render(text: str, start: int, end: int, spans: dict, built_in: "Mutant | None") -> str:
    """The text from `start` to `end`, in which the switches of a longer span surround those of shorter ones."""
    # The outermost span at each place comes first; those that it contains are rendered inside it.
    inside = sorted(
        (span for span in spans if start <= span[0] and span[1] <= end), key=lambda span: (span[0], -span[1])
    )
    parts, position = [], start
    for span in inside:
        if span[0] < position:
            continue
        rest = {other: found for other, found in spans.items() if other != span}
        original = render(text, *span, rest, built_in)
        parts += [text[position : span[0]], switched(original, spans[span], built_in)]
        position = span[1]
    parts.append(text[position:end])
    return "".join(parts)


def switched(original: str, mutants: list[Mutant], built_in: "Mutant | None") -> str:
    if built_in in mutants:
        return built_in.replace
    branches = [
        f'if crate::mutant::on("{mutant.name}") {{ {mutant.replace} }} else ' for mutant in mutants if not mutant.build
    ]
    return f"({''.join(branches)}{{ {original} }})" if branches else original
