"""Trees read from their own bytes: one path by walking down, and what differs between two by comparing them.

A path is resolved part by part and literally: nothing in it is a pattern, a revision or a way out. Modes come out as
git shows them (tree-walk.c, canon_mode), whatever the bytes spell.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.git.command import GitFailed
from reconciler.git.nodes import TooFar
from reconciler.git.objects import text
from reconciler.git.reader import Readers
from reconciler.git.recent import Recent
from reconciler.model import BlobId, TreeEntry

Difference = Mapping[str, tuple[TreeEntry | None, TreeEntry | None]]
"""Path → what stands there before and after; never the same twice, and never a folder."""

TREE_BYTES = 32 * 1024**2
"""Largest tree that is read here: half a million entries."""
TREES_KEPT_BYTES = 8 * 1024**2
"""Bytes of trees kept in memory."""
READ = 512
"""Trees that are read for one difference before git is asked instead."""

_APART = 64
"""Entries between two marks."""
_SIZES = (20, 32)
_SOME = {size: re.compile(rb"(?:[0-7]{1,11} [^\0/]+\0.{%d}){1,%d}" % (size, _APART), re.DOTALL) for size in _SIZES}
_ONE = {size: re.compile(rb"([0-7]{1,11}) ([^\0/]+)\0(.{%d})" % size, re.DOTALL) for size in _SIZES}
_KIND, _FILE, _LINK, _DIRECTORY = 0o170000, 0o100000, 0o120000, 0o040000
_MODES = {_LINK: "120000", _DIRECTORY: "040000"}


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree's bytes, and where some of its entries begin: an entry's bytes alone don't tell that."""

    raw: bytes
    size: int
    """Bytes of an object's name."""
    marks: Sequence[int]

    @classmethod
    def of(cls, raw: bytes, size: int) -> Tree:
        """Read a tree's bytes.

        Raises:
            GitFailed: It is not a tree.
        """
        marks, end = [], 0
        for match in _SOME[size].finditer(raw):
            if match.start() != end:
                break
            marks.append(end)
            end = match.end()
        if end != len(raw):
            raise _no_tree()
        return cls(raw, size, marks)

    def entry(self, name: bytes) -> TreeEntry | None:
        """What stands under a name.

        Raises:
            GitFailed: It stands there twice.
        """
        found: list[TreeEntry] = []
        at = self.raw.find(wanted := b" " + name + b"\0")
        while at >= 0 and name:
            start = self.marks[max(0, bisect_right(self.marks, at) - 1)]
            end = at + len(wanted) + self.size  # of the entry, if it is one: the same bytes may be in another's
            match = next((one for one in _ONE[self.size].finditer(self.raw, start) if one.end() >= end), None)
            if match and match.end() == end and match[2] == name:
                found.append(_entry(match[1], match[3]))
            at = self.raw.find(wanted, at + 1)
        if len(found) > 1:
            raise _no_tree()
        return found[0] if found else None

    def part(self, start: int, end: int) -> dict[bytes, TreeEntry]:
        """The entries between two places where one begins.

        Raises:
            GitFailed: They are none, or one of them stands there twice.
        """
        entries = _ONE[self.size].findall(self.raw[start:end]) if self.raw else []
        found = {name: _entry(mode, binary) for mode, name, binary in entries}
        length = sum(len(mode) + len(name) for mode, name, _ in entries) + (self.size + 2) * len(entries)
        if len(found) != len(entries) or length != end - start:
            raise _no_tree()
        return found


def between(old: Tree, new: Tree) -> tuple[dict[bytes, TreeEntry], dict[bytes, TreeEntry]]:
    """The entries of both, without most of those that they begin or end with alike."""
    most = min(len(old.raw), len(new.raw))
    head = _longest(most, lambda length: old.raw[:length] == new.raw[:length])
    start = old.marks[max(0, bisect_right(old.marks, head) - 1)] if old.marks else 0  # is an entry's in both
    tail = _longest(most - start, lambda length: old.raw[-length:] == new.raw[-length:])
    last = bisect_left(old.marks, len(old.raw) - tail)
    rest = len(old.raw) - old.marks[last] if last < len(old.marks) else 0
    try:
        return old.part(start, len(old.raw) - rest), new.part(start, len(new.raw) - rest)
    except GitFailed:  # the same bytes at the end, and yet no entry begins there in the other
        return old.part(0, len(old.raw)), new.part(0, len(new.raw))


def _longest(most: int, alike: Callable[[int], bool]) -> int:
    """The greatest length that is alike, where every shorter one is too."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if alike(middle) else (low, middle - 1)
    return low


def _no_tree() -> GitFailed:
    return GitFailed("the local mirror: a tree has an entry that is none, or twice")


def _entry(mode: bytes, binary: bytes) -> TreeEntry:
    """An entry with its mode as git shows it (tree-walk.c, canon_mode)."""
    value = int(mode, 8)
    if value & _KIND == _FILE:
        return TreeEntry("100755" if value & 0o100 else "100644", BlobId(binary.hex()))
    return TreeEntry(_MODES.get(value & _KIND, "160000"), BlobId(binary.hex()))


class Trees:
    """The trees of one mirror. Safe to use from several threads."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._kept: Recent[str, Tree] = Recent(TREES_KEPT_BYTES, lambda tree: len(tree.raw) + 1)

    def entry(self, root: str, path: str) -> TreeEntry | None:
        """What stands at a path, a folder too; None when nothing does.

        Raises:
            GitFailed: The mirror does not hold the trees on the way.
            TooFar: One of them is too large to be read here.
        """
        found = TreeEntry("040000", BlobId(root))
        for part in path.encode("utf-8", "surrogateescape").split(b"/") if path else ():
            if not _is_folder(found):
                return None
            tree = self._read([found.blob])[found.blob]
            if (inner := tree.entry(part)) is None:
                return None
            found = inner
        return found

    def difference(self, old: str | None, new: str | None) -> Difference:
        """What differs between two trees, by path; None stands for an empty one.

        Raises:
            GitFailed: The mirror does not hold all the trees that differ.
            TooFar: There are too many of them.
        """
        if old == new:
            return {}
        found: dict[str, tuple[TreeEntry | None, TreeEntry | None]] = {}
        pairs: list[tuple[bytes, str | None, str | None]] = [(b"", old, new)]
        nothing, read = Tree(b"", 0, ()), 0
        while pairs:
            wanted = {tree for _, *sides in pairs for tree in sides if tree is not None}
            read += len(wanted)
            if read > READ:
                raise TooFar
            trees, inner = self._read(wanted), list[tuple[bytes, str | None, str | None]]()
            for prefix, *sides in pairs:
                before, after = between(*(trees[side] if side is not None else nothing for side in sides))
                for name in {*before, *after}:
                    one, other = before.get(name), after.get(name)
                    if one == other:
                        continue
                    folders = [entry.blob if entry and _is_folder(entry) else None for entry in (one, other)]
                    files = [None if entry and _is_folder(entry) else entry for entry in (one, other)]
                    if files != [None, None]:
                        found[text(prefix + name)] = (files[0], files[1])
                    if folders != [None, None]:
                        inner.append((prefix + name + b"/", folders[0], folders[1]))
            pairs = inner
        return found

    def _read(self, names: Iterable[str]) -> dict[str, Tree]:
        """Trees by name, what is not in memory in one answer."""
        found = {name: tree for name in names if (tree := self._kept.get(name)) is not None}
        wanted = tuple(name for name in names if name not in found)
        for name, raw in self._readers.read("tree", wanted, TREE_BYTES).items():
            if raw is None:
                raise TooFar
            found[name] = Tree.of(raw, len(name) // 2)
            self._kept.put(name, found[name])
        return found


def _is_folder(entry: TreeEntry) -> bool:
    return entry.mode == "040000"
