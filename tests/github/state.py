"""What a hub remembers, beside what git itself holds. Everything changes only through the methods of the hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reconciler.model import CommitId
from tests.github.ci import Artifact, Run
from tests.gitworld import Author

if TYPE_CHECKING:
    from tests.github.repository import HubRepository

Json = dict[str, Any]

__all__ = [
    "Account",
    "Activity",
    "App",
    "Artifact",
    "Call",
    "Comment",
    "Deployment",
    "DeploymentStatus",
    "Event",
    "Json",
    "Pull",
    "Review",
    "Run",
    "Status",
    "Team",
]


@dataclass(eq=False)
class Account:
    """Somebody, or a bot. The id stays; the login may pass to another account."""

    id: int
    login: str
    email: str
    name: str
    kind: str = "User"

    @property
    def author(self) -> Author:
        """How they write commits."""
        return Author(self.name, self.email)

    def __str__(self) -> str:
        return self.login


@dataclass(eq=False)
class Team:
    """A team of an organisation."""

    id: int
    organisation: str
    slug: str
    members: list[Account]

    def add(self, account: Account) -> None:
        self.members.append(account)

    def remove(self, account: Account) -> None:
        self.members.remove(account)


_READ = ("metadata", "contents", "actions", "members")
_WRITTEN = ("pull_requests", "statuses", "deployments")


def _all_rights() -> dict[str, str]:
    return dict.fromkeys(_READ, "read") | dict.fromkeys(_WRITTEN, "write")


@dataclass(frozen=True)
class App:
    """A GitHub App, installed once; `key` is its private key in PEM."""

    id: int
    installation: int
    key: str
    public_key: str
    account: Account
    rights: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(_READ, "read") | dict.fromkeys(_WRITTEN, "write")
    )
    """What its installation was given: permission and level."""


@dataclass(eq=False)
class Pull:
    """A pull request."""

    repository: HubRepository
    id: int
    number: int
    author: Account
    head_repository: HubRepository
    head: str
    """Its branch."""
    head_commit: CommitId
    base: str
    base_commit: str
    title: str
    body: str
    created: datetime
    state: str = "open"
    merged_as: CommitId | None = None
    merged_by: Account | None = None
    merged: datetime | None = None
    closed: datetime | None = None
    updated: datetime | None = None
    commits: tuple[str, ...] = ()
    """What it would bring, as of its last push, oldest first."""
    landed: tuple[str, ...] = ()
    """Commits that its merge made on the base, oldest first."""
    reviews: list[Review] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __str__(self) -> str:
        return f"#{self.number}"

    @property
    def url(self) -> str:
        """The page of it."""
        return f"https://github.com/{self.repository.name}/pull/{self.number}"


@dataclass(eq=False)
class Review:
    """One review, as it stands."""

    id: int
    pull: Pull
    account: Account
    state: str
    commit: str
    body: str
    at: datetime


@dataclass(frozen=True)
class Event:
    """One line of a pull request's time line."""

    id: int
    name: str
    account: Account
    at: datetime
    commit: str | None = None


@dataclass(eq=False)
class Comment:
    """One comment on a pull request."""

    id: int
    number: int
    author: Account
    body: str
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class Activity:
    """One movement of one branch."""

    id: int
    account: Account
    ref: str
    before: str
    after: str
    kind: str
    at: datetime


@dataclass(frozen=True)
class Status:
    """One commit status."""

    id: int
    commit: str
    account: Account
    state: str
    context: str
    description: str | None
    target_url: str | None
    at: datetime


@dataclass(frozen=True)
class DeploymentStatus:
    """One word on how far a deployment is."""

    id: int
    account: Account
    state: str
    description: str
    environment: str
    environment_url: str
    log_url: str
    at: datetime


@dataclass(eq=False)
class Deployment:
    """One deployment; `statuses`: newest first, so the first is how it stands."""

    id: int
    account: Account
    commit: str
    ref: str
    task: str
    environment: str
    description: str | None
    payload: Json | str
    transient: bool
    production: bool
    at: datetime
    statuses: list[DeploymentStatus] = field(default_factory=list)

    @property
    def state(self) -> str:
        """How it stands; GitHub shows one without a status as pending."""
        return self.statuses[0].state if self.statuses else "pending"


@dataclass(frozen=True)
class Call:
    """One HTTP request, and what was answered; status 0: the connection was cut."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0
