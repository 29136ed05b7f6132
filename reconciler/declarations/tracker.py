"""Follows the tracked branch: at most one `ls-remote` while nothing changes, only the changed files else.

It moves the catalog forward along the branch and never back: a tip that does not descend from the last
one that was seen is reported, and every environment holds until the branch is pushed back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from reconciler.declarations.catalog import Catalog
from reconciler.errors import Reason
from reconciler.model import CommitId, EnvironmentName, Rewrite
from reconciler.ports import Clock, Repository, Store


def rewritten(tip: CommitId, seen: CommitId | None) -> str:
    """Why a tip may not be followed; in full, as `accept-rewrite` takes it."""
    return f"the tip {tip} does not descend from {seen}, the last tip that was seen"


class NothingToAccept(Exception):
    """There is no rewrite to accept, or not at that commit; `hint` says what to give instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def accepted_rewrite(
    repository: Repository, store: Store, clock: Clock, commit: CommitId, by: str, reason: str
) -> Rewrite:
    """An operator's word that a rewritten branch is to be followed from a commit on.

    Dated after all that was let in on the targets, should the clock have been set back since.

    Raises:
        NothingToAccept: The branch was not rewritten, or the commit is not one of it.
        ReconcilerError: The repository or the store is out of reach.
    """
    last, tip = store.tip(), repository.head()
    if tip is None:
        raise NothingToAccept("the tracked branch is not there", "push it first")
    repository.fetch(tip)
    if not repository.is_ancestor(commit, tip):
        hint = f"give the full id of a commit of the branch as it is now; its tip is {tip}"
        raise NothingToAccept(f"{commit[:80]!r} is not a commit of the tracked branch", hint)
    if last is None or repository.is_ancestor(last, tip):
        # The store may be younger than the rewrite; what was let in on the targets is not.
        if not any(status.reason is Reason.BRANCH_REWRITTEN for status in store.statuses().values()):
            raise NothingToAccept(f"the branch was not rewritten: its tip {tip[:12]} follows what was seen last")
        last = None
    times = [accepted.accepted_at for name in store.statuses() if (accepted := store.accepted(name))]
    at = max([clock.now(), *(time + timedelta(microseconds=1) for time in times)])
    return Rewrite(commit, last, by, reason, at)


class Tracker:
    """Looks at the remote when told to. Not thread-safe.

    What a look found out is kept until it was handed over, so that a fault half-way loses no wake-up.
    """

    def __init__(
        self,
        repository: Repository,
        catalog: Catalog,
        store: Store,
        expect: Callable[[CommitId], object] | None = None,
    ) -> None:
        """Begin where the store remembers to have been.

        Args:
            repository: The remote and its mirror.
            catalog: Moves along.
            store: Remembers the tip.
            expect: Told of a new tip that may be followed, before anything of it is read: passes will ask how it came
                about. Must not block. None: nobody need be.
        """
        self._repository = repository
        self._catalog = catalog
        self._store = store
        self._expect = expect
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
                self._lose(rewritten(tip, self._seen), tip)
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
        if self._expect and self._catalog.tip not in (None, tip):
            self._expect(tip)
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
