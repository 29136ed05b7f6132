"""From a commit on the branch to the pull request that brought it there, with everybody who had a part in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.errors import PolicyDenied
from reconciler.forges.github.answers import (
    IssueEvent,
    ListedCommit,
    Pull,
    PullReview,
    PullSummary,
    RepositoryName,
    read,
    read_all,
    unavailable,
)
from reconciler.forges.github.landing import landed
from reconciler.forges.github.people import People, TooMany, person
from reconciler.github import Api, NotThere
from reconciler.model import ChangeRequest, CommitId, Decision, ForgeFacts, Person, Review
from reconciler.ports import Repository

HOW = "open a pull request and have somebody else approve and merge it"
"""How a change is let in, for people."""
LISTED = 250
"""Commits that GitHub lists of one pull request at most ("List commits on a pull request")."""

_RETARGETED = frozenset({"base_ref_changed", "automatic_base_change_succeeded"})
"""Of "Issue event types": somebody chose another base, or GitHub did when the former one was merged and deleted."""
_AUTO_MERGE = re.compile(r"auto_(?:merge|squash|rebase)_(?:enabled|disabled)")
"""Of the same: one for each method of merging."""
_SAID = {state.name: state for state in Decision}
"""Reviews that decide something; a comment, and a review that is not submitted yet, take nothing back."""


class Unusable(Exception):
    """A pull request that let nothing in here; the message says why, to people."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator's settings say about facts.

    Args:
        branch: The tracked branch.
        repository_id: The repository's number, when it was given.
        commits: Most commits that one pull request may bring.
        proven: Whether it must be known who wrote and pushed them.
    """

    branch: str
    repository_id: int | None
    commits: int
    proven: bool


class Facts:
    """Asks GitHub and git; see `GitHubForge` for what it costs. Safe to use from several threads."""

    def __init__(self, api: Api, repository: Repository, people: People, rules: Rules) -> None:
        self._api = api
        self._repository = repository
        self._people = people
        self._rules = rules
        self._id = rules.repository_id

    def of(self, commit: CommitId, teams: Set[str]) -> ForgeFacts:
        """How a commit came to the branch.

        Raises:
            Transient: `ForgeUnavailable`, `RepositoryUnavailable`.
        """
        try:
            said = self._api.pages(self._api.of_repository(f"/commits/{commit}/pulls"))
        except NotThere:
            return _none(commit, "GitHub does not have this commit (yet)")
        requests, notes = [], []
        for pull in read_all(PullSummary, said):
            try:
                requests.append(self._request(commit, pull, teams))
            except (Unusable, TooMany) as why:
                notes.append(f"#{pull.number} {why}")
            except PolicyDenied as refused:  # a commit too large to be read: what came with it is never approved
                notes.append(f"#{pull.number} can't be judged: {refused.message}")
        if requests:
            return ForgeFacts(commit, tuple(requests), how=HOW)
        return _none(commit, "; ".join(notes) or "no pull request brought it: somebody pushed it to the branch")

    @property
    def known_id(self) -> int | None:
        """The number of the repository, as given, or as it was when a change was first judged; None before."""
        return self._id

    def _repository_id(self) -> int:
        if self._id is None:
            try:
                self._id = read(RepositoryName, self._api.get(self._api.of_repository(""))).id
            except NotThere:
                raise unavailable(
                    f"GitHub has no repository {self._api.repository}, or does not show it",
                    "check forge.repository, and that the token or the app may read it",
                ) from None
        return self._id

    def _request(self, commit: CommitId, found: PullSummary, teams: Set[str]) -> ChangeRequest:
        self._check(found)
        pull = read(Pull, self._api.get(self._api.of_repository(f"/pulls/{found.number}")))
        self._check(pull)
        if pull.merge_commit_sha is None:
            raise Unusable("was merged, but GitHub does not say as which commit")
        head, merged = CommitId(pull.head.sha), CommitId(pull.merge_commit_sha)
        listed = self._commits(pull)
        head_ref = f"refs/pull/{pull.number}/head"
        brought = landed(self._repository, commit, merged, head, head_ref, listed)
        if not brought:
            raise Unusable(f"was merged as {merged[:12]}, which is not how this commit came to {self._rules.branch}")
        said = self._reviews(pull)
        approved = any(review.decision is Decision.APPROVED and review.head == head for review in said)
        merger = person(pull.merged_by) if pull.merged_by else None
        events = self._events(pull) if approved or (merger and not merger.bot) else ()
        hands = self._people.hands(pull, listed)
        merger = None if _merged_unseen(events, hands.head_pushed) else merger
        unproven = dict.fromkeys([*hands.unlinked, *([] if hands.head_pushed is not None else [head])])
        reviews, merged_by = self._speakers(head, said, merger, teams)
        return ChangeRequest(
            ref=f"#{pull.number}",
            title=pull.title.strip()[:200],
            head=head,
            merged_as=merged,
            authors=hands.authors,
            unproven_authors=tuple(unproven) if self._rules.proven else (),
            reviews=reviews,
            merged_by=merged_by,
            landed=brought,
            retargeted=max((one.created_at for one in events if one.event in _RETARGETED), default=None),
            head_ref=head_ref,
        )

    def _check(self, pull: PullSummary) -> None:
        """Raises `Unusable` for a pull request that was not merged into the tracked branch of this repository."""
        if pull.merged_at is None:
            raise Unusable("is open, not merged" if pull.state == "open" else "was closed without a merge")
        base = pull.base.repo
        if base is None or base.id != self._repository_id():
            self._check_name(base)
            raise Unusable(f"is of another repository{f', {base.full_name}' if base else ''}")
        if pull.base.ref != self._rules.branch:
            raise Unusable(f"was merged into {pull.base.ref[:200]}, not {self._rules.branch}")

    def _check_name(self, base: RepositoryName | None) -> None:
        """Raises `ForgeUnavailable` when another repository stands under our one's name."""
        if base and base.full_name.casefold() == self._api.repository.casefold():
            raise unavailable(
                f"the repository {base.full_name} at GitHub has the id {base.id}, not {self._id}: it is another one",
                "whoever approved there did not approve here; when it was made anew by you, set forge.repository_id, "
                "or restart where it is not set",
            )

    def _commits(self, pull: Pull) -> tuple[ListedCommit, ...]:
        """All commits of a pull request; whose they are can't be told when there are more than are listed."""
        limit = min(LISTED, self._rules.commits)
        if pull.commits > limit:
            which = "which GitHub lists at most" if limit == LISTED else "bounds.merged_commits"
            raise Unusable(f"brings {pull.commits} commits, more than {limit} ({which}): nobody can tell their authors")
        listed = read_all(ListedCommit, self._pages(pull, "/pulls/{}/commits"))
        if len(listed) != pull.commits:
            raise unavailable(
                f"GitHub lists {len(listed)} commits of #{pull.number}, of {pull.commits}",
                "nothing to do: it is asked again",
            )
        if pull.head.sha not in {one.sha for one in listed}:
            raise Unusable(
                f"has a head, {pull.head.sha[:12]}, that is none of its commits: nobody can tell its authors"
            )
        return listed

    def _reviews(self, pull: Pull) -> tuple[Review, ...]:
        """The latest decision of each person, by id. The list is in the order of time ("List reviews")."""
        latest: dict[str, Review] = {}
        for one in read_all(PullReview, self._pages(pull, "/pulls/{}/reviews")):
            if one.user is not None and one.state in _SAID:  # None: the account is gone, and speaks for nobody
                who = person(one.user)
                latest[who.id] = Review(who, CommitId(one.commit_id or ""), _SAID[one.state], one.submitted_at)
        return tuple(latest.values())

    def _events(self, pull: Pull) -> tuple[IssueEvent, ...]:
        return read_all(IssueEvent, self._pages(pull, "/issues/{}/events"))

    def _speakers(
        self, head: CommitId, said: Sequence[Review], merged_by: Person | None, teams: Set[str]
    ) -> tuple[tuple[Review, ...], Person | None]:
        """Reviews and merger, with rights and teams of those whose word may count; of nobody else is it asked."""
        withdrawn = {review.person.id for review in said if review.decision is not Decision.APPROVED}
        fresh = [review.person for review in said if review.decision is Decision.APPROVED and review.head == head]
        asked: dict[str, Person] = {}
        for one in (*fresh, *([merged_by] if merged_by else [])):
            if one.id not in asked and one.id not in withdrawn and not one.bot:
                asked[one.id] = self._people.speaker(one, teams)
        reviews = tuple(replace(review, person=asked.get(review.person.id, review.person)) for review in said)
        return reviews, asked.get(merged_by.id, merged_by) if merged_by else None

    def _pages(self, pull: Pull, path: str) -> Iterable[object]:
        return self._api.pages(self._api.of_repository(path.format(pull.number)))


def _merged_unseen(events: Sequence[IssueEvent], head_pushed: datetime | None) -> bool:
    """Whether GitHub merged it by itself, for somebody who did not see the head.

    As the one who merged it names whoever enabled auto-merge, which stays enabled when a writer pushes more or points
    the pull request at another branch ("Automatically merging a pull request"). The list is in the order of time.
    """
    enabled: datetime | None = None
    for one in events:
        if _AUTO_MERGE.fullmatch(one.event):
            enabled = one.created_at if one.event.endswith("_enabled") else None
    changed = [one.created_at for one in events if one.event in _RETARGETED]
    return enabled is not None and (head_pushed is None or enabled <= max([head_pushed, *changed]))


def _none(commit: CommitId, note: str) -> ForgeFacts:
    return ForgeFacts(commit, (), note, HOW)
