"""Merge to live: from the moment the push returned until `current` leads to the new release.

Here: the whole product. The running daemon sees the push (a local origin is watched, so no poll interval is in it),
proves the signed merge, asks CI's folder for the run, takes the artifact into custody, verifies, unpacks, makes it
durable, writes intent and outcome, and switches. The clock stops when the link has changed.

There: the best durable shell script for the job (`floor.sh`), started the moment its push returned: git fetch, git
show, cp, openssl dgst, unzip, sync -f, mv -T. No approval, no record, nothing verified but the digest. The clock stops
when it ends.

Beside it, where installed: adnanh/webhook that runs the script when it is called, git-sync with the script as its hook,
and ansible-pull with a playbook of the same steps. The sides take turns on the same disk.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.kit import processes
from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.fleet import Fleet, leads_to
from benchmarks.kit.sides import Side, eventually, interleaved, seconds, tell
from benchmarks.kit.table import NOT_INSTALLED, Row
from benchmarks.rivals import RIVALS, Rival
from tests.archives import zip_of
from tests.factories import sha256

FLOOR = Path(__file__).with_name("floor.sh")
FLOOR_NAME = "shell script"
_WITHIN = 120.0
_FIRST_PASSES = 1_200.0
_HUNDRED_MB = 100_000_000
_FEW = 1


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of artifact."""

    work: str
    make: Callable[[int], bytes]
    turns: int
    goal: float
    environments: int = 1


def noise(size: int) -> Callable[[int], bytes]:
    """One file that does not compress, made once, and a small one that tells the run: packing takes long."""
    packed = cache(lambda: zip_of({"blob": random.Random(size).randbytes(size)}))

    def made(run: int) -> bytes:
        buffer = io.BytesIO(packed())
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("run.txt", str(run))
        return buffer.getvalue()

    return made


def small_files(count: int) -> Callable[[int], bytes]:
    """So many files of some 200 bytes, twenty folders."""
    return lambda run: zip_of({f"d{n % 20}/{n}.txt": b"%d of %d\n" % (n, run) * 20 for n in range(count)})


def cases(setting: Setting) -> list[Case]:
    """What is measured, in the order of the table."""
    turns = setting.size(5, 2)
    many = setting.deployed(10_000, 100, budget=60)
    found = [Case("1 MB", noise(1_000_000), turns, 0.6), Case("1,000 files", small_files(1_000), turns, 0.7)]
    if not setting.quick:
        found.append(Case("100 MB", noise(_HUNDRED_MB), 3, 0.7))
        found.append(Case("10,000 files", small_files(10_000), 3, 0.7))
    return [*found, Case(f"1 MB, one of {many:,} environments", noise(1_000_000), turns, 0.7, many)]


def run(setting: Setting) -> Iterator[Row]:
    """One row for each kind of artifact."""
    if missing := [tool for tool in ("git", "openssl", "unzip", "sync") if shutil.which(tool) is None]:
        raise RuntimeError(f"the shell script needs {', '.join(missing)}")
    rivals = [rival for rival in RIVALS if not (rival.slow and setting.quick)]
    for number, case in enumerate(cases(setting)):
        tell(case.work)
        folder = setting.folder / str(number)
        folder.mkdir()
        yield measured(case, folder, rivals if number == 0 or not setting.quick else [])
        shutil.rmtree(folder)


def measured(case: Case, folder: Path, rivals: Sequence[Rival]) -> Row:
    """The sides in turn, on one site."""
    site = declared(folder / "site", case.environments)
    site.paced(poll_seconds=3_600)
    site.configure(drift_seconds=3_600)
    others = {rival.name: rival for rival in rivals if rival.is_there()}
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(site.daemon())
        processes.settle(daemon.pid, within=_FIRST_PASSES, quiet=1.5)
        sides: dict[str, Side] = {"floor": Floor(site, folder, case.make), "ours": Ours(site, daemon.pid, case.make)}
        for name, rival in others.items():
            sides[name] = Other(site, folder, case.make, rival, stack)
        found = interleaved(sides, case.turns, few={name: _FEW for name, rival in others.items() if rival.slow})
    beside: dict[str, float | str] = {rival.name: NOT_INSTALLED for rival in rivals}
    beside |= {name: found[name] / found["floor"] for name in others}
    return Row(case.work, "s", found["ours"], FLOOR_NAME, found["floor"], case.goal, beside=beside)


def declared(folder: Path, environments: int) -> Fleet:
    """A site with so many declared environments. Nothing but one of them is deployed: the others are suspended."""
    folder.mkdir()
    site = Fleet(folder, 0)
    names = [f"e{number:05}" for number in range(environments - 1)]
    texts = {site.file(name): site.shared(name) + "suspend: true\n" for name in names}
    texts[site.file("prod")] = site.shared("prod")
    site.accept(texts)
    return site


class _Turns:
    """What the sides have in common: each turn has a run of its own, stored by CI and on the disk before the push."""

    def __init__(self, site: Fleet, make: Callable[[int], bytes], first: int) -> None:
        self.site = site
        self._make = make
        self._next = first

    def published(self) -> tuple[int, str]:
        """The next run, and its digest."""
        run = self._next
        self._next += 1
        data = self._make(run)
        self.site.publish(run, data)
        shutil.rmtree(self.site.folder / "build")
        os.sync()
        return run, sha256(data)


class Ours(_Turns):
    """The daemon."""

    def __init__(self, site: Fleet, pid: int, make: Callable[[int], bytes]) -> None:
        super().__init__(site, make, 1_000)
        self._pid = pid

    def __call__(self, _: int) -> float:
        run, digest = self.published()
        processes.settle(self._pid)
        link = self.site.live / "prod" / "current"
        self.site.declare("prod", run, sha=digest)
        spent = eventually(lambda: leads_to(link, run), _WITHIN, f"run {run}: {self.site.log()}")
        processes.settle(self._pid)  # what is still to be written must not meet the next side
        return spent


class Floor(_Turns):
    """The script, on an environment that only it looks at."""

    def __init__(self, site: Fleet, folder: Path, make: Callable[[int], bytes]) -> None:
        super().__init__(site, make, 2_000)
        self._mirror, self._target = folder / "mirror", folder / "floor"
        subprocess.run(["git", "clone", "-q", "--bare", site.git.url, str(self._mirror)], check=True)

    def __call__(self, _: int) -> float:
        run, digest = self.published()
        self.site.merge({"floor/floor.yaml": self.site.declaration("floor", run, sha=digest)})
        argv = script(self._mirror, self.site.runs, [("floor/floor.yaml", self._target)])
        return seconds(lambda: subprocess.run(argv, check=True))


class Other(_Turns):
    """Another tool, on an environment of its own."""

    def __init__(
        self, site: Fleet, folder: Path, make: Callable[[int], bytes], rival: Rival, stack: contextlib.ExitStack
    ) -> None:
        super().__init__(site, make, 10_000 * (1 + RIVALS.index(rival)))
        self._file = f"{rival.name}/{rival.name}.yaml"
        own = folder / rival.name
        own.mkdir()
        site.merge({self._file: site.declaration(rival.name, 1), **rival.files(own, site.runs, self._file)})
        self._go = stack.enter_context(rival.ready(own, site.git.url, site.runs, self._file))
        self._link = own / "live" / "current"

    def __call__(self, _: int) -> float:
        run, digest = self.published()
        self.site.merge({self._file: self.site.declaration("other", run, sha=digest)})
        spent = seconds(self._go)
        if not leads_to(self._link, run):
            raise RuntimeError(f"{self._file}: run {run} is not live")
        return spent


def script(mirror: Path, runs: Path, targets: Iterable[tuple[str, Path]]) -> list[str]:
    """The shell script's command line, for each declaration and the folder that it is to be live in."""
    return ["sh", str(FLOOR), str(mirror), str(runs), *(str(part) for pair in targets for part in pair)]


BENCHMARK = Benchmark("merge_to_live", "Merge to live", run)
