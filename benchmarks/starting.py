"""Start with 10,000 environments: from the first look at the repository until every declaration is known.

Here: `tracker.look()` of a new process on the real parts: `git ls-remote`, fetch, and reading all declarations with
every check. First with an empty state folder, then as a restart on the state that was left.

There: a process that clones the repository (for the first start only), reads all blobs with `git cat-file --batch`,
parses them with PyYAML's C loader and validates them with pydantic; no checks beyond the types.

Imports are not in it, on either side; each turn is a process of its own, so that nothing stays in memory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.sides import interleaved
from benchmarks.kit.table import Row
from benchmarks.merge_to_live import declared

FIRST_GOAL, RESTART_GOAL = 1.5, 0.15


def run(setting: Setting) -> list[Row]:
    """The first start, and a restart."""
    count = setting.size(10_000, 1_000)
    site = declared(setting.folder / "site", count)
    clone = setting.folder / "clone"

    def ours(_: int) -> float:
        return timed("benchmarks.kit.one_look", str(site.settings_file), str(count))

    def ours_first(turn: int) -> float:
        shutil.rmtree(site.folder / "state", ignore_errors=True)
        return ours(turn)

    def bare(_: int) -> float:
        return timed("benchmarks.kit.read_all", site.git.url, str(clone), str(count))

    def bare_first(turn: int) -> float:
        shutil.rmtree(clone, ignore_errors=True)
        return bare(turn)

    sides = {"bare first": bare_first, "bare": bare, "first": ours_first, "again": ours}
    found = interleaved(sides, setting.size(3, 2))
    first, again = "clone, cat-file, C loader, pydantic", "cat-file, C loader, pydantic"
    return [
        Row(f"first start, {count:,} environments", "s", found["first"], first, found["bare first"], FIRST_GOAL),
        Row(f"restart, {count:,} environments", "s", found["again"], again, found["bare"], RESTART_GOAL),
    ]


def timed(module: str, *arguments: str) -> float:
    """The seconds that a module prints."""
    argv = [sys.executable, "-m", module, *arguments]
    return float(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout)


BENCHMARK = Benchmark("starting", "Start with very many environments", run)
