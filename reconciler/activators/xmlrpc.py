"""Asking a supervisord by XML-RPC, over its Unix socket or loopback, without waiting or reading for ever.

One connection for each call; the whole of it has one deadline, and the answer a limit. No proxy is used and no redirect
followed. Document types are refused before the answer is parsed: in them entities could be blown up.
"""

from __future__ import annotations

import base64
import io
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.parsers.expat import ExpatError
from xmlrpc.client import Fault, ResponseError, dumps, loads

from reconciler.ports import Clock

ANSWER_BYTES = 1024 * 1024
_CHUNK = 65_536
_COLOURS = re.compile(rb"\x1b\[[0-9;:?]*[ -/]*[@-~]")
_NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What no XML may hold, and a supervisord sends all the same when a log holds it."""


class Unanswered(Exception):
    """No answer that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a supervisord listens.

    Args:
        url: `unix:///path` or `http://host:port`.
        clock: For deadlines.
        credentials: Gives `user:password`, or nothing, anew for each call.
    """

    url: str
    clock: Clock
    credentials: Callable[[], str] = field(repr=False)

    def call(self, method: str, *arguments: str | int | bool, seconds: float) -> Any:
        """What the method returns.

        Raises:
            Unanswered: No answer in time, or none that can be read.
            xmlrpc.client.Fault: The server says no.
        """
        body = dumps(arguments, method).encode()
        deadline = self.clock.monotonic() + seconds
        try:
            with self._connected(seconds) as connection:
                connection.sendall(self._head(len(body)) + body)
                return _parsed(self._answer(connection, deadline))
        except TimeoutError:
            raise Unanswered(f"{self.url} did not answer within {seconds:.0f} s") from None
        except OSError as error:
            raise Unanswered(f"{self.url}: {error.strerror or error}") from None

    def _connected(self, seconds: float) -> socket.socket:
        parts = urlsplit(self.url)
        if parts.scheme != "unix":
            return socket.create_connection((parts.hostname or "", parts.port or 80), seconds)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(unquote(parts.path))
        except OSError:
            connection.close()
            raise
        return connection

    def _head(self, length: int) -> bytes:
        credentials = self.credentials()
        lines = ["POST /RPC2 HTTP/1.0", "Host: localhost", "Content-Type: text/xml", f"Content-Length: {length}"]
        if credentials:
            lines.append(f"Authorization: Basic {base64.b64encode(credentials.encode()).decode()}")
        return "\r\n".join([*lines, "", ""]).encode()

    def _answer(self, connection: socket.socket, deadline: float) -> bytes:
        """Everything up to the end of the connection, which HTTP/1.0 means."""
        data = bytearray()
        while True:
            connection.settimeout(max(0.01, deadline - self.clock.monotonic()))
            chunk = connection.recv(_CHUNK)
            if not chunk:
                return bytes(data)
            data += chunk
            if len(data) > ANSWER_BYTES:
                raise Unanswered(f"{self.url} answers with more than {ANSWER_BYTES} bytes")
            if self.clock.monotonic() >= deadline:
                raise TimeoutError


def _parsed(data: bytes) -> Any:
    try:
        answer = HTTPResponse(_Read(data))  # type: ignore[arg-type]  # of a socket it uses makefile alone
        answer.begin()
        body = answer.read()
    except (HTTPException, ValueError):
        raise Unanswered("the answer is no HTTP; is this a supervisord?") from None
    if answer.status != 200:
        raise Unanswered(f"the answer is {answer.status} {answer.reason[:80]}")
    if b"<!" in body:
        raise Unanswered("the answer holds a document type, which no supervisord sends")
    try:
        text = _NO_XML.sub(b"?", _COLOURS.sub(b"", body)).decode(errors="replace")
        (value,) = loads(text, use_builtin_types=True)[0]
    except (ExpatError, ResponseError, ValueError, TypeError, LookupError):
        raise Unanswered("the answer is no XML-RPC; is this a supervisord?") from None
    return value


class _Read:
    """An answer that was read already, as the socket that `HTTPResponse` wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


__all__ = ["ANSWER_BYTES", "Fault", "Server", "Unanswered"]
