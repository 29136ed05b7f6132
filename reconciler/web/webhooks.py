"""Deliveries of a forge: proven first, read then; and all that one can do is wake the daemon.

The order is the point. Signature header, announced size, a free place, the body within its bound and its time, the
signature over it: only then is anything in it looked at, and whether it came before. What was not proven is told
nothing about why. The rules are those of "Validating webhook deliveries" in GitHub's documentation.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from reconciler.web.deliveries import Malformed, Tracked, Wake, wakes
from reconciler.web.journal import Journal
from reconciler.web.shared_secrets import Secrets, Unusable
from reconciler.web.waking import Seen, Waker

_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much deliveries may cost."""

    body_bytes: int
    """Largest body; GitHub sends up to 25 MB, and what is needed here stands in a few kilobytes."""
    body_seconds: float = 10.0
    """Deadline for a whole body: GitHub itself waits no longer for an answer."""
    bodies: int = 8
    """Bodies that are read at once, proven or not: with their size, the most memory that they take."""
    rest_seconds: float = 1.0
    """Between two wakes."""
    remembered: int = 10_000
    """Signatures that are remembered: of a day of a busy repository, in about a megabyte."""


class _Refused(Exception):
    """A delivery that is answered with a status and a word or two."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


_UNPROVEN = "unauthorized"
"""The one answer to no signature, a wrong one, and one of another kind."""


class Hooks:
    """Takes deliveries. Used in the listener's loop alone."""

    def __init__(
        self,
        secrets: Secrets,
        tracked: Tracked,
        limits: Limits,
        wake: Callable[[frozenset[Wake]], None],
        journal: Journal,
    ) -> None:
        """Prepare.

        Args:
            secrets: What deliveries are signed with.
            tracked: What they must be about.
            limits: How much they may cost.
            wake: Told what may have changed, at most once in `rest_seconds`; must return at once.
            journal: Told of each delivery.
        """
        self._secrets = secrets
        self._tracked = tracked
        self._limits = limits
        self._waker = Waker(wake, limits.rest_seconds)
        self._seen = Seen(limits.remembered)
        self._journal = journal
        self._reading = 0

    async def receive(self, request: Request) -> Response:
        """Answer one delivery."""
        event = _printable(request.headers.get("x-github-event", ""))
        try:
            status, said = 200, await self._taken(request, event)
        except _Refused as refused:
            status, said = refused.status, refused.said
        delivery = _printable(request.headers.get("x-github-delivery", ""))
        self._journal.delivered(event, delivery, f"{status} {said}")
        headers = {"Retry-After": "10"} if status == 503 else {}
        return JSONResponse({"status": said}, status, headers)

    async def _taken(self, request: Request, event: str) -> str:
        """What is answered with 200.

        Raises:
            _Refused: Everything else.
        """
        given = _signature(request.headers)
        signed = self._macs()
        body = await self._body(request, signed)
        if not _proven(signed, given):
            raise _Refused(401, _UNPROVEN)
        if given in self._seen:
            return "seen before"
        found = self._wakes(request.headers, event, body)
        self._seen.add(given)
        if event == "ping":
            return "pong"
        if not found:
            raise _Refused(202, "ignored")
        self._waker.wake(found)
        return "woken"

    def _macs(self) -> tuple[hmac.HMAC, ...]:
        try:
            return tuple(hmac.new(secret, digestmod=hashlib.sha256) for secret in self._secrets.current())
        except Unusable as problem:
            self._journal.trouble(problem)
            raise _Refused(503, "not ready") from None

    async def _body(self, request: Request, signed: Iterable[hmac.HMAC]) -> bytes:
        """The body, hashed with every secret while it arrives."""
        if int(request.headers.get("content-length", 0)) > self._limits.body_bytes:
            raise _Refused(413, "too large")
        if self._reading >= self._limits.bodies:
            raise _Refused(503, "busy")
        self._reading += 1
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._read(request, signed)
        except TimeoutError:
            raise _Refused(408, "too slow") from None
        except ClientDisconnect:
            raise _Refused(400, "cut short") from None
        finally:
            self._reading -= 1

    async def _read(self, request: Request, signed: Iterable[hmac.HMAC]) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            if len(body) + len(chunk) > self._limits.body_bytes:
                raise _Refused(413, "too large")
            body += chunk
            for mac in signed:
                mac.update(chunk)
        return bytes(body)

    def _wakes(self, headers: Headers, event: str, body: bytes) -> frozenset[Wake]:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _Refused(415, "set the webhook's content type to application/json")
        try:
            return wakes(event, body, self._tracked)
        except Malformed as malformed:
            raise _Refused(400, str(malformed)) from None


def _signature(headers: Headers) -> bytes:
    """What the one signature header says.

    Raises:
        _Refused: There is none, or several, or it has another form.
    """
    given = headers.getlist("x-hub-signature-256")
    found = _SIGNATURE.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise _Refused(401, _UNPROVEN)
    return bytes.fromhex(found[1])


def _proven(signed: Iterable[hmac.HMAC], given: bytes) -> bool:
    """Whether one of the secrets gives that signature, in the same time for any: none is left out."""
    return any([hmac.compare_digest(mac.digest(), given) for mac in signed])  # noqa: C419 - a list: all of them


def _printable(text: str) -> str:
    """What may stand in the log of a header that anybody can write."""
    return _UNPRINTABLE.sub("", text)[:64]
