"""Where an artifact is from: as CI says now, or as it said when our copy was taken.

CI throws away artifacts and, later, runs. What it said of them stays with us from the moment at which the bytes are
in our custody, so that a deployment or a rollback does not depend on CI's memory. Only that CI forgot is made up for:
while it can't be reached nobody can tell, and what it says otherwise counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from reconciler.core.declare import Declaration
from reconciler.core.provenance import Provenance, judge_run
from reconciler.core.verify import VerifiedArtifact
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import Artifact, Digest, Run
from reconciler.pipeline.world import World
from reconciler.ports import ArtifactStream, Source

_FORGOTTEN = frozenset({Reason.RUN_NOT_FOUND, Reason.ARTIFACT_MISSING})
"""What CI says of that which it knew once."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One artifact of one run that may be promoted."""

    source: Source
    name: str
    """The source's, in the settings."""
    run: Run
    artifact: Artifact
    remembered: bool = False
    """CI has forgotten it; this is what it said when our copy was taken."""

    def open(self, offset: int) -> AbstractContextManager[ArtifactStream]:
        """Its bytes at CI."""
        return self.source.open(self.run, self.artifact, offset)


def find_origin(world: World, declaration: Declaration) -> Origin:
    """The declared artifact of an allowed run.

    Raises:
        ReconcilerError: With the provenance's reasons, or `SourceUnavailable`.
    """
    name, source, rules = _source(world, declaration)
    copied = world.custody.holds(declaration.sha256)
    try:
        with world.outages.asking(name, world.clock):
            run = source.run(declaration.run_id)
        return Origin(source, name, run, judge_run(run, declaration, rules, world.bounds, in_custody=copied))
    except PolicyDenied as denied:
        known = world.store.run(name, declaration.run_id) if copied and denied.reason in _FORGOTTEN else None
        if known is None:
            raise
        artifact = judge_run(known, declaration, rules, world.bounds, in_custody=True)
        return Origin(source, name, known, artifact, remembered=True)


@contextmanager
def obtained(world: World, digest: Digest, origin: Origin, *, remember: bool = True) -> Iterator[VerifiedArtifact]:
    """Our own copy of an artifact's bytes, verified; what CI said of it is remembered with it, unless told not to.

    Where CI states no digest, a copy that we have proves nothing of the run: its bytes are fetched once more then.

    Raises:
        ReconcilerError: As `Custody.obtain` does; `StoreUnavailable`.
    """
    known = world.store.run(origin.name, origin.run.run_id)
    bound = origin.artifact.sha256 == digest or _stated(known, origin.artifact.name) == digest
    with world.custody.obtain(digest, origin.open, anew=not bound) as artifact:
        if remember and not origin.remembered:
            _remember(world, origin, known, digest)
        yield artifact


def _remember(world: World, origin: Origin, known: Run | None, digest: Digest) -> None:
    """Only what was seen: the artifacts whose bytes we had, with the digests that these have."""
    seen = {one.name: one for one in known.artifacts} if known and known.commit == origin.run.commit else {}
    seen[origin.artifact.name] = replace(origin.artifact, sha256=digest, expired=False)
    world.store.save_run(origin.name, replace(origin.run, artifacts=tuple(seen[name] for name in sorted(seen))))


def _stated(run: Run | None, name: str) -> Digest | None:
    return next((one.sha256 for one in run.artifacts if one.name == name), None) if run else None


def source_name(world: World, declaration: Declaration) -> str:
    """Which source a declaration names; empty when it names none, and there are several."""
    return declaration.artifact.source or (next(iter(world.sources)) if len(world.sources) == 1 else "")


def _source(world: World, declaration: Declaration) -> tuple[str, Source, Provenance]:
    sources, name = world.sources, source_name(world, declaration)
    if name not in sources:
        known = ", ".join(sorted(sources)) or "none"
        raise PolicyDenied(
            Reason.RUN_NOT_ALLOWED,
            f"artifact.source {name!r} is not set up here; known: {known}",
            "name one of the operator's sources",
        )
    source, rules = sources[name]
    return name, source, rules
