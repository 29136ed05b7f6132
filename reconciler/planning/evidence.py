"""The evidence around a plan: what two artifacts were built from, and how their files differ.

The new artifact's copy is taken into custody here, exactly as a pass would take it: when CI forgets the run between
the review and the merge, nothing is lost. What CI does not have any more is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from reconciler.archive.listing import listing
from reconciler.core.contents import FileFact, compare
from reconciler.core.declare import ArtifactSpec, Declaration
from reconciler.core.plandoc import Commits, Files, Subject
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import PolicyDenied, Reason, ReconcilerError
from reconciler.model import CommitId, Digest, Gate, GateResult, Run, RunId, Verdict
from reconciler.pipeline import World
from reconciler.pipeline.origin import Origin, obtained
from reconciler.pipeline.world import Held, gate
from reconciler.ports import ArtifactStream, Source

SUBJECTS = 20
"""Commits between two runs that are named."""

KEPT = 4
"""Listings that are kept: those of an artifact or two, before and after."""

Opened = Callable[[], AbstractContextManager[VerifiedArtifact]]


@dataclass(frozen=True, slots=True)
class Before:
    """The artifact that is compared with."""

    run_id: RunId
    sha256: Digest
    declaration: Declaration | None
    """What let it in, as far as that is known: how its archive is read."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is in one artifact."""

    files: Mapping[str, FileFact]
    size: int
    """Of the artifact itself, in bytes."""


class Listings:
    """Reads artifacts out of custody; the last few are kept, as one merge often brings one run to many environments.

    Args:
        world: Has custody and the bounds.
        spool: A folder for temporary copies of inner archives.
        remember: Whether what CI says of a run is remembered with our copy of its artifact: by the daemon, whose
            custody outlives CI's.
    """

    def __init__(self, world: World, spool: Path, *, remember: bool = False) -> None:
        self.remember = remember
        self._world = world
        self._spool = spool
        self._kept: dict[tuple[Digest, str], Listed] = {}

    def of(self, digest: Digest, spec: ArtifactSpec, opened: Opened) -> Listed:
        """An artifact, taken into custody first when it is not there.

        Args:
            digest: What its bytes are.
            spec: How its archive is read.
            opened: Opens it out of custody; called only when it was not listed before.

        Raises:
            ReconcilerError: It can't be had, or can't be deployed.
        """
        key = (digest, spec.unpack)
        if key not in self._kept:
            if spec.unpack == "inner":
                self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            with opened() as artifact:
                files = listing(artifact, self._world.bounds, self._spool, spec.unpack)
                self._kept[key] = Listed(files, artifact.size)
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[key]


class Evidence:
    """About one environment's two artifacts.

    Args:
        world: The parts.
        listings: Reads the artifacts.
        tip: The merge: whether the tracked repository holds a commit is asked of its history.
        declaration: What is proposed.
        origin: Where its artifact is; None: the run can't be had, or may not be promoted.
        before: None: nothing is there yet.
    """

    def __init__(
        self,
        world: World,
        listings: Listings,
        tip: CommitId,
        declaration: Declaration,
        origin: Origin | None,
        before: Before | None,
    ) -> None:
        self._world = world
        self._listings = listings
        self._tip = tip
        self._declaration = declaration
        self._origin = origin
        self._before = before

    def commits(self) -> Commits:
        """The range, and its subjects where the tracked repository is the one that was built."""
        run = self._run(self._before.run_id) if self._before else None
        before, after = run.commit if run else None, self._origin.run.commit if self._origin else None
        if not before or not after or before == after:
            return Commits(before, after)
        repository, old, new = self._world.repository, CommitId(before), CommitId(after)
        try:
            if not (repository.is_ancestor(old, self._tip) and repository.is_ancestor(new, self._tip)):
                return Commits(before, after)
            names = repository.between(old, new, SUBJECTS)
            found = [Subject(name, repository.commit(name).message.partition("\n")[0]) for name in names[:SUBJECTS]]
        except ReconcilerError:
            return Commits(before, after)
        return Commits(before, after, tuple(found), more=len(names) > SUBJECTS)

    def files(self) -> tuple[Files, GateResult | None]:
        """What differs, and the gate custody's word; no word when the new artifact is not even found."""
        if self._origin is None:
            return Files(unknown="the run can't be had, or may not be promoted"), None
        origin = self._origin
        digest, spec = self._declaration.sha256, self._declaration.artifact
        try:
            with gate(Gate.CUSTODY):
                new = self._listings.of(
                    digest, spec, lambda: obtained(self._world, digest, origin, remember=self._listings.remember)
                )
        except Held as held:
            return Files(unknown=held.result.message), held.result
        word = GateResult(Gate.CUSTODY, Verdict.PASSED, evidence=(f"sha256 {digest} over {new.size} bytes",))
        before = self._before
        if before is None:
            return Files(compare({}, new.files)), word
        try:
            let_in = before.declaration.artifact if before.declaration else spec
            old = self._listings.of(before.sha256, let_in, lambda: self._earlier(before))
        except ReconcilerError as error:
            return Files(unknown=f"the artifact of run {before.run_id} can't be had any more: {error.message}"), word
        return Files(compare(old.files, new.files)), word

    def _earlier(self, before: Before) -> AbstractContextManager[VerifiedArtifact]:
        return self._world.custody.obtain(before.sha256, lambda offset: self._open(before, offset))

    def _open(self, before: Before, offset: int) -> AbstractContextManager[ArtifactStream]:
        """The earlier artifact, from CI again: asked only when our own copy of it is gone."""
        source, run = self._source(), self._run(before.run_id)
        found = next((one for one in run.artifacts if one.sha256 == before.sha256), None) if run else None
        if source is None or run is None or found is None:
            raise PolicyDenied(Reason.ARTIFACT_MISSING, f"CI has no artifact with sha256 {before.sha256[:12]} in it")
        return source.open(run, found, offset)

    def _run(self, run_id: RunId) -> Run | None:
        source = self._source()
        try:
            return source.run(run_id) if source else None
        except ReconcilerError:
            return None

    def _source(self) -> Source | None:
        if self._origin:
            return self._origin.source
        sources = self._world.sources
        name = self._declaration.artifact.source or (next(iter(sources)) if len(sources) == 1 else "")
        return sources[name][0] if name in sources else None
