"""Looking for drift in one converged environment, against hashing its files anew.

Here: a pass over the environment (`Runner.run`), when nothing was touched since the one before: the target's link,
records and every path by its stat. There: reading every file of the release and hashing it, in this process, by hashlib
with 1 MiB chunks. Both warm: what is measured is the work, not the disk. Wall-clock time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from random import Random

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.sides import interleaved, seconds
from benchmarks.kit.table import Row
from benchmarks.merge_to_live import declared, small_files
from tests.archives import zip_of
from tests.factories import sha256
from tests.site import environment

LARGE_FILES_GOAL = 0.05
_FILES = 64
_CHUNK = 1024 * 1024
_MILLI = 1_000.0


def run(setting: Setting) -> list[Row]:
    """Few large files, and very many small ones."""
    each = setting.size(100_000_000, 20_000_000) // _FILES
    large = zip_of({f"{n}.bin": Random(n).randbytes(each) for n in range(_FILES)})
    many = setting.size(10_000, 2_000)
    sizes = f"{_FILES} files, {each * _FILES // 1_000_000} MB"
    return [
        measured(setting.folder / "large", sizes, large, LARGE_FILES_GOAL),
        measured(setting.folder / "many", f"{many:,} small files", small_files(many)(1), None),
    ]


def measured(folder: Path, what: str, data: bytes, goal: float | None) -> Row:
    """Both sides in turn."""
    site = declared(folder, 1)
    site.publish(2, data)
    site.declare("prod", 2, sha=sha256(data))
    with site.system() as system:
        runner, name = system.runner(lambda *_: None), environment("prod")
        system.tracker.look()
        if not runner.run(name).status.ready:
            raise RuntimeError(f"not converged: {runner.run(name).status.message}")
        release = (site.live / "prod" / "current").resolve()
        found = interleaved(
            {"hash": lambda _: seconds(lambda: hash_all(release)), "pass": lambda _: seconds(lambda: runner.run(name))},
            turns=7,
        )
    return Row(f"a look, {what}", "ms", found["pass"] * _MILLI, "hashing anew", found["hash"] * _MILLI, goal)


def hash_all(release: Path) -> int:
    """Hash every file; returns how many bytes."""
    size = 0
    for folder, _, names in os.walk(release):
        for name in names:
            digest = hashlib.sha256()
            with open(os.path.join(folder, name), "rb", buffering=0) as file:  # noqa: PTH118, PTH123 - as bare as can be
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
    return size


BENCHMARK = Benchmark("drift", "Looking for drift", run)
