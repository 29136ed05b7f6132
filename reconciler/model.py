"""Frozen values that travel along the pipeline. No behaviour beyond what follows from their fields.

Words are those of the documentation: a *run* is one CI run, an *artifact* one file that it stored,
a *release* an artifact installed on a target, *live* the release that serves. All times are aware
and in UTC; all sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from reconciler.errors import Reason

EnvironmentName = NewType("EnvironmentName", str)
RunId = NewType("RunId", int)
Digest = NewType("Digest", str)
"""64 lower-case hex digits of a SHA-256."""
CommitId = NewType("CommitId", str)
"""The full object name of a commit, in lower-case hex."""
BlobId = NewType("BlobId", str)


class Sync(StrEnum):
    """How live relates to what is declared."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    PROGRESSING = "Progressing"
    HELD = "Held"
    UNKNOWN = "Unknown"


class Health(StrEnum):
    """How live itself is, whatever is declared."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


# --- what CI says -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that a run stored. `sha256` is what CI said of it, None where it said nothing."""

    name: str
    file: str
    size: int
    sha256: Digest | None


@dataclass(frozen=True, slots=True)
class Run:
    """What a source says of one CI run: raw facts, no verdict.

    `repository` ran the workflow; `head_repository` is where the code came from, another one for a fork.
    """

    run_id: RunId
    repository: str
    head_repository: str
    workflow: str
    branch: str
    event: str
    commit: str
    conclusion: str
    attempt: int
    created: datetime
    artifacts: tuple[Artifact, ...]


# --- what the repository and the forge say ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of a commit's tree: git's mode (`100644`, `120000`, `160000` …) and object."""

    mode: str
    blob: BlobId


@dataclass(frozen=True, slots=True)
class Change:
    """One first-parent commit that changed one file. None: the file is absent on that side."""

    commit: CommitId
    parent: CommitId | None
    before: TreeEntry | None
    after: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as stored, read from its raw bytes so that no replace ref or config can colour it.

    `payload` is the raw object without its signature headers: the bytes that were signed.
    """

    id: CommitId
    parents: tuple[CommitId, ...]
    author: str
    """`Name <email>` as claimed; anybody can write anything here."""
    committer: str
    message: str
    signature: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """A human or a bot by an id that never passes to somebody else; names are only for reading and rules.

    For `signed_merge` the id is that of a key's owner in the operator's allowed signers; for a hosted
    forge the account's number. `names` (logins, e-mail addresses, team names with a leading `@`) are
    what `approval.from` may name.
    """

    id: str
    names: frozenset[str]
    bot: bool = False

    @property
    def name(self) -> str:
        """One name to show."""
        return min((n for n in self.names if not n.startswith("@")), default=self.id)


class Decision(StrEnum):
    """A reviewer's latest word."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Review:
    """What one person said of one head commit."""

    person: Person
    head: CommitId
    decision: Decision


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """How a commit came to the branch: a merged pull request, or a signed merge commit."""

    ref: str
    """For people: `#12`, or `merge 1a2b3c4d5e6f`."""
    title: str
    head: CommitId
    """The reviewed head: the last commit of the branch that was merged."""
    merged_as: CommitId
    """The commit on the tracked branch's first-parent chain."""
    authors: tuple[Person, ...]
    """Everybody who had a hand in the content: authors, co-authors, last pusher."""
    unproven_authors: tuple[str, ...]
    """Commits whose author is only claimed, for forges where that can be told. Empty where proven."""
    reviews: tuple[Review, ...]
    """Every person's latest review."""
    merged_by: Person | None


@dataclass(frozen=True, slots=True)
class ForgeFacts:
    """All that the forge can say about one commit. `note` says why there is no request, for people."""

    commit: CommitId
    requests: tuple[ChangeRequest, ...]
    note: str = ""


# --- what the target says -----------------------------------------------------------------------


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


# --- what the judge says ------------------------------------------------------------------------


class Gate(StrEnum):
    """Conditions that must hold before live may change, in the order in which they are judged."""

    SCHEMA = "schema"
    HISTORY = "history"
    SUSPENSION = "suspension"
    APPROVAL = "approval"
    PROVENANCE = "provenance"
    CUSTODY = "custody"
    TARGET = "target"


class Verdict(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    HELD = "held"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's word: the evidence it rests on and, when it holds, the reason and the way out."""

    gate: Gate
    verdict: Verdict
    reason: Reason | None = None
    message: str = ""
    evidence: tuple[str, ...] = ()
    hint: str = ""
    not_before: datetime | None = None
    """The earliest instant at which it can pass, when that is known."""


# --- what is remembered -------------------------------------------------------------------------


class Action(StrEnum):
    """What a plan does to one environment."""

    NONE = "none"
    ACCEPT = "accept"
    """The declaration changed, the artifact did not: only the record on the target moves on."""
    DEPLOY = "deploy"
    REPAIR = "repair"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The process ended between intent and outcome; the next pass found out what was left."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The coordinates of a declaration, for the record."""

    commit: CommitId | None
    run_id: RunId | None = None
    sha256: Digest | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to bring an environment to its declaration, as remembered."""

    environment: EnvironmentName
    action: Action
    declared: Declared
    before: Release | None
    started: datetime
    id: int | None = None
    request: str = ""
    approvers: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    token: int = 0
    finished: datetime | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """Where an environment stands after a pass: what `get`, `why` and `wait` show."""

    environment: EnvironmentName
    sync: Sync
    health: Health
    reason: Reason | None
    message: str
    hint: str
    declared: Declared
    live: Release | None
    live_since: datetime | None
    gates: tuple[GateResult, ...]
    drift: tuple[Drift, ...] = ()
    request: str = ""
    approvers: tuple[str, ...] = ()
    target: str = ""
    """Where it lives; empty while nobody can tell."""
    since: datetime | None = None
    """When sync, health or reason last changed."""

    @property
    def ready(self) -> bool:
        """Declared, live and whole."""
        return self.sync is Sync.SYNCED and self.health is Health.HEALTHY


@dataclass(frozen=True, slots=True)
class OperatorHand:
    """What an operator asked for one environment."""

    suspended: bool = False
    reason: str = ""
    by: str = ""
    retry_after: int = 0
    """Attempts up to this id no longer stop a new try."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an environment's state, as `events` shows it."""

    id: int
    at: datetime
    environment: EnvironmentName
    sync: Sync
    health: Health
    reason: Reason | None
    message: str
    live: str = field(default="")
