"""What one pass knows of its environment while it goes on, and how it tells it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from reconciler.core.approve import Approval
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import Reason, ReconcilerError, Transient
from reconciler.model import (
    Attempt,
    Checked,
    Digest,
    Gate,
    GateResult,
    OperatorHand,
    Outcome,
    Readiness,
    RunId,
    Status,
    Sync,
    Verdict,
)
from reconciler.pipeline import record
from reconciler.pipeline.fleet import Fleet
from reconciler.pipeline.gates import Gates
from reconciler.pipeline.home import Home, trouble
from reconciler.pipeline.living import checked, unseen, unwell
from reconciler.pipeline.world import Fence, Held, World


class Scene:
    """Shared by the parts of one pass."""

    def __init__(
        self,
        world: World,
        fleet: Fleet,
        fence: Fence,
        file: DeclaredFile,
        previous: Status | None,
        hand: OperatorHand,
        open_intents: tuple[Attempt, ...],
    ) -> None:
        """Begin; for the arguments see `Pass`."""
        self.world = world
        self.fleet = fleet
        self.fence = fence
        self.file = file
        self.previous = previous
        self.hand = hand
        self.open_intents = open_intents
        """Intents without an outcome: of a release on probation, or of a process that ended in between."""
        self.home: Home | None = None
        self.gates: Gates | None = None
        self.checked: Checked | None = None
        """What the checks of what is live came to."""
        self.holding: Held | None = None
        """What holds the tip, while what was accepted before is kept as it should be."""
        self.readiness: Readiness | None = previous.rollback if previous else None
        self.repairs_at: datetime | None = None
        self.told_of: Reason | None = None
        """Why an attempt of this pass failed, which so has its entry already."""

    @property
    def now(self) -> datetime:
        """The wall clock."""
        return self.world.clock.now()

    def arrive(self, home: Home | None) -> None:
        """This is where it lives and what is there: have it checked, and count it for who promotes from here."""
        self.home = home
        if home is None:
            self.fleet.checks.forget(self.file.environment)
            self.fleet.soaks.lost_sight(self.file.environment)
            return
        self.checked = checked(self.fleet.checks, home.target, self.file.environment, home)
        if self.file.environment in self.fleet.catalog.soaks and not home.around:
            live = home.observed.live
            well = not trouble(home) and not (live and self.revoked(live.run_id, live.sha256))
            if well and unseen(home, self.checked):
                self.fleet.soaks.lost_sight(self.file.environment)
            else:
                well = well and not unwell(home, self.checked)
                self.fleet.soaks.see(self.file.environment, home, healthy=well)

    def token(self, home: Home) -> int:
        """A token that the target takes.

        Raises:
            ReconcilerError: `FencedOff`.
        """
        return self.fence.above(home.observed.fence)

    def settled(self, home: Home, gates: Gates, approval: Approval) -> Status:
        """Where it stands when what was approved is live; or what still holds the tip."""
        gates.health(self.checked)
        if self.holding:
            return self.status(self.holding)
        status = record.converged(
            self.file, home, gates, approval, self.checked, self.repairs_at, self.previous, self.now
        )
        return replace(status, rollback=self._readiness())

    def status(self, held: Held) -> Status:
        """Where it stands while a gate holds."""
        sync = Sync.HELD
        if isinstance(held.error, Transient) and held.result.gate in (Gate.TARGET, Gate.CUSTODY):
            sync = Sync.OUT_OF_SYNC if self.home else Sync.UNKNOWN
        live = self.home.observed.live if self.home else None
        revoked = self.revoked(live.run_id, live.sha256) if live else ""
        status = record.held(
            self.file, self.home, self.gates, held.result, sync, revoked, self.checked, self.previous, self.now
        )
        return replace(status, rollback=self._readiness())

    def _readiness(self) -> Readiness | None:
        """What the last thorough look said; not of what somebody revoked since."""
        found, kept = self.readiness, self.home.observed.retained if self.home else ()
        one = next((one for one in kept if found and found.ready and one.id == found.release), None)
        why = self.revoked(one.run_id, one.sha256) if one else ""
        return Readiness(one.id, ready=False, why=f"it is revoked: {why}") if one and why else found

    def revoked(self, run_id: RunId, sha256: Digest) -> str:
        """Why an artifact is revoked; empty when it is not, or nobody can tell."""
        with suppress(ReconcilerError):
            found = self.fleet.rulebook.rules().revoked(run_id, sha256)
            return found.reason if found else ""
        return ""

    def close(self, intent: Attempt, outcome: Outcome, message: str) -> None:
        """Give an intent its one outcome, without a word on where the environment stands."""
        status = self.previous or self.status(Held(GateResult(Gate.TARGET, Verdict.NOT_REACHED)))
        observed = self.home.observed if self.home else None
        ended = replace(record.ended(intent, outcome, self.now), message=message)
        self.world.store.finish(ended, status, observed.accepted if observed else None)
        self.open_intents = tuple(one for one in self.open_intents if one.id != intent.id)
