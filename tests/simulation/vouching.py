"""Knows which bytes a run really had, what CI has thrown away since, and what must be ours by then.

CI's memory is short. What it forgot may go live, and must, when our copy is whole and what CI said of that very run
and those very bytes is remembered; otherwise it is held, for the reason that CI gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.core.approve import Approval
from reconciler.errors import Reason
from reconciler.model import Digest, EnvironmentName, Gate, RunId, Status, Verdict
from tests.factories import sha256
from tests.simulation.git import File
from tests.simulation.world import FakeWorld

FORGOTTEN = frozenset({Reason.RUN_NOT_FOUND, Reason.ARTIFACT_MISSING, Reason.ARTIFACT_EXPIRED})
Pair = tuple[int, str]


class Unproven(AssertionError):
    """Something was, or was not, made live against what CI said."""


@dataclass
class Vouching:
    """Watches one world."""

    world: FakeWorld
    ours: dict[EnvironmentName, set[Pair]] = field(default_factory=dict)
    """What was live, or waited for its time, in each environment, as far back as the store's memory goes."""
    _lost: bool = False
    """Whether the store was lost, or set back, at any time."""

    def forgets(self) -> None:
        """The store was lost, or is an older one."""
        self.ours.clear()
        self._lost = True

    # --- what can be had ------------------------------------------------------------------------

    def had(self, run: int, digest: str) -> bool:
        """Whether CI ever stored those bytes in that run."""
        served = self.world.ci.served.get(run)
        return served is not None and sha256(served) == digest

    def is_whole(self, digest: str) -> bool:
        """Whether our own copy is there, and what its name says."""
        copy = self.world.custody.copies.get(Digest(digest))
        return copy is not None and sha256(copy) == digest

    def is_heard(self, run: int, digest: str) -> bool:
        """Whether the store remembers that CI had those bytes in that run."""
        known = self.world.store.memory.runs.get(("ci", RunId(run)))
        return known is not None and any(one.sha256 == digest for one in known.artifacts)

    def is_at_hand(self, run: int, digest: str) -> bool:
        """Whether what was let in can be put there once more."""
        return self.is_whole(digest) or (run not in self.world.ci.forgot and self._is_fine(run, digest))

    def can_have(self, environment: EnvironmentName, file: File) -> bool | None:
        """Whether the declared bytes of the declared run can be deployed now; None where this can't be told."""
        ci, forgot = self.world.ci, self.world.ci.forgot.get(file.run)
        if not self._is_fine(file.run, file.sha256):
            return False
        if forgot is None:
            return True
        whole, heard = self.is_whole(file.sha256), self.is_heard(file.run, file.sha256)
        if whole and (heard or (file.run, file.sha256) in self.ours.get(environment, set())):
            return True
        place = self.world.targets.places.get(file.path)
        if place and place.accepted and (place.accepted.run_id, place.accepted.sha256) == (file.run, file.sha256):
            return None  # what is missing there may be put back without a question, or may not have been missed yet
        if not whole:
            return False
        states = any(one.sha256 == file.sha256 for one in ci.runs[file.run].artifacts)
        return forgot is Reason.ARTIFACT_EXPIRED and states

    def _is_fine(self, run: int, digest: str) -> bool:
        return self.world.ci.is_good(run) and self.had(run, digest)

    # --- what is watched --------------------------------------------------------------------------

    def switching(self, path: str, approval: Approval) -> None:
        """Raise Unproven unless this may go live, by what CI had."""
        run, digest = int(approval.run_id), str(approval.sha256)
        what = f"{approval.environment} at {path} gets {digest[:7]} as run {run}"
        _ensure(self.had(run, digest), f"S1: {what}, which never had those bytes")
        _ensure(self._lost or self.is_heard(run, digest), f"L1: {what}, and what CI said of it is not remembered")
        if run in self.world.ci.forgot and not self._lost:
            known = self.is_heard(run, digest) or self.world.ci.forgot[run] is Reason.ARTIFACT_EXPIRED
            _ensure(known, f"S4: {what}, which CI has forgotten, and nobody vouches for it")

    def lived(self, environment: EnvironmentName, run: int, digest: str) -> None:
        """It is live; only what was remembered with it can be asked for again."""
        if self.is_heard(run, digest):
            self.ours.setdefault(environment, set()).add((run, digest))

    def passed(self, status: Status) -> None:
        """Raise Unproven unless a pass took what waits into custody, and held nothing that is ours already."""
        pair = (int(status.declared.run_id or 0), str(status.declared.sha256))
        held = next((word for word in status.gates if word.verdict is Verdict.HELD), None)
        ours = self.ours.setdefault(status.environment, set())
        if held is None:
            return
        lost = status.reason in FORGOTTEN and pair in ours and self.is_whole(pair[1])
        _ensure(not lost, f"L1: run {pair[0]} is held in {status.environment} by {status.reason}, though it is ours")
        if held.gate in (Gate.PROMOTION, Gate.FREEZE) and not self.world.faults.struck:
            kept = self.is_heard(*pair) and pair[1] in self.world.custody.copies
            can = pair[0] not in self.world.ci.forgot and self._is_fine(*pair)
            _ensure(kept or not can, f"L1: run {pair[0]} waits in {status.environment} ({held}), and is not ours yet")
            if kept:
                ours.add(pair)

    def check_reason(self, status: Status) -> None:
        """What CI forgot and is not ours is held for what CI says of it."""
        forgot = self.world.ci.forgot.get(int(status.declared.run_id or 0))
        fine = status.reason in (forgot, Reason.ARTIFACT_EXPIRED)
        _ensure(fine, f"{status.environment} is held by {status.reason}, and CI says {forgot}")

    def collected(self, before: dict[Digest, bytes], needed: set[str]) -> None:
        """Raise Unproven if a copy went that is still needed."""
        gone = {digest for digest in before if digest not in self.world.custody.copies} & needed
        _ensure(not gone, f"L1: {[digest[:7] for digest in gone]} went from custody, and are needed")


def _ensure(fine: object, otherwise: str) -> None:
    if not fine:
        raise Unproven(otherwise)
