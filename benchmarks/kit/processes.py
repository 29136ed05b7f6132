"""What a running program used so far: CPU time with its children's, and memory. Read from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS = 0.4
_IDLE = 0.02
"""CPU seconds per second up to which a process counts as idle."""
_CPUCLOCK_SCHED = 2
"""How clock_getcpuclockid(3) makes a clock's number from a process's."""


def cpu(pid: int) -> float:
    """CPU seconds of a process, of the children that it waited for, and of those that still run."""
    return sum(_own(each) + _waited_for(each) for each in family(pid))


def family(pid: int) -> list[int]:
    """A process and all that it started, and that is still there."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of Paths would be measured, too
        if entry.isdigit() and (fields := _fields(Path(f"/proc/{entry}/stat"))):
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def resident(pid: int) -> float:
    """Megabytes of memory of a process, as RSS, without its children."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def settle(pid: int, within: float = 120.0, quiet: float = _QUIET_SECONDS) -> None:
    """Wait until a process does next to nothing: what one measurement left to do must not count for the next.

    Args:
        pid: The process.
        within: After so many seconds it is an error.
        quiet: For how many seconds it must have used next to nothing.
    """
    give_up = time.monotonic() + within
    allowed = _IDLE * quiet + 1 / _TICKS
    while True:
        before = cpu(pid)
        time.sleep(quiet)
        if cpu(pid) - before <= allowed:
            return
        if time.monotonic() > give_up:
            raise TimeoutError(f"process {pid} is not idle after {within:.0f} s")


def _own(pid: int) -> float:
    """Of all threads, ended ones too, by the process's own CPU clock.

    Not from `stat`: there a thread that wakes with the timer looks five times as busy as it is.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _waited_for(pid: int) -> float:
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return sum(int(field) for field in fields[13:15]) / _TICKS if fields else 0.0  # cutime and cstime, proc(5)


def _fields(stat: Path) -> list[str]:
    """The fields behind the name, which may hold anything; none when the process is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []
