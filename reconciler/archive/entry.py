"""What an archive yields, and how it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, NoReturn

from reconciler.bounds import Bounds
from reconciler.core.names import Names, UnsafeName, check, shown
from reconciler.errors import Reason, Terminal

CHUNK = 1024 * 1024
"""Bytes per read and the most that one chunk holds, of an entry that does not come in one piece."""
SMALL = 64 * 1024
"""Bytes up to which an entry is read at once: a stream of chunks costs more than the bytes do."""
FILE_MODE = 0o644
PROGRAM_MODE = 0o755
FOLDER_MODE = 0o755

_SET_ID = 0o6000
_OWNER_MAY_RUN = 0o100


class Entry(NamedTuple):
    """One regular file or folder. `chunks` ends in an error when the content is not what was announced.

    A tuple, for there may be 100,000 of them.
    """

    path: str
    """Relative, checked by `core.names`, `/` between its parts."""
    folder: bool
    mode: int
    """0644 or 0755."""
    size: int
    """Bytes, as announced; 0 for a folder."""
    chunks: Iterator[bytes]
    content: bytes | None = None
    """All that `chunks` gives, where it is small: then it was checked before the entry is given."""


def refuse(what: str, name: str | None = None) -> NoReturn:
    """These bytes can't ever be deployed.

    Raises:
        Terminal: `ArtifactUnsafe`, naming the entry and what is wrong with it.
    """
    subject = "the archive" if name is None else f"the archive's entry {shown(name)}"
    raise Terminal(
        Reason.ARTIFACT_UNSAFE,
        f"{subject} {what}",
        "build the artifact anew with regular files and folders only, in a complete zip, tar, tar.gz or tar.zst; "
        "the same bytes will be refused again",
    )


def refuse_size(what: str, bound: str) -> NoReturn:
    """More than the operator allows.

    Raises:
        Terminal: `ArtifactTooLarge`, naming the bound.
    """
    raise Terminal(
        Reason.ARTIFACT_TOO_LARGE,
        f"the archive {what}",
        f"raise bounds.{bound} in the settings if this artifact is meant to be so large, then retry",
    )


def kept_mode(mode: int, name: str) -> int:
    """Of a file's permissions only the executable bit is kept; set-id bits are refused, not dropped."""
    if mode & _SET_ID:
        refuse("is set-user-id or set-group-id", name)
    return PROGRAM_MODE if mode & _OWNER_MAY_RUN else FILE_MODE


def read_exactly(file: BinaryIO, count: int, part: str) -> bytes:
    """The next `count` bytes, or a refusal that says in which part the archive ends."""
    data = file.read(count)
    if len(data) != count:
        refuse(f"ends in the middle of {part}")
    return data


class Account:
    """What one archive has announced so far, against the bounds; refuses before anything is unpacked."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._names = Names()
        self._bytes = 0
        self._files = 0

    def add(self, name: str, size: int, *, folder: bool) -> None:
        """Take one announced entry.

        Raises:
            Terminal: `ArtifactUnsafe` for its name, `ArtifactTooLarge` for the sum of sizes or the count.
        """
        try:
            self._names.add(check(name), folder=folder)
        except UnsafeName as unsafe:
            refuse(unsafe.what, unsafe.name)
        self._bytes += size
        self._files += not folder
        if self._bytes > self._bounds.unpacked_bytes:
            refuse_size(f"unpacks to more than {self._bounds.unpacked_bytes} bytes", "unpacked_bytes")
        if len(self._names) > self._bounds.unpacked_files:
            refuse_size(f"holds more than {self._bounds.unpacked_files} files and folders", "unpacked_files")

    def close(self) -> None:
        """The archive is at its end.

        Raises:
            Terminal: `ArtifactUnsafe`, when there was no file in it.
        """
        if not self._files:
            refuse("holds no file")
