"""Where approvals and artifacts come from in the fake world: its notes of who did what, its CI, and our own copies."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from reconciler.core.verify import VerifiedArtifact, verify
from reconciler.errors import IntegrityError, PolicyDenied, Reason
from reconciler.model import (
    Artifact,
    ChangeRequest,
    CommitId,
    Decision,
    Digest,
    ForgeFacts,
    Person,
    Proposal,
    Review,
    Run,
    RunId,
)
from reconciler.ports import ArtifactStream, Deployments, PullRequests
from tests.factories import NOON, sha256
from tests.simulation.faults import Faults

REPOSITORY = "acme/shop"
BOT = "robot"
LIMIT = 2**20
_RETARGETED = NOON + timedelta(minutes=1)
_EARLIER = {"ann": _RETARGETED, "cid": NOON}
"""When a word from before a request was pointed at the branch was said, by who said it; of others it is not known."""


@dataclass(frozen=True)
class Merge:
    """The world's note of one merged pull request; people by name."""

    commit: CommitId
    head: CommitId
    authors: frozenset[str]
    approved: frozenset[str] = frozenset()
    """Said yes to the head that was merged."""
    stale: frozenset[str] = frozenset()
    """Said yes to an earlier head only."""
    withdrew: frozenset[str] = frozenset()
    """Took their yes back."""
    merged_by: str | None = None
    early: frozenset[str] = frozenset()
    """Said yes to the head that was merged, before the request was pointed at this branch."""
    retargeted: bool = False
    landed: tuple[CommitId, ...] = ()
    """All commits that it brought, oldest first, `commit` last; empty: just that one."""
    began: tuple[CommitId, ...] = ()
    """Where its branch left the tracked one."""

    @property
    def head_ref(self) -> str:
        """Where the head stays at the remote after the merge."""
        return f"refs/pull/{int(self.commit[:12], 16)}/head"


class FakeForge:
    """`ports.Forge` out of the world's notes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.merges: dict[CommitId, Merge] = {}
        """By each commit that they brought."""
        self.asked: list[CommitId] = []
        """About which commits facts were asked for."""
        self.readers: set[str] = set()
        """Who may not write to the repository now."""
        self.proposals: dict[str, Proposal] = {}
        """The one open pull request of each branch."""
        self.pull_requests: PullRequests | None = None
        self.deployments: Deployments | None = None

    def facts(self, commit: CommitId, teams: Set[str] = frozenset()) -> ForgeFacts:
        self._faults.at("forge:facts")
        self.asked.append(commit)
        merge = self.merges.get(commit)
        return ForgeFacts(commit, (self._request(merge),) if merge else (), "" if merge else "nobody asked")

    def look_again(self) -> None:
        """Nothing is kept."""

    def propose(self, proposal: Proposal) -> str | None:
        self._faults.at("forge:propose")
        self.proposals[proposal.branch] = proposal
        return f"#{list(self.proposals).index(proposal.branch) + 1}"

    def proposed(self, branch: str) -> bool:
        self._faults.at("forge:proposed")
        return branch in self.proposals

    def _request(self, merge: Merge) -> ChangeRequest:
        return ChangeRequest(
            ref=f"#{int(merge.commit[:4], 16)}",
            title="a change",
            head=merge.head,
            merged_as=merge.commit,
            authors=tuple(map(self._person, sorted(merge.authors))),
            unproven_authors=(),
            reviews=tuple(self._reviews(merge)),
            merged_by=self._person(merge.merged_by) if merge.merged_by else None,
            landed=merge.landed,
            retargeted=_RETARGETED if merge.retargeted else None,
            head_ref=merge.head_ref,
        )

    def _reviews(self, merge: Merge) -> Iterator[Review]:
        earlier, late = CommitId("e" * 40), _RETARGETED + timedelta(seconds=1)
        for name in sorted(merge.approved - merge.withdrew):
            yield Review(self._person(name), merge.head, Decision.APPROVED, late)
        for name in sorted(merge.early - merge.approved - merge.withdrew):
            yield Review(self._person(name), merge.head, Decision.APPROVED, _EARLIER.get(name))
        for name in sorted(merge.stale - merge.withdrew):
            yield Review(self._person(name), earlier, Decision.APPROVED, late)
        for name in sorted(merge.withdrew):
            yield Review(self._person(name), merge.head, Decision.CHANGES_REQUESTED, late)

    def _person(self, name: str) -> Person:
        return Person(f"id-{name}", frozenset({name}), bot=name == BOT, writer=name not in self.readers)


def bytes_of(run: int) -> bytes:
    """What a run's artifact is when nobody meddled."""
    return f"artifact of run {run}\n".encode()


def digest_of(run: int) -> Digest:
    return sha256(bytes_of(run))


class FakeSource:
    """`ports.Source`: CI as the world set it up. Every chunk is nine bytes, so that streams can break in the middle."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.runs: dict[int, Run] = {}
        self.served: dict[int, bytes] = {}
        self.forgot: dict[int, Reason] = {}
        """Runs that CI has thrown away, as a whole or their bytes, and what it says of them since."""

    def build(self, run: int, *, says_digest: bool = True) -> None:
        """A good run, as CI ends it."""
        data = bytes_of(run)
        artifact = Artifact("shop", "shop.tar", len(data), sha256(data) if says_digest else None)
        self.runs[run] = Run(
            run_id=RunId(run),
            repository=REPOSITORY,
            head_repository=REPOSITORY,
            workflow="build",
            branch="main",
            event="push",
            commit="a" * 40,
            conclusion="success",
            attempt=1,
            created=NOON,
            artifacts=(artifact,),
        )
        self.served[run] = data

    def fail(self, run: int) -> None:
        self.build(run)
        self.runs[run] = replace(self.runs[run], conclusion="failure")

    def fork(self, run: int) -> None:
        self.build(run)
        self.runs[run] = replace(self.runs[run], head_repository="mallory/shop")

    def tamper(self, run: int) -> None:
        """CI says nothing of a digest, and gives out other bytes than were built."""
        self.build(run, says_digest=False)
        self.served[run] = b"evil of the same kind\n"

    def is_good(self, run: int) -> bool:
        """Whether a run can be deployed as built, by the world's own knowledge."""
        known = self.runs.get(run)
        fine = known is not None and known.conclusion == "success" and known.head_repository == REPOSITORY
        return fine and self.served[run] == bytes_of(run)

    def forget(self, run: int, how: Reason = Reason.RUN_NOT_FOUND) -> None:
        """CI throws away a run, its artifact, or (`ArtifactExpired`) only the artifact's bytes."""
        self.forgot[run] = how

    def run(self, run_id: RunId) -> Run:
        self._faults.at("source:run")
        forgot = self.forgot.get(run_id)
        if run_id not in self.runs or forgot is Reason.RUN_NOT_FOUND:
            raise PolicyDenied(Reason.RUN_NOT_FOUND, f"there is no run {run_id}", "declare one that exists")
        run = self.runs[run_id]
        if forgot is Reason.ARTIFACT_MISSING:
            return replace(run, artifacts=())
        return replace(run, artifacts=tuple(replace(one, expired=forgot is not None) for one in run.artifacts))

    @contextmanager
    def open(self, run: Run, artifact: Artifact, offset: int) -> Iterator[ArtifactStream]:
        self._faults.at("source:open")
        if run.run_id in self.forgot:
            raise PolicyDenied(Reason.ARTIFACT_EXPIRED, f"the bytes of run {run.run_id} are gone", "declare another")
        yield _Stream(self.served[run.run_id][offset:], offset, self._faults)


class _Stream:
    def __init__(self, data: bytes, offset: int, faults: Faults) -> None:
        self._data = data
        self._faults = faults
        self.offset = offset

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), 9):
            self._faults.at("source:chunk")
            yield self._data[start : start + 9]


class FakeCustody:
    """`ports.Custody` in memory; believes no copy, like the real one."""

    def __init__(self, faults: Faults, wrote: Callable[[str], None]) -> None:
        self._faults = faults
        self._wrote = wrote
        self.copies: dict[Digest, bytes] = {}

    @contextmanager
    def obtain(
        self, digest: Digest, fetch: Callable[[int], AbstractContextManager[ArtifactStream]], *, anew: bool = False
    ) -> Iterator[VerifiedArtifact]:
        self._faults.at("custody:obtain")
        try:
            artifact = verify(io.BytesIO(b"" if anew else self.copies.get(digest, b"")), digest, LIMIT)
        except IntegrityError:
            with fetch(0) as stream:
                data = b"".join(stream)
            artifact = verify(io.BytesIO(data), digest, LIMIT)
            self._faults.at("custody:place")
            self.copies[digest] = data
            self._wrote("custody")
        yield artifact

    def holds(self, digest: Digest) -> bool:
        self._faults.at("custody:holds")
        return digest in self.copies

    def collect(self, keep: Set[Digest]) -> int:
        gone = self.copies.keys() - keep
        for digest in gone:
            del self.copies[digest]
        return len(gone)
