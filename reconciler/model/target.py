"""What the target says: releases, drift, and the record that lies beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.errors import Reason
from reconciler.model.ids import CommitId, Digest, EnvironmentName, RunId


class DriftKind(StrEnum):
    """In which way a path differs from its manifest."""

    MISSING = "missing"
    FOREIGN = "foreign"
    CONTENT = "content"
    MODE = "mode"
    KIND = "kind"
    LINK = "link"
    UNIT = "unit"
    """What was activated does not run."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One path of the live release that is not as it was put there."""

    path: str
    kind: DriftKind
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Release:
    """An artifact installed on a target."""

    id: str
    """`<run_id>-<first 12 of sha256>`, with `.2`, `.3` … when the same artifact was installed again."""
    run_id: RunId
    sha256: Digest


@dataclass(frozen=True, slots=True)
class Accepted:
    """The last declaration that a target was driven towards: where the judgement of changes begins.

    Kept on the target itself, so that losing the store loses neither it nor the ban on rewinding.
    """

    environment: EnvironmentName
    commit: CommitId
    declaration: Digest
    """SHA-256 of the declaration file's bytes."""
    run_id: RunId
    sha256: Digest
    request: str
    approvers: tuple[str, ...]
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Activation:
    """One start of what a release holds: after a switch, or with other settings."""

    release: str
    """The id of the release that was live."""
    declared: Digest
    """Of all that the declaration says of it: how to activate, config, and which secrets."""
    secrets: str
    """A fingerprint of the secrets' values, made with the target's own salt; empty when it takes none."""
    at: datetime
    environment: str = ""
    """SHA-256 of the file that delivers config and secrets, made with the salt; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A declaration that did not work here: it is not tried again until it changes or somebody says `retry`."""

    commit: CommitId
    declaration: Digest
    run_id: RunId
    sha256: Digest
    reason: Reason
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Service:
    """What a target remembers of how its live release runs: for one that is activated or asked for its health.

    Kept beside the accepted record, so that losing the store makes nobody try again what failed here.
    """

    salt: str
    """32 hex digits; with it fingerprints are made, and without it nobody can guess what they are made of."""
    activation: Activation | None = None
    """None: a switch came about, and its activation did not yet."""
    proven: bool = False
    """Whether it was healthy once since it was activated; else it is on probation."""
    back: bool = False
    """Whether it came here by a rollback: it is never rolled back in turn."""
    good: Accepted | None = None
    """The declaration that worked here last: what an automatic rollback goes back to."""
    failed: Failed | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What is on a target now, read anew. `live` is None before the first deployment."""

    live: Release | None
    accepted: Accepted | None
    drift: tuple[Drift, ...] = ()
    retained: tuple[Release, ...] = ()
    """Every complete release that is kept, live among them, newest first."""
    fence: int = 0
    """The largest fencing token seen; 0 when none."""
    live_since: datetime | None = None
    service: Service | None = None
    """How what is live runs; None where that was never asked for, or what is remembered can't be read."""
