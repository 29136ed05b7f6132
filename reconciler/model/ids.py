"""What things are called: types of their own, so that a run is never taken for a commit."""

from __future__ import annotations

from typing import NewType

EnvironmentName = NewType("EnvironmentName", str)
RunId = NewType("RunId", int)
Digest = NewType("Digest", str)
"""64 lower-case hex digits of a SHA-256."""
CommitId = NewType("CommitId", str)
"""The full object name of a commit, in lower-case hex."""
BlobId = NewType("BlobId", str)
