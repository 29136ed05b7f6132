"""Targets in memory that behave as the directory target does: its steps in its order, its fence, its drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.core.approve import Approval
from reconciler.core.declare import Declaration
from reconciler.core.delivery import fingerprint
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import IntegrityError, PolicyDenied, Reason, Transient
from reconciler.model import (
    Accepted,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Observation,
    Readiness,
    Release,
    RunId,
    Service,
)
from reconciler.ports import Clock, Premises, Target
from tests.factories import NOON
from tests.simulation.faults import Faults


@dataclass
class Installed:
    """One complete release. It drifted when `data` is no longer what was put there."""

    release: Release
    data: bytes
    put: bytes

    @property
    def drifted(self) -> bool:
        return self.data != self.put


@dataclass
class Place:
    """What is on the disk behind one path."""

    fence: int = 0
    accepted: Accepted | None = None
    current: str | None = None
    releases: dict[str, Installed] = field(default_factory=dict)
    dropped: bool = False
    """Somebody took `current` away by hand, and nobody has put it back."""
    unfinished: bool = False
    """An attempt ended in the middle of unpacking."""
    since: datetime = NOON
    """When `current` was last put where it is."""
    service: Service | None = None
    environment: bytes | None = None
    """What was delivered."""

    @property
    def live(self) -> Installed | None:
        return self.releases[self.current] if self.current else None


Effect = Callable[[EnvironmentName], None]
"""Told right before each effect of the system on a place."""


class Watcher(Protocol):
    """Knows what truly happened at each place, and when."""

    def observed(self, path: str) -> None:
        """The system looked at a place."""
        ...

    def switching(self, path: str, approval: Approval) -> None:
        """The system is about to make something else live, or the same once more."""
        ...

    def switched(self, path: str) -> None:
        """It did."""
        ...

    def accepted(self, path: str, before: Accepted | None, after: Accepted) -> None:
        """The system noted another declaration beside the releases."""
        ...


class FakeTargets:
    """`ports.Targets`: any path is allowed below `/srv`."""

    def __init__(
        self, faults: Faults, clock: Clock, effect: Effect, wrote: Callable[[str], None], watcher: Watcher
    ) -> None:
        self.places: dict[str, Place] = {}
        self.faults = faults
        self.clock = clock
        self.watcher = watcher
        self.effect = effect
        self.wrote = wrote

    def target(self, environment: EnvironmentName, declaration: Declaration) -> Target:
        path = declaration.target.path
        if not path.startswith("/srv/"):
            raise PolicyDenied(Reason.TARGET_NOT_ALLOWED, f"{path} is not below /srv", "choose another path")
        return FakeTarget(self, path, environment, declaration.target.keep)


class FakeTarget:
    """`ports.Target` of one environment."""

    def __init__(self, targets: FakeTargets, path: str, environment: EnvironmentName, keep: int) -> None:
        self._targets = targets
        self._path = path
        self._environment = environment
        self._keep = keep
        self._token = 0

    @property
    def _place(self) -> Place:
        return self._targets.places.setdefault(self._path, Place())

    @property
    def premises(self) -> Premises:
        path = Path(self._path)
        return Premises(path / "current", path / "releases", path / ".reconciler" / "environment")

    def glance(self) -> bytes | None:
        """Changes whenever anything about the place does, and shows neither what, nor whether that is drift."""
        try:
            self._targets.faults.at("target:glance")
        except Transient:
            return None
        if "target:observe" in self._targets.faults.down:
            return None
        self._targets.watcher.observed(self._path)
        return repr(self._place).encode()

    def observe(self, *, thorough: bool = False, around: bool = False) -> Observation:
        self._targets.faults.at("target:observe")
        self._targets.watcher.observed(self._path)
        found = self._look()
        if around:
            return replace(found, drift=tuple(one for one in found.drift if one.path != "run"))
        return found

    def apply(self, artifact: VerifiedArtifact, approval: Approval, token: int) -> Observation:
        place = self._check(approval, token)
        if artifact.digest != approval.sha256:
            raise IntegrityError(Reason.DIGEST_MISMATCH, "the approval is for other bytes")
        live = place.live
        if live and _is(live, approval) and not live.drifted and _accepts(place, approval):
            return self.observe()
        self._raise_fence(place, token)
        name = self._provide(place, artifact, approval)
        self._accept(place, approval)
        if place.current != name:
            self._targets.watcher.switching(self._path, approval)
            with self._step("switch"):
                place.current, place.dropped = name, False
                place.since = self._targets.clock.now()
                self._targets.watcher.switched(self._path)
        self._prune(place)
        return self.observe()

    def accept(self, approval: Approval, token: int) -> None:
        place = self._check(approval, token)
        self._raise_fence(place, token)
        self._accept(place, approval)

    def deliver(self, data: bytes | None, token: int) -> None:
        place = self._may_act(token)
        if place.environment != data:
            self._raise_fence(place, token)
            with self._step("deliver"):
                place.environment = data

    def remember(self, service: Service, token: int) -> None:
        place = self._may_act(token)
        if place.service != service:
            self._raise_fence(place, token, changes=False)
            with self._step("remember", changes=False):
                place.service = service

    def readiness(self, run_id: RunId, sha256: Digest) -> Readiness | None:
        self._look()
        for name, kept in reversed(self._place.releases.items()):
            if (kept.release.run_id, kept.release.sha256) == (run_id, sha256):
                return Readiness(name, not kept.drifted, "run is not as it was put there" if kept.drifted else "")
        return None

    def _look(self) -> Observation:
        place = self._place
        if place.accepted and place.accepted.environment != self._environment:
            message = f"{self._path} belongs to {place.accepted.environment}"
            raise PolicyDenied(Reason.TARGET_NOT_ALLOWED, message, "give each its own")
        retained = tuple(installed.release for installed in reversed(place.releases.values()))
        live = place.live
        if live is None:
            gone = (Drift("current", DriftKind.LINK, "a link", "nothing"),) if place.accepted else ()
            return Observation(None, place.accepted, gone, retained, place.fence, service=place.service)
        drift = (Drift("run", DriftKind.CONTENT, "as put", "otherwise"),) if live.drifted else ()
        differences = (*drift, *_misdelivered(place))
        return Observation(live.release, place.accepted, differences, retained, place.fence, place.since, place.service)

    def _check(self, approval: Approval, token: int) -> Place:
        if approval.environment != self._environment:
            raise PolicyDenied(Reason.TARGET_NOT_ALLOWED, "an approval of another environment")
        return self._may_act(token)

    def _may_act(self, token: int) -> Place:
        self._look()
        self._token = token
        self._check_fence()
        return self._place

    def _check_fence(self) -> None:
        if self._token < self._place.fence:
            raise PolicyDenied(Reason.FENCED_OFF, f"token {self._place.fence} was seen, ours is {self._token}")

    def _raise_fence(self, place: Place, token: int, *, changes: bool = True) -> None:
        if place.fence < token:
            with self._step("fence", changes=changes):
                place.fence = token

    def _provide(self, place: Place, artifact: VerifiedArtifact, approval: Approval) -> str:
        whole = [name for name, found in place.releases.items() if _is(found, approval) and not found.drifted]
        if whole:
            return whole[-1]
        with self._step("unpack"):
            place.unfinished = True
        data = artifact.file.read()
        base = f"{approval.run_id}-{approval.sha256[:12]}"
        names = (base, *(f"{base}.{number}" for number in range(2, 99)))
        name = next(name for name in names if name not in place.releases)
        with self._step("place"):
            place.unfinished = False
            place.releases[name] = Installed(Release(name, approval.run_id, approval.sha256), data, data)
        return name

    def _accept(self, place: Place, approval: Approval) -> None:
        if _accepts(place, approval):
            return
        with self._step("accept"):
            before = place.accepted
            place.accepted = Accepted(
                environment=approval.environment,
                commit=approval.commit,
                declaration=approval.declaration,
                run_id=approval.run_id,
                sha256=approval.sha256,
                request=approval.request,
                approvers=approval.approvers,
                accepted_at=approval.judged_at,
            )
            self._targets.watcher.accepted(self._path, before, place.accepted)

    def _prune(self, place: Place) -> None:
        others = [name for name in place.releases if name != place.current]
        for name in others[: max(0, len(place.releases) - self._keep)]:
            with self._step("prune"):
                del place.releases[name]

    @contextmanager
    def _step(self, name: str, *, changes: bool = True) -> Iterator[None]:
        """One effect: it comes about as a whole, or not at all. What `changes` what runs is announced."""
        self._targets.faults.at(f"target:{name}")
        self._check_fence()
        if changes:
            self._targets.effect(self._environment)
        yield
        self._targets.wrote("target")
        self._targets.faults.at(f"target:{name}:done")


def _misdelivered(place: Place) -> tuple[Drift, ...]:
    """Whether what is delivered is what the last activation took."""
    activation = place.service.activation if place.service else None
    if place.service is None or activation is None:
        return ()
    found = "" if place.environment is None else fingerprint(place.service.salt, place.environment)
    if found == activation.environment:
        return ()
    kind = DriftKind.MISSING if not found else DriftKind.CONTENT if activation.environment else DriftKind.FOREIGN
    return (Drift(".reconciler/environment", kind, "what was delivered", "something else"),)


def _is(installed: Installed, approval: Approval) -> bool:
    return (installed.release.run_id, installed.release.sha256) == (approval.run_id, approval.sha256)


def _accepts(place: Place, approval: Approval) -> bool:
    known = place.accepted
    return known is not None and (known.commit, known.declaration) == (approval.commit, approval.declaration)
