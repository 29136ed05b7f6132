"""What the tests of the GitHub client share: scripted servers that answer as GitHub does, and a client for one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.errors import Reason, Transient
from reconciler.github import Api, GitHubOptions, connect
from reconciler.machine.clock import SystemClock
from tests.adapters.runs import parts
from tests.adapters.servers import Request, Script, ScriptedServer, answer

TOKEN = "canary-5e884898"
VARIABLE = "GITHUB_TEST_TOKEN"

Serve = Callable[[Script], ScriptedServer]
Connect = Callable[..., Api]


class Later:
    """The machine's clocks, put forward by hand."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self.ahead = timedelta()

    def now(self) -> datetime:
        return self._system.now() + self.ahead

    def monotonic(self) -> float:
        return self._system.monotonic() + self.ahead.total_seconds()


def unavailable(message: str, hint: str) -> Transient:
    return Transient(Reason.FORGE_UNAVAILABLE, message, hint)


def client(
    url: str, folder: Path, options: dict[str, Any], clock: Later | None, hosts: list[str], bounds: dict[str, Any]
) -> Api:
    """A client with the token of the variable, unless the options name another credential."""
    credential = {} if options.keys() & {"token_env", "token_file", "app"} else {"token_env": VARIABLE}
    chosen = GitHubOptions.model_validate({"repository": "acme/deploy", "url": url, **credential, **options})
    given = parts(folder, **bounds)
    return connect(chosen, replace(given, clock=clock) if clock else given, unavailable, hosts)


def says(value: object, status: str = "200 OK", **headers: str) -> bytes:
    """A JSON answer as GitHub gives it."""
    said = {"Content_Type": "application/json; charset=utf-8", **headers}
    return answer(status, json.dumps(value).encode(), **said)


def error(status: str, message: str = "s3cret no", **headers: str) -> bytes:
    """One of GitHub's errors."""
    return says({"message": message, "documentation_url": "https://docs"}, status, **headers)


def always(data: bytes) -> Script:
    def script(_: Request) -> Iterator[bytes]:
        yield data

    return script


def in_turn(*answers: bytes) -> Script:
    """One answer for each request; the last one for all further ones."""
    left = list(answers)

    def script(_: Request) -> Iterator[bytes]:
        yield left.pop(0) if len(left) > 1 else left[0]

    return script


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(status, Location=location)
