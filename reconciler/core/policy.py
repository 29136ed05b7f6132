"""Whether one commit was let in by one policy: the counting of people.

Takes the forge's facts about the commit; knows nothing of its history, which is the judge's (`approve`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from reconciler.core.declare import ApprovalSpec
from reconciler.errors import Reason
from reconciler.model import (
    ChangeRequest,
    CommitId,
    Decision,
    Digest,
    ForgeFacts,
    Gate,
    GateResult,
    Person,
    Review,
    Verdict,
)

Policy = ApprovalSpec | Literal["none"]

HOW = "have somebody who had no hand in it approve and merge it"
_PROVE = (
    "have the authors of these commits proven: by signatures; or, where people have accounts, by addresses and pushes "
    "of theirs. Then bring the change in anew"
)
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
class Around:
    """How one file stood around one request; digests of its bytes, None where it was absent."""

    head: Digest | None
    """At the head that was reviewed."""
    before: Digest | None
    """On the branch, before the first commit that the request brought there."""
    landed: Digest | None
    """On the branch, after the last commit that the request brought there and the branch's history went through."""
    bases: frozenset[Digest | None]
    """Where the request's branch began: at every merge base of its head and what it was brought onto; absent when the
    two have no history in common."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The forge's facts about one commit, and how the file stood around each request named there, by its `ref`."""

    facts: ForgeFacts
    around: Mapping[str, Around]

    def is_underway(self, step: Step) -> bool:
        """Whether the step left a state in the middle of a request: one that none of its reviewers was shown."""
        after = step.after.digest if step.after else None
        return any(
            step.commit in request.landed and self.around[request.ref].landed != after
            for request in self.facts.requests
        )


@dataclass(frozen=True, slots=True)
class Granted:
    """One request that satisfies a policy."""

    request: str
    approvers: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    """The facts that it rests on, for the record."""


def teams(policies: Iterable[Policy]) -> frozenset[str]:
    """The teams that rules name: whose membership is to be asked for."""
    named = (name for policy in policies if policy != "none" for name in policy.from_ or ())
    return frozenset(name for name in named if name.startswith("@"))


def ask(policy: Policy, step: Step, evidence: Evidence | None) -> Granted | GateResult:
    """Whether one commit satisfies one policy: by the best of its requests.

    Args:
        policy: What is asked for.
        step: The commit, and the file after it.
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
    words = [_weigh(policy, step, request, evidence.around[request.ref]) for request in evidence.facts.requests]
    return next((word for word in words if isinstance(word, Granted)), words[0])


def _weigh(policy: ApprovalSpec, step: Step, request: ChangeRequest, around: Around) -> Granted | GateResult:
    """One request against one policy."""
    about = (f"commit {step.commit[:12]}", f"{request.ref}: {request.title}", *account(request))
    if step.commit not in (request.landed or (request.merged_as,)):
        return refused(Reason.APPROVAL_MISSING, f"{request.ref} was not merged as this commit", _REVERT, about)
    if around.head != around.landed:
        message = f"the file in {request.ref} differs from the reviewed head {request.head[:12]}"
        return refused(Reason.APPROVAL_STALE, message, "bring the branch up to date, have it reviewed again", about)
    if any(base != around.before for base in around.bases):
        # Else the merge could bring back what stood where the branch began, and its author is not among those of
        # the merged commits: whoever merges would approve what nobody in this request wrote.
        message = f"the file changed on the branch since {request.ref} began"
        return refused(Reason.APPROVAL_STALE, message, "bring the branch up to date, have it reviewed again", about)
    if request.unproven_authors and not policy.allow_self:
        commits = ", ".join(commit[:12] for commit in request.unproven_authors[:3])
        message = f"nobody proved to have written {commits}, so whoever merged it may have approved their own work"
        return refused(Reason.SELF_APPROVAL, message, _PROVE, about)
    return _count(policy, request, about)


def _count(policy: ApprovalSpec, request: ChangeRequest, about: tuple[str, ...]) -> Granted | GateResult:
    """Count the people who approved: each once, no bot, no author, of those who may."""
    said = [review for review in request.reviews if review.decision is Decision.APPROVED]
    fresh = [review.person for review in said if _is_fresh(review, request)]
    withdrawn = {r.person.id for r in request.reviews if r.decision is not Decision.APPROVED}
    people = {person.id: person for person in (*fresh, *([request.merged_by] if request.merged_by else []))}
    humans = [p for p in people.values() if not p.bot and p.id not in withdrawn]
    others = [p for p in humans if policy.allow_self or not _same_person(p, request.authors)]
    allowed = [p for p in others if p.writer and (policy.from_ is None or _named(p, policy.from_))]
    if len(allowed) >= policy.required:
        return Granted(request.ref, tuple(p.named_id for p in sorted(allowed, key=lambda p: p.id)), about[1:])
    missing = f"{request.ref} has {len(allowed)} of {policy.required} approvals that count"
    if len(others) > len(allowed):
        names = ", ".join(p.name for p in others if p not in allowed)
        rule = ", ".join(policy.from_ or ("people who may write to the repository",))
        message = f"{missing}: {names} may not approve here, only {rule}"
        return refused(Reason.APPROVER_NOT_ALLOWED, message, "have somebody named there approve", about)
    if len(humans) > len(others):
        names = ", ".join(p.name for p in humans if p not in others)
        return refused(Reason.SELF_APPROVAL, f"{missing}: {names} had a hand in the change", HOW, about)
    if len(said) > len(fresh):
        old = next(review for review in said if not _is_fresh(review, request))
        why = f"of an older head than {request.head[:12]}"
        if old.head == request.head:
            why = "older than the change of its target branch: it was of another difference"
        return refused(
            Reason.APPROVAL_STALE, f"{missing}: a review is {why}", "have the last head reviewed again", about
        )
    return refused(Reason.APPROVAL_MISSING, missing, HOW, about)


def _is_fresh(review: Review, request: ChangeRequest) -> bool:
    """Whether it was said of what was merged: of that head, and of its difference to the tracked branch."""
    if review.head != request.head:
        return False
    return request.retargeted is None or (review.at is not None and review.at > request.retargeted)


def account(request: ChangeRequest) -> tuple[str, ...]:
    """The facts about a request, in lines for the record: who had which part in it, by immutable ids."""
    merger = f" by {_shown(request.merged_by)}" if request.merged_by else ""
    authors = _told_once(request.authors)
    lines = [
        f"{request.ref}: head {request.head} merged as {request.merged_as}{merger}",
        f"{request.ref}: by {', '.join(map(_shown, authors[:_TOLD])) or 'nobody known'}{_more(len(authors))}",
    ]
    if request.retargeted:
        lines.append(f"{request.ref}: pointed at this branch at {_moment(request.retargeted)}")
    for review in request.reviews[:_TOLD]:
        at = f", {_moment(review.at)}" if review.at else ""
        lines.append(f"{request.ref}: {_shown(review.person)} {review.decision} {review.head[:12]}{at}")
    if len(request.reviews) > _TOLD:
        lines.append(f"{request.ref}:{_more(len(request.reviews))} reviews")
    return tuple(lines)


_TOLD = 20
"""People of one request that a record names."""


def _told_once(people: tuple[Person, ...]) -> tuple[Person, ...]:
    """Without addresses of those who are there by themselves: whoever signs a commit is mostly its author, too."""
    known = [person for person in people if not person.is_claimed]
    return tuple(person for person in people if not (person.is_claimed and _same_person(person, known)))


def _more(count: int) -> str:
    return f" and {count - _TOLD} more" if count > _TOLD else ""


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(person: Person) -> str:
    """A name and, where it says more, the id that it had."""
    told = person.named_id
    teams_of = sorted(name for name in person.names if name.startswith("@"))
    told += f" of {', '.join(teams_of)}" if teams_of else ""
    return told + (", a bot," if person.bot else "") + ("" if person.writer else ", who may not write,")


def _same_person(person: Person, others: Iterable[Person]) -> bool:
    return any(person.id == other.id or _folded(person.names) & _folded(other.names) for other in others)


def _named(person: Person, names: Iterable[str]) -> bool:
    return bool(_folded((*person.names, person.id)) & _folded(names))


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def refused(reason: Reason, message: str, hint: str, evidence: tuple[str, ...] = ()) -> GateResult:
    """The approval gate's word against a change."""
    return GateResult(Gate.APPROVAL, Verdict.HELD, reason, message, evidence, hint)
