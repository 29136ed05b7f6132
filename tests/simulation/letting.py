"""Who let what in, by the world's own notes: what the oracle holds against the product's judgement.

A request vouches for what stood at its reviewed head, and for nothing else. When it landed as several commits, what
counts is how the branch stood behind the last of them that it really went through, and before the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.model import CommitId
from tests.simulation.git import Bar, Node
from tests.simulation.origins import BOT, Merge
from tests.simulation.world import FakeWorld

Meaning = Mapping[str, object]


@dataclass(frozen=True)
class Changed:
    """What one commit, or all commits of one request, did to a file."""

    first: Node
    last: Node
    before: bytes | None
    after: bytes | None
    merge: Merge | None

    @property
    def parent(self) -> CommitId | None:
        return self.first.parents[0] if self.first.parents else None


class LettingIn:
    """Asks the world's notes."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    def changes(self, path: str, upto: CommitId, after: CommitId | None = None) -> Iterator[Changed]:
        """What happened to a file on the way to a commit, oldest first; what one request did is one change."""
        git, first, touched = self._world.git, dict[CommitId, Node](), set[CommitId]()
        chain = git.chain(upto, after)
        for node, following in itertools.zip_longest(chain, chain[1:]):
            merge = self._world.forge.merges.get(node.id)
            begun = first.setdefault(merge.commit, node) if merge else node
            if git.before(node).get(path) != node.files.get(path):
                touched.add(begun.id)
            if merge and following and following.id in merge.landed:
                continue
            if begun.id in touched:
                yield Changed(begun, node, git.before(begun).get(path), node.files.get(path), merge)

    def let_in(self, change: Changed, path: str, bars: list[object], start: CommitId | None = None) -> bool:
        """Whether the request behind a change meets every bar, and was merged as it was reviewed.

        Args:
            change: Of one file.
            path: That file.
            bars: What is asked.
            start: Where the judgement begins: what does not stand on it must have been reviewed on the same file.
        """
        git, merge = self._world.git, change.merge
        asked = [bar for bar in bars if isinstance(bar, Bar)]
        if not asked:
            return True
        if merge is None or git.nodes[merge.head].files.get(path) != change.after:
            return False
        stood = change.before
        if start and not (change.parent and git.descends(change.parent, start)):
            stood = git.nodes[start].files.get(path)
        if any(git.nodes[commit].files.get(path) != stood for commit in merge.began):
            return False  # the branch began before the file's last change: its authors are not all named
        return all(self._count(merge, bar) >= bar.required for bar in asked)

    def began_before(self, change: Changed, start: CommitId | None) -> bool:
        """Whether a request came to the branch in parts, and one was accepted before the next was there."""
        if change.merge is None or start is None:
            return False
        return any(commit in self._world.git.nodes[start].line for commit in change.merge.landed)

    def _count(self, merge: Merge, bar: Bar) -> int:
        """How many people approved whose word counts."""
        people = {*merge.approved, *([merge.merged_by] if merge.merged_by else [])} - {BOT} - merge.withdrew
        if not merge.retargeted:
            people |= merge.early - merge.withdrew - {BOT}
        if not bar.allow_self:
            people -= merge.authors
        people -= self._world.forge.readers
        return len(people & set(bar.only) if bar.only else people)


class Letting:
    """The let-in value of each field, along a line of commits."""

    def __init__(self, values: Meaning) -> None:
        self.values = dict(values)
        self.whole: Meaning | None = dict(values) if len(values) > 1 else None
        """The last declaration that was let in as a whole."""
        self.readable = True
        """False after somebody broke the file unapproved: nobody is shown what a later commit changes then."""
        self._last: Meaning = values

    def take(self, before: Meaning | None, after: Meaning | None, *, fine: bool) -> None:
        if after is None:
            self.readable = self.readable and fine
            return
        shown = before if before is not None else self._last if self.readable else after
        if fine:
            self.values |= {name: value for name, value in after.items() if shown.get(name, self) != value}
        self.readable = True
        self._last = after
        if self.allows(after):
            self.whole = after

    def allows(self, file: Meaning) -> bool:
        whole = self.whole or {}
        return all(value in (self.values.get(name), whole.get(name, self)) for name, value in file.items())
