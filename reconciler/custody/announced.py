"""Custody that says when it begins to read, and when to download: for whoever times a pass by its steps."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import AbstractContextManager

from reconciler.core.verify import VerifiedArtifact
from reconciler.model import Digest
from reconciler.ports import ArtifactStream, Custody, Trace


class Announced:
    """Implements `ports.Custody` by another one.

    Args:
        custody: Does the work.
        trace: Gets `custody:verify` before our copy is looked for and hashed, `custody:fetch` before a download.
    """

    def __init__(self, custody: Custody, trace: Trace) -> None:
        self._custody = custody
        self._trace = trace

    def obtain(
        self,
        digest: Digest,
        fetch: Callable[[int], AbstractContextManager[ArtifactStream]],
        *,
        anew: bool = False,
    ) -> AbstractContextManager[VerifiedArtifact]:
        """The artifact; see `ports.Custody`."""

        def announced(offset: int) -> AbstractContextManager[ArtifactStream]:
            self._trace("custody:fetch")
            return fetch(offset)

        self._trace("custody:verify")
        return self._custody.obtain(digest, announced, anew=anew)

    def holds(self, digest: Digest) -> bool:
        """Whether we have a copy, by its name."""
        return self._custody.holds(digest)

    def collect(self, keep: Set[Digest]) -> int:
        """Remove what nobody needs; returns how many copies went."""
        return self._custody.collect(keep)
