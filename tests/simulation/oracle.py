"""Knows what must be so, by its own reasoning over the world's notes; believes nothing that the product says of itself.

Its idea of approval is simpler than the product's. Each field of a file has a last value that people let in: a commit
whose pull request met the bar lets in the fields that it changed, any other commit none. A declaration is approved
when each field has its let-in value, or the one of the last declaration that was let in as a whole.

After each step it looks at every place on the disk (S1, S2, S3, S4), at announcements (S6) and at the audit chain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from reconciler.core import audit
from reconciler.core.approve import Approval
from reconciler.errors import Reason
from reconciler.model import Accepted, CommitId, EnvironmentName, Outcome, Sync
from tests.simulation.git import Bar, File
from tests.simulation.letting import Letting, LettingIn, Meaning
from tests.simulation.lives import Lives
from tests.simulation.oversight import Oversight
from tests.simulation.target import Place
from tests.simulation.vouching import Vouching
from tests.simulation.world import FakeWorld, Process

_BAR = "bar"


class Broken(AssertionError):
    """A promise was broken; the message begins with its number."""


@dataclass
class _Seen:
    """A place as it was at the last look."""

    accepted: Accepted | None = None
    pair: tuple[int, str] | None = None
    pairs: set[tuple[int, str]] = field(default_factory=set)
    """What was ever accepted here."""


@dataclass
class Oracle:
    """Watches one world."""

    world: FakeWorld
    base: dict[EnvironmentName, Accepted] = field(default_factory=dict)
    """The newest declaration of each environment that was ever put on a target."""
    followed: CommitId | None = None
    """The newest tip that a look found in order."""
    rewritten: bool = False
    unsure: set[EnvironmentName] = field(default_factory=set)
    """The store was lost since: nobody can know what was put on a target that no declaration names any more."""
    rewrites: list[tuple[CommitId, int]] = field(default_factory=list)
    """Where an operator let the branch go on, and after how many acceptances that was."""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _accepted: dict[EnvironmentName, int] = field(default_factory=dict)
    """When the newest declaration of each environment was accepted, counted in acceptances."""
    _count: int = 0

    def __post_init__(self) -> None:
        self._people = LettingIn(self.world)
        self.oversight = Oversight(self.world, self._people, self.base, unsure=self.unsure)
        self.vouching = Vouching(self.world)
        self.lives = Lives(self.world)
        self.world.timeline.judge = self._switching

    def _switching(self, path: str, approval: Approval) -> None:
        self.oversight.switching(path, approval)
        self.vouching.switching(path, approval)

    # --- after each step ------------------------------------------------------------------------

    def looked(self, *, done: bool) -> None:
        """The process saw the tip; if it is not `done`, how far it came from there nobody knows."""
        tip, git = self.world.git.tip, self.world.git
        fine = tip is not None and (self.followed is None or git.descends(tip, self.followed))
        if done or fine:
            self.rewritten = not fine
        if fine and (done or self.world.store.memory.tip == tip):
            self.followed = tip

    def accepts_rewrite(self) -> None:
        """An operator accepted the tip as it is."""
        assert self.world.git.tip
        self.followed = self.world.git.tip
        self.rewrites.append((self.world.git.tip, self._count))

    def forgets_tip(self) -> None:
        """The store was lost, or is an older one: nobody knows which tip was followed."""
        self.followed, self.rewritten = self.world.store.memory.tip, False
        self.unsure |= self.base.keys()
        self.vouching.forgets()
        kept = {rewrite.tip for rewrite in self.world.store.memory.rewrites}
        self.rewrites = [(tip, count) for tip, count in self.rewrites if tip in kept]

    def check(self) -> None:
        """Raise Broken unless every place may be as it is."""
        _ensure(not self.world.unannounced, f"S6: {self.world.unannounced}")
        self.lives.check()
        for path, place in self.world.targets.places.items():
            self._check_place(path, place, self._seen.setdefault(path, _Seen()))

    def _check_place(self, path: str, place: Place, seen: _Seen) -> None:
        accepted = place.accepted
        if accepted is not None and accepted != seen.accepted:
            if self.lives.is_back(path):
                self.base[accepted.environment] = accepted
            else:
                self._check_accepted(accepted, seen.accepted)
            seen.accepted = accepted
            seen.pairs.add((accepted.run_id, accepted.sha256))
        _ensure(place.current in (None, *place.releases), f"S2: {place.current} is current at {path}, and not there")
        _ensure(place.current or place.dropped or seen.pair is None, f"S2: nothing is current at {path} any more")
        live = place.live
        pair = (live.release.run_id, live.release.sha256) if live else None
        if live and pair != seen.pair:
            _ensure(pair in seen.pairs, f"S1: {pair} is live at {path}, and was never accepted there")
            newest = accepted and (accepted.run_id, accepted.sha256)
            _ensure(seen.pair is None or pair == newest, f"S3: {path} went back to {pair}, accepted is {newest}")
            _ensure(hashlib.sha256(live.put).hexdigest() == live.release.sha256, f"S1: other bytes live at {path}")
            if accepted and pair == newest:
                self.vouching.lived(accepted.environment, live.release.run_id, live.release.sha256)
        seen.pair = pair or seen.pair

    def _check_accepted(self, new: Accepted, old: Accepted | None) -> None:
        """A target was driven towards a declaration: was that so declared, later than the last one, and let in?"""
        git, environment = self.world.git, new.environment
        others: tuple[str, ...] = ("store:", "target:", "activator:")
        if any(self.lives.given_up.values()):
            others = (*others, "custody:")  # it may have been the way back that could not be had
        struck = [step for step in self.world.faults.struck if not step.startswith(others)]
        _ensure(not struck, f"S4: {environment} moved to {new.commit[:7]} although {struck}")
        _ensure(not self.rewritten, f"S3: {environment} moved although the branch was rewritten")
        data = git.nodes[new.commit].files.get(f"{environment}.yaml", b"")
        file = git.meanings.get(data)
        _ensure(hashlib.sha256(data).hexdigest() == new.declaration, f"S1: {new} is not what that commit declares")
        pair = (new.run_id, new.sha256)
        _ensure(file is not None and (file.run, file.sha256) == pair, f"S1: {pair} is not what {new.commit} declares")
        for before in (old, self._base(environment, new.commit)):
            forward = before is None or git.descends(new.commit, before.commit)
            forward = forward or self._goes_on_at(environment, new.commit) is not None
            forward = forward or self._comes_later(new.commit, before)
            _ensure(forward, f"S3: {environment} moved to {new.commit[:7]}, which does not descend from {before}")
        _ensure(self.may(environment, new.commit), f"S1: {environment} at {new.commit[:7]} was not approved")
        self._count += 1
        self.base[environment], self._accepted[environment] = new, self._count
        self.unsure.discard(environment)

    def _base(self, environment: EnvironmentName, commit: CommitId) -> Accepted | None:
        """Where the judgement of a commit begins."""
        base = self.base.get(environment)
        if base and environment in self.unsure and not self.world.git.descends(commit, base.commit):
            return base if self._goes_on_at(environment, commit) else None
        return base

    def _comes_later(self, commit: CommitId, before: Accepted | None) -> bool:
        """Whether a merge with its sides swapped put a commit into the branch's history behind what was accepted."""
        git, tip = self.world.git, self.world.tip_in_sight
        if before is None or tip is None or not git.descends(tip, before.commit):
            return False
        return any(node.id == commit for node in git.chain(tip, before.commit))

    def _goes_on_at(self, environment: EnvironmentName, commit: CommitId) -> CommitId | None:
        """Where an operator let the branch of a commit go on after the environment's last acceptance."""
        since = self._accepted.get(environment, 0)
        later = [tip for tip, count in self.rewrites if count >= since and self.world.git.descends(commit, tip)]
        return later[-1] if later else None

    # --- approval -------------------------------------------------------------------------------

    def may(self, environment: EnvironmentName, commit: CommitId) -> bool:
        """Whether each field of the file at a commit is as people let it in."""
        return self._judge(environment, commit)[0]

    def must(self, environment: EnvironmentName, commit: CommitId) -> bool:
        """Whether every change since the last accepted declaration was let in: then there is no doubt."""
        return self._judge(environment, commit)[1]

    def _judge(self, environment: EnvironmentName, commit: CommitId) -> tuple[bool, bool]:
        base, path = self._base(environment, commit), f"{environment}.yaml"
        git = self.world.git
        base_data = git.nodes[base.commit].files.get(path) if base else None
        if base_data is not None and git.nodes[commit].files.get(path) == base_data:
            return True, True  # the very declaration that was accepted
        letting = Letting(self._meaning(base_data) or {_BAR: self.world.newcomer})
        every, start = True, base.commit if base else None
        if base and not git.descends(commit, base.commit):
            start = self._goes_on_at(environment, commit)
            there = git.nodes[start].files.get(path) if start else None
            if there != base_data:
                every = False
                letting.take(self._meaning(base_data), self._meaning(there), fine=False)
        floors = self.oversight.every_floor(commit)
        at = git.nodes[start].files.get(path) if start else None
        for change in self._people.changes(path, commit, start):
            before, after = change.before, change.after
            asked = self.oversight.floors(environment, change.parent)
            if before != at:  # a merge with its sides swapped: nobody's request brought the difference
                unasked = not any(isinstance(bar, Bar) for bar in (*asked, letting.values.get(_BAR), *self._bar(at)))
                letting.take(self._meaning(at) if at is not None else {}, self._meaning(before), fine=unasked)
                every = False
            at = after
            bars = [letting.values.get(_BAR), *self._bar(before), *asked]
            if (moved := self._meaning(after)) and letting.values.get("path", moved["path"]) != moved["path"]:
                bars.append(self.world.newcomer)
            fine = self._people.let_in(change, path, bars, start)
            every = every and fine and self._people.let_in(change, path, [*bars, *floors], start)
            every = every and not self._people.began_before(change, start)
            letting.take(self._meaning(before) if before is not None else {}, self._meaning(after), fine=fine)
            if after is None:
                letting.readable = True
        every = every and at == git.nodes[commit].files.get(path)
        file = self._meaning(git.nodes[commit].files.get(path))
        first = base is not None or letting.whole is not None
        return file is not None and first and letting.allows(file), every

    def _bar(self, data: bytes | None) -> list[object]:
        meaning = self._meaning(data)
        return [meaning[_BAR]] if meaning else []

    def _meaning(self, data: bytes | None) -> Meaning | None:
        file: File | None = self.world.git.meanings.get(data) if data is not None else None
        return file.meaning() if file else None

    # --- at the end -----------------------------------------------------------------------------

    def check_converged(self, process: Process, *, timers: bool) -> None:
        """Faults are over, and two looks with their passes went by (L1); with `timers`, drift was looked for too."""
        names = sorted({*process.catalog.environments, *self.base})
        for environment in names:
            result = process.last.get(environment)
            synced = result is not None and result.status.sync is Sync.SYNCED
            wanted = self._wanted(environment)
            _ensure(wanted is None or wanted == synced, f"L1: {environment} should be synced: {wanted}; is {result}")
            if wanted is False and result and self._waits_for_ci(environment):
                self.vouching.check_reason(result.status)
            file = self._file(environment)
            if synced and file and (timers or self.world.targets.places[file.path].live):
                live = self.world.targets.places[file.path].live
                fine = live and (live.release.run_id, live.release.sha256) == (file.run, file.sha256)
                _ensure(fine and not (timers and live and live.drifted), f"L1: {environment} is synced, live is {live}")
                if timers:
                    self.lives.check_runs(environment, file, current=True)

        if timers:
            self._check_mended()

    def _check_mended(self) -> None:
        """Drift of what is live was mended towards what was let in, also where the tip is held."""
        for environment, base in self.base.items():
            left_alone = environment in self.unsure or self.rewritten or self._suspended(environment)
            there = self.world.git.meanings[self.world.git.nodes[base.commit].files[f"{environment}.yaml"]]
            place = self.world.targets.places[there.path]
            tip = self.world.git.tip
            gone = tip is not None and (
                not self.world.git.descends(tip, base.commit)
                or (place.live is None and self.oversight.revoked(base.run_id, base.sha256, tip))
            )
            ever = there.path in self._seen and self._seen[there.path].pair  # else a switch failed: that is no drift
            at_hand = self.vouching.is_at_hand(there.run, there.sha256)
            if left_alone or gone or not ever or not at_hand or place.accepted != base:
                continue
            if there.drift == "report" or base.commit in self.lives.given_up.get(there.path, set()):
                continue
            self.lives.check_runs(environment, there, current=False)
            live = place.live
            _ensure(live and not live.drifted, f"L1: drift of {environment} was not mended, live is {live}")

    def _suspended(self, environment: EnvironmentName) -> bool:
        hand, file = self.world.store.memory.hands.get(environment), self._file(environment)
        return (hand is not None and hand.suspended) or (file is not None and file.suspend)

    def check_record(self) -> None:
        """Every intent has its one outcome, and the chain is whole (S6)."""
        memory = self.world.store.memory
        paused = {name for name, hand in memory.hands.items() if hand.suspended}  # probations with it
        open_ones = [one for one in memory.attempts.values() if one.outcome is None and one.environment not in paused]
        _ensure(not open_ones, f"S6: no outcome for {[(one.environment, one.action.value) for one in open_ones]}")
        head = memory.entries[-1].hash if memory.entries else audit.START.hash
        export = [*map(audit.line, memory.entries), audit.trailer(len(memory.entries), head)]
        _ensure(not audit.verify(export).problems, f"S6: {audit.verify(export).problems}")
        refused = sum(attempt.outcome is Outcome.REFUSED for attempt in memory.attempts.values())
        _ensure(refused <= len(memory.entries), "S6: refusals without entries")
        self.lives.check_secrets()

    def _file(self, environment: EnvironmentName) -> File | None:
        tip = self.world.git.tip
        return (
            self.world.git.meanings.get(self.world.git.nodes[tip].files.get(f"{environment}.yaml", b""))
            if tip
            else None
        )

    def _wanted(self, environment: EnvironmentName) -> bool | None:
        """Whether an environment must be synced; None where this oracle can't tell."""
        file, tip, base = self._file(environment), self.world.git.tip, self.base.get(environment)
        if self.rewritten or tip is None or file is None or self._suspended(environment):
            return False
        if environment in self.unsure:
            return None
        if base and not self.world.git.descends(tip, base.commit):
            return False
        if not self.may(environment, tip):
            return False
        if self.oversight.governed(environment, tip) or self.rewrites:
            return None
        runs = self.lives.wanted(environment, file)
        if runs is not True:
            return runs
        live = self.world.targets.places.get(file.path, Place()).live
        there = live and not live.drifted and (live.release.run_id, live.release.sha256) == (file.run, file.sha256)
        if not there and (known := self.vouching.can_have(environment, file)) is not True:
            return known
        if not self.must(environment, tip) or self._failed(environment):
            return None
        return True

    def _waits_for_ci(self, environment: EnvironmentName) -> bool:
        """Whether nothing but CI's memory can hold it."""
        file, tip = self._file(environment), self.world.git.tip
        if file is None or tip is None or self.rewritten or self._suspended(environment) or self._failed(environment):
            return False
        surely = self.may(environment, tip) and self.must(environment, tip)
        if not surely or self.oversight.governed(environment, tip) or self.rewrites:
            return False
        return self.world.ci.is_good(file.run) and self.vouching.can_have(environment, file) is False

    def _failed(self, environment: EnvironmentName) -> bool:
        status = self.world.store.memory.statuses.get(environment)
        return status is not None and status.reason is Reason.DIGEST_MISMATCH


def _ensure(fine: object, otherwise: str) -> None:
    if not fine:
        raise Broken(otherwise)
