"""What a running program used so far: CPU time with its children's, and memory. Read from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS = 0.4
_STEP_SECONDS = 0.1


def cpu(pid: int) -> float:
    """CPU seconds of a process, of the children that it waited for, and of those that still run."""
    return sum(_ticks(Path(f"/proc/{each}/stat")) for each in family(pid)) / _TICKS


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


def settle(pid: int, within: float = 120.0, busy: float = 0.1, quiet: float = _QUIET_SECONDS) -> None:
    """Wait until a process does next to nothing: what one measurement left to do must not count for the next.

    Args:
        pid: The process.
        within: After so many seconds it is an error.
        busy: CPU seconds per second up to which it counts as idle.
        quiet: For how many seconds it must be so.
    """
    give_up = time.monotonic() + within
    since, before = time.monotonic(), cpu(pid)
    while time.monotonic() - since < quiet:
        time.sleep(_STEP_SECONDS)
        now = cpu(pid)
        if now - before > busy * _STEP_SECONDS + 1 / _TICKS:
            since = time.monotonic()
        before = now
        if time.monotonic() > give_up:
            raise TimeoutError(f"process {pid} is not idle after {within:.0f} s")


def _ticks(stat: Path) -> int:
    fields = _fields(stat)
    return sum(int(field) for field in fields[11:15]) if fields else 0  # utime stime cutime cstime, proc(5)


def _fields(stat: Path) -> list[str]:
    """The fields behind the name, which may hold anything; none when the process is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []
