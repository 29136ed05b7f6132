"""Runs and artifacts of GitHub Actions: what GitHub says of them, and nothing concluded from it.

Repositories are told by their ids, which never pass to another repository; a name may, when it is given up.
That a run names a branch proves nothing either: GitHub calls a tag's run by the tag's name, and knows the
commits of every fork by their ids. So the branch itself is asked whether the commit is in its history.

One judgement costs three requests: the run, its artifacts (one for each hundred of them) and the comparison.
Asked again while nothing changed, GitHub answers each with 304, which counts against no rate limit. A
download costs one request, and one to the storage that it leads to, which gets to see no credential. Ours needs
to read Actions (runs, artifacts) and Contents (the comparison), and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from reconciler.bounds import Bounds
from reconciler.core.provenance import artifact_expired
from reconciler.errors import PolicyDenied, Reason
from reconciler.github import Api, GitHubOptions, Need, NotThere, check, connect
from reconciler.github.addresses import Addresses
from reconciler.github.answers import GitHubAnswer, Instant, read
from reconciler.model import Artifact, Digest, Run, RunId
from reconciler.net import Reach
from reconciler.ports import ArtifactStream, Parts, Source
from reconciler.sources import layout

_ENDED = "completed"
_REF = re.compile(r"@(?![^@]*\.ya?ml$)[^@]+$", re.IGNORECASE)
"""What may follow the path: `build.yml@main`. A file may itself be called `build.yml@other.yml`, and stays so."""
_NEEDS = (
    Need("actions", "read", "runs and artifacts", "/actions/artifacts"),
    Need("contents", "read", "whether a run's commit is on its branch", "/commits"),
)
_ON_BRANCH = frozenset({"behind", "identical"})


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a character that can't be printed")
    return value


_Text = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_printable)]
_Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Options(GitHubOptions):
    """What the operator sets for this source."""

    storage_hosts: tuple[str, ...] = Field(
        (),
        strict=False,
        description="host, host:port or *.domain where this GitHub stores artifacts; github.com's own are known",
    )

    @model_validator(mode="after")
    def _hosts(self) -> Self:
        many = [host for host in self.storage_hosts if host.startswith("*")]
        named = [host for host in self.storage_hosts if host not in many]
        Reach(self.url, named, layout.unavailable, many=many)
        return self


class _Repository(GitHubAnswer):
    id: _Id
    full_name: _Text


class _Run(GitHubAnswer):
    """`workflow-run` of GitHub's REST API description, "Get a workflow run"."""

    id: _Id
    repository: _Repository
    head_repository: _Repository | None
    path: _Text
    head_branch: _Text | None
    head_sha: str = Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")
    event: _Text
    status: _Text | None
    conclusion: _Text | None
    run_attempt: Annotated[int, Field(ge=1)] = 1
    created_at: Instant


class _Artifact(GitHubAnswer):
    """`artifact`, "List workflow run artifacts"; there is a digest since upload-artifact v4."""

    id: _Id
    name: _Text
    size_in_bytes: int = Field(ge=0, le=2**63 - 1)
    expired: bool
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None


class _Comparison(GitHubAnswer):
    """`commit-comparison`, "Compare two commits"."""

    status: Literal["ahead", "behind", "diverged", "identical"]


def create(options: Mapping[str, object], parts: Parts) -> Source:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not what this source takes.
    """
    chosen = Options.model_validate(dict(options))
    api = connect(chosen, parts, layout.unavailable, chosen.storage_hosts)
    return GitHubActions(api, parts.bounds, Addresses(chosen))


class GitHubActions:
    """Asks one repository for its runs."""

    def __init__(self, api: Api, bounds: Bounds, addresses: Addresses) -> None:
        self._api = api
        self._bounds = bounds
        self.addresses = addresses
        """Where GitHub shows things to people."""

    def run(self, run_id: RunId) -> Run:
        """The latest attempt of a run, with the artifacts of all of its attempts."""
        path = self._api.of_repository(f"/actions/runs/{run_id}")
        try:
            said = read(_Run, self._api.get(path), layout.unavailable)
            listed = self._api.pages(f"{path}/artifacts", items="artifacts")
        except NotThere:
            raise self._not_found(run_id) from None
        if said.id != run_id:
            raise layout.unavailable(f"GitHub was asked for run {run_id} and answers with run {said.id}")
        return self._told(said, self._artifacts(run_id, listed), self._on_branch(said))

    def check(self) -> str:
        """Whether GitHub answers, and lets us read what we need; for `ports.Checkable`.

        Raises:
            Transient: `SourceUnavailable`: something is wrong or missing.
        """
        return check(self._api, _NEEDS, layout.unavailable).message

    def open(self, run: Run, artifact: Artifact, offset: int) -> AbstractContextManager[ArtifactStream]:
        """The zip as GitHub stores it, from `offset` when the storage can resume, else from 0.

        Raises:
            PolicyDenied: `ArtifactExpired`, `ArtifactMissing`.
            Transient: `SourceUnavailable`.
        """
        return self._stream(run, artifact, offset)

    @contextmanager
    def _stream(self, run: Run, artifact: Artifact, offset: int) -> Iterator[ArtifactStream]:
        path = self._api.of_repository(f"/actions/artifacts/{artifact.file}/zip")
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(self._api.download(path, offset))
            except NotThere as absent:
                if absent.gone:  # "Download an artifact" has 410 for an expired one
                    raise artifact_expired(run, artifact) from None
                raise layout.artifact_missing(
                    f"artifact {artifact.file} of {self._api.repository}", run, artifact
                ) from None
            yield stream

    def _artifacts(self, run_id: RunId, listed: list[object]) -> tuple[Artifact, ...]:
        if len(listed) > self._bounds.run_artifacts:
            raise layout.unavailable(
                f"run {run_id} has more than the allowed {self._bounds.run_artifacts} artifacts",
                "raise bounds.run_artifacts in the settings if it is meant to have so many",
            )
        entries = [read(_Artifact, entry, layout.unavailable) for entry in listed]
        # A page may repeat what the one before ended with, when the list grew in between.
        return tuple(_artifact(entry) for entry in {entry.id: entry for entry in entries}.values())

    def _on_branch(self, said: _Run) -> bool:
        if said.head_branch is None:
            return False
        # In full: a tag of the same name would come first. "Compare two commits" takes refs and commits alike.
        branch = quote(f"refs/heads/{said.head_branch}", safe="")
        path = f"{self._api.of_repository('/compare')}/{branch}...{said.head_sha}"
        try:
            answer = self._api.get(path, {"per_page": 1})
        except NotThere:  # no such branch, or no common history with it
            return False
        return read(_Comparison, answer, layout.unavailable).status in _ON_BRANCH

    def _told(self, said: _Run, artifacts: tuple[Artifact, ...], on_branch: bool) -> Run:
        head = said.head_repository
        return Run(
            run_id=RunId(said.id),
            repository=str(said.repository.id),
            head_repository=str(head.id) if head else "",
            workflow=_REF.sub("", said.path),
            branch=said.head_branch or "",
            event=said.event,
            commit=said.head_sha,
            conclusion=_conclusion(said),
            attempt=said.run_attempt,
            created=said.created_at,
            artifacts=artifacts,
            on_branch=on_branch,
            repository_name=said.repository.full_name,
            head_repository_name=head.full_name if head else "",
        )

    def _not_found(self, run_id: RunId) -> PolicyDenied:
        return PolicyDenied(
            Reason.RUN_NOT_FOUND,
            f"{self._api.repository} has no run {run_id}",
            "check the run_id, and that the token may read Actions of that repository: "
            "GitHub calls absent what it may not show",
        )


def _conclusion(said: _Run) -> str:
    """How the run ended; while it has not, what it is at: a re-run may still show how the attempt before ended."""
    if said.status == _ENDED:
        return said.conclusion or ""
    return said.status or ""


def _artifact(entry: _Artifact) -> Artifact:
    digest = Digest(entry.digest.removeprefix("sha256:")) if entry.digest else None
    return Artifact(entry.name, str(entry.id), entry.size_in_bytes, digest, entry.expired)
