"""Runs behind a web server, in the layout of `layout`: any file server that CI can write to will do.

This module says what an answer means: there, absent, refused, or not to be understood. That answers come
at all, in bounds and from the right place, is `web`'s part; what the bytes are is judged from their digest.
A download that broke off is resumed by range. The server's validator from an earlier answer guards
against a file that changed in between; without one the digest still tells, only later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reconciler import __version__
from reconciler.bounds import Bounds
from reconciler.errors import CredentialsNeeded, Transient
from reconciler.model import Artifact, Run, RunId
from reconciler.net import Answer, Body, Reach, Secret, VariableName, Web, range_end, shown
from reconciler.ports import ArtifactStream, Parts, Source
from reconciler.sources import layout

_ABSENT = frozenset({404, 410})
_JSON = frozenset({"", "application/json", "text/json", "text/plain", "application/octet-stream"})
"""What file servers call a .json file when nobody told them."""
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_VALIDATORS = 1_000
"""Artifacts whose validator is remembered; the oldest is forgotten first."""


class Options(BaseModel):
    """What the operator sets for this source."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(description="http or https address of the folder that holds one folder for each run")
    token_env: VariableName | None = Field(
        None, description="the environment variable that holds a bearer token for url's own host"
    )
    token_file: Path | None = Field(None, strict=False, description="the file that holds it")
    allowed_hosts: tuple[str, ...] = Field(
        (), strict=False, description="hosts, or host:port, beside url's own that redirects may lead to"
    )
    ca_file: Path | None = Field(None, strict=False, description="certificates of the authorities to trust, in PEM")
    proxy: str | None = Field(None, description="address of the proxy to use; none is taken from the environment")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        home = Reach(self.url, self.allowed_hosts, layout.unavailable).home
        if "?" in self.url or "#" in self.url:
            raise ValueError("url: a query or a fragment is never sent; leave it out")
        if self.token_env and self.token_file:
            raise ValueError("token_env and token_file: one of them")
        if (self.token_env or self.token_file) and home.scheme == "http" and not home.loopback:
            raise ValueError("url: a token over http can be read on the way; use https")
        return self


def create(options: Mapping[str, object], parts: Parts) -> Source:
    """The adapter's entry point.

    Raises:
        pydantic.ValidationError: The options are not what this source takes.
    """
    chosen = Options.model_validate(dict(options))
    reach = Reach(chosen.url, chosen.allowed_hosts, layout.unavailable)
    verify = str(chosen.ca_file) if chosen.ca_file else True
    web = Web(reach, _secret(chosen), parts.clock, parts.bounds, verify, chosen.proxy, layout.unavailable)
    return HttpSource(chosen.url, web, parts.bounds)


def _secret(chosen: Options) -> Secret | None:
    if chosen.token_env is None and chosen.token_file is None:
        return None
    hint = "check token_file in the source's settings, and that the daemon's user may read it"
    return Secret("the source's token", layout.unavailable, chosen.token_env, chosen.token_file, hint)


class HttpSource:
    """Asks one server for `<url>/<run_id>/<file>`."""

    def __init__(self, url: str, web: Web, bounds: Bounds) -> None:
        self._url = url.rstrip("/")
        self._web = web
        self._bounds = bounds
        self._validators = _Validators()

    def run(self, run_id: RunId) -> Run:
        """What `run.json` says. All of it has to arrive within the time for connecting and one silence."""
        url = self._address(run_id, layout.RUN_FILE)
        seconds = self._bounds.connect_seconds + self._bounds.read_seconds
        with self._web.get(url, _headers("application/json"), seconds) as answer:
            if answer.status in _ABSENT:
                raise layout.run_not_found(shown(url), run_id)
            self._expect(answer, 200)
            _expect_json(answer)
            data = answer.body(self._bounds.run_file_bytes)
        return layout.read_run(shown(url), data, run_id, self._bounds)

    def open(self, run: Run, artifact: Artifact, offset: int) -> AbstractContextManager[ArtifactStream]:
        """The artifact's bytes as CI stored them, from `offset` when the server can resume, else from 0."""
        return self._stream(run, artifact, offset)

    @contextmanager
    def _stream(self, run: Run, artifact: Artifact, offset: int) -> Iterator[ArtifactStream]:
        url = self._address(run.run_id, artifact.file)
        with ExitStack() as stack:
            answer = stack.enter_context(self._ask(url, offset))
            if offset and answer.status == 416:  # what we hold is as long as the file or longer: begin anew
                stack.pop_all().close()
                self._validators.forget(url)
                answer = stack.enter_context(self._ask(url, 0))
            if answer.status in _ABSENT:
                raise layout.artifact_missing(shown(url), run, artifact)
            yield self._opened(url, answer, offset)

    def _ask(self, url: str, offset: int) -> AbstractContextManager[Answer]:
        headers = _headers("application/octet-stream, */*;q=0.5")
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator := self._validators.of(url):
                headers["If-Range"] = validator
        return self._web.get(url, headers, self._bounds.fetch_seconds)

    def _opened(self, url: str, answer: Answer, offset: int) -> ArtifactStream:
        self._expect(answer, *((200, 206) if offset else (200,)))
        if answer.media_type in _PAGES:
            raise _page(answer)
        self._validators.learn(url, answer.headers.get("ETag"))
        if answer.status == 200:
            return Body(0, answer.length, answer, layout.unavailable)
        return Body(offset, range_end(answer, offset, layout.unavailable), answer, layout.unavailable)

    def _expect(self, answer: Answer, *statuses: int) -> None:
        """Raises `Transient` for any other status, telling a missing credential from a broken server."""
        if answer.status in statuses:
            return
        said, hint = f"{shown(answer.url)} answers {answer.status}", "look into the log of the server behind the source"
        if answer.status in (401, 403):
            hint = "check the source's token (token_env or token_file): missing, expired, or without the right to read"
        if (wait := answer.retry_after) is not None:
            said += f" and asks to wait for {wait} s"
            hint = "nothing to do: it is tried again later; if it stays, poll less often"
        failure = layout.unavailable(said, hint)
        raise CredentialsNeeded.of(failure) if answer.status in (401, 403) else failure

    def _address(self, run_id: RunId, name: str) -> str:
        return f"{self._url}/{run_id}/{quote(name, safe='')}"


class _Validators:
    """The strong entity tags of the latest answers, by address."""

    def __init__(self) -> None:
        self._tags: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def of(self, url: str) -> str | None:
        with self._lock:
            return self._tags.get(url)

    def learn(self, url: str, tag: str | None) -> None:
        # A weak tag may stay while bytes change; RFC 9110, section 13.1.5, forbids it in If-Range.
        with self._lock:
            self._tags.pop(url, None)
            if tag and tag.startswith('"') and tag.isascii() and tag.isprintable():
                self._tags[url] = tag
            while len(self._tags) > _VALIDATORS:
                self._tags.popitem(last=False)

    def forget(self, url: str) -> None:
        self.learn(url, None)


def _headers(accept: str) -> dict[str, str]:
    # identity: the digest is of the file as CI stored it, not of some compressed form of it.
    return {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": f"reconciler/{__version__}"}


def _expect_json(answer: Answer) -> None:
    if answer.media_type in _PAGES:
        raise _page(answer)
    if answer.media_type not in _JSON and not answer.media_type.endswith("+json"):
        raise layout.unavailable(
            f"{shown(answer.url)} answers with {ascii(answer.media_type)[:80]} instead of JSON",
            "check that the source's url leads to the runs' folder",
        )
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise layout.unavailable(
            f"{shown(answer.url)} answers in a compressed form that was not asked for",
            "let the server send files as they are",
        )


def _page(answer: Answer) -> Transient:
    return layout.unavailable(
        f"{shown(answer.url)} answers with an HTML page instead of the file",
        "that is often a login page: check the source's token and url",
    )
