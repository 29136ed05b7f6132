"""Approval on GitHub: a merged pull request, and the people in it.

Facts only; who may approve what, and whether the merge left the content as it was reviewed, is judged elsewhere.
`facts` puts them together out of GitHub's answers (`answers`), what git says of the branch (`landing`) and who is who
(`people`); `sharing` lets many ask at once. `proposals` opens pull requests; `pull_requests` and `deployments` show
plans and rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from reconciler.errors import Reason, Terminal
from reconciler.forges.github.answers import unavailable
from reconciler.forges.github.deployments import GitHubDeployments
from reconciler.forges.github.facts import Facts, Rules
from reconciler.forges.github.people import People
from reconciler.forges.github.proposals import Proposals
from reconciler.forges.github.pull_requests import GitHubPullRequests
from reconciler.forges.github.sharing import Shared
from reconciler.github import Api, GitHubOptions, Need, check, connect
from reconciler.github.addresses import Addresses
from reconciler.model import CommitId, ForgeFacts, Proposal
from reconciler.ports import Clock, Deployments, Forge, Parts, PullRequests


def _template(value: str) -> str:
    try:
        address = urlsplit(value.format(environment="shop/prod"))
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("only {environment} is put in; a brace of its own is written twice") from None
    if address.scheme not in ("http", "https") or not address.netloc:
        raise ValueError("an address that begins with https:// or http://")
    return value


Template = Annotated[str, AfterValidator(_template)]


class GitHubForgeOptions(GitHubOptions):
    """The operator's settings below `forge:` for this type."""

    repository_id: int | None = Field(
        None, ge=1, description="the repository's number; one that is made anew under the same name has another"
    )
    authors: Literal["linked", "claimed"] = Field(
        "linked",
        description="linked: GitHub must know an account behind each commit's author and committer, and who pushed the "
        "head, or nobody knows whose work it is; claimed: believe the author lines, which anybody can write",
    )
    plans: bool = Field(True, description="whether plans are shown on open pull requests")
    rollouts: bool = Field(True, description="whether rollouts are shown as deployments")
    environment_url: Template | None = Field(
        None, description="where an environment can be seen, with {environment} in it; shown with its deployments"
    )
    log_url: Template | None = Field(
        None, description="where to read on about an environment, with {environment} in it; shown with its deployments"
    )


def create(options: Mapping[str, object], parts: Parts) -> Forge:
    """The forge, ready to use. GitHub is not asked before the first question.

    Raises:
        pydantic.ValidationError: The options are not those of this type.
        Terminal: `InvalidSettings`: there is no repository, or no branch is tracked.
    """
    if parts.repository is None or not parts.branch:
        raise Terminal(Reason.INVALID_SETTINGS, "forge github: needs a repository, and a branch that is tracked")
    settings = GitHubForgeOptions.model_validate(dict(options))
    api = connect(settings, parts, unavailable)
    rules = Rules(
        parts.branch, settings.repository_id, parts.bounds.merged_commits, proven=settings.authors == "linked"
    )
    host = (urlsplit(settings.url).hostname or "").removeprefix("api.")
    return GitHubForge(
        Facts(api, parts.repository, People(api, host), rules),
        parts.clock,
        Rights(api, settings),
        Proposals(api),
        GitHubPullRequests(api, parts.branch, settings.repository_id),
        GitHubDeployments(api, settings.environment_url, settings.log_url),
        Addresses(settings, parts.branch),
    )


class Rights:
    """Whether GitHub lets this credential do what the settings want of it."""

    def __init__(self, api: Api, settings: GitHubForgeOptions) -> None:
        self._api = api
        self._settings = settings

    def check(self) -> str:
        """What GitHub answers; see `reconciler.github.check`.

        Raises:
            Transient: `ForgeUnavailable`: something is wrong or missing.
        """
        checked, wanted = check(self._api, self._needs(), unavailable), self._settings.repository_id
        if wanted not in (None, checked.id):
            raise unavailable(
                f"{self._settings.repository} at GitHub has the id {checked.id}, not {wanted}: it is another one",
                "correct forge.repository_id if the repository was made anew by you",
            )
        return checked.message

    @property
    def requests(self) -> int:
        """How many requests GitHub got so far."""
        return self._api.requests

    def _needs(self) -> list[Need]:
        plans, rollouts = self._settings.plans, self._settings.rollouts
        needs = [Need("contents", "read", "who pushed and wrote a change", "/commits")]
        if plans:
            needs.append(Need("pull_requests", "write", "who approved it; comments with plans", "/pulls"))
            needs.append(Need("statuses", "write", "the status reconciler/plan"))
        else:
            needs.append(Need("pull_requests", "read", "who approved it", "/pulls"))
        if rollouts:
            needs.append(Need("deployments", "write", "rollouts as deployments", "/deployments"))
        return needs


class GitHubForge:
    """Implements `ports.Forge`, and `ports.Checkable`. Safe to use from several threads.

    What `facts` costs, for a change that came by one pull request of at most 100 commits and reviews and 100 changes
    of its branch:

    - one request each for: the pull requests of the commit, the pull request, its commits, its reviews, what changed
      its branch;
    - one for the pull request's events, if somebody approved its head or a person merged it: for when it was pointed
      at another base, and whether GitHub merged it by itself;
    - one for each person whose word may count, for their rights: who approved the head, and who merged. Not for bots,
      nor for whoever withdrew. For authors, too, since a rule may allow them;
    - one for each such person with the right to write, and team of the repository's organisation in `teams`;
    - one for each co-author's address that is seen for the first time, GitHub's own addresses left out;
    - one for the repository's number, once a process, unless `repository_id` gives it.

    So seven when somebody approved and merged what another person wrote, and one for a commit that nobody asked to let
    in. However many environments ask about one commit, that is once in `SHARED_SECONDS`, or after `look_again`: rights
    and reviews are at most so old. GitHub does not count an answer that it confirms as unchanged against the rate limit
    ("Best practices for using the REST API").
    """

    def __init__(
        self,
        facts: Facts,
        clock: Clock,
        rights: Rights,
        proposals: Proposals,
        pull_requests: PullRequests,
        deployments: Deployments,
        addresses: Addresses,
    ) -> None:
        self._facts = facts
        self._shared = Shared(facts.of, clock)
        self._rights = rights
        self._proposals = proposals
        self._pull_requests = pull_requests
        self._deployments = deployments
        self.addresses = addresses
        """Where GitHub shows things to people."""

    @property
    def repository_id(self) -> int | None:
        """The repository's number, once it is known; nobody is asked for it here."""
        return self._facts.known_id

    @property
    def requests(self) -> int:
        """How many requests GitHub's API got from us so far."""
        return self._rights.requests

    def facts(self, commit: CommitId, teams: Set[str] = frozenset()) -> ForgeFacts:
        """The merged pull requests that brought a commit to the tracked branch; a note says why there is none.

        With `authors: linked`, a request names as unproven the commits of which GitHub knows no account behind the
        author's or the committer's address, and its head when GitHub does not know who pushed it (the branch's fork
        was removed, say): then whoever approved may have approved their own work. A link proves little by itself, as
        anybody can write anybody's address into a commit. But such a commit has to be pushed: whoever pushes is known
        by their credentials, and is an author for that. `claimed` believes the lines as they stand, and leaves
        nothing unproven.

        Raises:
            Transient: `ForgeUnavailable`, `RepositoryUnavailable`.
        """
        return self._shared.of(commit, teams)

    def look_again(self) -> None:
        """Something may have happened: GitHub is asked anew."""
        self._shared.forget()

    def check(self) -> str:
        """Whether GitHub answers, and lets us do what we are set up for."""
        return self._rights.check()

    def propose(self, proposal: Proposal) -> str:
        """Open the one pull request of a branch, or bring it up to date; returns its address.

        Raises:
            Transient: `ForgeUnavailable`; `CredentialsNeeded` when the credential may not.
        """
        return self._proposals.propose(proposal)

    def proposed(self, branch: str) -> bool:
        """Whether a pull request of a branch was ever opened, by anybody, whatever became of it.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        return self._proposals.proposed(branch)

    @property
    def pull_requests(self) -> PullRequests:
        """Where plans are shown before a merge. Whether the daemon does so is the option `plans`, for `wiring`."""
        return self._pull_requests

    @property
    def deployments(self) -> Deployments:
        """Where rollouts are shown. Whether the daemon does so is the option `rollouts`, for `wiring`."""
        return self._deployments
