"""Reading one answer of an HTTP/1 server, RFC 9112: its status, and as much of its body as counts. Pure: bytes in.

The library's reader makes an object of each header, which takes longer than all the rest of a check; and it takes the
end of a connection for the end of the head. Of the head just three things count here: the status, and which of two
ways tells where the body ends. Everything is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

BODY_BYTES = 64 * 1024
"""As much of a body is read."""
HEAD_BYTES = 64 * 1024
"""Largest head. Origin: the library's longest line."""
_ALL_BYTES = 512 * 1024
"""Most bytes in all: a server may send a chunk, with its length, for each byte."""
_LONGEST_LINE = 1_024
_INTERIM = 10
"""Most interim answers, such as 103, before the one that counts."""
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:[^\r\n]*\bchunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")
_NO_BODY = frozenset({204, 304})


class Malformed(Exception):
    """Not HTTP as it should be."""


class BrokenOff(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What counts of an answer."""

    status: int
    body: bytes
    """At most `BODY_BYTES` of it."""


def read(receive: Callable[[], bytes], wanted: Collection[int]) -> Answer:
    """One answer, to its end or to the bound of its body.

    Args:
        receive: The next bytes; none at the end of the connection. What it raises is passed on.
        wanted: Of an answer with another status no body is waited for.

    Raises:
        Malformed: It is not HTTP as it should be.
        BrokenOff: It has no end.
    """
    stream = _Stream(receive)
    for _ in range(_INTERIM):
        head = stream.head()
        found = _STATUS.match(head)
        if not found:
            raise Malformed
        status = int(found[1])
        if status >= 200 or status == 101:
            bare = status in _NO_BODY or status not in wanted
            return Answer(status, b"" if bare else _body(head, stream))
    raise Malformed


def _body(head: bytes, stream: _Stream) -> bytes:
    if _CHUNKED.search(head):
        return _chunks(stream)
    length = _LENGTH.search(head)
    if length:
        return stream.take(min(BODY_BYTES, int(length[1])))
    return stream.rest(BODY_BYTES)


def _chunks(stream: _Stream) -> bytes:
    body = bytearray()
    while len(body) < BODY_BYTES:
        found = _SIZE.fullmatch(stream.line())
        if not found:
            raise Malformed
        size = int(found[1], 16)
        if not size:
            break
        room = BODY_BYTES - len(body)
        body += stream.take(min(size, room))
        if size < room and stream.line().strip():
            raise Malformed
    return bytes(body)


class _Stream:
    """Bytes as they come, to be taken in the pieces that they mean."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._buffer = b""
        self._left = _ALL_BYTES

    def head(self) -> bytes:
        """All up to the empty line, which is taken, too."""
        while not (end := _END.search(self._buffer)):
            if len(self._buffer) > HEAD_BYTES:
                raise Malformed
            self._more()
        head, self._buffer = self._buffer[: end.end()], self._buffer[end.end() :]
        return head

    def line(self) -> bytes:
        """All up to the end of the line, with it."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise Malformed
            self._more()
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return line

    def take(self, count: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def rest(self, most: int) -> bytes:
        """All up to the end of the connection, or so many bytes."""
        while len(self._buffer) < most:
            try:
                self._more()
            except BrokenOff:
                break
        return self._buffer[:most]

    def _more(self) -> None:
        data = self._receive()
        if not data:
            raise BrokenOff
        self._left -= len(data)
        if self._left < 0:
            raise Malformed
        self._buffer += data
