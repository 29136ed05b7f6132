"""Follows the tracked branch: one `ls-remote` while nothing changes, only the changed files when something does.

It moves the catalog forward along the branch and never back: a tip that does not descend from the last
one that was seen is reported, and every environment holds until the branch is pushed back.
"""

from __future__ import annotations

from reconciler.catalog import Catalog
from reconciler.model import CommitId, EnvironmentName
from reconciler.ports import Repository, Store


class Tracker:
    """Looks at the remote when told to. Not thread-safe.

    What a look found out is kept until it was handed over, so that a fault half-way loses no wake-up.
    """

    def __init__(self, repository: Repository, catalog: Catalog, store: Store) -> None:
        self._repository = repository
        self._catalog = catalog
        self._store = store
        self._seen: CommitId | None = store.tip()
        self._doubtful = False
        """Whether the store may know another tip than we: an answer of it was lost."""
        self._due: set[EnvironmentName] = set()
        self._all_due = False

    @property
    def has_declarations(self) -> bool:
        """Whether there is anything to run a pass on: not before the branch was there once."""
        return self._catalog.tip is not None

    def look(self) -> frozenset[EnvironmentName]:
        """Look once, and return the environments that are due for a pass.

        Raises:
            ReconcilerError: The repository or the store is out of reach; nothing is lost.
        """
        tip = self._repository.head()
        if self._doubtful:
            self._seen, self._doubtful = self._store.tip(), False
        if tip is None:
            self._lose("the tracked branch is not there", None)
        elif tip != self._seen or tip != self._catalog.tip or self._catalog.rewritten:
            self._repository.fetch(tip)
            if not self._descends(tip):
                why = f"the tip {tip[:12]} does not descend from {self._seen}, the last tip that was seen"
                self._lose(why, tip)
            else:
                self._follow(tip)
        return self._hand_over()

    def recover(self) -> frozenset[EnvironmentName]:
        """After a look that failed: what the mirror still holds of the last tip that was seen, all of it due.

        So that drift is repaired also when the process starts while the repository is out of reach. Nothing is
        due when declarations are known already.

        Raises:
            ReconcilerError: The mirror does not hold it either, or the store is out of reach.
        """
        if self._catalog.tip is not None or self._seen is None:
            return frozenset()
        self._repository.fetch(self._seen)
        self._catalog.refresh(self._seen)
        return frozenset({*self._catalog.environments, *self._store.statuses()})

    def _follow(self, tip: CommitId) -> None:
        if tip != self._seen:
            self._doubtful = True
            self._store.save_tip(tip)
            self._seen, self._doubtful = tip, False
        if self._catalog.tip is None or self._catalog.rewritten:
            self._all_due = True
        self._due |= self._catalog.refresh(tip)
        self._catalog.rewritten = ""

    def _descends(self, tip: CommitId) -> bool:
        """Whether the tip follows the last one that was seen; or what an operator accepted in its place since."""
        if self._seen is None or self._repository.is_ancestor(self._seen, tip):
            return True
        self._seen = self._store.tip()
        return self._seen is None or self._repository.is_ancestor(self._seen, tip)

    def _lose(self, why: str, tip: CommitId | None) -> None:
        """The branch may not be followed: everything that is known holds."""
        if self._catalog.tip is None:
            start = tip or self._seen
            if start is None:
                return
            self._repository.fetch(start)
            self._catalog.refresh(start)
        if self._catalog.rewritten != why:
            self._all_due = True
            self._catalog.rewritten = why

    def _hand_over(self) -> frozenset[EnvironmentName]:
        everything = {*self._catalog.environments, *self._store.statuses()} if self._all_due else set()
        due = frozenset(self._due | everything)
        self._due, self._all_due = set(), False
        return due
