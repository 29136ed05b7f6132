"""Where views read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.core.contents import FileFact
from reconciler.declarations.catalog import Catalog
from reconciler.model import Digest, EnvironmentName, Status
from reconciler.ports import Clock, Repository, Store
from reconciler.views.recall import Recall

Contents = Callable[[Digest, Literal["outer", "inner"]], Mapping[str, FileFact] | None]
"""What is in an artifact, unpacked so, out of our own copy alone; None: there is none, or it can't be read."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where the forge shows things to people; each is empty where the forge has no such page."""

    request: Callable[[str], str] = lambda _: ""
    """Of a change's `request`, such as `#12`."""
    commit: Callable[[str], str] = lambda _: ""
    edit: Callable[[str], str] = lambda _: ""
    """Where a file, by its path in the repository, is edited and proposed."""
    run: Callable[[str, int], str] = lambda _, __: ""
    """Of a source's name and a run."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that views ask."""

    statuses: Callable[[], Mapping[EnvironmentName, Status]]
    """Where every environment stands, as of now."""
    catalog: Catalog
    store: Store
    repository: Repository
    clock: Clock
    contents: Contents
    links: Links = field(default_factory=Links)
    trouble: Callable[[], str] = lambda: ""
    """Why the last look at the repository failed, for people; empty when it did not."""
    holds: Callable[[Digest], bool] = lambda _: False
    """Whether there is our own copy of an artifact."""
    recall: Recall = field(default_factory=Recall, compare=False, repr=False)
