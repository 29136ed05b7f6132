"""A change that declares what runs, after an automatic rollback: when it is due, and what it is called and says. Pure.

Git declares one artifact and the target runs another, since the declared one did not come to life there. The change
puts the environment's whole file back to the very bytes that were accepted when what is live came, so it goes back to
what was let in and brings nothing of anybody's own. It is proposed, never made: people may want to go forward instead.

The branch is named after the declaration that failed, by its commit, so that each has one for ever: a run that is
declared again and fails again is another failure. What programs print is somebody else's text, and stays on one line
behind a label of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.authoring import fact, one_line
from reconciler.core.declare import FOLDER
from reconciler.core.readable import moment, short
from reconciler.errors import DID_NOT_RUN, Reason
from reconciler.model import (
    Accepted,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Outcome,
    Release,
    RunId,
    Status,
)

PREFIX = "reconciler/revert"
"""What every branch of these begins with; with the setting on, only the daemon makes any."""
MESSAGE_CHARACTERS = 2_000
"""Most characters of what was said of the failure: it ends with what the program printed last, so it may be longer
than other facts. Less than 4 % of what GitHub takes as a body (65,536)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The declaration that did not come to life."""

    commit: CommitId
    """The commit that brought it."""
    run_id: RunId
    sha256: Digest
    reason: Reason
    message: str
    at: datetime | None
    request: str = ""
    """How it was let in, for people; empty when nobody remembers."""
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revert:
    """One environment's file from a declaration that failed back to the one that runs."""

    environment: EnvironmentName
    failed: Failure
    good: Accepted
    """What runs, as it was let in."""
    live: Release
    live_since: datetime | None = None

    @property
    def branch(self) -> str:
        """The branch that carries it: the same for the same failed declaration, and for no other."""
        return f"{PREFIX}/{self.environment}-{self.failed.run_id}-{short(self.failed.commit)}"

    @property
    def path(self) -> str:
        """The file, below the declarations' folder."""
        return f"{self.environment}.yaml"

    @property
    def file(self) -> str:
        """The file, in the repository."""
        return f"{FOLDER}/{self.path}"

    @property
    def title(self) -> str:
        """The first line of the message."""
        return f"Revert {self.environment} to run {self.good.run_id}, which is live"

    @property
    def message(self) -> str:
        """The commit's message; the trailers are those of a rollback, and what failed beside them."""
        failed, good = self.failed, self.good
        why = (
            f"Run {failed.run_id} did not come to life there ({failed.reason}), so run {good.run_id} was brought back."
        )
        lines = (
            self.title,
            "",
            why,
            f"This puts back {self.file} as commit {short(good.commit)} left it.",
            "",
            f"Reconciler-Environment: {self.environment}",
            f"Reconciler-Run: {good.run_id}",
            f"Reconciler-Sha256: {good.sha256}",
            f"Reconciler-Failed: {failed.commit}",
        )
        return "\n".join(lines) + "\n"

    @property
    def body(self) -> str:
        """What a pull request says, in Markdown. Evidence is in a fence, as some of it is a program's words."""
        failed, good = self.failed, self.good
        why = (
            f"Run {failed.run_id} was declared for `{self.environment}` and did not come to life there, so the daemon "
            f"went back to run {good.run_id}. Git still declares run {failed.run_id}; this declares what runs."
        )
        parts = (
            why,
            "",
            "| | run | sha256 |\n|---|---|---|",
            f"| declared, and failed | {failed.run_id} | `{failed.sha256}` |",
            f"| live, and declared after the merge | {good.run_id} | `{good.sha256}` |",
            "",
            "```text",
            *self.evidence,
            "```",
            "",
            f"**On merge** {self._on_merge}",
            "",
            f"**Until then** run {good.run_id} stays live, and run {failed.run_id} is not tried again.",
            "",
            f"**To go forward instead** {self._instead}",
        )
        return "\n".join(parts) + "\n"

    @property
    def _on_merge(self) -> str:
        return (
            f"nothing is deployed and nothing is started anew: run {self.good.run_id} is live already. `{self.file}` "
            f"is then byte for byte what was let in with commit `{short(self.good.commit)}`, its settings included."
        )

    @property
    def _instead(self) -> str:
        return (
            f"close this, and declare something that works: `reconciler promote {self.environment} --run RUN`, or a "
            f"change of the settings. If run {self.failed.run_id} was not at fault, `reconciler retry "
            f"{self.environment}` tries it once more. Once closed, this is not opened again for this declaration."
        )

    @property
    def evidence(self) -> tuple[str, ...]:
        """What happened, one line each."""
        failed, good = self.failed, self.good
        return (
            fact("Failed", f"{failed.reason}, seen {moment(failed.at)}"),
            f"Said: {one_line(failed.message, MESSAGE_CHARACTERS) or '-'}",
            fact("Declared by", _with(f"commit {failed.commit}", failed.request, failed.approvers)),
            fact("Live", f"{self.live.id} since {moment(self.live_since)}"),
            fact("Let in by", _with(f"commit {good.commit}", good.request, good.approvers)),
            fact("Accepted", f"{moment(good.accepted_at)}, file sha256 {good.declaration}"),
        )


def due(status: Status, good: Accepted | None, attempts: Sequence[Attempt] = ()) -> Revert | None:
    """What declares what runs; None: what is declared runs, or nothing was rolled back, or nobody knows to what.

    Args:
        status: Where the environment stands.
        good: The declaration that the target was driven towards last.
        attempts: Those of the environment, newest first: what they say of the failure is shown.
    """
    wanted, live = status.declared, status.live
    if status.reason not in DID_NOT_RUN or good is None or live is None:
        return None
    if wanted.commit is None or wanted.run_id is None or wanted.sha256 is None:
        return None
    runs = (live.run_id, live.sha256)
    if (wanted.run_id, wanted.sha256) == runs or (good.run_id, good.sha256) != runs or good.commit == wanted.commit:
        return None
    told = _told(status, attempts)
    failed = Failure(wanted.commit, wanted.run_id, wanted.sha256, status.reason, *told)
    return Revert(status.environment, failed, good, live, status.live_since)


def _told(status: Status, attempts: Sequence[Attempt]) -> tuple[str, datetime | None, str, tuple[str, ...]]:
    """Message, moment, request and approvers: of the attempt that failed; where it is forgotten, of the status."""
    for attempt in attempts:
        failed = attempt.outcome is Outcome.FAILED and attempt.reason in DID_NOT_RUN
        if failed and attempt.finished is not None and _same(attempt.declared, status.declared):
            return attempt.message or status.message, attempt.finished, attempt.request, attempt.approvers
    return status.message, status.since, status.request, status.approvers


def _same(one: Declared, other: Declared) -> bool:
    return (one.commit, one.run_id, one.sha256) == (other.commit, other.run_id, other.sha256)


def _with(commit: str, request: str, approvers: tuple[str, ...]) -> str:
    """A commit, how it was let in, and by whom."""
    approved = f"approved by {', '.join(approvers)}" if approvers else ""
    return ", ".join(filter(None, (commit, request, approved)))
