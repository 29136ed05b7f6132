"""Bytes against the digest that was declared for them. The only place that makes a `VerifiedArtifact`.

A target takes nothing else, so deploying bytes that nobody hashed does not type-check; and since the
value carries the very file that was hashed, there is no second opening that could meet other bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO, final

from reconciler.errors import IntegrityError, PolicyDenied, Reason
from reconciler.model import Digest

CHUNK = 1024 * 1024
"""Bytes per read: with 8 KiB, hashing a download runs at half the speed."""


@final
class _Seal:
    """Known to this module alone: what makes the constructor below private."""


_SEAL = _Seal()


@dataclass(frozen=True, slots=True)
class VerifiedArtifact:
    """An open file whose bytes have the declared digest; positioned at its start, read-only."""

    digest: Digest
    size: int
    file: BinaryIO
    _seal: _Seal


class Intake:
    """Hashes and counts bytes while they arrive, so that nothing is trusted before its last byte."""

    def __init__(self, expected: Digest, limit: int) -> None:
        self.expected = expected
        self.limit = limit
        self.size = 0
        self._hash = hashlib.sha256()

    def update(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            PolicyDenied: `ArtifactTooLarge`, as soon as the limit is passed.
        """
        self.size += len(chunk)
        if self.size > self.limit:
            raise PolicyDenied(
                Reason.ARTIFACT_TOO_LARGE,
                f"the artifact is larger than the allowed {self.limit} bytes",
                "raise bounds.artifact_bytes in the settings if this artifact is meant to be so large",
            )
        self._hash.update(chunk)

    def finish(self) -> None:
        """Compare with what was declared.

        Raises:
            IntegrityError: `DigestMismatch`, naming both digests.
        """
        found = self._hash.hexdigest()
        if found != self.expected:
            raise IntegrityError(
                Reason.DIGEST_MISMATCH,
                f"the bytes have sha256 {found}, declared is {self.expected}",
                "the artifact was altered after it was declared, or the declared sha256 is wrong: "
                "compare it with what the CI run printed",
            )


def verify(file: BinaryIO, expected: Digest, limit: int) -> VerifiedArtifact:
    """Hash a whole open file and vouch for it.

    Raises:
        IntegrityError: its digest is another one.
        PolicyDenied: it is larger than `limit` bytes.
    """
    intake = Intake(expected, limit)
    file.seek(0)
    while chunk := file.read(CHUNK):
        intake.update(chunk)
    intake.finish()
    file.seek(0)
    return VerifiedArtifact(digest=expected, size=intake.size, file=file, _seal=_SEAL)
