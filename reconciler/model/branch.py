"""What the repository and the forge say: changes, commits, and who had which part in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.model.ids import BlobId, CommitId


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


_CLAIMED = "email:"


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
    writer: bool = True
    """Whether they may write to the repository, at the time of asking; else their approval counts nowhere."""

    @classmethod
    def claimed(cls, address: str, *names: str) -> Person:
        """Somebody of whom only an address is known, as a commit names one: it belongs to nobody here."""
        return cls(f"{_CLAIMED}{address}", frozenset({address, *names}))

    @property
    def is_claimed(self) -> bool:
        """Whether only an address is known of them."""
        return self.id.startswith(_CLAIMED)

    @property
    def name(self) -> str:
        """One name to show."""
        return min((n for n in self.names if not n.startswith("@")), default=self.id)

    @property
    def named_id(self) -> str:
        """For the record: the id, behind a name where it is none itself. `carol(583231)`, without a blank."""
        plain = self.is_claimed or self.id in self.names or not self.names
        return self.id if plain else f"{self.name}({self.id})"


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
    at: datetime | None = None
    """When it was said; None where that can't be told."""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """How a commit came to the branch: a merged pull request, or a signed merge commit."""

    ref: str
    """For people: `#12`, or `merge 1a2b3c4d5e6f`."""
    title: str
    head: CommitId
    """The reviewed head: the last commit of the branch that was merged."""
    merged_as: CommitId
    """The commit on the tracked branch's first-parent chain that completed it: the last one, when it was rebased."""
    authors: tuple[Person, ...]
    """Everybody who had a hand in the content: authors, co-authors, last pusher."""
    unproven_authors: tuple[str, ...]
    """Commits whose author is only claimed, for forges where that can be told. Empty where proven."""
    reviews: tuple[Review, ...]
    """Every person's latest review."""
    merged_by: Person | None
    landed: tuple[CommitId, ...] = ()
    """All commits that it brought to the first-parent chain, oldest first, `merged_as` last; empty: just that one."""
    retargeted: datetime | None = None
    """When it was last pointed at another branch: what was said before was said of another difference."""
    head_ref: str = ""
    """Where the head can be fetched, when the branch does not hold it; empty: the branch does."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pushed branch that asks to be let in. `title` and `body` are for people; the body is Markdown."""

    branch: str
    base: str
    """The branch that it is to be merged into."""
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class ForgeFacts:
    """All that the forge can say about one commit. `note` says why there is no request, for people."""

    commit: CommitId
    requests: tuple[ChangeRequest, ...]
    note: str = ""
    how: str = ""
    """How a change is let in at this forge, in the imperative, for people."""
