"""The fake world: a repository, a forge, a CI, targets and a store in memory. What people do is a method of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.bounds import Bounds
from reconciler.core.declare import ApprovalSpec
from reconciler.core.provenance import Provenance
from reconciler.core.rules import FloorSpec
from reconciler.declarations.tracker import accepted_rewrite
from reconciler.model import Accepted, CommitId, EnvironmentName, OperatorHand
from reconciler.pipeline import World
from tests.simulation.faults import Faults, ManualClock
from tests.simulation.git import Bar, FakeRepository, File, Git, Written
from tests.simulation.origins import REPOSITORY, FakeCustody, FakeForge, FakeSource, Merge, digest_of
from tests.simulation.policy import Floor
from tests.simulation.process import Process
from tests.simulation.requests import FakePullRequests
from tests.simulation.running import FakeActivator, FakeProbe, FakeSecrets, Units
from tests.simulation.store import FakeStore, Memory
from tests.simulation.target import FakeTargets, Place
from tests.simulation.timeline import Timeline

__all__ = ["GOOD", "NOBODY", "Edits", "FakeWorld", "Process", "Said"]

Edits = Mapping[str, Written | bytes | None]


@dataclass(frozen=True)
class Said:
    """Who had which hand in a pull request. By default dan wrote it, ann approved it, and bob merged it."""

    authors: Iterable[str] = ("dan",)
    approved: Iterable[str] = ("ann",)
    stale: Iterable[str] = ()
    withdrew: Iterable[str] = ()
    merged_by: str | None = "bob"
    early: Iterable[str] = ()
    """Approved, before the request was pointed at this branch."""
    retargeted: bool = False


GOOD = Said()
NOBODY = Said(approved=(), merged_by="dan")


class FakeWorld:
    """All that outlives a process."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.clock = ManualClock()
        self.writes: Counter[str] = Counter()
        self.unannounced: list[str] = []
        """Effects on a target without an open intent in the store."""
        self.git = Git()
        self.forge = FakeForge(self.faults)
        self.ci = FakeSource(self.faults)
        self.store = FakeStore(self.faults, self.clock, self._wrote)
        self.custody = FakeCustody(self.faults, self._wrote)
        self.timeline = Timeline(self.clock)
        self.targets = FakeTargets(self.faults, self.clock, self._effect, self._wrote, self.timeline)
        self.repository = FakeRepository(self.git, self.faults)
        self.open_requests = FakePullRequests(self.faults)
        self.units = Units(self)
        self.retried: Callable[[str], None] = lambda environment: None
        """Told when an operator said `retry`."""
        self.started: Callable[[str], None] = lambda environment: None
        """Told right before a release is started."""
        self.timeline.settings = self._settings
        self.tip_in_sight: CommitId | None = None
        """The tip that the process whose pass is under way has read."""
        self.newcomer = Bar()
        self.floors: tuple[Floor, ...] = ()
        """The operator's."""
        self.baseline: CommitId | None = None
        self.gap = 150.0
        """Seconds for which a release may be out of sight."""
        self._holders = 0

    # --- what people do --------------------------------------------------------------------------

    def file(self, name: str, run: int, **also: object) -> File:
        """A declaration of a run that CI has built, or builds now."""
        if run not in self.ci.runs:
            self.ci.build(run)
        return replace(File(run, digest_of(run), f"/srv/{name}"), **also)  # type: ignore[arg-type]

    def push(self, edits: Edits, *, base: CommitId | None = None) -> CommitId:
        """A direct push, on the tip or on another commit."""
        parent = base or self.git.tip
        self.git.tip = self.git.write([parent] if parent else [], self.git.edited(parent, edits))
        return self.git.tip

    def merge(self, edits: Edits, said: Said = GOOD, *, forked_at: CommitId | None = None) -> CommitId:
        """A merged pull request; `forked_at` is where its branch left the tracked one: at the tip, by default."""
        tip = self._tip()
        head = self.git.write([forked_at or tip], self.git.edited(forked_at or tip, edits))
        return self.merge_head(head, self.git.edited(tip, edits), said)

    def merge_head(self, head: CommitId, files: Mapping[str, bytes], said: Said = GOOD) -> CommitId:
        """Merge a reviewed head, with whatever content the merge commit holds."""
        self.git.tip = self.git.write([self._tip(), head], files)
        self.note(self.git.tip, head, said)
        return self.git.tip

    def squash(self, edits: Edits, said: Said = GOOD) -> CommitId:
        """A pull request merged as a commit of its own; its head is no part of the branch's history."""
        tip = self._tip()
        head = self.git.write([tip], self.git.edited(tip, edits))
        self.git.tip = self.git.write([tip], self.git.edited(tip, edits))
        self.note(self.git.tip, head, said)
        return self.git.tip

    def rebase(
        self, edits: Sequence[Edits], said: Said = GOOD, *, forked_at: CommitId | None = None, own: bool = False
    ) -> tuple[CommitId, ...]:
        """A pull request of several commits that lands as several.

        Args:
            edits: Of each commit.
            said: Who had which hand in it.
            forked_at: Where its branch left the tracked one: at the tip, by default.
            own: The branch moves forward to the request's own commits, which then begin at the tip; else to copies.

        Returns:
            What it brought to the branch, oldest first.
        """
        tip = self._tip()
        base = forked_at or tip
        heads, landed = [base], [base if own else tip]
        for edit in edits:
            heads.append(self.git.write(heads[-1:], self.git.edited(heads[-1], edit)))
            landed.append(heads[-1] if own else self.git.write(landed[-1:], self.git.edited(landed[-1], edit)))
        self.git.tip = landed[-1]
        self.note(landed[-1], heads[-1], said, tuple(landed[1:]), (base,))
        return tuple(landed[1:])

    def _tip(self) -> CommitId:
        """The branch's tip; an empty branch gets its first commit."""
        return self.git.tip or self.push({"README": b"shop"})

    def note(
        self,
        commit: CommitId,
        head: CommitId,
        said: Said,
        landed: tuple[CommitId, ...] = (),
        began: tuple[CommitId, ...] = (),
    ) -> None:
        """Let the forge know of a merged pull request, or of what people say of it by now."""
        merge = Merge(
            commit,
            head,
            authors=frozenset(said.authors),
            approved=frozenset(said.approved),
            stale=frozenset(said.stale),
            withdrew=frozenset(said.withdrew),
            merged_by=said.merged_by,
            early=frozenset(said.early),
            retargeted=said.retargeted,
            landed=landed,
            began=began or self.git.nodes[head].parents,
        )
        self.forge.merges |= dict.fromkeys(landed or (commit,), merge)
        self.git.requests[merge.head_ref] = head

    def hand(self, name: str, what: str, **asked: object) -> None:
        """An operator's `suspend`, `resume` or `retry`."""
        environment = EnvironmentName(name)
        hand = replace(self.store.memory.hands.get(environment, OperatorHand()), by="ops", **asked)  # type: ignore[arg-type]
        self.store.save_hand(environment, hand, what, self.clock.now())

    def retry(self, name: str) -> None:
        self.hand(name, "retry", retry_after=max(self.store.memory.attempts, default=0))
        self.retried(name)

    def lose_store(self) -> None:
        self.store.memory = Memory()

    def place(self, name: str) -> Place:
        """What is on the disk where an environment lives by default."""
        return self.targets.places.setdefault(f"/srv/{name}", Place())

    def living_at(self, name: str) -> Place | None:
        """Where an environment was let in last; None: nowhere yet."""
        mine = [place for place in self.targets.places.values() if place.accepted]
        mine = [place for place in mine if place.accepted and place.accepted.environment == name]
        return max(mine, key=lambda place: place.since, default=None)

    def runs_live(self, name: str) -> int | None:
        live = self.place(name).live
        return live.release.run_id if live else None

    def drift(self, name: str) -> bool:
        """Somebody writes into the live release; False when there is none."""
        live = self.place(name).live
        if live:
            live.data = b"written by somebody else"
            self.timeline.broken(f"/srv/{name}")
        return live is not None

    def mend_by_hand(self, name: str) -> None:
        """Somebody puts the bytes of the live release back, in place."""
        live = self.place(name).live
        if live and live.drifted:
            live.data = live.put
            self.timeline.broken(f"/srv/{name}")

    def drop_current(self, name: str) -> None:
        """Somebody removes `current`."""
        self.place(name).current = None
        self.place(name).dropped = True
        self.timeline.broken(f"/srv/{name}")

    def replace_and_restore(self, name: str) -> None:
        """Somebody has something else served for an instant, and then the same release again."""
        self.place(name).since = self.clock.now()
        self.timeline.broken(f"/srv/{name}")

    def accept_rewrite(self, reason: str = "meant so", at: CommitId | None = None) -> None:
        """An operator accepts the branch as it is now; see `cli.operator`."""
        tip = at or self.git.tip
        assert tip
        self.clock.seconds += 1
        self.store.accept_rewrite(accepted_rewrite(self.repository, self.store, self.clock, tip, "ops", reason))

    def rewrite(self, edits: Edits) -> CommitId:
        """Somebody force-pushes one commit without a past: the files as they were, but for some edits."""
        self.git.tip = self.git.write([], self.git.edited(self.git.tip, edits))
        return self.git.tip

    def _settings(self, accepted: Accepted) -> object:
        data = self.git.nodes[accepted.commit].files.get(f"{accepted.environment}.yaml", b"")
        file = self.git.meanings.get(data)
        return (file.path, file.keep) if file else None

    # --- what the ports tell ---------------------------------------------------------------------

    def _wrote(self, port: str) -> None:
        self.writes[port] += 1

    def _effect(self, environment: EnvironmentName) -> None:
        attempts = self.store.memory.attempts.values()
        if not any(attempt.environment == environment and attempt.outcome is None for attempt in attempts):
            self.unannounced.append(f"an effect on {environment} without an intent: {self.faults.steps[-1]}")

    def activating(self, environment: str) -> None:
        """Something is about to be started."""
        self._effect(EnvironmentName(environment))
        self.started(environment)

    def parts(self) -> World:
        """The ports, as `wiring` would hand them over."""
        newcomer = ApprovalSpec.model_validate({"required": self.newcomer.required})
        rules = Provenance(repositories=(REPOSITORY,), workflows=("build",))
        return World(
            repository=self.repository,
            forge=self.forge,
            sources={"ci": (self.ci, rules)},
            targets={"directory": self.targets},
            custody=self.custody,
            store=self.store,
            clock=self.clock,
            bounds=Bounds(),
            newcomer=newcomer,
            baseline=self.baseline,
            floors=tuple(_floor(floor) for floor in self.floors),
            gap=self.gap,
            secrets=FakeSecrets(self.units),
            activators={"command": FakeActivator(self.units), "systemd": FakeActivator(self.units)},
            probes={"tcp": FakeProbe(self.units)},
        )

    def boot(self) -> Process:
        """A new process on what is durable.

        Raises:
            ReconcilerError: The store is out of reach.
        """
        self._holders += 1
        self.timeline.gap = self.gap
        return Process(self, f"process-{self._holders}")


def _floor(floor: Floor) -> FloorSpec:
    only = {"from": list(floor.bar.only)} if floor.bar.only else {}
    said = {"required": floor.bar.required, "allow_self": floor.bar.allow_self, "environments": list(floor.names)}
    return FloorSpec.model_validate({**said, **only})
