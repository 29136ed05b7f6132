"""Outlines of files that were read before, by the name of their content: so that a start need not read all again.

They lie below the state folder and may be thrown away at any time. What was read at one look is one part of the file,
sealed by a checksum over all that it says and the version of this program; so a part that was damaged, half written or
left by another version is not believed, nor what is behind it, and its files are read anew. What it is for is who
overlaps with whom and who waits for whom: no environment is judged by it, as its own file is read for that.

    <seal, 32 hex digits> <bytes of the part>\\n
    <content>\\t<digest>\\t<place>\\t<artifact>\\t<soak>[\\t<after>…]\\n      one line for each content
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler import __version__
from reconciler.core.relations import Outline
from reconciler.model import BlobId, Digest

FORMAT = 3
"""Of a part, and of how a file is understood; a change of either makes all parts another version's."""
SPARE = 1_000
"""Lines that nobody needs any more, beside as many as are needed, before they are let go."""
MOST_BYTES = 128 * 1024**2
"""Of the file: those of 400,000 contents. A larger one is not ours."""

_SEAL_BYTES = 16
_HEAD = re.compile(rb"([0-9a-f]{32}) ([1-9][0-9]{0,9})\n")


@dataclass(frozen=True, slots=True)
class Filed:
    """What is kept of one file's content."""

    digest: Digest
    outline: Outline


class Outlines:
    """What one state folder keeps. Never raises: what it can't tell or keep is read again. For one thread.

    Args:
        place: The file; None: nothing is kept.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._place = place
        self._end: int | None = None
        """Bytes of the file that are whole; None as long as nobody looked."""
        self._lines = 0

    def known(self, blobs: Iterable[BlobId]) -> dict[BlobId, Filed]:
        """What is kept of these contents, at the first question. Later ones are of the few that changed since.

        To look through all that is kept would cost more than to read those.
        """
        wanted, found = set(blobs), dict[BlobId, Filed]()
        if wanted and self._end is None:
            for line in self._kept():
                blob, _, rest = line.partition("\t")
                if blob in wanted:
                    found[BlobId(blob)] = _filed(rest)
        return found

    def keep(self, filed: Mapping[BlobId, Filed], needed: int) -> None:
        """Keep more of them.

        Args:
            filed: What was read just now.
            needed: How many contents are in use in all.
        """
        if not filed or self._place is None:
            return
        if self._end is None:
            self._lines = sum(1 for _ in self._kept())
        if self._lines > 2 * needed + SPARE:
            self._end, self._lines = 0, 0  # the next start keeps what is in use then
        with suppress(OSError):
            self._append(self._place, _part(filed))
            self._lines += len(filed)

    def _kept(self) -> Iterator[str]:
        """Every line that can be believed."""
        data, at, self._lines = self._read(), 0, 0
        while match := _HEAD.match(data, at):
            end = match.end() + int(match[2])
            body = data[match.end() : end]
            if len(data) < end or _seal(body) != match[1]:
                break
            lines = body.decode().split("\n")
            self._lines += len(lines)
            yield from lines
            at = end
        self._end = at

    def _read(self) -> bytes:
        if self._place is None:
            return b""
        try:
            with self._place.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError:
            return b""
        return data if len(data) <= MOST_BYTES else b""

    def _append(self, place: Path, part: bytes) -> None:
        """Behind what is whole. Nothing is synced: what a crash does to it shows in the seals."""
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.truncate(self._end or 0)
            file.seek(0, os.SEEK_END)
            self._end = None  # until it is written
            file.write(part)
            file.flush()
            self._end = file.tell()


def _part(filed: Mapping[BlobId, Filed]) -> bytes:
    body = "\n".join(_line(blob, one) for blob, one in filed.items()).encode()
    return b"%s %d\n%s" % (_seal(body), len(body), body)


def _line(blob: BlobId, filed: Filed) -> str:
    """Names and paths are printable, so that neither a tab nor a line's end stands in any of them."""
    outline = filed.outline
    return "\t".join((blob, filed.digest, outline.place or "", outline.artifact, repr(outline.soak), *outline.after))


def _filed(line: str) -> Filed:
    digest, place, artifact, soak, *after = line.split("\t")
    return Filed(Digest(digest), Outline(place or None, tuple(after), float(soak), sys.intern(artifact)))


def _seal(body: bytes) -> bytes:
    person = hashlib.sha256(f"{FORMAT} {__version__}".encode()).digest()[:16]
    return hashlib.blake2b(body, digest_size=_SEAL_BYTES, person=person).hexdigest().encode()
