"""The one open pull request of a branch: opened, or brought up to date."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.errors import CredentialsNeeded, Reason, Transient
from reconciler.forges.github.answers import PullSummary, read, read_all, unavailable
from reconciler.github import Api, NotThere, Refused
from reconciler.model import Proposal

_NO_RIGHT = frozenset({401, 403})
_NOTHING_NEW = "no commits between"
"""What GitHub says in a 422 when the branch has nothing that the base lacks."""


class Proposals:
    """Opens pull requests. Safe to use from several threads, and to call again after any failure."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def propose(self, proposal: Proposal) -> str:
        """Open the pull request, or make the open one say what it should; returns its address.

        It is opened first and looked for afterwards: GitHub allows one for a branch and a base, and refuses another.

        Raises:
            Transient: `ForgeUnavailable`; `CredentialsNeeded` when the credential may not do it.
        """
        wanted = {"title": proposal.title, "body": proposal.body}
        try:
            place = {"head": proposal.branch, "base": proposal.base}
            return self._address(self._api.post(self._api.of_repository("/pulls"), {**wanted, **place}))
        except NotThere:
            raise self._hidden(proposal.branch) from None
        except Refused as refused:
            if refused.status != 422:
                raise _told(proposal, refused) from None
            found = self._open(proposal)
            if found is None:
                raise _told(proposal, refused) from None
        if (found.title, _lines(found.body)) == (proposal.title, _lines(proposal.body)):
            return found.html_url
        try:
            return self._address(self._api.patch(self._api.of_repository(f"/pulls/{found.number}"), wanted))
        except NotThere:
            raise self._hidden(proposal.branch) from None
        except Refused as refused:
            raise _told(proposal, refused) from None

    def proposed(self, branch: str) -> bool:
        """Whether one was ever opened for a branch, against whichever base, for one request.

        Raises:
            Transient: `ForgeUnavailable`; `CredentialsNeeded` when the credential may not see them.
        """
        try:
            return self._first(branch, {"state": "all"}) is not None
        except NotThere:
            raise self._hidden(branch) from None

    def _open(self, proposal: Proposal) -> PullSummary | None:
        """The open one."""
        return self._first(proposal.branch, {"state": "open", "base": proposal.base})

    def _first(self, branch: str, query: Mapping[str, str]) -> PullSummary | None:
        """One of a branch; never that of a fork whose owner has a branch of the same name."""
        owner = self._api.repository.partition("/")[0]
        asked = {**query, "head": f"{owner}:{branch}"}
        for one in read_all(PullSummary, self._api.pages(self._api.of_repository("/pulls"), asked)):
            home = one.head.repo
            if one.head.ref == branch and home and one.base.repo and home.id == one.base.repo.id:
                return one
        return None

    def _hidden(self, branch: str) -> CredentialsNeeded:
        return CredentialsNeeded(
            Reason.FORGE_UNAVAILABLE,
            f"GitHub shows no repository {self._api.repository} in which to open a pull request for {branch}",
            "check forge.repository, and give the token or the App this permission: pull_requests=write",
        )

    def _address(self, answer: object) -> str:
        return read(PullSummary, answer).html_url


def _told(proposal: Proposal, refused: Refused) -> Transient:
    """GitHub's no, in words."""
    if refused.status in _NO_RIGHT:
        return CredentialsNeeded(
            Reason.FORGE_UNAVAILABLE,
            f"this credential may not open a pull request for {proposal.branch}: {refused}",
            refused.hint or "give the token or the App this permission: pull_requests=write",
        )
    if _NOTHING_NEW in refused.message.lower():
        return unavailable(
            f"the branch {proposal.branch} holds nothing that {proposal.base} lacks, so there is nothing to merge",
            "nothing to do if it was merged by now; else look at the branch",
        )
    return unavailable(
        f"GitHub opens no pull request for {proposal.branch}: {refused}",
        f"look whether {proposal.branch} and {proposal.base} are branches of the repository at GitHub",
    )


def _lines(text: str | None) -> list[str]:
    """Without the ends of lines, which GitHub's pages change."""
    return [line.rstrip() for line in (text or "").strip().splitlines()]
