"""One request and its answer: with the credential, within the rate limits, conditional where that saves something.

The credential goes to the API's own origin and nowhere else: no redirect leads away from there. What an answer means
is `api`'s part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from reconciler import __version__
from reconciler.bounds import Bounds
from reconciler.errors import Transient
from reconciler.github.credentials import Credential
from reconciler.github.limits import Limits
from reconciler.github.outage import Outage
from reconciler.github.reading import decode, next_page, read_json
from reconciler.github.recall import Recall, Remembered
from reconciler.github.refusals import hint_of, told
from reconciler.github.veil import Veil
from reconciler.net import Answer, Reach, Web, origin, shown

HEADERS: Mapping[str, str] = {
    "Accept": "application/vnd.github+json",
    "Accept-Encoding": "identity",
    "User-Agent": f"reconciler/{__version__}",
    "X-GitHub-Api-Version": "2022-11-28",
}
REDIRECTS = frozenset({301, 302, 307, 308})
"""A renamed repository answers with one of them ("Best practices for using the REST API")."""
_EMPTY = frozenset({204, 205})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that has wholly arrived."""

    url: str
    status: int
    value: object = None
    """The decoded JSON; None where there is none."""
    message: str = ""
    """What GitHub says of an error, in one line and without secrets."""
    hint: str = ""
    following: str | None = None
    """The address of the next page."""
    location: str | None = None
    token: str = field(default="", repr=False)
    """What it was asked with."""


class Exchange:
    """Asks the API.

    Args:
        web: Sends.
        reach: Where the API is; nothing else is allowed in it.
        limits: When nothing may be sent.
        outage: When there is no point in it.
        bounds: Bytes, seconds and redirects.
        unavailable: How a fault of the world is told, without what it was asked with.
    """

    def __init__(
        self, web: Web, reach: Reach, limits: Limits, outage: Outage, bounds: Bounds, unavailable: Veil
    ) -> None:
        self.requests = 0
        self._web = web
        self._reach = reach
        self._limits = limits
        self._outage = outage
        self._bounds = bounds
        self._unavailable = unavailable
        self._recall = Recall()
        self._lock = Lock()

    def get(self, url: str, credential: Credential, redirects: Set[int] = REDIRECTS) -> Reply:
        """The first answer that is no redirect.

        Args:
            url: Where to begin.
            credential: Who asks.
            redirects: Which statuses are followed, within the API's own origin.

        Raises:
            Transient: GitHub can't be reached or understood, or a rate limit is in force.
        """
        for _ in range(self._bounds.redirects + 1):
            reply = self.send("GET", url, None, credential)
            if reply.status not in redirects:
                return reply
            url = self._reach.follow(url, reply.location)
        raise self._unavailable(
            f"{shown(url)}: still redirected after {self._bounds.redirects} redirects",
            "look for a loop in the server's redirects, or raise bounds.redirects",
        )

    def send(self, method: str, url: str, body: bytes | None, credential: Credential) -> Reply:
        """One answer, whichever it is; after a 401 it is asked for again, when there is another token by now.

        Raises:
            Transient: GitHub can't be reached or understood, or a rate limit is in force.
        """
        token = credential.token()
        reply = self.once(method, url, body, token)
        if reply.status == 401 and credential.refused(token):
            reply = self.once(method, url, body, credential.token())
        return reply

    def once(self, method: str, url: str, body: bytes | None, token: str) -> Reply:
        """The same with this very token, and with no second attempt.

        Raises:
            Transient: GitHub can't be reached or understood, or a rate limit is in force.
        """
        self._unavailable.hide(token)
        if origin(url) != self._reach.home:
            raise self._unavailable(
                f"{shown(url)} is not where GitHub's API is: nothing is sent there",
                "look who redirects there; if the API has moved, set url to its new address",
            )
        held = self._recall.of(token, url) if method == "GET" else None
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if held:
            headers["If-None-Match"] = held.tag
        self._limits.check()
        self._outage.check()
        with self._lock:
            self.requests += 1
        with self._sent(method, url, headers, body) as answer:
            if answer.status == 304 and held:
                return self._recalled(answer, held, token)
            return self._received(answer, token, keep=method == "GET")

    @contextmanager
    def _sent(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Iterator[Answer]:
        seconds, answered = self._bounds.connect_seconds + self._bounds.read_seconds, False
        try:
            with self._web.send(method, url, headers, body, seconds) as answer:
                answered = answer.status < 500
                yield answer
        finally:
            self._outage.learn(answered=answered)

    def forget(self, reply: Reply) -> None:
        """Let the next request for this address not be a conditional one."""
        self._recall.forget(reply.token, reply.url)

    def _recalled(self, answer: Answer, held: Remembered, token: str) -> Reply:
        self._limits.learn(answer)
        following = self._following(answer) if "Link" in answer.headers else held.following
        return Reply(answer.url, 200, decode(held.data), following=following, token=token)

    def _received(self, answer: Answer, token: str, keep: bool) -> Reply:
        if answer.status >= 400:
            return self._error(answer, token)
        self._limits.learn(answer)
        if answer.status >= 300:
            return Reply(answer.url, answer.status, location=answer.headers.get("Location"), token=token)
        if answer.status in _EMPTY:
            return Reply(answer.url, answer.status, token=token)
        data, value = read_json(answer, self._bounds.api_bytes, self._unavailable)
        following = self._following(answer)
        if keep:
            self._keep(answer, Remembered(answer.headers.get("ETag", ""), data, following), token)
        return Reply(answer.url, answer.status, value, following=following, token=token)

    def _following(self, answer: Answer) -> str | None:
        try:
            return next_page(answer.headers.get("Link", ""))
        except ValueError as problem:
            raise self._unavailable(
                f"{shown(answer.url)} answers with {problem}", "look for a proxy on the way that changes answers"
            ) from None

    def _keep(self, answer: Answer, received: Remembered, token: str) -> None:
        tag = received.tag
        if answer.status == 200 and tag and tag.isascii() and tag.isprintable():
            self._recall.learn(token, answer.url, received)
        else:
            self._recall.forget(token, answer.url)

    def _error(self, answer: Answer, token: str) -> Reply:
        value = self._error_body(answer)
        message, hint = told(value, token), self._unavailable.over(hint_of(answer))
        if self._limits.learn(answer, message):
            self._limits.check()
        if answer.status < 500 and not isinstance(value, dict):
            # Whatever it is, it does not speak for GitHub: it says nothing about what was asked for.
            raise self._unavailable(
                f"{shown(answer.url)} answers {answer.status}, but not as GitHub does",
                "check that url is the address of GitHub's API, and that no proxy on the way answers in its place",
            )
        return Reply(answer.url, answer.status, value, message, hint, token=token)

    def _error_body(self, answer: Answer) -> object:
        if answer.status >= 500:
            return None
        try:
            return read_json(answer, self._bounds.api_bytes, self._unavailable)[1]
        except Transient:
            return None
