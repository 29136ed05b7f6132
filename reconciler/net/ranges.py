"""Bodies that are resumed by range: which bytes of the file an answer brings, and that it brought all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.net.reach import Unavailable, shown
from reconciler.net.web import Answer

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Body:
    """A body on its way. `end` is where in the file it must end, when the server said so."""

    offset: int
    end: int | None
    answer: Answer
    unavailable: Unavailable

    def __iter__(self) -> Iterator[bytes]:
        position = self.offset
        for chunk in self.answer.chunks():
            position += len(chunk)
            yield chunk
        if self.end is not None and position != self.end:
            raise self.unavailable(
                f"{shown(self.answer.url)}: the answer ended after byte {position} of {self.end}",
                "nothing to do: the download goes on from where it is",
            )


def range_end(answer: Answer, offset: int, unavailable: Unavailable) -> int:
    """Where the file ends, from a partial answer (206) that begins where it was asked to.

    Raises:
        Transient: It begins elsewhere, or does not say where.
    """
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if not found or int(found[1]) != offset:
        raise unavailable(
            f"{shown(answer.url)} answers with another part of the file than the one from byte {offset} on",
            "check the server that holds the file: its answers to range requests are wrong",
        )
    return int(found[2]) + 1 if found[3] == "*" else int(found[3])
