"""One governed file's way along the branch: its changes as the judge takes them, and the facts about each.

The same for an environment's file and for the policy. What a version of the file says is read by its own reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.core.policy import Evidence, Policy, Step, Version
from reconciler.errors import Reason, Transient
from reconciler.model import Change, CommitId, Digest, TreeEntry
from reconciler.pipeline.world import World

Read = Callable[[TreeEntry | None], Version | None]
Floors = Callable[[Change], tuple[Policy, ...]]


@dataclass(frozen=True, slots=True)
class History:
    """What changed a file, oldest first, and how it is read.

    Args:
        world: The parts.
        path: Below the declarations' folder.
        changes: First-parent commits that changed it.
        read: One version of it; None when it is absent there.
        floors: What is asked of one change, by what stood before it.
    """

    world: World
    path: str
    changes: tuple[Change, ...]
    read: Read
    floors: Floors

    def steps(self, begun: Version | None) -> Iterator[Step]:
        """Every change, and whatever came in between from the side.

        A merge whose sides are swapped puts the first-parent history on another line, on which the file may
        stand differently than after the change before. Nobody approved that difference: it is a step of its own,
        of a commit that no request merged.
        """
        before = begun.digest if begun else None
        for change in self.changes:
            parent = self.read(change.before)
            if (parent.digest if parent else None) != before and change.parent is not None:
                yield Step(change.parent, parent, from_side=True, floors=self.floors(change))
            after = self.read(change.after)
            before = after.digest if after else None
            yield Step(change.commit, after, floors=self.floors(change))

    def evidence(self, step: Step) -> Evidence:
        """What the forge says of one step's commit, and how the file stood at each head it names.

        Raises:
            Transient: `ForgeUnavailable`.
        """
        if self.world.forge is None:
            raise Transient(
                Reason.FORGE_UNAVAILABLE,
                f"no forge is set up, so nobody can tell who let commit {step.commit[:12]} in",
                "set forge: in the settings",
            )
        facts = self.world.forge.facts(step.commit)
        heads = {request.head: self._digest_at(request.head) for request in facts.requests}
        parent = next((change.parent for change in self.changes if change.commit == step.commit), None)
        bases = {head: self._digests_where_parted(parent, head) for head in heads} if parent else {}
        return Evidence(facts, heads, bases)

    def _digests_where_parted(self, parent: CommitId, head: CommitId) -> frozenset[Digest | None]:
        return frozenset(self._digest_at(base) for base in self.world.repository.merge_bases(parent, head))

    def _digest_at(self, commit: CommitId) -> Digest | None:
        version = self.read(self.world.repository.entry(commit, self.path))
        return version.digest if version else None
