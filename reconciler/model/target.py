"""What the target says: releases, drift, and the record that lies beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.model.ids import CommitId, Digest, EnvironmentName, RunId


class DriftKind(StrEnum):
    """In which way a path differs from its manifest."""

    MISSING = "missing"
    FOREIGN = "foreign"
    CONTENT = "content"
    MODE = "mode"
    KIND = "kind"
    LINK = "link"


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
