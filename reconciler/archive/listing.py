"""What is in an artifact, without unpacking it: the same strict reading as for a release, with nothing written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from reconciler.archive import entries
from reconciler.archive.entry import PROGRAM_MODE
from reconciler.bounds import Bounds
from reconciler.core.contents import FileFact
from reconciler.core.verify import VerifiedArtifact
from reconciler.model import Digest


def listing(
    artifact: VerifiedArtifact, bounds: Bounds, spool: Path, unpack: Literal["outer", "inner"] = "outer"
) -> dict[str, FileFact]:
    """Every file of an artifact by its path, hashed; folders are not listed.

    Args:
        artifact: Our own copy, verified.
        bounds: As for unpacking: an artifact that can be listed can be deployed, and the other way round.
        spool: A folder that is there, for the temporary copy of an inner archive.
        unpack: As declared.

    Raises:
        Terminal: `ArtifactUnsafe`, `ArtifactTooLarge`. Transient: `SourceUnavailable`.
    """
    found = {}
    for entry in entries(artifact.file, bounds, unpack, spool):
        if entry.folder:
            continue
        digest = hashlib.sha256()
        for chunk in entry.chunks:
            digest.update(chunk)
        found[entry.path] = FileFact(entry.size, entry.mode == PROGRAM_MODE, Digest(digest.hexdigest()))
    return found
