"""One governed file's way along the branch: its changes as the judge takes them, and the facts about each.

The same for an environment's file and for the policy. What a version of the file says is read by its own reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.core.policy import Around, Evidence, Policy, Step, Version, teams
from reconciler.errors import Reason, Transient
from reconciler.model import Change, ChangeRequest, CommitId, Digest, TreeEntry
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
        begun: The file where the judgement begins, before all changes; None when it is absent there.
        begun_at: The commit where it begins; None: before the first one.
    """

    world: World
    path: str
    changes: tuple[Change, ...]
    read: Read
    floors: Floors
    begun: Version | None
    begun_at: CommitId | None

    def steps(self) -> Iterator[Step]:
        """Every change, and whatever came in between from the side.

        A merge whose sides are swapped puts the first-parent history on another line, on which the file may
        stand differently than after the change before. Nobody approved that difference: it is a step of its own,
        of a commit that no request merged.
        """
        before = self.begun.digest if self.begun else None
        for change in self.changes:
            parent = self.read(change.before)
            if (parent.digest if parent else None) != before and change.parent is not None:
                yield Step(change.parent, parent, from_side=True, floors=self.floors(change))
            after = self.read(change.after)
            before = after.digest if after else None
            yield Step(change.commit, after, floors=self.floors(change))

    def evidence(self, step: Step, asked: tuple[Policy, ...]) -> Evidence:
        """What the forge says of one step's commit, and how the file stood around each request that it names.

        Args:
            step: The change.
            asked: What it must satisfy, as that says whose membership of teams matters.

        Raises:
            Transient: `ForgeUnavailable`; `RepositoryUnavailable`, when a reviewed head can't be fetched.
        """
        if self.world.forge is None:
            raise Transient(
                Reason.FORGE_UNAVAILABLE,
                f"no forge is set up, so nobody can tell who let commit {step.commit[:12]} in",
                "set forge: in the settings",
            )
        facts = self.world.forge.facts(step.commit, teams(asked))
        return Evidence(facts, {request.ref: self._around(request) for request in facts.requests})

    def _around(self, request: ChangeRequest) -> Around:
        """How the file stood around a request, by the branch's own history.

        A request that was rebased came as several commits, and only what the last of them left was reviewed. So what
        counts as landed is what the judged history says after the last of them that it went through: a tip in their
        middle, or a merge that goes around the last, is not what anybody saw. In the same way, what stood before is
        where the judgement begins when a merge whose sides are swapped puts a request onto something older.
        """
        repository = self.world.repository
        if request.head_ref:
            repository.retrieve(request.head, request.head_ref)
        landed = request.landed or (request.merged_as,)
        brought = [change for change in self.changes if change.commit in landed]
        head = self._digest_at(request.head)
        if not brought:
            return Around(head, None, None, frozenset())
        first, last = brought[0], brought[-1]
        parted = repository.merge_bases(first.parent, request.head) if first.parent else ()
        bases = frozenset(self._digest_at(base) for base in parted) or frozenset({None})
        return Around(head, self._before(first), self._digest(last.after), bases)

    def _before(self, change: Change) -> Digest | None:
        begun, parent = self.begun_at, change.parent
        if begun and not (parent and self.world.repository.is_ancestor(begun, parent)):
            return self.begun.digest if self.begun else None
        return self._digest(change.before)

    def _digest_at(self, commit: CommitId) -> Digest | None:
        return self._digest(self.world.repository.entry(commit, self.path))

    def _digest(self, entry: TreeEntry | None) -> Digest | None:
        version = self.read(entry)
        return version.digest if version else None
