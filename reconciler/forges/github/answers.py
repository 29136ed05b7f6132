"""What GitHub answers, as far as the forge uses it: each model is part of a schema of GitHub's OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field

from reconciler.errors import Reason, Transient
from reconciler.github import answers
from reconciler.github.answers import GitHubAnswer, Instant

_SHA = r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$"


def _none_if_empty(value: Any) -> Any:
    """The description lets an unknown account of a commit be null or an empty object."""
    return None if value == {} else value


Sha = Annotated[str, Field(pattern=_SHA)]


class Account(GitHubAnswer):
    """`simple-user`. The login may pass to somebody else, the id never does."""

    id: int
    login: str
    type: str = "User"


Somebody = Annotated[Account | None, BeforeValidator(_none_if_empty)]


class RepositoryName(GitHubAnswer):
    """A repository by the id that never passes to another one."""

    id: int
    full_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]


class Side(GitHubAnswer):
    """`head` or `base` of a pull request; a fork that was removed has no repository."""

    ref: str
    sha: Sha
    repo: RepositoryName | None = None


class PullSummary(GitHubAnswer):
    """`pull-request-simple`."""

    number: int
    state: str
    title: str
    base: Side
    head: Side
    merged_at: Instant | None = None
    html_url: str = ""
    body: str | None = None


class Pull(PullSummary):
    """`pull-request`."""

    user: Account | None = None
    merged_by: Account | None = None
    merge_commit_sha: Sha | None = None
    commits: int


class GitIdentity(GitHubAnswer):
    """An author or committer line, as claimed."""

    name: str | None = None
    email: str | None = None

    def __str__(self) -> str:
        return f"{self.name or ''} <{self.email or ''}>"


class Parent(GitHubAnswer):
    """A parent of a commit."""

    sha: Sha


class GitCommit(GitHubAnswer):
    """What git says of a commit."""

    author: GitIdentity | None
    committer: GitIdentity | None
    message: str


class ListedCommit(GitHubAnswer):
    """`commit`: what git says of it, and the accounts that GitHub knows behind the addresses."""

    sha: Sha
    commit: GitCommit
    author: Somebody
    committer: Somebody
    parents: tuple[Parent, ...]


class PullReview(GitHubAnswer):
    """`pull-request-review`. A review that was dismissed changes its state in place."""

    user: Account | None
    state: Literal["APPROVED", "CHANGES_REQUESTED", "DISMISSED", "COMMENTED", "PENDING"]
    commit_id: Sha | None = None
    submitted_at: Instant | None = None


class IssueEvent(GitHubAnswer):
    """`issue-event-for-issue`."""

    event: str
    created_at: Instant


class Activity(GitHubAnswer):
    """`activity`: one change of one branch, and who made it."""

    after: str
    timestamp: Instant
    actor: Account | None = None


class Permission(GitHubAnswer):
    """`repository-collaborator-permission`: whose it is, and which."""

    permission: str
    user: Account | None = None


class Membership(GitHubAnswer):
    """`team-membership`."""

    state: str


_A = TypeVar("_A", bound=GitHubAnswer)


def read(model: type[_A], data: Any) -> _A:
    """One answer.

    Raises:
        Transient: `ForgeUnavailable`: it makes no sense.
    """
    return answers.read(model, data, unavailable)


def read_all(model: type[_A], data: Iterable[Any]) -> tuple[_A, ...]:
    """A list of them.

    Raises:
        Transient: `ForgeUnavailable`: one makes no sense.
    """
    return tuple(answers.read(model, one, unavailable) for one in data)


def unavailable(message: str, hint: str = "") -> Transient:
    """The error for a GitHub that can't be reached or understood."""
    return Transient(Reason.FORGE_UNAVAILABLE, message, hint)
