"""What is in an artifact, and how two of them differ, file by file. Reading archives is left to `archive`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.model import Digest


@dataclass(frozen=True, slots=True)
class FileFact:
    """One file of an artifact."""

    size: int
    """Bytes."""
    executable: bool
    sha256: Digest


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path that differs; None: there is no file on that side."""

    path: str
    before: FileFact | None
    after: FileFact | None


@dataclass(frozen=True, slots=True)
class Changes:
    """How one artifact differs from another, in order of path."""

    added: tuple[FileChange, ...]
    changed: tuple[FileChange, ...]
    removed: tuple[FileChange, ...]
    unchanged: int
    bytes_before: int
    """Of all files together."""
    bytes_after: int

    @property
    def total(self) -> int:
        """How many paths differ."""
        return len(self.added) + len(self.changed) + len(self.removed)

    @property
    def every(self) -> tuple[FileChange, ...]:
        """All of them, in order of path."""
        return tuple(sorted((*self.added, *self.changed, *self.removed), key=lambda change: change.path))


def compare(old: Mapping[str, FileFact], new: Mapping[str, FileFact]) -> Changes:
    """The files that come, go and become others; one whose executable bit alone differs is another."""
    pairs = [FileChange(path, old.get(path), new.get(path)) for path in sorted({*old, *new})]
    return Changes(
        added=tuple(pair for pair in pairs if pair.before is None),
        changed=tuple(pair for pair in pairs if pair.before and pair.after and pair.before != pair.after),
        removed=tuple(pair for pair in pairs if pair.after is None),
        unchanged=sum(pair.before == pair.after for pair in pairs),
        bytes_before=sum(fact.size for fact in old.values()),
        bytes_after=sum(fact.size for fact in new.values()),
    )
