"""Contents of objects by name: read in batches from the mirror, and the last ones kept in memory.

What a name stands for never changes, so nothing here is ever stale; and each content is hashed against its
name as it is read, so a damaged mirror is found and not believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from reconciler.git import objects
from reconciler.git.reader import Readers
from reconciler.git.recent import Recent
from reconciler.model import BlobId, Commit, CommitId

_Name = TypeVar("_Name", BlobId, CommitId)

COMMITS_KEPT = 1024
"""Commits kept in memory after reading, of at most `COMMIT_KEPT_BYTES` each."""
COMMIT_KEPT_BYTES = 16 * 1024
BLOBS_KEPT = 256
"""Files kept in memory after reading, of at most `BLOB_KEPT_BYTES` each: one pass asks for the same few again."""
BLOB_KEPT_BYTES = 8 * 1024


class Contents:
    """Reads objects of one mirror; safe to use from several threads."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._commits: Recent[CommitId, Commit] = Recent(COMMITS_KEPT)
        self._blobs: Recent[BlobId, bytes] = Recent(BLOBS_KEPT)

    def blobs(self, names: tuple[BlobId, ...], limit: int) -> dict[BlobId, bytes | None]:
        """Contents of blobs; None for one of more than `limit` bytes.

        Raises:
            GitFailed: The mirror does not hold them all, whole.
        """
        known = {name: data for name in names if (data := self._blobs.get(name)) is not None and len(data) <= limit}
        read = self._read("blob", tuple(name for name in names if name not in known), limit)
        for name, data in read.items():
            if data is not None and len(data) <= BLOB_KEPT_BYTES:
                self._blobs.put(name, data)
        return {**known, **read}

    def commit(self, name: CommitId, limit: int) -> Commit | None:
        """One commit; None when it is larger than `limit` bytes.

        Raises:
            GitFailed: The mirror does not hold it, whole.
        """
        if (known := self._commits.get(name)) is not None:
            return known
        raw = self._read("commit", (name,), limit)[name]
        if raw is None:
            return None
        commit = objects.commit(name, raw)
        if len(raw) <= COMMIT_KEPT_BYTES:
            self._commits.put(name, commit)
        return commit

    def read_ahead(self, names: Iterable[CommitId]) -> None:
        """Read commits that will be asked for next, all in one batch.

        Raises:
            GitFailed: The mirror does not hold them all, whole.
        """
        wanted = tuple(name for name in names if name not in self._commits)
        for name, raw in self._read("commit", wanted, COMMIT_KEPT_BYTES).items():
            if raw is not None:
                self._commits.put(name, objects.commit(name, raw))

    def _read(self, kind: str, names: tuple[_Name, ...], limit: int) -> dict[_Name, bytes | None]:
        found = self._readers.read(kind, names, limit)
        return {name: found[name] for name in names}
