"""What is true of every answer: its headers, that a body nobody wanted is not read for long, and no traceback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.web.readers import EVENTS, OPEN
from reconciler.web.refusals import Refusal, Refusals

LINGER_SECONDS = 2.0
"""For which an unwanted body is still taken and thrown away: closing at once would reset the connection, and a sender
in the middle of its body would never read why."""

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For what is no page: if a browser takes it for one, it can do nothing."""
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For pages: our own scripts and styles out of files, none that stand in a page, and nothing of anybody else."""
_HASHED = re.compile(r"/static/.*[.-][0-9a-f]{8,64}\.[a-z0-9.]+|/static/[0-9a-f]{8,64}/.+")
"""Files with a digest in their names: what is behind such a name never changes."""
_FOREVER = "public, max-age=31536000, immutable"

_HEADERS = [
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


class Guard:
    """Around everything else.

    Args:
        app: Answers.
        trouble: Told what went wrong.
        refusals: Say no.
    """

    def __init__(self, app: ASGIApp, trouble: Callable[[Exception], None], refusals: Callable[[], Refusals]) -> None:
        self._app = app
        self._trouble = trouble
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; one for the head alone is answered like one for all of it, without a body."""
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send)
        if scope["method"] == "HEAD" and scope["path"] != EVENTS:
            scope = {**scope, "method": "GET"}  # the server leaves the body out, as it knows the method by itself
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - told, and answered without a word of it
            self._trouble(error)
            if not exchange.started:
                await self._broken(scope)(scope, exchange.receive, exchange.send)

    def _broken(self, scope: Scope) -> Response:
        if scope["path"] in OPEN:
            return JSONResponse({"status": "error"}, 500)
        return self._refusals().answer(scope, _BROKEN)


_BROKEN = Refusal(500, "InternalError", "something went wrong here", "the daemon's log says what")


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = False
        self._path: str = scope["path"]
        self._receive = receive
        self._send = send
        headers = dict(scope["headers"])
        self._unread = b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") != b""

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            closing = [(b"connection", b"close")] if self._unread else []
            own = list(message["headers"])
            message = {**message, "headers": [*own, *self._more(message["status"], own), *closing]}
        elif self._unread and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _more(self, status: int, own: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Headers that the answer does not have of its own."""
        given = Headers(raw=list(own))
        policy = PAGE if given.get("content-type", "").startswith("text/html") else NOTHING
        kept = _FOREVER if status == 200 and _HASHED.fullmatch(self._path) else "no-store"
        wanted = [(b"cache-control", kept.encode()), (b"content-security-policy", policy.encode()), *_HEADERS]
        return [header for header in wanted if header[0].decode() not in given]

    async def _linger(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while self._unread:
                    await self.receive()
