"""Very many deployed environments under one daemon: what they cost idle, and what a large commit takes.

One site, one running program, in this order:

- first deployment: from the start of the daemon until every `current` is there; all have one artifact of 10 KB.
- a commit that changes a tenth of them, each to an artifact of its own: from the return of the push until every
  `current` has changed. Against it the shell script on a hundred of the same artifacts in sequence, half of them before
  and half after, one fetch each half.
- idle: CPU time of the daemon with its children, per second, over a while in which nothing changes, polls at their
  default, and RSS with the listener answering.
- looking for drift: a second daemon looks at each target every few seconds instead of every few minutes; its CPU time
  over two such rounds, less the idle one's, is what one round over all of them costs. What that is per second at the
  default of `drift_seconds` is added to the idle cost.
- memory: RSS after these rounds, against before.
"""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kit import processes
from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.fleet import SHARED_RUN, Daemon, Fleet, small_artifact, wait_live
from benchmarks.kit.sides import eventually, seconds, tell
from benchmarks.kit.table import Row
from benchmarks.merge_to_live import FLOOR_NAME, script
from reconciler.settings import Settings

COMMIT_GOAL, IDLE_GOAL, MEMORY_GOAL, SWEEP_GOAL = 10.0, 5.0, 150.0, 1.0
GOALS_ARE_FOR = 10_000
"""Environments."""
FIRST_OF_OURS, FIRST_OF_FLOOR = 1_000, 500_000
_POLLS = 20.0
"""Seconds in which there is a poll in any case."""
_WITHIN = 1_200.0
_MILLI = 1_000.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. Seconds, where nothing else is said."""

    environments: int
    changed: int
    sampled: int
    idle: float
    drift: float


def run(setting: Setting) -> list[Row]:
    """All rows, from one site."""
    sizes = _sizes(setting)
    site = Fleet(setting.folder / "site", sizes.environments)
    address = f"127.0.0.1:{_free_port()}"
    site.configure(web={"listen": address}, drift_seconds=86_400)
    rows = []
    with site.daemon() as daemon:
        rows.append(_first(site, daemon, sizes))
        processes.settle(daemon.pid)
        rows.append(_commit(site, daemon, sizes, setting.folder / "floor"))
        processes.settle(daemon.pid)
        eventually(lambda: _answers(address), 10, "the listener answers", 0.1)
        processes.settle(daemon.pid, within=300.0, quiet=_POLLS)  # the record is followed for some polls
        idle = _rate(daemon.pid, sizes.idle)
        memory = processes.resident(daemon.pid)
    site.configure(drift_seconds=sizes.drift)
    with site.daemon() as daemon:
        tell("rounds of drift")
        time.sleep(_POLLS + 2 * sizes.drift)  # each environment gets a pass in full first
        before = processes.resident(daemon.pid)
        rate = _rate(daemon.pid, 2 * sizes.drift)
        after = processes.resident(daemon.pid)
    return [*rows, *_living(sizes, idle, memory, rate), _flat(sizes, before, after)]


def _sizes(setting: Setting) -> Sizes:
    count = setting.deployed(GOALS_ARE_FOR, 150, budget=75)
    return Sizes(count, count // 10, setting.size(100, 20), setting.size(20, 3), setting.size(40, 3))


def _first(site: Fleet, daemon: Daemon, sizes: Sizes) -> Row:
    tell(f"first deployment of {sizes.environments:,}")
    wanted = [(site.live / name / "current", SHARED_RUN) for name in site.names]
    spent = seconds(lambda: wait_live(daemon, wanted, _WITHIN, site.log))
    return Row(f"first deployment of {sizes.environments:,}", "environments/s", sizes.environments / spent)


def _commit(site: Fleet, daemon: Daemon, sizes: Sizes, folder: Path) -> Row:
    """The product changes many; the script takes as many of its own before as after."""
    tell(f"a commit that changes {sizes.changed:,}")
    half = sizes.sampled // 2
    floor = _Script(site, folder)
    floor.prepare(sizes.sampled)
    spent = floor.deploy(range(half))
    files, wanted = {}, []
    for number, name in enumerate(site.names[:: sizes.environments // sizes.changed]):
        data = site.publish(FIRST_OF_OURS + number, small_artifact(FIRST_OF_OURS + number))
        files[site.file(name)] = site.declared(name, FIRST_OF_OURS + number, data)
        wanted.append((site.live / name / "current", FIRST_OF_OURS + number))
    site.merge_many(files)
    ours = seconds(lambda: wait_live(daemon, wanted, _WITHIN, site.log))
    spent += floor.deploy(range(half, sizes.sampled))
    return Row(
        f"one commit that changes {sizes.changed:,} of {sizes.environments:,}",
        "environments/s",
        len(wanted) / ours,
        f"{FLOOR_NAME}, one after the other",
        sizes.sampled / spent,
        COMMIT_GOAL,
        at_least=True,
    )


class _Script:
    """The script's own environments, in the same repository and from the same folder of runs."""

    def __init__(self, site: Fleet, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._mirror = folder / "mirror"
        folder.mkdir()

    def prepare(self, count: int) -> None:
        files = {}
        for number in range(count):
            data = self._site.publish(FIRST_OF_FLOOR + number, small_artifact(FIRST_OF_FLOOR + number))
            files[self._file(number)] = self._site.declared(f"{number}", FIRST_OF_FLOOR + number, data)
        self._site.merge_many(files)
        subprocess.run(["git", "clone", "-q", "--bare", self._site.git.url, str(self._mirror)], check=True)

    def deploy(self, numbers: range) -> float:
        targets = [(self._file(number), self._folder / f"{number}") for number in numbers]
        argv = script(self._mirror, self._site.runs, targets)
        return seconds(lambda: subprocess.run(argv, check=True))

    @staticmethod
    def _file(number: int) -> str:
        return f"floor/{number}.yaml"


def _living(sizes: Sizes, idle: float, memory: float, rate: float) -> list[Row]:
    default = float(Settings.model_fields["drift_seconds"].default)
    sweep = max(0.0, rate - idle) * sizes.drift
    many = f"{sizes.environments:,} environments"
    whole = sizes.environments >= GOALS_ARE_FOR  # fewer meeting them would say nothing
    idle_goal, sweep_goal, memory_goal = (IDLE_GOAL, SWEEP_GOAL, MEMORY_GOAL) if whole else (None, None, None)
    idle_words = f"polls {idle * _MILLI:.1f}, looking for drift every {default:.0f} s {sweep / default * _MILLI:.1f}"
    busy = "the daemon was busy all the while, so a round costs at least this" if rate > 0.9 else ""
    return [
        Row(f"idle, {many}", "ms CPU/s", (idle + sweep / default) * _MILLI, goal=idle_goal, remark=idle_words),
        Row(f"one round of looking for drift, {many}", "s CPU", sweep, goal=sweep_goal, remark=busy),
        Row(f"memory, {many}, listener on", "MB", memory, goal=memory_goal),
    ]


def _flat(sizes: Sizes, before: float, after: float) -> Row:
    work = f"memory after {2 * sizes.environments:,} more passes"
    return Row(work, "MB", after, "before them", before)


def _rate(pid: int, window: float) -> float:
    """CPU seconds per second."""
    before, start = processes.cpu(pid), time.perf_counter()
    time.sleep(window)
    return (processes.cpu(pid) - before) / (time.perf_counter() - start)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)


BENCHMARK = Benchmark("fleet", "Very many environments under one daemon", run)
