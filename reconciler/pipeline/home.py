"""Where an environment lives now, and what is there: read anew in each pass, believed for nothing longer.

An environment lives where its last *accepted* declaration put it. What the tip declares may not be
approved yet, so its target is looked at only when nothing was accepted before, or after it was approved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.declare import Declaration, Reading
from reconciler.core.folder import is_regular, read_entry
from reconciler.core.yamltree import MAX_BYTES
from reconciler.declarations.catalog import Declared as DeclaredFile
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import Accepted, CommitId, EnvironmentName, Observation, Release, TreeEntry
from reconciler.pipeline.world import World
from reconciler.ports import Target


@dataclass(frozen=True, slots=True)
class Home:
    """The target, what is on it, and the declaration that put it there."""

    target: Target
    path: str
    observed: Observation
    accepted: Accepted | None
    reading: Reading | None
    """The file as it was when it was accepted; None before that, or when this history does not hold it."""
    rebased: CommitId | None = None
    """Where an operator accepted a rewritten branch, when what was accepted is of the history before."""
    glance: bytes | None = None
    """A cheap look taken right before it was observed: the same one later means that nothing was touched since."""
    around: bool = False
    """Whether nobody looked into what is live, as something else is declared. Drift in there is not known then."""


def find_home(world: World, file: DeclaredFile, *, thorough: bool = False, replaces: bool = False) -> Home | None:
    """Observe the environment where it lives; None when no declaration tells where that is.

    Args:
        world: The parts.
        file: What is declared.
        thorough: Hash every byte of what is live.
        replaces: Whether a look around will do where another artifact is declared than the one that is live.

    Raises:
        ReconcilerError: The target is not allowed or out of reach.
    """
    remembered = world.store.accepted(file.environment)
    reading, rebased = accepted_reading(world, file, remembered) if remembered else (None, None)
    told = reading or file.reading
    if told is None or told.declaration is None:
        return None
    declaration = told.declaration
    target = target_of(world, file.environment, declaration)
    around = replaces and not thorough and remembered is not None and _declares_another(file, remembered)
    glance = None if around else target.glance()
    observed = target.observe(thorough=thorough, around=around)
    if around and observed.live and not _declares_another(file, observed.live):
        around, observed = False, target.observe()  # what is live is what is declared: the record came not so far
    accepted = observed.accepted or remembered
    if accepted and accepted != remembered:
        reading, rebased = accepted_reading(world, file, accepted)
    return Home(target, declaration.target.path, observed, accepted, reading, rebased, glance, around)


def _declares_another(file: DeclaredFile, known: Accepted | Release) -> bool:
    declaration = file.reading.declaration if file.reading else None
    return declaration is not None and (declaration.run_id, declaration.sha256) != (known.run_id, known.sha256)


def move_home(world: World, file: DeclaredFile, home: Home | None, declaration: Declaration) -> Home:
    """The target of an approved declaration: the same place, or a new one where the declaration moved.

    Raises:
        ReconcilerError: The target is not allowed or out of reach.
    """
    target = target_of(world, file.environment, declaration)
    if home is not None and home.path == declaration.target.path:
        return replace(home, target=target)
    observed = target.observe()
    accepted = observed.accepted or (home.accepted if home else None)
    reading, rebased = (home.reading, home.rebased) if home else (None, None)
    return Home(target, declaration.target.path, observed, accepted, reading, rebased)


def target_of(world: World, environment: EnvironmentName, declaration: Declaration) -> Target:
    """The target that a declaration names.

    Raises:
        PolicyDenied: `TargetNotAllowed`.
    """
    targets = world.targets.get(declaration.target.type)
    if targets is None:
        raise PolicyDenied(
            Reason.TARGET_NOT_ALLOWED,
            f"targets of type {declaration.target.type!r} are not set up here",
            "name the type under targets: in the settings",
        )
    return targets.target(environment, declaration)


def trouble(home: Home) -> str:
    """Why what is live is not proven whole; empty when it is."""
    live, accepted = home.observed.live, home.observed.accepted
    if live is None:
        return "nothing is live"
    if home.observed.drift:
        first, *more = home.observed.drift
        return f"{first.path} is not as it was put there" + (f", and {len(more)} more" if more else "")
    if accepted is None or (accepted.run_id, accepted.sha256) != (live.run_id, live.sha256):
        return "it is not what was let in there"
    return "" if home.reading else "what was let in there is not in this history"


def reading_at(world: World, file: DeclaredFile, commit: CommitId) -> Reading | None:
    """The environment's file at a commit; None when absent there."""
    return reading_of(world, file, world.repository.entry(commit, file.path))


def reading_of(world: World, file: DeclaredFile, entry: TreeEntry | None) -> Reading | None:
    """The environment's file as one tree holds it; None when absent there."""
    if entry is None:
        return None
    contents = world.repository.read_blobs([entry.blob], MAX_BYTES) if is_regular(entry) else {}
    return read_entry(file.path, entry, contents)


def accepted_reading(world: World, file: DeclaredFile, accepted: Accepted) -> tuple[Reading | None, CommitId | None]:
    """The very bytes that an accepted record names, and where they were rebased to, if they were.

    None instead of the bytes when this history does not hold them.
    """
    here = file.reading if file.reading and file.reading.digest == accepted.declaration else None
    if here and accepted.commit == file.tip:
        return here, None
    rebased = None
    if not world.repository.is_ancestor(accepted.commit, file.tip):
        rebased = _accepted_rewrite(world, file, accepted)
        if rebased is None:
            return None, None
    if here and here.declaration:
        return here, rebased
    reading = reading_at(world, file, rebased or accepted.commit)
    return reading if reading and reading.digest == accepted.declaration and reading.declaration else None, rebased


def _accepted_rewrite(world: World, file: DeclaredFile, accepted: Accepted) -> CommitId | None:
    """Where an operator let the branch go on from, after it had been rewritten away under what was accepted."""
    later = [rewrite for rewrite in world.store.rewrites() if rewrite.at > accepted.accepted_at]
    return next((r.tip for r in reversed(later) if world.repository.is_ancestor(r.tip, file.tip)), None)
