"""Follows the tracked branch: one `ls-remote` while nothing changes, only the changed files when something does.

It moves the catalog forward along the branch and never back: a tip that does not descend from the last
accepted one is reported, and every environment holds until the branch is pushed back.
"""

from __future__ import annotations

from reconciler.catalog import Catalog
from reconciler.model import CommitId, EnvironmentName
from reconciler.ports import Repository, Store


class Tracker:
    """Looks at the remote when told to. Not thread-safe."""

    def __init__(self, repository: Repository, catalog: Catalog, store: Store) -> None:
        self._repository = repository
        self._catalog = catalog
        self._store = store
        self._accepted: CommitId | None = store.tip()

    def look(self) -> frozenset[EnvironmentName]:
        """Look once, and return the environments that are due for a pass.

        Raises:
            ReconcilerError: The repository is out of reach; nothing changed.
        """
        tip = self._repository.head()
        if tip is None:
            return self._lost("the tracked branch is not there")
        if tip == self._accepted and tip == self._catalog.tip and not self._catalog.rewritten:
            return frozenset()
        self._repository.fetch(tip)
        if self._accepted and not self._repository.is_ancestor(self._accepted, tip):
            why = f"the tip {tip[:12]} does not descend from {self._accepted[:12]}, the last accepted tip"
            return self._lost(why, tip)
        return self._follow(tip)

    def _follow(self, tip: CommitId) -> frozenset[EnvironmentName]:
        first = self._catalog.tip is None
        due = self._catalog.refresh(tip)
        if self._catalog.rewritten:
            self._catalog.rewritten = ""
            first = True
        if tip != self._accepted:
            self._store.save_tip(tip)
            self._accepted = tip
        return self._everything() if first else due

    def _lost(self, why: str, tip: CommitId | None = None) -> frozenset[EnvironmentName]:
        """The branch may not be followed: everything that is known holds."""
        start = tip or self._accepted
        if self._catalog.tip is None:
            if start is None:
                return frozenset()
            self._repository.fetch(start)
            self._catalog.refresh(start)
        if self._catalog.rewritten == why:
            return frozenset()
        self._catalog.rewritten = why
        return self._everything()

    def _everything(self) -> frozenset[EnvironmentName]:
        return frozenset({*self._catalog.environments, *self._store.statuses()})
