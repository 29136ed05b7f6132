"""Archives, read strictly: what is in them, or why they can never be deployed.

The format is told by content. Two readings of one archive are an attack, so whatever another tool
might read differently is refused, not repaired; so is what is not a regular file or a folder. Nothing
is written here but the bounded temporary copy of an inner archive: writing releases is left to
`targets`, and which names are safe to `core.names`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from reconciler.archive import streams, tarred, zipped
from reconciler.archive.entry import CHUNK, Entry, refuse, refuse_size
from reconciler.bounds import Bounds
from reconciler.errors import Reason, Transient

__all__ = ["CHUNK", "Entry", "entries"]

AHEAD_FROM = 2 * CHUNK
"""Bytes of an entry from which a second thread pays: zlib, hashing and writing run side by side."""

_USTAR_AT = 257
_HEAD_BYTES = 512


def entries(file: BinaryIO, bounds: Bounds, unpack: Literal["outer", "inner"], spool: Path) -> Iterator[Entry]:
    """What an archive holds, in the order of its bytes, streaming.

    Each entry's `chunks` must be read before the next entry is taken; what is left unread is checked and
    skipped. An archive is sound only when the iteration came to its end without an error.

    Args:
        file: The archive, seekable.
        bounds: `unpacked_bytes` and `unpacked_files` stop bombs early.
        unpack: `outer`: the file is the archive. `inner`: it holds a single file that is.
        spool: A folder for a temporary copy of the inner archive; the copy never has a name in it.

    Raises:
        Terminal: `ArtifactUnsafe`, `ArtifactTooLarge`.
        Transient: `SourceUnavailable`, when our copy or the temporary one can't be read or written.
    """
    with _faults():
        if unpack == "outer":
            yield from _guarded(_read(file, bounds))
            return
        with tempfile.TemporaryFile(dir=spool) as copy:
            _extract_single(file, bounds, copy)
            yield from _guarded(_read(copy, bounds))


def _read(file: BinaryIO, bounds: Bounds) -> Iterator[Entry]:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if not head:
        refuse("is empty")
    for magic, reader in _READERS:
        if head.startswith(magic):
            return reader(file, bounds)
    if head[_USTAR_AT : _USTAR_AT + 5] != b"ustar":
        refuse("is not a zip, tar, tar.gz or tar.zst")
    return tarred.entries(file, bounds)


_READERS: tuple[tuple[bytes, Callable[[BinaryIO, Bounds], Iterator[Entry]]], ...] = (
    (zipped.MAGIC, zipped.entries),
    (zipped.EMPTY_MAGIC, zipped.entries),
    (streams.GZIP_MAGIC, lambda file, bounds: tarred.entries(streams.gunzip(file), bounds)),
    (streams.ZSTD_MAGIC, lambda file, bounds: tarred.entries(streams.unzstd(file), bounds)),
)


def _extract_single(file: BinaryIO, bounds: Bounds, copy: BinaryIO) -> None:
    """The one file of an archive, into a temporary one."""
    for position, entry in enumerate(_read(file, bounds)):
        if entry.folder or position > 0:
            refuse("was declared to hold a single inner archive, and holds other things (unpack: inner)")
        if entry.size > bounds.artifact_bytes:
            refuse_size(f"holds an inner archive of {entry.size} bytes", "artifact_bytes")
        copy.writelines(entry.chunks)
    copy.flush()


def _guarded(found: Iterator[Entry]) -> Iterator[Entry]:
    """The same entries; faults of the disk come out of their chunks as ours, too."""
    for entry in found:
        if entry.content is not None:
            yield entry
            continue
        chunks = (_one_by_one if entry.size < AHEAD_FROM else _read_ahead)(entry.chunks)
        yield entry._replace(chunks=chunks)
        chunks.close()  # the reader goes on with this entry's bytes: nobody else may still be at them


def _one_by_one(chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    try:
        for chunk in chunks:  # noqa: UP028  # `yield from` would close the reader's own iterator with ours
            yield chunk
    except OSError as error:  # not `_faults`: this runs once for each of 10,000 small files
        raise _unreadable(error) from error


def _read_ahead(chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The next chunk is decompressed while the caller hashes and writes this one."""
    with _faults(), ThreadPoolExecutor(1, "archive") as pool:
        coming = pool.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = pool.submit(next, chunks, None)
            yield chunk


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> Transient:
    return Transient(
        Reason.SOURCE_UNAVAILABLE,
        f"the artifact can't be read from our copy: {os.strerror(error.errno or 0)}",
        "look at the disk that holds the state directory, and at the room on it",
    )
