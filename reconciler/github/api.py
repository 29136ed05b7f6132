"""GitHub's REST API for one repository: values for paths, and three kinds of no.

`NotThere` and `Refused` are GitHub's own word. Everything else that is no answer (down, slow, limited, not to be
understood) is `Transient`, made by the caller's `unavailable`; so is a read that the credential has no right to, since
nothing follows from it. Writes are made one at a time, as "Best practices for using the REST API" asks, and never
repeated here: whoever writes has to look what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from threading import Lock
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote, urlencode

from reconciler.bounds import Bounds
from reconciler.errors import CredentialsNeeded, Transient
from reconciler.github.credentials import AppKey, Credential, Installation, StoredToken
from reconciler.github.exchange import HEADERS, REDIRECTS, Exchange, Reply
from reconciler.github.limits import Limits
from reconciler.github.options import AppOptions, GitHubOptions
from reconciler.github.outage import Outage
from reconciler.github.refusals import NotThere, Refused
from reconciler.github.storage import Storage
from reconciler.github.veil import Veil
from reconciler.net import Reach, Secret, Unavailable, Web, origin, shown
from reconciler.ports import ArtifactStream, Clock, Parts

Params = Mapping[str, str | int]

_ALL: Params = MappingProxyType({})
_PER_PAGE = 100
"""The most that "Using pagination in the REST API" allows."""
_DONE = frozenset({200, 201, 202, 204})
_UNDECIDED = frozenset({404, 408, 410, 425})
"""Client errors that are no refusal: `NotThere`, and two that ask for another attempt."""
_AWAY = frozenset({302, 303})
"""How a download is sent to where its bytes are."""


def connect(options: GitHubOptions, parts: Parts, unavailable: Unavailable, storage_hosts: Iterable[str] = ()) -> Api:
    """GitHub, as the operator's options name it. Nothing is sent before the first call.

    Args:
        options: Whom to ask, about which repository, as whom.
        parts: For the clock and the bounds.
        unavailable: Makes the error for a GitHub that gives no answer, from a message and a hint.
        storage_hosts: Where downloads may come from beside github.com's own storage: `host`, `host:port`, `*.domain`.

    Raises:
        ValueError: One of the hosts is none.
    """
    unavailable = Veil(unavailable)
    reach = Reach(options.url, (), unavailable)
    verify = str(options.ca_file) if options.ca_file else True
    web = Web(reach, None, parts.clock, parts.bounds, verify, options.proxy, unavailable)
    limits, outage = Limits(parts.clock, unavailable), Outage(parts.clock, unavailable)
    exchange = Exchange(web, reach, limits, outage, parts.bounds, unavailable)
    storage = Storage(options, storage_hosts, parts.clock, parts.bounds, unavailable)
    credential = _credential(options, exchange, parts.clock, unavailable)
    return Api(options, exchange, credential, storage, parts.bounds, unavailable)


class Api:
    """Safe to use from several threads."""

    def __init__(
        self,
        options: GitHubOptions,
        exchange: Exchange,
        credential: Credential,
        storage: Storage,
        bounds: Bounds,
        unavailable: Unavailable,
    ) -> None:
        self.repository = options.repository
        self._base = options.url.rstrip("/")
        self._exchange = exchange
        self._credential = credential
        self._storage = storage
        self._bounds = bounds
        self._unavailable = unavailable
        self._writing = Lock()

    @property
    def requests(self) -> int:
        """How many requests GitHub's API got so far; those to the storage of downloads don't count there."""
        return self._exchange.requests

    def of_repository(self, rest: str) -> str:
        """A path below the repository: `/pulls/12`. Whatever has a meaning in addresses is quoted, but for `/`."""
        return f"/repos/{self.repository}{quote(rest, safe='/', errors='replace')}"

    def get(self, path: str, params: Params = _ALL) -> Any:
        """The JSON at a path; None where GitHub answers that all is well, and nothing else.

        Args:
            path: `/repos/acme/deploy/pulls/12`; foreign names in it are quoted, see `of_repository`.
            params: The query.

        Raises:
            NotThere: 404 or 410.
            Transient: There is no answer, or no right to one.
        """
        return self._got(path, self._url(path, params)).value

    def may_read(self, path: str) -> bool:
        """Whether this credential may list what is at a path: GitHub answers 403, or 404, where it may not.

        409 is the answer of a repository in which there is nothing yet.

        Raises:
            Transient: There is no answer; 401 among them, as that is about the credential and not about its rights.
        """
        reply = self._exchange.get(self._url(path, {"per_page": 1}), self._credential)
        if reply.status not in (200, 403, 404, 409):
            raise self._no_answer(reply)
        return reply.status in (200, 409)

    def granted(self) -> dict[str, str] | None:
        """The rights of an App, as GitHub told them with its token; None for any other credential: nobody tells.

        Raises:
            Transient: The App gets no token.
        """
        return self._credential.granted()

    def pages(self, path: str, params: Params = _ALL, items: str | None = None) -> list[Any]:
        """All entries of a list, from all its pages.

        Args:
            path: As for `get`.
            params: The query.
            items: The key of the list, where the answer is an object around it.

        Raises:
            NotThere: 404 or 410.
            Transient: There is no answer, no right to one, or more of it than `bounds.api_pages`.
        """
        found: list[Any] = []
        wanted = {"per_page": _PER_PAGE, **params}
        url: str | None = self._url(path, wanted)
        asked: list[str] = []
        while url is not None:
            if len(asked) >= self._bounds.api_pages:
                raise self._unavailable(
                    f"{shown(url)} has more than the allowed {self._bounds.api_pages} pages", "raise bounds.api_pages"
                )
            asked.append(url)
            reply = self._got(path, url)
            entries = self._entries(reply, items)
            found += entries
            url = self._next(reply, asked)
            if url is None and len(entries) >= int(wanted["per_page"]):
                # One entry more would be on a page that is new, and this one confirmed as unchanged: without its link.
                self._exchange.forget(reply)
        return found

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Make something.

        Raises:
            NotThere: 404 or 410; also when it may not be made with this credential.
            Refused: GitHub says no to it.
            Transient: There is no answer; it may have been made all the same.
        """
        return self._write("POST", path, body)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:
        """Change something; errors as for `post`."""
        return self._write("PATCH", path, body)

    def put(self, path: str, body: Mapping[str, object]) -> Any:
        """Set something; errors as for `post`."""
        return self._write("PUT", path, body)

    def delete(self, path: str) -> None:
        """Remove something; errors as for `post`."""
        self._write("DELETE", path, None)

    def download(self, path: str, offset: int) -> AbstractContextManager[ArtifactStream]:
        """The bytes that a path redirects to, from `offset` on when the storage can resume, else from 0.

        Raises:
            NotThere: 404 or 410 by GitHub; the storage is not asked whether something is there.
            Transient: There is no answer, or the storage is none that is allowed.
        """
        headers = {"Accept": "*/*", **{name: HEADERS[name] for name in ("Accept-Encoding", "User-Agent")}}
        return self._storage.open(lambda: self._signed(path), headers, offset)

    def _signed(self, path: str) -> str:
        url = self._url(path, _ALL)
        reply = self._exchange.get(url, self._credential, REDIRECTS - _AWAY)
        if reply.status in _AWAY:
            return self._storage.follow(reply.url, reply.location)
        self._judge(path, reply)
        raise self._unavailable(
            f"{shown(url)} answers {reply.status} instead of where the file is", "check that url is GitHub's API"
        )

    def _got(self, path: str, url: str) -> Reply:
        reply = self._exchange.get(url, self._credential)
        if reply.status not in (200, 204):
            self._judge(path, reply)
            raise self._no_answer(reply)
        return reply

    def _write(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with self._writing:
            reply = self._exchange.send(method, self._url(path, _ALL), data, self._credential)
        if reply.status in _DONE:
            return reply.value
        if 400 <= reply.status < 500 and reply.status not in _UNDECIDED:
            raise Refused(reply.status, reply.message, reply.hint)
        self._judge(path, reply)
        raise self._no_answer(reply)

    def _judge(self, path: str, reply: Reply) -> None:
        """Raises `NotThere` where GitHub says so."""
        if reply.status in (404, 410):
            raise NotThere(path, gone=reply.status == 410)

    def _no_answer(self, reply: Reply) -> Transient:
        said = f"{shown(reply.url)} answers {reply.status}" + (f": {reply.message}" if reply.message else "")
        if reply.status in REDIRECTS:
            hint = "the repository may have another name by now: set repository in the settings to it"
        elif reply.status in (401, 403):
            return CredentialsNeeded.of(self._unavailable(said, reply.hint))
        else:
            hint = "nothing to do if it happens once: it is tried again; if it stays, see GitHub's status page"
        return self._unavailable(said, hint)

    def _entries(self, reply: Reply, items: str | None) -> list[Any]:
        value = reply.value
        if items is not None:
            value = value.get(items) if isinstance(value, dict) else None
        if not isinstance(value, list):
            raise self._unavailable(
                f"{shown(reply.url)} answers with something else than a list", "check that url is GitHub's API"
            )
        return value

    def _next(self, reply: Reply, asked: list[str]) -> str | None:
        url = reply.following
        if url is None:
            return None
        try:
            elsewhere = origin(url) != origin(self._base)
        except ValueError:
            elsewhere = True
        if elsewhere or url in asked:
            raise self._unavailable(
                f"{shown(reply.url)} names {shown(url)} as its next page, "
                + ("which is not GitHub's API" if elsewhere else "which was there before"),
                "look for a proxy on the way that changes answers",
            )
        return url

    def _url(self, path: str, params: Params) -> str:
        if any(unquote(part) in (".", "..") for part in path.split("/")):
            raise NotThere(path)  # libraries would take the path to another one; no name at GitHub is like this
        url = self._base + quote(path, safe="/%:@!$&'()*+,;=~", errors="replace")
        return f"{url}?{urlencode(params, errors='replace')}" if params else url


def _credential(options: GitHubOptions, exchange: Exchange, clock: Clock, unavailable: Unavailable) -> Credential:
    if options.app is None:
        return StoredToken(Secret("GitHub's token", unavailable, options.token_env, options.token_file))
    app = options.app
    url = f"{options.url.rstrip('/')}/app/installations/{app.installation}/access_tokens"

    def ask(proof: str) -> object:
        reply = exchange.once("POST", url, None, proof)
        if reply.status != 201:
            raise _no_token(app, reply, unavailable)
        return reply.value

    secret = Secret("the GitHub App's key", unavailable, app.key_env, app.key_file)
    return Installation(AppKey(str(app.id), secret, unavailable), clock, ask, unavailable)


def _no_token(app: AppOptions, reply: Reply, unavailable: Unavailable) -> Transient:
    said = f"GitHub gives the App {app.id} no token: it answers {reply.status}"
    hint = {
        401: "check app.id, that its key was not removed in the App's settings, and this machine's clock",
        403: "look whether the installation is suspended",
        404: "check app.installation: the number at the end of the installation's address",
    }.get(reply.status, "nothing to do if it happens once: it is tried again")
    return unavailable(f"{said}: {reply.message}" if reply.message else said, hint)
