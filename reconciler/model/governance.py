"""What is remembered of the rules between environments: soak, the policy in force, and rewrites that were accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reconciler.model.ids import CommitId, Digest, EnvironmentName, RunId


@dataclass(frozen=True, slots=True)
class Soak:
    """Unbroken healthy time of one release in one environment, as it was observed."""

    environment: EnvironmentName
    run_id: RunId
    sha256: Digest
    live_since: datetime | None
    """When the target says that the release went live: another time is another release, or the same put back."""
    settings: Digest
    """Of all in the accepted declaration that decides what runs: another one starts the clock anew."""
    began: datetime
    """The first observation of the unbroken row."""
    seen: datetime
    """The last one."""
    earned: float
    """Seconds that count: the time between two healthy observations of one process, by its slower clock."""
    token: int
    """The fencing token of the process that saw it last: time between two processes earns nothing."""
    ticks: float = 0.0
    """Monotonic seconds of the machine at the last observation: what the wall clock can't hide."""


@dataclass(frozen=True, slots=True)
class AcceptedPolicy:
    """The last policy file that people let in."""

    commit: CommitId
    digest: Digest
    """SHA-256 of the file's bytes; of no bytes when there is no file."""
    request: str
    approvers: tuple[str, ...]
    accepted_at: datetime
    text: str = ""
    """The file itself: it must outlive the history that held it."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """An operator's word that a rewritten branch is to be followed from this commit on."""

    tip: CommitId
    instead_of: CommitId | None
    """The last tip that was seen before; None when the store does not know it."""
    by: str
    reason: str
    at: datetime
