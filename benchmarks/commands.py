"""The command line: from the start of a process to its end, wall clock.

Here: `reconciler --help` and `reconciler validate` over the project's own environment files. There: `python -c pass`
by the same interpreter, which is the least that any Python program takes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.sides import Side, interleaved, seconds
from benchmarks.kit.table import Row

GOAL_MS = 250.0
FILES = Path(__file__).parent.parent / "environments"
_MILLI = 1_000.0


def run(setting: Setting) -> list[Row]:
    """One row for each command."""
    reconciler = [sys.executable, "-m", "reconciler"]
    asked = {"--help": [*reconciler, "--help"], "validate": [*reconciler, "validate", str(FILES)]}
    sides: dict[str, Side] = {"python": _side([sys.executable, "-c", "pass"])}
    sides |= {name: _side(argv) for name, argv in asked.items()}
    found = {name: value * _MILLI for name, value in interleaved(sides, setting.size(15, 7)).items()}
    return [
        Row(f"reconciler {name}", "ms", found[name], "python -c pass", found["python"], GOAL_MS, absolute=True)
        for name in asked
    ]


def _side(argv: Sequence[str]) -> Side:
    return lambda _: seconds(lambda: subprocess.run(argv, check=True, capture_output=True))


BENCHMARK = Benchmark("commands", "The command line", run)
