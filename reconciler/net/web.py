"""One request at a time to a server that may be slow, wrong or hostile.

Guards every answer, before anybody reads it: deadlines on connecting, on silence and on the whole; bounded
bodies; redirects one by one, judged by `reach`; the credential to its own origin only; nothing from the
environment (proxies, netrc, cookies, CA bundles). What an answer means is left to the caller.

Requests' session is left out on purpose: it reads the body of a redirect to its end, even when told not
to follow it, and a body may have no end. Its adapter, which does the connecting and TLS, has no such habit.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from reconciler.bounds import Bounds
from reconciler.core.verify import CHUNK
from reconciler.errors import Transient
from reconciler.net.reach import Reach, Unavailable, origin, shown
from reconciler.net.secret import Secret
from reconciler.ports import Clock

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FAULTS = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)
"""Whatever the libraries below raise for a fault of the world; ValueError where they parse what a server sent."""

# It logs whole addresses, with the signatures in their queries, some of them as warnings.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request may take: until the deadline on the clock, with silences of at most `silence` seconds."""

    clock: Clock
    seconds: float
    deadline: float
    connect: float
    silence: float
    unavailable: Unavailable

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 when it is over."""
        return max(0.0, self.deadline - self.clock.monotonic())


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and its body while it comes in."""

    url: str
    status: int
    headers: Mapping[str, str]
    patience: Patience
    response: requests.Response

    @property
    def length(self) -> int | None:
        """Bytes that the body will have, when the server says so and can be held to it."""
        said = self.headers.get("Content-Length", "")
        framed = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        return int(said) if not framed and said.isascii() and said.isdigit() and len(said) < 20 else None

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case; empty when there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def retry_after(self) -> int | None:
        """Seconds to wait, from either form of RFC 9110, section 10.2.3; None when it says nothing readable."""
        value = self.headers.get("Retry-After", "")
        if value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        when = _instant(value)
        return max(0, round((when - self.patience.clock.now()).total_seconds())) if when else None

    @property
    def date(self) -> datetime | None:
        """The server's own time; None when it says nothing readable."""
        return _instant(self.headers.get("Date", ""))

    def chunks(self) -> Iterator[bytes]:
        """The body as it was sent, whatever its Content-Encoding; at most 1 MiB each, as soon as they come.

        Raises:
            Transient: Silent for too long, not done in time, or broken off.
        """
        while chunk := self._chunk():
            yield chunk

    def body(self, limit: int) -> bytes:
        """The whole body, or `limit` + 1 bytes of it when it is longer."""
        data = bytearray()
        for chunk in self.chunks():
            data += chunk
            if len(data) > limit:
                break
        return bytes(data[: limit + 1])

    def _chunk(self) -> bytes:
        # read1, not read: read waits until the chunk is full, and would lose what came before a fault.
        try:
            chunk: bytes = self.response.raw.read1(CHUNK, decode_content=False)
        except _FAULTS as error:
            raise _fault(self.url, error, self.patience) from None
        return chunk


class Web:
    """Asks addresses within one reach.

    Args:
        reach: Where redirects may lead.
        secret: The bearer token that the home origin gets to see; None for none.
        clock: For the deadlines.
        bounds: Seconds for connecting and for silence; count of redirects.
        verify: The file with the authorities to trust, or True for the built-in ones.
        proxy: The address of a proxy for everything; None for none.
        unavailable: How a fault of the world is told.
    """

    def __init__(
        self,
        reach: Reach,
        secret: Secret | None,
        clock: Clock,
        bounds: Bounds,
        verify: str | bool,
        proxy: str | None,
        unavailable: Unavailable,
    ) -> None:
        self._reach = reach
        self._secret = secret
        self._clock = clock
        self._bounds = bounds
        self._verify = verify
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._unavailable = unavailable

    @contextmanager
    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> Iterator[Answer]:
        """The answer to one request, to be closed with its connection; a redirect is an answer like any other.

        Args:
            method: `GET`, `POST` …; what is sent twice is the caller's to judge, nothing is here.
            url: Whom to ask.
            headers: To be sent as they are.
            body: Bytes to send; None for none.
            seconds: Deadline for all of it, the answer's body included.

        Raises:
            Transient: As `unavailable` makes it.
        """
        patience = self._patience(seconds)
        with ExitStack() as stack:
            adapter = stack.enter_context(closing(_Adapter(patience)))
            answer = self._ask(adapter, requests.Request(method, url, headers=dict(headers), data=body), patience)
            stack.enter_context(closing(answer.response))
            yield answer

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str], seconds: float) -> Iterator[Answer]:
        """The first answer that is no redirect, to be closed with its connection.

        Args:
            url: Where to begin.
            headers: Sent to every place on the way; no credentials.
            seconds: Deadline for all of it, the body included.

        Raises:
            Transient: As `unavailable` makes it.
        """
        patience = self._patience(seconds)
        with ExitStack() as stack:
            adapter = stack.enter_context(closing(_Adapter(patience)))
            answer = self._follow(adapter, url, headers, patience)
            stack.enter_context(closing(answer.response))
            yield answer

    def _patience(self, seconds: float) -> Patience:
        bounds, deadline = self._bounds, self._clock.monotonic() + seconds
        return Patience(self._clock, seconds, deadline, bounds.connect_seconds, bounds.read_seconds, self._unavailable)

    def _follow(self, adapter: HTTPAdapter, url: str, headers: Mapping[str, str], patience: Patience) -> Answer:
        for _ in range(self._bounds.redirects + 1):
            answer = self._ask(adapter, requests.Request("GET", url, headers=dict(headers)), patience)
            if answer.status not in _REDIRECTS:
                return answer
            answer.response.close()
            url = self._reach.follow(url, answer.headers.get("Location"))
        raise self._unavailable(
            f"{shown(url)}: still redirected after {self._bounds.redirects} redirects",
            "look for a loop in the server's redirects, or raise bounds.redirects",
        )

    def _ask(self, adapter: HTTPAdapter, request: requests.Request, patience: Patience) -> Answer:
        url = request.url
        if self._secret and origin(url) == self._reach.home:
            request.headers["Authorization"] = f"Bearer {self._secret.token()}"
        try:
            response = adapter.send(
                request.prepare(),
                stream=True,
                # A timeout of 0 would mean "don't block" to the socket.
                timeout=(min(patience.connect, patience.left) or 0.001, patience.silence),
                verify=self._verify,
                proxies=self._proxies,
            )
        except _FAULTS as error:
            raise _fault(url, error, patience) from None
        return Answer(url, response.status_code, response.headers, patience, response)


class _Adapter(HTTPAdapter):
    """Connections whose every read keeps to the patience, in the head of an answer as in its body.

    A timeout of the library is for one read: a head that comes one byte a second would last for days.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool that requests would use, with our way of reading answers."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        reading = {"response_class": partial(_Response, self._patience)}
        pool.ConnectionCls = type("_Connection", (pool.ConnectionCls,), reading)
        return pool


class _Response(http.client.HTTPResponse):
    """An answer whose bytes come through `_Patient`, and whose head has to be whole."""

    def __init__(self, patience: Patience, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        # Nothing is read yet, so nothing is lost with the buffer; the raw part keeps the socket alive.
        self._patient = _Patient(self.fp.detach(), sock, patience)
        self.fp = io.BufferedReader(self._patient)

    def begin(self) -> None:
        """Read the head. The library takes the end of the connection for the end of the head: an empty file."""
        super().begin()
        if self._patient.ended or self.msg.defects:
            raise http.client.IncompleteRead(b"")


class _Patient(io.RawIOBase):
    """A socket's raw reader that gives each read the time that is left, and no more."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, patience: Patience) -> None:
        self.ended = False
        self._raw = raw
        self._sock = sock
        self._patience = patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._patience.left
        if not left:
            raise TimeoutError
        self._sock.settimeout(min(left, self._patience.silence))
        count = self._raw.readinto(buffer)
        self.ended = not count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _instant(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value)
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _fault(url: str, error: BaseException, patience: Patience) -> Transient:
    """A library's error in our words. Its own text is not shown: it holds whole addresses, tokens included."""
    chain = list(_chain(error))
    if not patience.left:
        said = f"not done after {patience.seconds:g} s"
        hint = "the server or the way to it is too slow; a download goes on from where it is"
    elif any(isinstance(one, requests.ConnectTimeout) for one in chain):
        said, hint = (
            f"no connection within {patience.connect:g} s",
            "check that the server is up and reachable from here",
        )
    elif any(isinstance(one, TimeoutError | urllib3.exceptions.ReadTimeoutError) for one in chain):
        said, hint = f"silent for {patience.silence:g} s", "check the server; a download goes on from where it is"
    elif untrusted := next((one for one in chain if isinstance(one, ssl.SSLCertVerificationError)), None):
        said = f"its certificate is not trusted: {untrusted.verify_message}"
        hint = "set ca_file to your authority's certificate, or mend the server's"
    elif any(isinstance(one, ssl.SSLError | requests.exceptions.SSLError) for one in chain):
        said, hint = "TLS failed", "check that the port speaks TLS, and its version"
    else:
        said, hint = _broken(chain), "check that the server is up, and that its address and the proxy's are right"
    return patience.unavailable(f"{shown(url)}: {said}", hint)


def _broken(chain: list[BaseException]) -> str:
    if number := next((one.errno for one in reversed(chain) if isinstance(one, OSError) and one.errno), None):
        told = "the name can't be resolved" if number < 0 else os.strerror(number)
        return f"the connection failed: {told}"
    if any(isinstance(one, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead) for one in chain):
        return "the answer broke off before its end"
    return f"the answer is not HTTP as it should be, or broke off ({type(chain[-1]).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it; the libraries keep causes in `args` and `reason`, too."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        linked = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting.extend(cause for cause in linked if isinstance(cause, BaseException))
