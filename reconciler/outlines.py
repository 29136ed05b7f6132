"""Outlines of files that were read before, by the name of their content: so that a start need not read all again.

It lies below the state folder and may be thrown away at any time. Each line is sealed by a checksum over what it
says, the content's name and the version of this program, so a line that was damaged, half written or left by another
version is not believed and its file is read anew; one that can't be read at all is made anew. What it is for is who
overlaps with whom and who waits for whom: no environment is judged by it, as its own file is read for that.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler import __version__
from reconciler.core.relations import Outline
from reconciler.model import BlobId, Digest

FORMAT = 1
"""Of a line, and of how a file is understood; a change of either makes all lines another version's."""
SPARE = 1_000
"""Lines that nobody needs any more, beside as many as are needed, before they are let go."""

_ONE_BY_ONE = 100
_SEAL_BYTES = 16
_WAIT_SECONDS = 0.2
_IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_TABLE = "CREATE TABLE IF NOT EXISTS outlines (blob TEXT PRIMARY KEY, line TEXT, seal BLOB) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Filed:
    """What is kept of one file's content."""

    digest: Digest
    outline: Outline


class Outlines:
    """What one state folder keeps. Never raises: what it can't tell or keep is read again.

    Args:
        place: The file; None: nothing is kept.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._place = place

    def known(self, blobs: Iterable[BlobId]) -> dict[BlobId, Filed]:
        """What is kept of these contents."""
        wanted, found = set(blobs), dict[BlobId, Filed]()
        if not wanted or self._place is None or not self._place.exists():
            return found
        with self._unharmed(), self._opened() as connection:
            prefix = _prefix()
            for blob, line, seal in _lines(connection, wanted):
                if isinstance(line, bytes) and seal == _seal(prefix, blob, line):
                    found[blob] = _filed(line)
        return found

    def keep(self, filed: Mapping[BlobId, Filed], needed: int) -> None:
        """Keep more of them.

        Args:
            filed: What was read just now.
            needed: How many contents are in use in all.
        """
        if not filed or self._place is None:
            return
        with self._unharmed(), self._opened() as connection, connection:
            ((count,),) = connection.execute("SELECT COUNT(*) FROM outlines")
            if count > 2 * needed + SPARE:
                connection.execute("DELETE FROM outlines")  # the next start keeps what is in use then
            prefix = _prefix()
            rows = ((blob, (line := _line(one)).decode(), _seal(prefix, blob, line)) for blob, one in filed.items())
            connection.executemany("INSERT OR REPLACE INTO outlines VALUES (?, ?, ?)", rows)

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        """Any fault of the file ends the block and no more; a broken one is removed."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if self._place and getattr(error, "sqlite_errorcode", None) not in _IN_USE:
                with suppress(OSError):
                    self._place.unlink()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The file, for as long as the block lasts."""
        assert self._place is not None
        with closing(sqlite3.connect(self._place, _WAIT_SECONDS)) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")  # what a crash does to it shows in the seals
            connection.execute(_TABLE)
            yield connection


def _lines(connection: sqlite3.Connection, wanted: set[BlobId]) -> Iterator[tuple[BlobId, object, object]]:
    connection.text_factory = bytes
    if len(wanted) <= _ONE_BY_ONE:
        for blob in wanted:
            for line, seal in connection.execute("SELECT line, seal FROM outlines WHERE blob = ?", (blob,)):
                yield blob, line, seal
        return
    names = {blob.encode(): blob for blob in wanted}
    for name, line, seal in connection.execute("SELECT blob, line, seal FROM outlines"):
        if name in names:
            yield names[name], line, seal


def _line(filed: Filed) -> bytes:
    """Names and paths are printable, so that a tab stands in none of them."""
    outline = filed.outline
    return "\t".join((filed.digest, outline.place or "", repr(outline.soak), *outline.after)).encode()


def _filed(line: bytes) -> Filed:
    digest, place, soak, *after = line.decode().split("\t")
    return Filed(Digest(digest), Outline(place or None, tuple(after), float(soak)))


def _prefix() -> bytes:
    return f"{FORMAT} {__version__} ".encode()


def _seal(prefix: bytes, blob: BlobId, line: bytes) -> bytes:
    return hashlib.blake2b(b"%s%s %s" % (prefix, blob.encode(), line), digest_size=_SEAL_BYTES).digest()
