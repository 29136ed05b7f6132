"""One poll while nothing changes, in CPU time, with 1, 100 and 10,000 environments.

Here: what the daemon does at each poll (asking the store what the operator wants, and looking at the remote's tip), on
the real parts in this process, with the children that it starts.

There: a bare `git ls-remote URL refs/heads/main`, started from this same process. Both sides take turns in batches, as
one alone is too short for the clock of a child process.

The repository is on this machine, where the branch's own file is read; of a remote one, a poll is one `ls-remote`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.sides import interleaved, own_cpu, tell
from benchmarks.kit.table import Row
from benchmarks.merge_to_live import declared
from reconciler.loop.runner import Runner
from reconciler.wiring import System

GOAL = 1.3
_BATCH = 20
_MILLI = 1_000.0


def run(setting: Setting) -> list[Row]:
    """One row for each number of environments."""
    rows = []
    for count in (1, 100, setting.size(10_000, 1_000)):
        tell(f"{count:,} declared")
        rows.append(measured(setting.folder / str(count), count, turns=setting.size(5, 3)))
    return rows


def measured(folder: Path, count: int, turns: int) -> Row:
    """Both sides in turn."""
    site = declared(folder, count)
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        system.tracker.look()

        def ours(_: int) -> float:
            return own_cpu(lambda: [_poll(system, runner) for _ in range(_BATCH)]) / _BATCH

        def bare(_: int) -> float:
            argv = ["git", "ls-remote", site.git.url, "refs/heads/main"]
            return (
                own_cpu(lambda: [subprocess.run(argv, check=True, capture_output=True) for _ in range(_BATCH)]) / _BATCH
            )

        found = interleaved({"bare": bare, "ours": ours}, turns)
    work = f"one poll, {count:,} environment{'s' if count > 1 else ''}"
    remark = "of a repository on this machine, whose file of the branch is read; of a remote one it is one ls-remote"
    return Row(work, "ms CPU", found["ours"] * _MILLI, "git ls-remote", found["bare"] * _MILLI, GOAL, remark=remark)


def _poll(system: System, runner: Runner) -> bool:
    if due := runner.asked_for() | system.tracker.look():
        raise RuntimeError(f"nothing changed, and {len(due)} environments are due")
    return True


BENCHMARK = Benchmark("polling", "A poll while nothing changes", run)
