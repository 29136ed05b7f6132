"""Plans on GitHub's pull requests: one comment of ours on each, edited in place, and one commit status on its head.

Who we are is told by GitHub in its answer to the first status that we set: with a user's token, an App's and the one
of a workflow alike. A comment is ours by its author and its first line; what others write with that line is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconciler.errors import CredentialsNeeded, Reason, Transient
from reconciler.forges.github.answers import Account, PullSummary, Somebody, read, read_all, unavailable
from reconciler.github import Api, NotThere, Refused
from reconciler.github.answers import GitHubAnswer
from reconciler.model import CommitId, OpenRequest, PlanNotice

CONTEXT = "reconciler/plan"
"""Of the commit status; what branch protection may ask for."""
MARK = "<!-- reconciler-plan "
"""How the first line of our comment begins."""
DESCRIPTION = 140
"""Characters of a status' description. Origin: "Create a commit status" in GitHub's REST documentation."""
_NEWEST = 100
"""Statuses of a head, of whatever context, among which ours is looked for."""


class Comment(GitHubAnswer):
    """`issue-comment`."""

    id: int
    body: str = ""
    user: Somebody = None


class CommitStatus(GitHubAnswer):
    """`status`."""

    state: str
    context: str
    description: str | None = None
    creator: Account | None = None


class GitHubPullRequests:
    """Implements `ports.PullRequests`.

    To show one notice takes five requests at most where nothing was told before: the request, its statuses, the
    status, the comments, the comment. One that says nothing new takes three, which GitHub confirms as unchanged.

    Args:
        api: GitHub.
        branch: The tracked branch.
        repository_id: Of the repository; None: it is known by its name alone.
    """

    def __init__(self, api: Api, branch: str, repository_id: int | None = None) -> None:
        self._api = api
        self._branch = branch
        self._repository_id = repository_id
        self._me: int | None = None
        """Our account's id, once GitHub told it."""

    @property
    def references(self) -> str:
        """GitHub keeps each request's head as a reference of the repository it is against."""
        return "refs/pull/*/head"

    def open(self) -> tuple[OpenRequest, ...]:
        """Every open request against the tracked branch.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        with self._asking("read pull requests", "Pull requests: read"):
            found = self._api.pages(self._place("/pulls"), {"state": "open", "base": self._branch})
        return tuple(_request(pull) for pull in read_all(PullSummary, found) if self._counts(pull))

    def get(self, number: int) -> OpenRequest | None:
        """One request; None when it is not open, or not against the tracked branch.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        try:
            pull = read(PullSummary, self._api.get(self._place(f"/pulls/{number}")))
        except NotThere:
            return None
        return _request(pull) if self._counts(pull) else None

    def show(self, notice: PlanNotice) -> None:
        """Make the one comment and the one commit status of a request what they should be. Idempotent.

        Nothing is shown when the request was closed since, or has another head: that plan is nobody's any more.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        request = self.get(notice.number)
        if request is None or request.head != notice.head:
            return
        self._set_status(notice)
        self._comment(notice)

    # --- the status -------------------------------------------------------------------------------

    def _set_status(self, notice: PlanNotice) -> None:
        wanted = {"state": _state(notice), "context": CONTEXT, "description": notice.summary[:DESCRIPTION]}
        with self._asking("set a commit status", "Commit statuses: write"):
            if self._me is None or self._newest_status(notice.head) != (wanted["state"], wanted["description"]):
                made = read(CommitStatus, self._api.post(self._place(f"/statuses/{notice.head}"), wanted))
                self._me = made.creator.id if made.creator else self._me

    def _newest_status(self, head: CommitId) -> tuple[str, str] | None:
        """What our newest one says; GitHub lists the newest first ("List commit statuses for a reference")."""
        found = self._api.get(self._place(f"/commits/{head}/statuses"), {"per_page": _NEWEST})
        for status in read_all(CommitStatus, found):
            if status.context == CONTEXT:
                ours = status.creator is not None and status.creator.id == self._me
                return (status.state, status.description or "") if ours else None
        return None

    # --- the comment ------------------------------------------------------------------------------

    def _comment(self, notice: PlanNotice) -> None:
        with self._asking("comment on pull requests", "Pull requests: write"):
            ours = self._ours(notice.number)
            said = bool(ours) and self._edited(ours[0], notice.body)
            if not said and not notice.quiet:
                self._api.post(self._place(f"/issues/{notice.number}/comments"), {"body": notice.body})
            for comment in ours[1:]:
                self._remove(comment)

    def _ours(self, number: int) -> list[Comment]:
        """Oldest first, as GitHub lists them. There is more than one only after two of us were at it at once."""
        found = read_all(Comment, self._api.pages(self._place(f"/issues/{number}/comments")))
        return [one for one in found if one.user and one.user.id == self._me and one.body.startswith(MARK)]

    def _edited(self, comment: Comment, body: str) -> bool:
        """Whether the comment says it now; not when somebody removed it meanwhile."""
        if _plain(comment.body) == _plain(body):
            return True
        try:
            self._api.patch(self._place(f"/issues/comments/{comment.id}"), {"body": body})
        except NotThere:
            return False
        return True

    def _remove(self, comment: Comment) -> None:
        with suppress(NotThere):
            self._api.delete(self._place(f"/issues/comments/{comment.id}"))

    # --- both -------------------------------------------------------------------------------------

    def _counts(self, pull: PullSummary) -> bool:
        """Whether it is open, and against the tracked branch of the very repository that is meant."""
        base = pull.base
        ours = base.repo is not None and self._repository_id in (None, base.repo.id)
        return pull.state == "open" and base.ref == self._branch and ours

    def _place(self, rest: str) -> str:
        return self._api.of_repository(rest)

    @contextmanager
    def _asking(self, what: str, permission: str) -> Iterator[None]:
        """A no becomes `ForgeUnavailable`, in words."""
        try:
            yield
        except Refused as refused:
            raise _refused(refused, what, permission) from refused
        except NotThere as missing:
            raise _told(f"to {what}: {missing} for this credential", permission) from missing


def _request(pull: PullSummary) -> OpenRequest:
    head, ref = CommitId(pull.head.sha), f"refs/pull/{pull.number}/head"
    return OpenRequest(pull.number, head, ref, pull.title, pull.html_url)


def _state(notice: PlanNotice) -> str:
    return "error" if notice.broken else "failure" if notice.refused else "success"


def _plain(body: str) -> str:
    return body.replace("\r\n", "\n").strip()


def _refused(refused: Refused, what: str, permission: str) -> Transient:
    if refused.status in (401, 403):
        return _told(f"GitHub does not let us {what}: {refused.message}", permission, refused.hint)
    return unavailable(f"GitHub refuses to let us {what}: {refused.message}", refused.hint)


def _told(message: str, permission: str, hint: str = "") -> CredentialsNeeded:
    wanted = f"the token or the App needs the permission {permission} on this repository"
    return CredentialsNeeded(Reason.FORGE_UNAVAILABLE, message, f"{wanted}; {hint}" if hint else wanted)
