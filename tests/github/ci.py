"""Workflow runs, and the artifacts that they stored: real zips, hashed as GitHub states it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.github.repository import HubRepository

_KEPT = timedelta(days=90)
_OLD = (2026, 1, 1, 0, 0, 0)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A zip with these files; the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _OLD), content)
    return buffer.getvalue()


@dataclass(eq=False)
class Artifact:
    """One artifact; `zip` is what is downloaded, `digest` what the API says of it."""

    run: Run
    id: int
    name: str
    zip: bytes
    digest: str | None
    created: datetime
    expired: bool = False

    @property
    def sha256(self) -> str:
        """Of the bytes as they are now."""
        return hashlib.sha256(self.zip).hexdigest()

    @property
    def expires(self) -> datetime:
        return self.created + _KEPT

    def expire(self) -> None:
        """It is still named, and its bytes are gone."""
        self.expired = True

    def delete(self) -> None:
        """It was never there."""
        self.run.artifacts.remove(self)

    def corrupt(self, content: bytes) -> None:
        """Other bytes are stored; the API goes on to say what it said."""
        self.zip = content


@dataclass(eq=False)
class Run:
    """One workflow run, in its last attempt."""

    repository: HubRepository
    id: int
    head_repository: HubRepository
    commit: str
    branch: str
    event: str
    workflow: str
    status: str
    conclusion: str | None
    created: datetime
    attempt: int = 1

    def __post_init__(self) -> None:
        self.artifacts: list[Artifact] = []
        self.updated = self.created

    def artifact(self, name: str, content: Mapping[str, str | bytes] | bytes, *, digest: str | None = "") -> Artifact:
        """Store one.

        Args:
            name: Two of one name may be.
            content: Files, or the very bytes of the download.
            digest: What the API says; empty: the truth; None: nothing, as of artifacts of old.
        """
        data = content if isinstance(content, bytes) else zipped(content)
        said = f"sha256:{hashlib.sha256(data).hexdigest()}" if digest == "" else digest
        hub = self.repository.hub
        self.artifacts.append(Artifact(self, hub.new_id(), name, data, said, hub.now()))
        return self.artifacts[-1]

    def finish(self, conclusion: str = "success") -> None:
        """It has ended."""
        with self.repository.hub.acting():
            self.status, self.conclusion, self.updated = "completed", conclusion, self.repository.hub.now()
            self.repository.tell("workflow_run", "completed", run=self)

    def rerun(self, status: str = "completed", conclusion: str | None = "success") -> Run:
        """Another attempt with the same id; artifacts of the one before stay, as they do at GitHub."""
        with self.repository.hub.acting():
            self.attempt += 1
            self.status, self.conclusion = status, conclusion if status == "completed" else None
            self.updated = self.repository.hub.now()
            self.repository.tell("workflow_run", "completed" if status == "completed" else status, run=self)
            return self

    def delete(self) -> None:
        """The run and its artifacts are gone."""
        del self.repository.runs[self.id]
