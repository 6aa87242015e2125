"""Runs tests until the first that fails."""

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from lists import Mutant, Trouble
from tree import TREE

# A mutant that makes a test hang is caught once the test has taken so much longer than it does without one.
PATIENCE, LEAST_SECONDS = 5, 60
BASELINE_SECONDS = 600

running: set[subprocess.Popen] = set()


@dataclass(frozen=True)
class Ran:
    # The name of a test, or what else went wrong.
    failure: str | None
    tests: int
    seconds: float
    output: str


def baseline(programs: dict[str, str], judged: list[Mutant]) -> dict[str, float]:
    """How many seconds each choice of tests takes without a mutant, where all have to pass."""
    seconds = {}
    chosen = sorted({test for mutant in judged for test in mutant.tests})
    if unknown := [test for test in chosen if not names(programs, test)]:
        raise Trouble(f"no test has the name {', '.join(f'`{test}`' for test in unknown)}")
    for test in chosen:
        ran = run(programs, test, "", BASELINE_SECONDS)
        if ran.failure:
            print(f"fails     {test}: {ran.failure}; once more", flush=True)
            ran = run(programs, test, "", BASELINE_SECONDS)
        if ran.failure:
            raise Trouble(f"without a mutant, {ran.failure} of `{test}` fails:\n{ran.output}")
        print(f"passes    {test}: {ran.tests} tests, {ran.seconds:.1f} s", flush=True)
        seconds[test] = ran.seconds
    return seconds


def names(programs: dict[str, str], test: str) -> list[str]:
    """The tests that a choice stands for."""
    name, _, words = test.partition(":")
    command = [programs[name], "--list", "--format", "terse", *words.split()]
    listed = subprocess.run(command, cwd=TREE, stdout=subprocess.PIPE, text=True, check=True)
    return listed.stdout.splitlines()


def judge(mutant: Mutant, programs: dict[str, str], baseline: dict[str, float]) -> str | None:
    """What caught it, if anything did."""
    for test in mutant.tests:
        limit = max(LEAST_SECONDS, PATIENCE * baseline.get(test, BASELINE_SECONDS))
        ran = run(programs, test, mutant.name, limit)
        if ran.failure:
            return f"{test.partition(':')[0]}: {ran.failure}, {ran.seconds:.1f} s"
    return None


def run(programs: dict[str, str], test: str, mutant: str, limit: float) -> Ran:
    """Runs `NAME[:FILTER]`, of which the filter may be several words, with `mutant` switched on."""
    name, _, words = test.partition(":")
    environment = {**os.environ, "ACTIVE_MUTANT": mutant, "CARGO_MANIFEST_DIR": TREE, "RUST_BACKTRACE": "0"}
    began = time.monotonic()
    child = subprocess.Popen(
        [programs[name], *words.split()],
        cwd=TREE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    running.add(child)
    late = threading.Event()
    timer = threading.Timer(limit, lambda: (late.set(), stop(child)))
    timer.start()
    failure, tests, lines = None, 0, []
    try:
        for line in child.stdout:
            lines.append(line)
            if found := re.fullmatch(r"running (\d+) tests?\n", line):
                tests = int(found[1])
            # The tests that come after the first failure have no say any more.
            if found := re.fullmatch(r"test (.+?)(?: - should panic)? \.\.\. FAILED\n", line):
                failure = found[1]
                if mutant:
                    break
    finally:
        timer.cancel()
        if failure and mutant:
            stop(child)
        code = child.wait()
        stop(child)
        child.stdout.close()
        running.discard(child)
    if not failure and late.is_set():
        failure = f"no end within {limit:.0f} s"
    elif not failure and code != 0:
        failure = f"exit code {code}"
    return Ran(failure, tests, time.monotonic() - began, "".join(lines))


def stop(child: subprocess.Popen) -> None:
    """Ends a test and the programs that it has started, which are in its process group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_all() -> None:
    for child in list(running):
        stop(child)
