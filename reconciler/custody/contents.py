"""What is in the artifacts that we have a copy of, for who only looks: nothing is fetched, removed or made durable.

A copy is hashed anew before it is read, as always. The last few answers are kept; one copy is read at a time, so that
whoever looks takes at most one thread's worth of the machine.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Literal

from reconciler.archive.listing import listing
from reconciler.bounds import Bounds
from reconciler.core.contents import FileFact
from reconciler.core.verify import verify
from reconciler.errors import ReconcilerError
from reconciler.model import Digest

KEPT = 4
"""Answers that are kept: of two artifacts and those before them."""
KEPT_BYTES = 16 * 1024**2
"""Memory that kept answers take together, about: 40,000 files with names of usual length."""
_FILE_BYTES = 300
"""Of a file, beside its name."""
_HEX = re.compile(r"[0-9a-f]{64}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class KeptContents:
    """Reads our own copies.

    Args:
        root: Custody's folder.
        bounds: As for unpacking.
        spool: A folder for temporary copies of inner archives; made when one is needed.
    """

    def __init__(self, root: Path, bounds: Bounds, spool: Path) -> None:
        self._root = root
        self._bounds = bounds
        self._spool = spool
        self._turn = Lock()
        self._kept: dict[tuple[Digest, str], Mapping[str, FileFact]] = {}
        """The oldest first."""

    def __call__(self, digest: Digest, unpack: Literal["outer", "inner"]) -> Mapping[str, FileFact] | None:
        """Every file of an artifact by its path; None: there is no copy, or it is not whole, or can't be read."""
        if not _HEX.fullmatch(digest):
            return None
        with self._turn:
            found = self._kept.get((digest, unpack))
            if found is None:
                found = self._read(digest, unpack)
                if found is not None:
                    self._keep((digest, unpack), found)
        return found

    def _keep(self, key: tuple[Digest, str], found: Mapping[str, FileFact]) -> None:
        self._kept[key] = found
        while len(self._kept) > KEPT or sum(map(_bytes, self._kept.values())) > KEPT_BYTES:
            del self._kept[next(iter(self._kept))]

    def _read(self, digest: Digest, unpack: Literal["outer", "inner"]) -> Mapping[str, FileFact] | None:
        path = self._root / "sha256" / digest[:2] / digest
        try:
            if unpack == "inner":
                self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, _READ), "rb") as file:
                return listing(verify(file, digest, self._bounds.artifact_bytes), self._bounds, self._spool, unpack)
        except (OSError, ReconcilerError):
            return None


def _bytes(found: Mapping[str, FileFact]) -> int:
    return sum(map(sys.getsizeof, found)) + _FILE_BYTES * len(found)
