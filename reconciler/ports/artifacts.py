"""Where artifacts come from, and our own copies of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager
from typing import Protocol

from reconciler.core.verify import VerifiedArtifact
from reconciler.model import (
    Artifact,
    Digest,
    Run,
    RunId,
)


class ArtifactStream(Protocol):
    """Bytes on their way. Iterating raises `Transient` when they stop coming."""

    @property
    def offset(self) -> int:
        """Where in the file the first chunk belongs: what was asked for, or 0 when it can't resume."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of at most 1 MiB."""
        ...


class Source(Protocol):
    """Where CI's runs and artifacts are found."""

    def run(self, run_id: RunId) -> Run:
        """What CI says of one run.

        Raises:
            PolicyDenied: `RunNotFound`.
            Transient: `SourceUnavailable`.
        """
        ...

    def open(self, run: Run, artifact: Artifact, offset: int) -> AbstractContextManager[ArtifactStream]:
        """An artifact's bytes from `offset` on.

        Raises:
            PolicyDenied: `ArtifactMissing`.
            Transient: `SourceUnavailable`.
        """
        ...


class Custody(Protocol):
    """Our own copy of artifacts, by content."""

    def obtain(
        self,
        digest: Digest,
        fetch: Callable[[int], AbstractContextManager[ArtifactStream]],
        *,
        anew: bool = False,
    ) -> AbstractContextManager[VerifiedArtifact]:
        """The artifact, hashed anew from our copy; fetched first when we have none that is whole.

        Args:
            digest: What its bytes must be.
            fetch: Opens the stream from an offset; called only when needed.
            anew: Fetch also when we have a copy, which says nothing of where these bytes are from.

        Raises:
            IntegrityError: `DigestMismatch`. PolicyDenied: `ArtifactTooLarge`. Transient: `SourceUnavailable`.
        """
        ...

    def holds(self, digest: Digest) -> bool:
        """Whether we have a copy, by a look at its name alone."""
        ...

    def collect(self, keep: Set[Digest]) -> int:
        """Remove what nobody declares, runs or may roll back to; returns how many copies went."""
        ...
