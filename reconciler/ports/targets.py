"""Where releases live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.approve import Approval
from reconciler.core.declare import Declaration
from reconciler.core.verify import VerifiedArtifact
from reconciler.model import (
    Digest,
    EnvironmentName,
    Observation,
    Readiness,
    RunId,
    Service,
)


@dataclass(frozen=True, slots=True)
class Premises:
    """Where a target is, for what runs there."""

    current: Path
    """The link to the live release."""
    releases: Path
    """The folder in which each release has one by its own id."""
    environment: Path
    """The file that holds config and secrets, where they are delivered."""


class Target(Protocol):
    """Where one environment's releases live."""

    @property
    def premises(self) -> Premises:
        """Where on this machine the live release is found, and what is delivered to it."""
        ...

    def glance(self) -> bytes | None:
        """A cheap look that reads no content: the same answer twice means that nothing was touched in between.

        Only times, sizes, modes and inodes count, of the link, the records and every path of the live release, so
        bits that flip beneath the file system are not seen. None: it can't be told. Never raises.
        """
        ...

    def observe(self, *, thorough: bool = False, around: bool = False) -> Observation:
        """What is there now. Writes nothing.

        Args:
            thorough: Hash every byte of the live release, whatever its files' times say.
            around: Look around the live release and not into it: what it holds is about to be replaced.

        Raises:
            PolicyDenied: `TargetNotAllowed`. Transient: `TargetUnavailable`.
        """
        ...

    def apply(self, artifact: VerifiedArtifact, approval: Approval, token: int) -> Observation:
        """Install the artifact where it is not yet, and make it live in one step. Idempotent.

        Also repairs: a live release that differs from its manifest is installed again beside it.

        Raises:
            PolicyDenied: `FencedOff`, `ArtifactUnsafe`, `ArtifactTooLarge`. Transient: `TargetUnavailable`.
        """
        ...

    def accept(self, approval: Approval, token: int) -> None:
        """Record a newer approved declaration of the very artifact that is live. No switch."""
        ...

    def deliver(self, data: bytes | None, token: int) -> None:
        """Put config and secrets where what is activated finds them, readable by its owner alone; None: take them away.

        One step, durable, and nothing is written when just this is there.

        Raises:
            PolicyDenied: `FencedOff`. Transient: `TargetUnavailable`.
        """
        ...

    def remember(self, service: Service, token: int) -> None:
        """Replace what is remembered of how the live release runs; writes nothing when just this is remembered.

        Raises:
            PolicyDenied: `FencedOff`. Transient: `TargetUnavailable`.
        """
        ...

    def readiness(self, run_id: RunId, sha256: Digest) -> Readiness | None:
        """Whether a kept release of an artifact is whole, every byte hashed; None: none is kept.

        Raises:
            PolicyDenied: `TargetNotAllowed`. Transient: `TargetUnavailable`.
        """
        ...


class Targets(Protocol):
    """Makes targets of one type, within what the operator allows."""

    def target(self, environment: EnvironmentName, declaration: Declaration) -> Target:
        """The target of one environment.

        Raises:
            PolicyDenied: `TargetNotAllowed`, when the operator does not allow the place.
        """
        ...
