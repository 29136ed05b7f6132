"""What stands at a commit and what changed on the way: read from objects where that is short, asked of git else.

A path at a commit, the paths that differ between two, and the range that a merge brought cost no process. A long
history does: git is quicker there than a walk. Both give the same answers. `GitFailed` means that the mirror does
not hold what is asked for; `Mirror` mends it.
"""

from __future__ import annotations

from collections.abc import Set

from reconciler.bounds import Bounds
from reconciler.git import objects
from reconciler.git.command import Git, GitFailed
from reconciler.git.local import LocalMirror
from reconciler.git.nodes import Nodes, TooFar, Walk
from reconciler.git.recent import Recent
from reconciler.git.trees import Difference, Trees
from reconciler.model import Change, CommitId, TreeEntry

PATH_BYTES = 1024
"""Bytes that one path of a tree may take on average; with `bounds.environments`, the limit of one listing."""
ENTRIES_KEPT = 4096
"""Entries of trees kept in memory after they were asked for one by one."""
DIFFERENCES_KEPT = 20_000
"""Paths in differences of commits kept in memory, some 600 bytes each."""
LARGEST_DIFFERENCE = 4_000
"""Paths of the largest difference that is kept."""
COMPARED = 64
"""Commits that are compared with their parents for one history before git is asked instead."""
AT_ONCE = 100
"""Most changed paths whose entries are kept because two commits were compared."""

_FOLDER_MODE = "040000"


class History:
    """Safe to use from several threads.

    Args:
        git: Answers what is too far for a walk.
        mirror: Where everything is.
        folder: The declarations' folder in the repository.
        nodes: Commits.
        trees: What they hold.
        bounds: Limits.
    """

    def __init__(self, git: Git, mirror: LocalMirror, folder: str, nodes: Nodes, trees: Trees, bounds: Bounds) -> None:
        self._git = git
        self._mirror = mirror
        self._folder = folder
        self._nodes = nodes
        self._trees = trees
        self._bounds = bounds
        self._entries: Recent[tuple[CommitId, str], TreeEntry] = Recent(ENTRIES_KEPT)
        self._differences: Recent[tuple[CommitId, CommitId], Difference] = Recent(
            DIFFERENCES_KEPT, lambda difference: len(difference) + 1
        )

    def entry(self, commit: CommitId, path: str) -> TreeEntry | None:
        """One path below the folder at one commit; None when absent there, or a folder."""
        if (known := self._entries.get((commit, path))) is not None:
            return known
        full = self.full(path)
        try:
            found = self._trees.entry(self._nodes.walk().node(commit).tree, full)
        except TooFar:
            listing = self._ask("ls-tree", "-z", "--full-tree", commit, "--", full, limit=64 * 1024)
            found = dict(objects.tree_entries(listing, "")).get(full)
        if found is None or found.mode == _FOLDER_MODE:
            return None
        self._remember(commit, path, found)
        return found

    def _remember(self, commit: CommitId, path: str, found: TreeEntry | None) -> None:
        if found is not None:
            self._entries.put((commit, path), found)

    def changed_paths(self, old: CommitId, new: CommitId) -> Set[str]:
        """Paths below the folder that differ between two commits; a mode counts."""
        try:
            found = self._difference(old, new)
        except TooFar:
            pass
        else:
            if len(found) <= AT_ONCE:  # who asks for the paths asks for what stands there next
                for path, (before, after) in found.items():
                    self._remember(old, path, before)
                    self._remember(new, path, after)
            return set(found)
        options = ("-r", "-z", "--name-only", "--no-renames", "--ignore-submodules=none", "--no-ext-diff")
        where = ("--", self._folder) if self._folder else ("--",)
        limit = 2 * self._bounds.environments * PATH_BYTES
        listing = self._ask("diff-tree", *options, old, new, *where, limit=limit)
        return {objects.relative(objects.text(path), self._folder) for path in listing.split(b"\0")[:-1]}

    def changes(self, path: str, after: CommitId | None, upto: CommitId) -> list[Change]:
        """First-parent commits in `after..upto` that changed the file, oldest first; one too many when too many.

        A merge counts by what it changed against its first parent, whether or not that came from the other
        side. `-m` and `--full-history` say so to older gits, which follow the side that agrees with the result.
        """
        most = self._bounds.changes + 1
        try:
            chain = self._chain(after, upto)
            found = [change for commit, parent in chain if (change := self._change(path, commit, parent))][:most]
        except TooFar:
            full = self.full(path)
            options = ("-z", "--raw", "--no-abbrev", "--no-renames", "--no-notes", "--no-mailmap", "--no-ext-diff")
            walk = ("--first-parent", "-m", "--full-history", "--topo-order", "--root", f"--max-count={most}")
            span = (upto,) if after is None else (upto, f"^{after}")
            arguments = ("log", *walk, *options, objects.HISTORY_FORMAT, *span, "--", full)
            found = objects.changes(self._ask(*arguments, limit=most * PATH_BYTES), full)
        found.reverse()
        return found

    def between(self, base: CommitId, head: CommitId, limit: int) -> tuple[CommitId, ...]:
        """Commits reachable from `head` and not from `base`; at most `limit` + 1 of them."""
        try:
            return self._nodes.walk().between(base, head)[: limit + 1]
        except TooFar:
            arguments = ("rev-list", f"--max-count={limit + 1}", head, f"^{base}", "--")
            return _names(self._ask(*arguments, limit=(limit + 2) * 80))

    def merge_bases(self, one: CommitId, other: CommitId) -> tuple[CommitId, ...]:
        """The best common ancestors of two commits; empty for unrelated ones."""
        try:
            return self._nodes.walk().merge_bases(one, other)
        except TooFar:
            pass
        code, output, complaint = self._git.ask(self._mirror.path, "merge-base", "--all", one, other)
        if code not in (0, 1):  # 1: unrelated histories
            raise GitFailed(f"the local mirror: git merge-base: {complaint or f'ended with {code}'}")
        return _names(output)

    def full(self, path: str) -> str:
        """A path below the folder, as seen from the root."""
        return f"{self._folder}/{path}" if self._folder else path

    def _chain(self, after: CommitId | None, upto: CommitId) -> list[tuple[CommitId, CommitId | None]]:
        """Commits with their first parents, where most of them were compared before, or they are few.

        Raises:
            TooFar: They are not.
        """
        chain = self._nodes.walk().chain(upto, after)
        if sum(parent is not None and (parent, commit) not in self._differences for commit, parent in chain) > COMPARED:
            raise TooFar
        return chain

    def _change(self, path: str, commit: CommitId, parent: CommitId | None) -> Change | None:
        """What a commit did to the file; None when it left it alone."""
        if parent is None:
            before, after = None, self.entry(commit, path)
        else:
            before, after = self._difference(parent, commit).get(path, (None, None))
        return Change(commit, parent, before, after) if before or after else None

    def _difference(self, old: CommitId, new: CommitId) -> Difference:
        """What differs below the folder; under the empty path, when it is no folder on one side or both."""
        if (known := self._differences.get((old, new))) is not None:
            return known
        walk = self._nodes.walk()
        walk.look((old, new))
        before, after = (self._at_folder(walk, commit) for commit in (old, new))
        folders = [entry.blob if entry and entry.mode == _FOLDER_MODE else None for entry in (before, after)]
        files = [None if entry and entry.mode == _FOLDER_MODE else entry for entry in (before, after)]
        found = self._trees.difference(folders[0], folders[1])
        if files[0] != files[1]:
            found = {**found, "": (files[0], files[1])}
        if len(found) <= LARGEST_DIFFERENCE:
            self._differences.put((old, new), found)
        return found

    def _at_folder(self, walk: Walk, commit: CommitId) -> TreeEntry | None:
        return self._trees.entry(walk.node(commit).tree, self._folder)

    def _ask(self, *arguments: str, limit: int) -> bytes:
        return self._git.local(self._mirror.path, *arguments, limit=limit)


def _names(listing: bytes) -> tuple[CommitId, ...]:
    return tuple(CommitId(name) for name in listing.decode("ascii", "replace").split())
