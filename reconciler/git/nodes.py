"""Commits as nodes of a graph, and questions about short ways in it that need no process.

A walk begins at the newest commits and looks at as few as it can; where the way is long it gives up, and git
answers. The answers are git's own: a walk that can't be sure that they are gives up too. Parents are read from the
commits themselves, so that neither grafts nor a shallow repository nor a commit-graph take part.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.git.reader import Readers
from reconciler.git.recent import Recent
from reconciler.git.remote import is_commit
from reconciler.model import CommitId

NODES_KEPT = 16_384
"""Commits whose parents are kept in memory, some 400 bytes each."""
COMMIT_BYTES = 1024**2
"""Largest commit that is read for its parents."""
READ = 64
"""Commits that one walk reads before git is asked instead: a process costs as much as some hundred of them."""
VISITED = 20_000
"""Commits that one walk looks at, in memory or read."""

_SLOP = 5
"""How many commits `between` looks at behind the last one that may matter: as many as git (revision.c)."""


class TooFar(Exception):
    """The way is too long, or its dates are not in order: git is to answer."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a commit says of its place: its tree, its parents, and the committer's time in seconds."""

    tree: str
    parents: tuple[CommitId, ...]
    date: int


def node(raw: bytes) -> Node:
    """The node of a commit's bytes; headers count where git counts them: `tree`, then parents, then the people."""
    lines = raw.partition(b"\n\n")[0].split(b"\n")
    parents: list[CommitId] = []
    for line in lines[1:]:
        key, _, value = line.partition(b" ")
        name = value.decode("ascii", "replace")
        if key != b"parent" or not is_commit(name):
            break
        parents.append(CommitId(name))
    committer = next((line for line in lines if line.startswith(b"committer ")), b"")
    date = committer.rpartition(b"> ")[2].partition(b" ")[0]
    tree = lines[0].removeprefix(b"tree ").decode("ascii", "replace")
    return Node(tree, tuple(parents), int(date) if date.isdigit() else 0)


class Nodes:
    """The nodes of one mirror. Safe to use from several threads."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._kept: Recent[CommitId, Node] = Recent(NODES_KEPT)

    def walk(self) -> Walk:
        """A walk that has looked at nothing yet."""
        return Walk(self)

    def known(self, name: CommitId) -> Node | None:
        """A node, when it is in memory."""
        return self._kept.get(name)

    def read(self, names: tuple[CommitId, ...]) -> dict[CommitId, Node]:
        """Nodes out of the mirror, all in one answer.

        Raises:
            GitFailed: The mirror does not hold them all, whole.
            TooFar: One is too large to be read for its parents.
        """
        found: dict[CommitId, Node] = {}
        for name, raw in self._readers.read("commit", names, COMMIT_BYTES).items():
            if raw is None:
                raise TooFar
            found[CommitId(name)] = node(raw)
            self._kept.put(CommitId(name), found[CommitId(name)])
        return found


class Walk:
    """One way through the graph, for one question."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._seen: dict[CommitId, Node] = {}
        self._read = 0

    def node(self, name: CommitId) -> Node:
        """One commit's node.

        Raises:
            GitFailed: The mirror does not hold it.
            TooFar: Enough was looked at.
        """
        if name not in self._seen:
            self.look([name])
        return self._seen[name]

    def look(self, names: Iterable[CommitId]) -> None:
        """Look at several commits at once.

        Raises:
            GitFailed: The mirror does not hold them all.
            TooFar: Enough was looked at.
        """
        wanted: list[CommitId] = []
        for name in dict.fromkeys(names):
            if name in self._seen:
                continue
            if (known := self._nodes.known(name)) is None:
                wanted.append(name)
            else:
                self._seen[name] = known
        self._read += len(wanted)
        if self._read > READ or len(self._seen) > VISITED:
            raise TooFar
        if wanted:
            self._seen |= self._nodes.read(tuple(wanted))

    # --- questions ---------------------------------------------------------------------------------

    def chain(self, upto: CommitId, after: CommitId | None) -> list[tuple[CommitId, CommitId | None]]:
        """First parents from `upto` down to `after`, which is left out, or to the root: each with its own.

        Raises:
            GitFailed: The mirror does not hold them all.
            TooFar: Too many, or `after` is not among them: then it is not told here what it reaches.
        """
        found: list[tuple[CommitId, CommitId | None]] = []
        at: CommitId | None = upto
        while at is not None and at != after:
            parents = self.node(at).parents
            found.append((at, parents[0] if parents else None))
            at = found[-1][1]
        if at is None and after is not None:
            raise TooFar
        return found

    def descends(self, old: CommitId, new: CommitId) -> bool:
        """Whether `new` is `old` or descends from it.

        Raises:
            GitFailed: The mirror does not hold one of them.
            TooFar: The way is too long.
        """
        self.look([new])
        if old == new:
            return True
        colours = _Colours(self, {new: _ONE, old: _OTHER})
        while colours.at[old] != _BOTH and colours.is_open(_ONE, _OTHER):
            colours.step()
        return colours.at[old] == _BOTH

    def merge_bases(self, one: CommitId, other: CommitId) -> tuple[CommitId, ...]:
        """The best common ancestor of two commits; none when they are unrelated.

        What is common and no common child has been found of must be it, when there is only one such.

        Raises:
            GitFailed: The mirror does not hold one of them.
            TooFar: The way is too long, or there may be several.
        """
        self.look([one])
        if one == other:
            return (one,)
        colours = _Colours(self, {one: _ONE, other: _OTHER})
        while colours.is_open(_ONE, _OTHER):
            colours.step()
        common = {name for name, colour in colours.at.items() if colour == _BOTH}
        best = common.difference(*(self.node(name).parents for name in common))
        if len(best) > 1:
            raise TooFar
        return tuple(best)

    def between(self, base: CommitId, head: CommitId) -> tuple[CommitId, ...]:
        """Commits reachable from `head` and not from `base`, in the order of `git rev-list`.

        Raises:
            GitFailed: The mirror does not hold one of them.
            TooFar: The way is too long, or dates on it do not follow the parents.
        """
        self.look([head])
        if base == head:
            return ()
        colours = _Colours(self, {head: _ONE, base: _OTHER}, ordered=True)
        slop = _SLOP
        while slop and not colours.is_empty:
            if colours.is_open(_ONE) or colours.newest >= colours.oldest(_ONE):
                slop = _SLOP
            else:
                slop -= 1
            colours.step()
        wanted = {name for name, colour in colours.at.items() if colour == _ONE}
        return self._by_date(head, wanted)

    def _by_date(self, head: CommitId, wanted: set[CommitId]) -> tuple[CommitId, ...]:
        """The newest first; of equal age, what was met first (commit.c, commit_list_insert_by_date)."""
        queue = [(-self.node(head).date, 0, head)] if head in wanted else []
        met, found = {head}, []
        while queue:
            *_, name = heapq.heappop(queue)
            found.append(name)
            for parent in self.node(name).parents:
                if parent in wanted and parent not in met:
                    met.add(parent)
                    heapq.heappush(queue, (-self.node(parent).date, len(met), parent))
        return tuple(found)


_ONE, _OTHER, _BOTH = 1, 2, 3


class _Colours:
    """Colours that run from some commits down to their ancestors, the newest commit first (cf. commit-reach.c)."""

    def __init__(self, walk: Walk, beginning: dict[CommitId, int], *, ordered: bool = False) -> None:
        self.at = dict(beginning)
        self._walk = walk
        self._ordered = ordered
        self._queue: list[tuple[int, CommitId]] = []
        self._waiting: dict[CommitId, int] = {}
        self._count = [0, 0, 0, 0]
        self._oldest: dict[int, int] = {}
        walk.look(beginning)
        for name in beginning:
            self._await(name)

    @property
    def is_empty(self) -> bool:
        """Whether every ancestor was coloured."""
        return not self._waiting

    @property
    def newest(self) -> int:
        """The date of the commit that comes next."""
        return -self._queue[0][0]

    def oldest(self, colour: int) -> float:
        """The date of the oldest commit that was passed with a colour and no other."""
        return self._oldest.get(colour, float("inf"))

    def is_open(self, *colours: int) -> bool:
        """Whether a commit of exactly one of these colours still waits to pass it on."""
        return any(self._count[colour] for colour in colours)

    def step(self) -> None:
        """Let the newest commit pass its colour on to its parents."""
        date, name = heapq.heappop(self._queue)
        colour = self._waiting.pop(name)
        self._count[colour] -= 1
        self._oldest[colour] = min(self._oldest.get(colour, -date), -date)
        parents = self._walk.node(name).parents
        self._walk.look(parents)
        for parent in parents:
            if self._ordered and self._walk.node(parent).date > -date:
                raise TooFar
            if self.at.get(parent, 0) | colour != self.at.get(parent, 0):
                self.at[parent] = self.at.get(parent, 0) | colour
                self._await(parent)

    def _await(self, name: CommitId) -> None:
        """Have a commit wait for its turn, or tell the one that waits its new colour."""
        if name in self._waiting:
            self._count[self._waiting[name]] -= 1
        else:
            heapq.heappush(self._queue, (-self._walk.node(name).date, name))
        self._waiting[name] = self.at[name]
        self._count[self.at[name]] += 1
