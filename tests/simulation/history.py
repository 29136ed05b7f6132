"""Random histories: what people, CI, the disks and the daemon do, drawn from a seed and played on the real product.

What happens is drawn from one source of randomness and faults from another, so that the same story can be played with
and without faults. The story is kept in words, to be printed when an oracle objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from reconciler.errors import Reason, ReconcilerError
from reconciler.model import CommitId, Health, Status
from tests.simulation.faults import PowerCut
from tests.simulation.foresight import foreseen
from tests.simulation.git import Bar, File
from tests.simulation.oracle import Oracle
from tests.simulation.running import BAD_CONFIG, WITHIN, Character
from tests.simulation.world import FakeWorld, Process

NAMES = ("dev", "prod", "shop/eu")
BARS = (Bar(), Bar(2), Bar(only=("ann", "cid")), Bar(only=("fay", "bob")), Bar(allow_self=True), None)
SECRETS = ("TOKEN", "KEY")
RUNNING: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("activate", ("command", "systemd", "")),
    *(("config", ("one", "two", "three", BAD_CONFIG)),) * 3,
    ("secret", ("", *SECRETS)),
    ("within", (0, WITHIN)),
    ("rollback", ("auto", "hold")),
    ("drift", ("repair", "report")),
)
CHARACTERS = (*(Character.GOOD,) * 8, *Character)
TIMED = frozenset({Reason.SOAKING, Reason.FROZEN, Reason.NOT_IN_UPSTREAM, Reason.UPSTREAM_UNHEALTHY})
_TOLD = TIMED | {Reason.ARTIFACT_EXPIRED}
"""Behind a soak that is over, what stands in the way is told with how long that lasted."""


class History:
    """One story. `steps` moves long, then faults end and the promises of liveness are checked."""

    def __init__(self, seed: int, *, governed: bool = False, living: bool = False) -> None:
        self.living = living
        """Whether what is deployed is started, too, and asked for its health."""
        self.governed = governed
        """Whether each pass is planned before, and each plan compared with it."""
        self.random = Random(seed)
        self.world = FakeWorld()
        self.world.faults.random = Random(-seed - 1)
        self.oracle = Oracle(self.world)
        self.told: list[str] = []
        self.runs = 0
        self.clone = Path("/nowhere")
        self.landing: tuple[CommitId, ...] = ()
        """A pull request that came to the branch in part: all of its commits, oldest first."""
        self.backup = self.world.store.memory
        self.process: Process | None = None
        for name in SECRETS:
            self.world.units.keep(name, "first")
        self.world.push({"README": b"shop"})
        self.world.merge({f"{name}.yaml": self.bump(File(0, "", f"/srv/{name}")) for name in NAMES})

    def play(self, steps: int, moves: tuple[Callable[[History], str], ...]) -> None:
        """Tell the story."""
        self.tell(History.round)
        for _ in range(steps):
            self.tell(self.random.choice(moves))

    def tell(self, move: Callable[[History], str]) -> None:
        """One move, and the oracle's look behind it."""
        self.told.append(move.__name__)
        try:
            self.told[-1] += f": {move(self)}"
        except PowerCut as cut:
            self.told[-1] += f": power cut at {cut}"
            self.process = None
            self.world.faults.current = None
        self.oracle.check()

    def end(self) -> None:
        """Faults are over: two looks, each with its passes, then the timers' pass, then nothing may write any more."""
        self.world.faults.stop()
        for unit in self.world.units.units.values():
            unit.sick = False
            crashes = unit.started and self.world.units.character(unit.started.run) is Character.CRASHES
            unit.dead = bool(crashes)
        characters = self.world.units.characters
        characters |= {run: Character.GOOD for run, known in characters.items() if known is Character.FLAPS}
        if self.random.random() < 0.8:
            self.tell(History.push_forward_again)
        process = self.alive()
        for _ in range(2):
            self.tell(History.round)
        if self.living:
            self._live_on(process)
        self.oracle.check_converged(process, timers=False)
        for _ in range(2):
            for name in process.everything():
                self.run(name)
        self.oracle.check_converged(process, timers=True)
        self.oracle.check_record()
        self._check_idle(process)

    def _live_on(self, process: Process) -> None:
        """Whatever is on probation gets its word; and an hour goes by, in which drift may be mended again."""
        for pause in (WITHIN, WITHIN, 3_700):
            self.world.clock.seconds += pause
            self.tell(History.round)
            for name in process.everything():
                self.run(name)
            process.wait(WITHIN)
            self.oracle.check()
        for name in process.everything():
            self.oracle.lives.check_status(self.run(name))

    def _check_idle(self, process: Process) -> None:
        self.governed = False  # a plan has the soaks told before
        if any(result.status.reason in _TOLD for result in process.last.values()):
            return  # whoever waits for a soak has it remembered, and a window may open at any time
        self.world.writes.clear()
        self.tell(History.round)
        for name in process.everything():
            self.run(name)
        assert not self.world.writes, f"L3: an idle round wrote: {dict(self.world.writes)}"

    # --- moves that a story needs at its end too --------------------------------------------------

    def push_forward_again(self) -> str:
        """Back to the newest tip that was followed."""
        if self.oracle.followed and self.oracle.rewritten:
            self.world.git.tip = self.oracle.followed
        return str(self.world.git.tip)[:7]

    def look(self) -> str:
        """A poll."""
        try:
            process = self.alive()
        except ReconcilerError as error:
            return f"no start: {error}"
        done = False
        try:
            done = process.look()
        finally:
            if "repository:head" not in self.world.faults.struck:
                self.oracle.looked(done=done)
        return f"{done}, due {sorted(process.due)}"

    def round(self) -> str:
        """A poll, and a pass of each environment that is due after it."""
        told = self.look()
        if self.process is None or self.process.catalog.tip is None:
            return told
        statuses = [self.run(name) for name in sorted(self.process.due)]
        return f"{told}; " + ", ".join(f"{one.environment} {one.sync} {one.reason or ''}" for one in statuses)

    def wait(self) -> str:
        """Time goes by, and the checks go on."""
        if self.process is None or self.process.catalog.tip is None:
            return "nothing is known yet"
        seconds = self.random.randint(1, 2 * WITHIN)
        self.process.wait(seconds)
        return f"{seconds} s"

    # --- what the moves share -------------------------------------------------------------------

    def alive(self) -> Process:
        """The process; a new one behind a crash.

        Raises:
            ReconcilerError: The store is out of reach.
        """
        if self.process is None:
            self.process = self.world.boot()
        return self.process

    def run(self, name: str) -> Status:
        """One pass, and the oracle's look behind it."""
        process, faults = self.alive(), self.world.faults
        odd = faults.transient or faults.cut_at or faults.fail_at or faults.nth or {"store", "custody"} & faults.down
        if not self.governed or odd:
            status = process.run(name)
        else:
            status = foreseen(self.world, process, name).status
            self._check_flag(status, process)
        self.oracle.check()
        self.oracle.vouching.passed(status)
        self.oracle.lives.passed(status)
        return status

    def _check_flag(self, status: Status, process: Process) -> None:
        """What is revoked and live is said to be so."""
        live, tip = status.live, process.catalog.tip
        told = status.reason is not Reason.INTERNAL_ERROR and not self.world.faults.down and not self.oracle.rewritten
        if live and tip and told and self.oracle.oversight.revoked(live.run_id, live.sha256, tip):
            assert status.health is Health.DEGRADED, f"{live} is live, revoked, and {status.health}"

    def name(self) -> str:
        return self.random.choice(NAMES)

    def current(self, name: str) -> File:
        """The file at the tip; one like it when it is broken or gone."""
        tip = self.world.git.tip
        data = self.world.git.nodes[tip].files.get(f"{name}.yaml", b"") if tip else b""
        return self.world.git.meanings.get(data) or self.bump(File(0, "", f"/srv/{name}"))

    def edit(self, name: str) -> File:
        """Another declaration, most often of a new run."""
        return self.altered(name, self.current(name))

    def altered(self, name: str, file: File) -> File:
        """The same of a declaration that is not at the tip."""
        if self.living and self.random.random() < 0.4:
            return self._otherwise(file)
        kind = self.random.randrange(10)
        if kind == 0:
            return replace(file, keep=self.random.choice((3, 4, 5)))
        if kind == 1:
            return replace(file, bar=self.random.choice(BARS))
        if kind == 2:
            return replace(file, suspend=not file.suspend)
        if kind == 3:
            return replace(file, path=self.random.choice((f"/srv/{name}", f"/srv/{name}-2")))
        return self.bump(file)

    def _otherwise(self, file: File) -> File:
        """The same run, and other words on how it is started."""
        field, values = self.random.choice(RUNNING)
        return replace(file, **{field: self.random.choice(values)})  # type: ignore[arg-type]

    def bump(self, file: File) -> File:
        self.runs += 1
        if self.living:
            self.world.units.characters[self.runs] = self.random.choice(CHARACTERS)
            if not file.activate:
                file = replace(file, activate="command", config="one", secret=SECRETS[0], within=WITHIN)
        new = self.world.file("any", self.runs)
        kind = self.random.randrange(20)
        if kind == 0:
            self.world.ci.fail(self.runs)
        elif kind == 1:
            self.world.ci.fork(self.runs)
        elif kind == 2:
            self.world.ci.tamper(self.runs)
        elif kind < 6:
            self.world.ci.build(self.runs, says_digest=False)
        return replace(file, run=new.run, sha256=new.sha256)
