"""A listener on the loopback, with what it woke and told, and a client that says byte for byte what it is told to."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler.views.facts import Facts
from reconciler.web import Hooks, Limits, Listener, Places, Secrets, Tracked, Wake, app, open_listener

SECRET = "a secret of this test"
TRACKED = Tracked("acme/deploy", "main", builders=frozenset({"Acme/Shop"}))
LIMITS = Limits(2 * 1024**2, rest_seconds=0.0)
HOOK = "/api/webhook/github"


@dataclass
class Journal:
    """Keeps what it is told."""

    deliveries: list[tuple[str, str, str]] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)

    def delivered(self, event: str, delivery: str, outcome: str) -> None:
        self.deliveries.append((event, delivery, outcome))

    def trouble(self, problem: Exception) -> None:
        self.troubles.append(problem)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> object:
        return json.loads(self.body)["status"]


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, *lines: str, path: str = HOOK, method: str = "POST") -> None:
        """Send a head, with the body still to come."""
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())

    def answer(self, method: str = "POST") -> Answer:
        """Read one whole answer."""
        with HTTPResponse(self.socket, method=method) as response:
            response.begin()
            body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def is_closed(self) -> bool:
        """Wait until the server ends the connection; False when it says something more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


class Web:
    """One listener."""

    def __init__(self, secret_file: Path | None, limits: Limits = LIMITS, tracked: Tracked = TRACKED) -> None:
        self._secret_file = secret_file
        self.woken: list[frozenset[Wake]] = []
        self.journal = Journal()
        self.ready: Callable[[], bool] = lambda: True
        self._clients: list[Client] = []
        hooks = Hooks(Secrets(file=secret_file), tracked, limits, self.woken.append, self.journal)
        self.listener = Listener("127.0.0.1:0", app(hooks if secret_file else None, self._ready, self.journal))
        self.port = urlsplit(self.listener.url).port or 0

    def _ready(self) -> bool:
        return self.ready()

    @property
    def secret_file(self) -> Path:
        assert self._secret_file
        return self._secret_file

    def secrets(self, *secrets: str) -> None:
        self.secret_file.write_text("".join(f"{secret}\n" for secret in secrets))

    def client(self) -> Client:
        client = Client(self.port)
        self._clients.append(client)
        return client

    def get(self, path: str, method: str = "GET") -> Answer:
        client = self.client()
        client.head(path=path, method=method)
        with client.socket:
            return client.answer(method)

    def post(self, body: bytes, *lines: str, path: str = HOOK) -> Answer:
        client = self.client()
        client.head(*lines, f"Content-Length: {len(body)}", path=path)
        client.send(body)
        with client.socket:
            return client.answer()

    def deliver(self, event: str, payload: object, delivery: str = "1") -> Answer:
        """A delivery as GitHub makes it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self.post(body, *signed(body), *about(event, delivery))

    @contextmanager
    def serving(self) -> Iterator[Web]:
        with self.listener:
            try:
                yield self
            finally:
                for client in self._clients:
                    client.socket.close()


class Woken:
    """What a listener would wake."""

    ready = True

    def wake(self, *, passes: bool = True, chores: bool = False) -> None:
        """Nobody sleeps."""


class Reading:
    """A listener with pages and API, and somebody who reads."""

    def __init__(self, facts: Facts, metrics: Callable[[], bytes] | None = None, **places: object) -> None:
        self.journal = Journal()
        wanted = Places(**{"listen": "127.0.0.1:0", **places})  # type: ignore[arg-type]
        opened = open_listener(wanted, TRACKED, LIMITS, Woken(), self.journal, metrics, facts)
        assert opened is not None
        self.listener, self.changed = opened.listener, opened.changed
        self.port = urlsplit(self.listener.url).port or 0

    def ask(self, path: str, *lines: str, method: str = "GET", host: str = "") -> Answer:
        """One request on a connection of its own."""
        client = self.client()
        with client.socket:
            self.head(client, path, *lines, method=method, host=host)
            return client.answer(method)

    def client(self) -> Client:
        return Client(self.port)

    def head(self, client: Client, path: str, *lines: str, method: str = "GET", host: str = "") -> None:
        named = f"Host: {host or f'127.0.0.1:{self.port}'}"
        client.send("\r\n".join([f"{method} {path} HTTP/1.1", named, *lines, "", ""]).encode())

    def document(self, path: str, *lines: str, status: int = 200) -> dict[str, Any]:
        """What the API answers."""
        answer = self.ask(path, *lines)
        assert answer.status == status, answer.body
        found: dict[str, Any] = json.loads(answer.body)
        assert found["apiVersion"] == "reconciler/v1"
        return found

    @contextmanager
    def serving(self) -> Iterator[Reading]:
        with self.listener:
            yield self


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(body: bytes, secret: str = SECRET) -> Sequence[str]:
    return [f"X-Hub-Signature-256: sha256={sign(body, secret)}"]


def about(event: str, delivery: str = "1") -> Sequence[str]:
    return [f"X-GitHub-Event: {event}", f"X-GitHub-Delivery: {delivery}", "Content-Type: application/json"]


def repository(name: str = "acme/deploy", number: int = 7) -> dict[str, object]:
    return {"id": number, "full_name": name}


def push(branch: str = "main", **also: object) -> dict[str, object]:
    return {"ref": f"refs/heads/{branch}", "repository": repository(), **also}


def pull_request(
    action: str, number: int = 12, *, base: str = "main", merged_at: str | None = None
) -> dict[str, object]:
    pull = {"number": number, "base": {"ref": base}, "merged_at": merged_at}
    return {"action": action, "pull_request": pull, "repository": repository()}
