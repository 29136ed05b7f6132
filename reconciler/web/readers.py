"""The way to pages, API and live events: who may come in, how many answers are made at once, and compression.

Probes, metrics and webhooks don't come this way: however busy it is here, they are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from starlette.datastructures import Headers, QueryParams
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.web.access import Access
from reconciler.web.refusals import Refusal, Refusals, Refused

OPEN = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/api/webhook/github"})
"""For programs that ask for nothing else, and have ways of their own to be proven where that matters."""
EVENTS = "/events"
_EXPORT = "/audit/export"
_ENVIRONMENTS = "/api/v1/environments"
_COMPARES = frozenset({"/compare", "/api/v1/compare"})
BUILDS = 4
"""Answers that are made at once: each takes a thread, and passes need some CPU as well."""
COMPARISONS = 2
"""Of these, answers that read artifacts: a large one takes a while, and others want to see the board meanwhile."""
STREAMS = 4
"""Answers that are made while they are sent, however long their clients take for them."""
STREAM_SECONDS = 900.0
"""For which one of them is sent at most; it is broken off then, so that nobody takes it for whole."""
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
        self._comparisons = asyncio.Semaphore(COMPARISONS)
        self._streams = asyncio.Semaphore(STREAMS)

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
                await self._beside_others(scope, receive, send)
        except Refused as refused:
            await self._refusals().answer(scope, refused.refusal)(scope, receive, send)

    async def _beside_others(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What takes long has places of its own as well, and waits for those of its kind alone.

        Raises:
            Refused: No place came free in time.
        """
        if _is_stream(scope):
            async with _Place(self._streams):
                await self._streamed(scope, receive, send)
        elif scope["path"] in _COMPARES:
            async with _Place(self._comparisons) as place:
                await self._in_turn(scope, receive, send, place)
        else:
            await self._in_turn(scope, receive, send)

    async def _streamed(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = asyncio.timeout(STREAM_SECONDS)
        try:
            async with deadline:
                await self._in_turn(scope, receive, send)
        except TimeoutError:
            if deadline.expired():
                raise ClientDisconnect from None
            raise

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send, *places: _Place) -> None:
        """With a place until the answer is made; that it is taken slowly keeps nobody waiting.

        `places` are others that are given back then.

        Raises:
            Refused: No place came free in time.
        """
        async with _Place(self._places) as place:

            async def sent(message: Message) -> None:
                for one in (place, *places):
                    one.give_back()
                await send(message)

            await self._compressed(scope, receive, sent)


def _is_stream(scope: Scope) -> bool:
    asked = QueryParams(scope["query_string"])
    return scope["path"] == _EXPORT or (scope["path"] == _ENVIRONMENTS and "all" in asked)


class _Place:
    """One of a few, taken once and given back once."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._taken = False

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            message, hint = "too much is asked for at once", "try again in a moment"
            raise Refused(Refusal(503, "Busy", message, hint, {"Retry-After": "5"})) from None
        self._taken = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Once, whoever comes first."""
        if self._taken:
            self._taken = False
            self._places.release()
