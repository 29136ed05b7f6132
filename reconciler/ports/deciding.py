"""What was declared, and who let it in: the repository and the forge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Protocol

from reconciler.model import (
    BlobId,
    Change,
    Commit,
    CommitId,
    ForgeFacts,
    OpenRequest,
    PlanNotice,
    Proposal,
    Rollout,
    TreeEntry,
)


class Repository(Protocol):
    """The tracked branch of the repository that holds the declarations."""

    def head(self) -> CommitId | None:
        """The branch's tip at the remote, for one `ls-remote` at most. None: there is no such branch."""
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
