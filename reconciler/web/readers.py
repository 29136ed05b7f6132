"""The way to pages, API and live events: who may come in, how many answers are made at once, and compression.

Probes, metrics and webhooks don't come this way: however busy it is here, they are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.web.access import Access
from reconciler.web.refusals import Refusal, Refusals, Refused

OPEN = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/api/webhook/github"})
"""For programs that ask for nothing else, and have ways of their own to be proven where that matters."""
EVENTS = "/events"
BUILDS = 4
"""Answers that are made at once: each takes a thread, and passes need some CPU as well."""
WAIT_SECONDS = 10.0
"""For which a request waits for its turn."""
_SMALLEST = 1_024
"""Bytes that are worth compressing."""
_LEVEL = 5


class Readers:
    """Around every route, inside the guard.

    Args:
        app: Answers.
        access: Says who may read; None: there is nothing to read.
        refusals: Say no.
    """

    def __init__(self, app: ASGIApp, access: Access | None, refusals: Callable[[], Refusals]) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, _SMALLEST, _LEVEL)
        self._access = access
        self._refusals = refusals
        self._places = asyncio.Semaphore(BUILDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._access is None or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            peer = scope["client"][0] if scope.get("client") else ""
            scope.setdefault("state", {})["reader"] = self._access.admit(Headers(scope=scope), peer)
            if scope["path"] == EVENTS:
                await self._app(scope, receive, send)
            else:
                await self._in_turn(scope, receive, send)
        except Refused as refused:
            await self._refusals().answer(scope, refused.refusal)(scope, receive, send)

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        """With a place until the answer is made; that it is taken slowly keeps nobody waiting.

        Raises:
            Refused: No place came free in time.
        """
        place = _Place(self._places)
        await place.take()

        async def sent(message: Message) -> None:
            place.give_back()
            await send(message)

        try:
            await self._compressed(scope, receive, sent)
        finally:
            place.give_back()


class _Place:
    """One of a few, taken once and given back once."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._taken = False

    async def take(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            message, hint = "too much is asked for at once", "try again in a moment"
            raise Refused(Refusal(503, "Busy", message, hint, {"Retry-After": "5"})) from None
        self._taken = True

    def give_back(self) -> None:
        if self._taken:
            self._taken = False
            self._places.release()
