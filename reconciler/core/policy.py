"""Whether one commit was let in by one policy: the counting of people.

Takes the forge's facts about the commit; knows nothing of its history, which is the judge's (`approve`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from reconciler.core.declare import ApprovalSpec
from reconciler.errors import Reason
from reconciler.model import ChangeRequest, CommitId, Decision, Digest, ForgeFacts, Gate, GateResult, Person, Verdict

Policy = ApprovalSpec | Literal["none"]

HOW = "have somebody who had no hand in it approve and merge it"
_REVERT = "revert the commit, or replace what it changed through an approved change"


class Governed(Protocol):
    """What a file says, as far as letting it in is concerned: an environment's declaration, or the policy."""

    @property
    def bars(self) -> tuple[Policy, ...]:
        """What a change of it must satisfy."""
        ...

    @property
    def place(self) -> str | None:
        """The place that it claims; None for a file that claims none."""
        ...

    def leaves(self) -> Mapping[str, object]:
        """Its fields by dotted path: what reviewers are shown, one by one."""
        ...


class Version(Protocol):
    """One state of a governed file."""

    @property
    def digest(self) -> Digest:
        """SHA-256 of its bytes."""
        ...

    @property
    def document(self) -> Governed | None:
        """What it says; None when it can't be read."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the file on the branch: the commit, and the file after it (None: it was removed)."""

    commit: CommitId
    after: Version | None
    from_side: bool = False
    """The commit did not bring this content to the branch: a merge with its sides swapped did. No request of the
    commit vouches for it."""
    floors: tuple[Policy, ...] = ()
    """What the operator, and the policy that stood before this commit, ask of every such change."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The forge's facts about one commit, and the file's digest at the head of each request named there."""

    facts: ForgeFacts
    head_digests: Mapping[CommitId, Digest | None]
    base_digests: Mapping[CommitId, frozenset[Digest | None]]
    """The file's digests where each head's branch began: at every merge base of the head and the first parent."""


@dataclass(frozen=True, slots=True)
class Granted:
    """One request that satisfies a policy."""

    request: str
    approvers: tuple[str, ...]


def ask(policy: Policy, step: Step, before: Digest | None, evidence: Evidence | None) -> Granted | GateResult:
    """Whether one commit satisfies one policy: by the best of its requests.

    Args:
        policy: What is asked for.
        step: The commit, and the file after it.
        before: The file's digest at the commit's first parent.
        evidence: What the forge says of the commit.
    """
    if policy == "none":
        return Granted("", ())
    short = step.commit[:12]
    if evidence is None or not evidence.facts.requests:
        note, how = (evidence.facts.note, evidence.facts.how) if evidence else ("", "")
        return refused(
            Reason.APPROVAL_MISSING,
            f"commit {short} came to the branch without an approval" + (f": {note}" if note else ""),
            _REVERT + (f" ({how})" if how else ""),
            (f"commit {short}",),
        )
    words = [_weigh(policy, step, before, request, evidence) for request in evidence.facts.requests]
    return next((word for word in words if isinstance(word, Granted)), words[0])


def _weigh(
    policy: ApprovalSpec, step: Step, before: Digest | None, request: ChangeRequest, evidence: Evidence
) -> Granted | GateResult:
    """One request against one policy."""
    about = (f"commit {step.commit[:12]}", f"{request.ref}: {request.title}")
    if request.merged_as != step.commit:
        return refused(Reason.APPROVAL_MISSING, f"{request.ref} was not merged as this commit", _REVERT, about)
    reviewed = evidence.head_digests.get(request.head)
    if reviewed != (step.after.digest if step.after else None):
        message = f"the file in {request.ref} differs from the reviewed head {request.head[:12]}"
        return refused(Reason.APPROVAL_STALE, message, "bring the branch up to date, have it reviewed again", about)
    if any(base != before for base in evidence.base_digests.get(request.head, ())):
        # Else the merge could bring back what stood where the branch began, and its author is not among those of
        # the merged commits: whoever merges would approve what nobody in this request wrote.
        message = f"the file changed on the branch since {request.ref} began"
        return refused(Reason.APPROVAL_STALE, message, "bring the branch up to date, have it reviewed again", about)
    if request.unproven_authors and not policy.allow_self:
        commits = ", ".join(commit[:12] for commit in request.unproven_authors[:3])
        message = f"nobody proved to have written {commits}, so whoever merged it may have approved their own work"
        return refused(Reason.SELF_APPROVAL, message, "sign the commits that are merged", about)
    return _count(policy, request, about)


def _count(policy: ApprovalSpec, request: ChangeRequest, about: tuple[str, ...]) -> Granted | GateResult:
    """Count the people who approved: each once, no bot, no author, of those who may."""
    said = [review for review in request.reviews if review.decision is Decision.APPROVED]
    fresh = [review.person for review in said if review.head == request.head]
    withdrawn = {r.person.id for r in request.reviews if r.decision is not Decision.APPROVED}
    people = {person.id: person for person in (*fresh, *([request.merged_by] if request.merged_by else []))}
    humans = [p for p in people.values() if not p.bot and p.id not in withdrawn]
    others = [p for p in humans if policy.allow_self or not _same_person(p, request.authors)]
    allowed = [p for p in others if policy.from_ is None or _named(p, policy.from_)]
    if len(allowed) >= policy.required:
        return Granted(request.ref, tuple(sorted(p.id for p in allowed)))
    missing = f"{request.ref} has {len(allowed)} of {policy.required} approvals that count"
    if len(others) > len(allowed):
        names = ", ".join(p.name for p in others if p not in allowed)
        rule = ", ".join(policy.from_ or ())
        message = f"{missing}: {names} may not approve here, only {rule}"
        return refused(Reason.APPROVER_NOT_ALLOWED, message, "have somebody named there approve", about)
    if len(humans) > len(others):
        names = ", ".join(p.name for p in humans if p not in others)
        return refused(Reason.SELF_APPROVAL, f"{missing}: {names} had a hand in the change", HOW, about)
    if len(said) > len(fresh):
        message = f"{missing}: a review is of an older head than {request.head[:12]}"
        return refused(Reason.APPROVAL_STALE, message, "have the last head reviewed", about)
    return refused(Reason.APPROVAL_MISSING, missing, HOW, about)


def _same_person(person: Person, others: Iterable[Person]) -> bool:
    return any(person.id == other.id or _folded(person.names) & _folded(other.names) for other in others)


def _named(person: Person, names: Iterable[str]) -> bool:
    return bool(_folded((*person.names, person.id)) & _folded(names))


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def refused(reason: Reason, message: str, hint: str, evidence: tuple[str, ...] = ()) -> GateResult:
    """The approval gate's word against a change."""
    return GateResult(Gate.APPROVAL, Verdict.HELD, reason, message, evidence, hint)
