"""Processes: started so that they end with the run, and what the kernel's books say about them."""

import os
import signal
import subprocess
import sys
import time

PAGE = os.sysconf("SC_PAGE_SIZE")

# The scheduler's clock of a whole process, ended threads included: CPUCLOCK_SCHED in linux/posix-timers.h.
SCHEDULED = 2

# In seconds; and the share of a CPU that does not count as work.
TURN, LONGEST_SETTLING, AT_REST = 0.05, 10.0, 0.02


def unwind_on_signals() -> None:
    """Lets `finally` and `with` end what was started."""

    def unwind(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, unwind)


class Process:
    """A program in a process group of its own."""

    def __init__(self, command: list[str], **how: object) -> None:
        self.command = command
        self.child = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, **how)

    def stop(self, patience: float = 5) -> None:
        """Asks it to end, and makes it after so many seconds."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()

    def ended(self) -> bool:
        return self.child.poll() is not None

    def tree(self) -> tuple[int, ...]:
        """The program and its descendants."""
        return tree(self.child.pid)


def tree(root: int) -> tuple[int, ...]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    # The second field, the program's name, may itself contain parentheses.
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return tuple(found)


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """Time on a CPU since their start, user and system."""
    return sum(time.clock_gettime((~pid << 3) | SCHEDULED) for pid in pids)


def settle(pids: tuple[int, ...]) -> None:
    """Waits until they rest, so that the end of one load is not counted in the next."""
    deadline = time.monotonic() + LONGEST_SETTLING
    while time.monotonic() < deadline:
        before = cpu_seconds(pids)
        time.sleep(TURN)
        if cpu_seconds(pids) - before < TURN * AT_REST:
            return


def resident_mib(pids: tuple[int, ...]) -> float:
    """Resident memory; pages that processes share count for each of them."""
    pages = 0
    for pid in pids:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages += int(file.read().split()[1])
    return pages * PAGE / (1 << 20)


def open_files(pids: tuple[int, ...]) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
