"""One environment of many changes: the CPU time from the push to its next release, with 10,000 against 100.

Both sides are the product, on the real parts in this process: one look (`git ls-remote`, fetch, the catalog follows)
and one pass that deploys 10 KB, with the children that they start. The same site each time but for the number of
environments beside the one that changes. What must not grow with that number is counted, exactly, in
`tests/e2e/test_counted_work.py`; a commit's tree grows with it in git itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.fleet import Fleet, small_artifact
from benchmarks.kit.sides import Side, interleaved, own_cpu
from benchmarks.kit.table import Row
from benchmarks.merge_to_live import declared
from reconciler.loop.runner import Runner
from reconciler.wiring import System
from tests.site import environment

FEW = 100
_MILLI = 1_000.0


def run(setting: Setting) -> list[Row]:
    """The look, and the look with its pass."""
    many = setting.size(10_000, 1_000)
    with changing(setting.folder / "few", FEW) as few, changing(setting.folder / "many", many) as much:
        sides: dict[str, Side] = {}
        for name, side in (("few", few), ("many", much)):
            sides[f"{name} look"] = side.look
            sides[f"{name} deploy"] = side.deploy
        found = interleaved(sides, setting.size(9, 5))
    return [
        Row(
            f"{what}, {many:,} environments",
            "ms CPU",
            found[f"many {key}"] * _MILLI,
            f"{FEW} environments",
            found[f"few {key}"] * _MILLI,
        )
        for key, what in (("look", "seeing one change"), ("deploy", "deploying it"))
    ]


class Changing:
    """One site with its parts."""

    def __init__(self, site: Fleet, system: System, runner: Runner) -> None:
        self._site = site
        self._system = system
        self._runner = runner
        self._run = 100

    def look(self, _: int) -> float:
        """A merge arrives, and is seen."""
        self._run += 1
        data = self._site.publish(self._run, small_artifact(self._run))
        self._site.merge_many({self._site.file("prod"): self._site.declared("prod", self._run, data)})
        seen: set[str] = set()
        spent = own_cpu(lambda: seen.update(self._system.tracker.look()))
        if seen != {"prod"}:
            raise RuntimeError(f"one environment changed, and {len(seen)} are due")
        return spent

    def deploy(self, _: int) -> float:
        """It is brought live."""
        spent = own_cpu(lambda: self._runner.run(environment("prod")))
        if not self._site.is_live("prod", self._run):
            raise RuntimeError(f"run {self._run} is not live")
        return spent


@contextmanager
def changing(folder: Path, count: int) -> Iterator[Changing]:
    """A site that was looked at once, its one real environment deployed."""
    site = declared(folder, count)
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        system.tracker.look()
        runner.run(environment("prod"))
        yield Changing(site, system, runner)


BENCHMARK = Benchmark("one_of_many", "One of many changes", run)
