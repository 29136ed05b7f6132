"""What the pipeline asks of the world, as Protocols. Adapters bring facts; verdicts stay in `core`.

Every method may raise `reconciler.errors.ReconcilerError` and nothing else for a fault of the world;
anything else is a bug. All are safe to call again after any failure, and from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Protocol, runtime_checkable

from reconciler.bounds import Bounds
from reconciler.core.approve import Approval
from reconciler.core.audit import Checkpoint, Entry
from reconciler.core.declare import Declaration
from reconciler.core.running import ActivateSpec, HealthSpec, SecretSpec
from reconciler.core.verify import VerifiedArtifact
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    Artifact,
    Attempt,
    BlobId,
    Change,
    Checked,
    Commit,
    CommitId,
    Digest,
    EnvironmentName,
    ForgeFacts,
    Observation,
    OpenRequest,
    OperatorHand,
    PlanNotice,
    Probed,
    Proposal,
    Readiness,
    Rewrite,
    Rollout,
    Run,
    RunId,
    Service,
    Soak,
    Status,
    ToldPlan,
    Transition,
    TreeEntry,
)

Trace = Callable[[str], None]
"""Called with a step's name right before its effect: for progress, timing, and tests that pull the plug."""


class Clock(Protocol):
    """The only way to the time."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start; never goes back."""
        ...


class Repository(Protocol):
    """The tracked branch of the repository that holds the declarations."""

    def head(self) -> CommitId | None:
        """The branch's tip at the remote, for one `ls-remote`. None: there is no such branch."""
        ...

    def fetch(self, tip: CommitId) -> None:
        """Make `tip` and all that it descends from readable below. No network when it already is."""
        ...

    def tree(self, commit: CommitId) -> Mapping[str, TreeEntry]:
        """Every path under the declarations' folder, relative to that folder (`shop/prod.yaml`)."""
        ...

    def changed_paths(self, old: CommitId, new: CommitId) -> Set[str]:
        """Paths, relative to the declarations' folder, that differ between two commits."""
        ...

    def read_blobs(self, blobs: Iterable[BlobId], limit: int) -> Mapping[BlobId, bytes | None]:
        """Contents in one batch. None stands for a blob of more than `limit` bytes."""
        ...

    def entry(self, commit: CommitId, path: str) -> TreeEntry | None:
        """One path, relative to the declarations' folder, at one commit; None when absent there."""
        ...

    def is_ancestor(self, old: CommitId, new: CommitId) -> bool:
        """Whether `new` is `old` or descends from it. False when either is unknown."""
        ...

    def changes(self, path: str, after: CommitId | None, upto: CommitId) -> tuple[Change, ...]:
        """First-parent commits in `after..upto` that changed the file, oldest first; from the root for None."""
        ...

    def commit(self, commit: CommitId) -> Commit:
        """One commit, as stored."""
        ...

    def between(self, base: CommitId, head: CommitId, limit: int) -> tuple[CommitId, ...]:
        """Commits reachable from `head` and not from `base`; at most `limit` + 1 of them."""
        ...

    def merge_bases(self, one: CommitId, other: CommitId) -> tuple[CommitId, ...]:
        """The best common ancestors of two commits: where their histories parted. Empty for unrelated ones."""
        ...

    def retrieve(self, commit: CommitId, ref: str) -> None:
        """Make a commit readable that the branch does not hold, with all that it descends from.

        Args:
            commit: Its full name. No network when it is readable already.
            ref: The whole name of a reference at the remote that has it in its history, `refs/pull/12/head`.

        Raises:
            Transient: `RepositoryUnavailable`; also when the reference is gone, or does not hold it.
        """
        ...

    def references(self, pattern: str) -> Mapping[str, CommitId]:
        """References at the remote, by whole name, for one `ls-remote`; `*` stands for anything but a slash.

        Raises:
            Transient: `RepositoryUnavailable`.
        """
        ...

    def proposal(self, base: CommitId, head: CommitId, clone: Path | None = None) -> CommitId:
        """What the branch at `base` would be if `head` were merged.

        Makes a commit with the two as its parents that nothing refers to; and both readable below, out of a local
        clone, when one is named.

        Raises:
            PolicyDenied: `ApprovalStale`: the two do not merge without a conflict.
            Transient: `RepositoryUnavailable`: neither the mirror nor the clone holds `head`.
        """
        ...

    def watched(self) -> tuple[Path, ...]:
        """Local folders whose changes mean that the branch may have moved; empty for a remote one."""
        ...


class Forge(Protocol):
    """Who approved what."""

    def facts(self, commit: CommitId, teams: Set[str] = frozenset()) -> ForgeFacts:
        """All that is known about how one commit came to the branch, as of now or of a few seconds ago.

        Args:
            commit: On the branch's first-parent history.
            teams: Teams that somebody's rule names, as `@organisation/team`: whoever is in one has it among
                their names.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        ...

    def look_again(self) -> None:
        """Something may have happened: nothing that was found out before counts for what is asked from now on."""
        ...

    def propose(self, proposal: Proposal) -> str | None:
        """Open, or bring up to date, the one pull request of a branch, and return where it is.

        None: this forge has none; a change is let in there without one.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        ...

    def proposed(self, branch: str) -> bool:
        """Whether a pull request of a branch was ever opened, whatever became of it; False where there are none.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        ...

    @property
    def pull_requests(self) -> PullRequests | None:
        """Where plans are shown before a merge; None: there is no such place."""
        ...

    @property
    def deployments(self) -> Deployments | None:
        """Where rollouts are shown; None: there is no such place."""
        ...


class PullRequests(Protocol):
    """Open requests to be let in to the tracked branch, and what is told on them."""

    @property
    def references(self) -> str:
        """Which references at the remote move when a request does, for `Repository.references`."""
        ...

    def open(self) -> tuple[OpenRequest, ...]:
        """Every open request against the tracked branch.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        ...

    def get(self, number: int) -> OpenRequest | None:
        """One request; None when it is not open, or not against the tracked branch.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        ...

    def show(self, notice: PlanNotice) -> None:
        """Make the one comment and the one commit status of a request what they should be. Idempotent.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        ...


class Deployments(Protocol):
    """Records of rollouts at the forge."""

    def show(self, rollout: Rollout) -> None:
        """Make the one record of a rollout what it should be: made when it is not there yet. Idempotent.

        Raises:
            Transient: `ForgeUnavailable`.
            PolicyDenied: `ForgeUnavailable`: the forge takes no record of this rollout, and won't.
        """
        ...


class ArtifactStream(Protocol):
    """Bytes on their way. Iterating raises `Transient` when they stop coming."""

    @property
    def offset(self) -> int:
        """Where in the file the first chunk belongs: what was asked for, or 0 when it can't resume."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of at most 1 MiB."""
        ...


class Source(Protocol):
    """Where CI's runs and artifacts are found."""

    def run(self, run_id: RunId) -> Run:
        """What CI says of one run.

        Raises:
            PolicyDenied: `RunNotFound`.
            Transient: `SourceUnavailable`.
        """
        ...

    def open(self, run: Run, artifact: Artifact, offset: int) -> AbstractContextManager[ArtifactStream]:
        """An artifact's bytes from `offset` on.

        Raises:
            PolicyDenied: `ArtifactMissing`.
            Transient: `SourceUnavailable`.
        """
        ...


class Custody(Protocol):
    """Our own copy of artifacts, by content."""

    def obtain(
        self,
        digest: Digest,
        fetch: Callable[[int], AbstractContextManager[ArtifactStream]],
        *,
        anew: bool = False,
    ) -> AbstractContextManager[VerifiedArtifact]:
        """The artifact, hashed anew from our copy; fetched first when we have none that is whole.

        Args:
            digest: What its bytes must be.
            fetch: Opens the stream from an offset; called only when needed.
            anew: Fetch also when we have a copy, which says nothing of where these bytes are from.

        Raises:
            IntegrityError: `DigestMismatch`. PolicyDenied: `ArtifactTooLarge`. Transient: `SourceUnavailable`.
        """
        ...

    def holds(self, digest: Digest) -> bool:
        """Whether we have a copy, by a look at its name alone."""
        ...

    def collect(self, keep: Set[Digest]) -> int:
        """Remove what nobody declares, runs or may roll back to; returns how many copies went."""
        ...


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

    def observe(self, *, thorough: bool = False) -> Observation:
        """What is there now. Writes nothing.

        Args:
            thorough: Hash every byte of the live release, whatever its files' times say.

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


class Store(Protocol):
    """The memory: attempts, states, the audit chain, the operator's hand. Believed for nothing else."""

    def acquire(self, holder: str) -> int:
        """Take the lease and get its fencing token: larger than any given before."""
        ...

    def raise_token(self, holder: str, above: int) -> int:
        """For the holder of the lease, when a target has seen a larger token than ours: a still larger one.

        That happens after the store was lost or restored from an old backup. A lease that nobody holds, as in
        a store that was made anew, is taken.

        Raises:
            PolicyDenied: `FencedOff`: somebody else holds the lease by now.
        """
        ...

    def tip(self) -> CommitId | None:
        """The last tip of the tracked branch that was seen, and descended from the one before."""
        ...

    def save_tip(self, tip: CommitId) -> None:
        """Remember the tip."""
        ...

    def statuses(self) -> Mapping[EnvironmentName, Status]:
        """Every environment's status as of its last pass."""
        ...

    def save(self, status: Status, at: datetime, accepted: Accepted | None = None) -> None:
        """Remember a status, and what was found accepted; writes nothing when just this is remembered.

        Adds a transition when sync, health, reason or live changed.
        """
        ...

    def forget(self, environment: EnvironmentName) -> None:
        """Forget the status of an environment that is gone and never ran; its attempts and the audit stay."""
        ...

    def accepted(self, environment: EnvironmentName) -> Accepted | None:
        """The last accepted declaration, for when the target can't say (it moved, say)."""
        ...

    def begin(self, attempt: Attempt) -> Attempt:
        """Record intent, before any effect: the attempt and its audit entry in one transaction."""
        ...

    def finish(self, attempt: Attempt, status: Status, accepted: Accepted | None) -> None:
        """Record the one outcome: attempt, audit entry, status and accepted declaration in one transaction."""
        ...

    def refuse(self, attempt: Attempt, status: Status) -> None:
        """Record an attempt that no gate let begin: one audit entry, no intent."""
        ...

    def succeeded(
        self, environment: EnvironmentName, until: datetime | None = None, limit: int = 200
    ) -> tuple[Attempt, ...]:
        """Attempts that succeeded, by `until` if that is given (`finished` at or before it), newest first."""
        ...

    def soaks(self) -> Mapping[EnvironmentName, Soak]:
        """Every environment's unbroken healthy time, as last remembered."""
        ...

    def save_soaks(self, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
        """Remember soaks, in one transaction; None: the row was broken, and nothing was earned since."""
        ...

    def policy(self) -> AcceptedPolicy | None:
        """The last policy file that people let in; None before there was one."""
        ...

    def save_policy(self, policy: AcceptedPolicy) -> None:
        """Remember and audit that a policy came in force; writes nothing when just this is remembered."""
        ...

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Rewrites of the branch that an operator accepted, oldest first."""
        ...

    def accept_rewrite(self, rewrite: Rewrite) -> None:
        """Remember and audit that a rewritten branch is followed from `rewrite.tip` on, which becomes the tip."""
        ...

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Signed words on the audit chain, oldest first."""
        ...

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember one; the same again writes nothing."""
        ...

    def run(self, source: str, run_id: RunId) -> Run | None:
        """What CI said of a run when its artifact was taken into custody; None when nothing is remembered."""
        ...

    def save_run(self, source: str, run: Run) -> None:
        """Remember what CI said; writes nothing when just this is remembered."""
        ...

    def told_plans(self) -> Mapping[int, ToldPlan]:
        """What was told on open pull requests, by number."""
        ...

    def save_told_plan(self, number: int, told: ToldPlan | None) -> None:
        """Remember what was told on one; None: it is not open any more."""
        ...

    def told_rollouts(self) -> Mapping[str, str]:
        """What was told of each rollout last, by its key: the state, and the text behind a colon."""
        ...

    def save_told_rollout(self, key: str, told: str | None) -> None:
        """Remember what was told of one; None: nothing will ever be told of it again."""
        ...

    def unfinished(self) -> tuple[Attempt, ...]:
        """Attempts with an intent and no outcome: the process ended in between."""
        ...

    def attempts(self, environment: EnvironmentName | None = None, limit: int = 100) -> tuple[Attempt, ...]:
        """Newest first."""
        ...

    def hand(self, environment: EnvironmentName) -> OperatorHand:
        """What the operator asked for this environment."""
        ...

    def hands(self) -> Mapping[EnvironmentName, OperatorHand]:
        """Every environment for which the operator ever asked something."""
        ...

    def save_hand(self, environment: EnvironmentName, hand: OperatorHand, what: str, at: datetime) -> None:
        """Remember and audit what the operator did: `what` is `suspend`, `resume` or `retry`."""
        ...

    def transitions(
        self, environment: EnvironmentName | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[Transition, ...]:
        """Changes of state with an id above `after`, oldest first; the newest `limit` of them."""
        ...

    def audit(self, after: int = 0) -> Iterator[Entry]:
        """The audit chain in order, from the entry behind sequence number `after`."""
        ...


class Secrets(Protocol):
    """Where the values of secrets are kept: read anew at each use, so that rotation needs no restart."""

    def read(self, environment: EnvironmentName, secrets: Mapping[str, SecretSpec]) -> Mapping[str, str]:
        """The values, by name. No message ever holds one, nor what was found in place of one.

        Raises:
            PolicyDenied: `SecretMissing`, naming the names of all that are missing, empty or not readable;
                `ActivationNotAllowed`: the operator does not let this environment have one of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Where something is run for an environment, and with what."""

    environment: EnvironmentName
    folder: Path
    """The live release, by its own name: `current` may move meanwhile."""
    variables: Mapping[str, str] = field(repr=False)
    """What a command finds in its environment, beside a few harmless ones of ours."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Values that are masked in all that is shown."""


class Activator(Protocol):
    """One way of starting what a release holds. Which ones an environment may use is the operator's word."""

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        """Only looks; nothing is started.

        Raises:
            PolicyDenied: `ActivationNotAllowed`, with the key of the settings that would allow it.
        """
        ...

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        """Start it, and return what it printed: bounded, secrets masked.

        Nothing of it is left running behind its deadline but what it meant to leave: a service.

        Raises:
            Terminal: `ActivationFailed`: it said no, or took too long; the message ends with what it printed last.
        """
        ...

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:
        """Why what was activated does not run, in a few words; empty: it runs, or that can't be told this way."""
        ...


class Probe(Protocol):
    """One way of asking whether a release is healthy."""

    def allow(self, environment: EnvironmentName, spec: HealthSpec) -> None:
        """Only looks; nothing is asked.

        Raises:
            PolicyDenied: `ActivationNotAllowed`, with the key of the settings that would allow it.
        """
        ...

    def probe(self, spec: HealthSpec, job: Job) -> Probed:
        """Ask once, within the timeout. Never raises for whatever is answered, or not."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked again and again about one activation. Another value is another row of checks."""

    spec: HealthSpec
    job: Job
    since: datetime
    """When it was activated: `within` counts from here."""
    proven: bool
    """Whether it was healthy before: then it can't fail any more, and only be unhealthy."""


class Checks(Protocol):
    """The checks of all environments, made beside the passes: a pass says what to ask, and reads what came of it."""

    def expect(self, check: Check) -> Checked:
        """Have this asked from now on, in place of any other check of its environment; what came of it so far."""
        ...

    def forget(self, environment: EnvironmentName) -> None:
        """Ask nothing more about an environment."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """An adapter that can tell whether it would work, before anything depends on it."""

    def check(self) -> str:
        """What answers, in a line or more; nothing is changed anywhere.

        Raises:
            ReconcilerError: What is wrong or missing, all of it, and what to do.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What `wiring` hands to every adapter, whichever it needs."""

    clock: Clock
    random: Random
    trace: Trace
    bounds: Bounds
    state: Path
    """The state directory: adapters write below `state/<their own name>` only."""
    repository: Repository | None = None
    branch: str = ""
    """The tracked branch; empty when it is not known."""
