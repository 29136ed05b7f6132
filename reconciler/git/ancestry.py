"""Who descends from whom: no process for short ways, and none for any number of questions asked of one tip.

A pass over many environments asks for each whether the tip descends from what was last accepted there.
The ancestors of the tip are held as a set of binary names (some 90 bytes for each commit) and extended by
the new commits alone when the next tip descends from it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from reconciler.git.command import Git, GitFailed
from reconciler.git.nodes import Nodes, TooFar
from reconciler.git.reader import Missing
from reconciler.model import CommitId

HISTORY_BYTES = 512 * 1024**2
"""Most bytes of commit names that are read at once: some six million commits."""
_ANSWERS = 4096
"""Answers that are kept about commits other than the tip."""


class Ancestry:
    """Answers for one mirror. Safe to use from several threads."""

    def __init__(self, git: Git, nodes: Nodes) -> None:
        self._git = git
        self._nodes = nodes
        self._lock = threading.Lock()
        self._tip: CommitId | None = None
        self._known: set[bytes] = set()
        self._answers: OrderedDict[tuple[CommitId, CommitId], bool] = OrderedDict()

    def covers(self, tip: CommitId) -> bool:
        """Whether questions about this tip cost no process."""
        return self._tip == tip

    def of_tip(self, mirror: Path, old: CommitId, tip: CommitId) -> bool:
        """Whether the branch's tip is `old` or descends from it.

        Raises:
            GitFailed: The mirror does not hold the whole history of the tip.
        """
        with self._lock:
            if self._tip != tip:
                self._advance(mirror, tip)
            return bytes.fromhex(old) in self._known

    def of_pair(self, mirror: Path, old: CommitId, new: CommitId) -> bool:
        """The same for any two commits; False when either is unknown. At most one process, the answer is kept."""
        with self._lock:
            if (old, new) in self._answers:
                self._answers.move_to_end((old, new))
                return self._answers[old, new]
        found = self._answer(mirror, old, new)
        if found is not None:  # anything else may be otherwise after a fetch
            with self._lock:
                self._answers[old, new] = found
                while len(self._answers) > _ANSWERS:
                    self._answers.popitem(last=False)
        return found or False

    def _answer(self, mirror: Path, old: CommitId, new: CommitId) -> bool | None:
        """By a short walk, or else by git; None when one of them is unknown."""
        try:
            return self._nodes.walk().descends(old, new)
        except Missing:
            return None
        except (TooFar, GitFailed):
            code, _, _ = self._git.ask(mirror, "merge-base", "--is-ancestor", old, new)
            return code == 0 if code in (0, 1) else None

    def of_fetched(self, mirror: Path, old: CommitId, last: CommitId | None) -> bool:
        """Whether what was fetched last is `old` or descends from it. No process when it is that, or is covered."""
        if last is None or last == old:
            return last == old
        return self.of_tip(mirror, old, last) if self.covers(last) else self.of_pair(mirror, old, last)

    def _advance(self, mirror: Path, tip: CommitId) -> None:
        """Make `tip` the one that is covered."""
        if self._tip is None or not self._extend(mirror, self._tip, tip):
            listing = self._git.local(mirror, "rev-list", tip, "--", limit=HISTORY_BYTES)
            self._known = {bytes.fromhex(name) for name in listing.decode("ascii").split()}
        self._tip = tip

    def _extend(self, mirror: Path, known: CommitId, tip: CommitId) -> bool:
        """Add what is new; False when `tip` does not descend from what is known.

        It does exactly when `known` is the parent of a commit that is reachable from `tip` and not from it.
        """
        try:
            return self._extend_by_walking(known, tip)
        except (TooFar, GitFailed):
            pass
        code, listing, _ = self._git.ask(mirror, "rev-list", "--parents", tip, f"^{known}", "--", limit=HISTORY_BYTES)
        lines = [line.split() for line in listing.decode("ascii", "replace").splitlines()]
        if code != 0 or not any(known in parents for _, *parents in lines):
            return False
        self._known.update(bytes.fromhex(name) for name, *_ in lines)
        return True

    def _extend_by_walking(self, known: CommitId, tip: CommitId) -> bool:
        walk = self._nodes.walk()
        fresh, level, reached = {bytes.fromhex(tip)}, [tip], False
        while level:
            walk.look(level)
            parents = {parent for name in level for parent in walk.node(name).parents}
            reached = reached or known in parents
            level = [name for name in parents if (key := bytes.fromhex(name)) not in self._known and key not in fresh]
            fresh.update(map(bytes.fromhex, level))
        if reached:
            self._known |= fresh
        return reached
