"""What views remember from one page to the next, so that a page costs what it shows and not what there is.

Nothing here can be out of date: what is kept under a key never changes for that key.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Set
from datetime import datetime
from typing import Generic, TypeVar

from reconciler.core.declare import Reading
from reconciler.core.readable import plain
from reconciler.core.services import Service, services
from reconciler.declarations.catalog import Catalog
from reconciler.errors import ReconcilerError
from reconciler.model import CommitId, Declared, EnvironmentName, Status
from reconciler.ports import Repository, Store

TITLE = 120
"""Characters of a change's title that are shown."""
TITLES_KEPT = 10_000
LINEAGES_KEPT = 2_000
FILES_KEPT = 200
ENTRIES_KEPT = 5_000
LINEAGE = 50
"""Deployments of an environment that are looked at to tell how far another one is behind it."""
_GIVEN_UP = 3
"""Commits that can't be read, of those on one page, before no more are asked for."""
_MERGES = re.compile(r"Merge ((branch|branches|pull request|remote-tracking branch|commit|tag)\b|\S+$)")
"""How merges are called by git, by forges that say more below, and by who names nothing but the branch."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """The last values by key. Safe from several threads; two of them may make the same one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value under a key, made when there is none; raises what making it raises."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value


class Recall:
    """One for all pages of a process."""

    def __init__(self) -> None:
        self._services: Memo[tuple[CommitId | None, Set[EnvironmentName]], tuple[Service, ...]] = Memo(1)
        self._titles: Memo[CommitId, str] = Memo(TITLES_KEPT)
        self.files: Memo[tuple[str, CommitId], Reading | None] = Memo(FILES_KEPT)
        """Environment files, by path and commit."""
        self.entries: Memo[tuple[int | None, datetime], int | None] = Memo(ENTRIES_KEPT)
        """Where in the audit chain attempts that ended have their outcome, by id and beginning."""
        self._lineages: Memo[tuple[object, ...], tuple[Declared, ...]] = Memo(LINEAGES_KEPT)

    def services(self, catalog: Catalog, others: Set[EnvironmentName]) -> tuple[Service, ...]:
        """Every service; `others` are environments that are known, and not declared."""

        def make() -> tuple[Service, ...]:
            return services((*catalog.environments, *others), catalog.upstreams, catalog.artifact)

        return self._services.get((catalog.tip, others), make)

    def title(self, repository: Repository, commit: CommitId) -> str:
        """Of the change that a commit brought; raises `ReconcilerError` when it can't be read."""
        return self._titles.get(commit, lambda: _title(repository, commit))

    def lineage(self, store: Store, status: Status) -> tuple[Declared, ...]:
        """The last deployments that came about in an environment that stands so, newest first.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        name, live = status.environment, status.live
        key = (name, live.id if live else None, status.live_since)
        return self._lineages.get(key, lambda: store.deployed(name, LINEAGE))


class Titles:
    """The titles of one page. A repository that can't be read is not asked again and again."""

    def __init__(self, recall: Recall, repository: Repository) -> None:
        self._recall = recall
        self._repository = repository
        self._failed = 0

    def of(self, commit: CommitId | None) -> str:
        """Of the change that a commit brought; empty where nobody can tell."""
        if commit is None or self._failed >= _GIVEN_UP:
            return ""
        try:
            return self._recall.title(self._repository, commit)
        except ReconcilerError:
            self._failed += 1
            return ""


def _title(repository: Repository, name: CommitId) -> str:
    """A merge that is called as machines call them has its request's title below, or on the branch that it brought."""
    commit = repository.commit(name)
    subject, _, rest = commit.message.partition("\n")
    if len(commit.parents) > 1 and _MERGES.match(subject):
        below = next((line for line in rest.splitlines()[:20] if line.strip()), "")
        subject = below or repository.commit(commit.parents[1]).message.partition("\n")[0] or subject
    return plain(subject, TITLE)
