"""The HTTP side of a hub: who asks, what is wrong today, which function answers, and how it is sent."""

from __future__ import annotations

import hashlib
import json
import threading
import traceback
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.github import api_ci, api_pulls, api_repository, api_telling, description
from tests.github.routing import Answer, Page, Problem, Request, find
from tests.github.state import Call
from tests.github.tokens import BadToken

if TYPE_CHECKING:
    from tests.github.hub import Hub

ROUTES = (api_repository, api_pulls, api_telling, api_ci)
"""Modules whose functions answer; importing them makes the routes known."""
_VERSIONS = ("2022-11-28", "2026-03-10")
_OWN_CREDENTIALS = "/access_tokens"


class ApiServer:
    """Serves until closed."""

    def __init__(self, hub: Hub) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one packet

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(hub, self.command, self.path, headers, self.rfile.read(length))
            answer = _answer(request)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            body = b"" if answer.body is None or answer.status == 304 else answer.body
            # 204 and 304 have no body, and say nothing of its length.
            lengths = {} if answer.status in (204, 304) else {"Content-Length": str(len(body))}
            for name, value in (answer.headers | lengths).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that the base class calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
            """Quiet."""

    return Handler


def _answer(request: Request) -> Answer | None:
    """The answer in bytes; None: the line is cut. Logged either way, before it is sent."""
    hub = request.hub
    call = Call(request.method, request.target, request.headers, request.body)
    with hub.acting():
        try:
            answer = None if hub.faults.down else _considered(request)
        except Exception:  # noqa: BLE001 - a mistake of the hub's own is for the test to show, whatever it is
            hub.strange.append(f"{request.method} {request.target}: the hub failed\n{traceback.format_exc()}")
            answer = None
        hub.log.append(replace(call, status=answer.status if answer else 0))
        hub.strange += [
            f"{request.method} {request.target}: request.query: GitHub has no parameter {name!r} here"
            for name in description.unknown_parameters(request.method, request.target)
        ]
    return answer


def _considered(request: Request) -> Answer:
    hub = request.hub
    refusal = hub.faults.refuse(request.method, request.target)
    if refusal:
        kind = "application/json; charset=utf-8" if refusal.body[:1] in (b"{", b"[") else "text/html"
        return Answer(refusal.body, refusal.status, hub.faults.headers() | {"Content-Type": kind} | refusal.headers)
    try:
        _check(request)
        found = find(request)(request)
        answer = found.answer(request) if isinstance(found, Page) else found
        answer = answer if isinstance(answer, Answer) else Answer(answer)
    except Problem as problem:
        answer = Answer(problem.body, problem.status)
    except BadToken as error:
        answer = Answer({"message": str(error), "documentation_url": "https://docs.github.com/rest"}, 401)
    return _encoded(request, answer)


def _check(request: Request) -> None:
    """What GitHub wants of every request; docs: 'Getting started with the REST API', 'API Versions'."""
    if not request.headers.get("user-agent"):
        raise Problem(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent")
    version = request.headers.get("x-github-api-version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise Problem(400, f"{version} is not a supported version")
    if not request.path.endswith(_OWN_CREDENTIALS):
        request.account = request.hub.tokens.account(request.headers.get("authorization", ""))


def _encoded(request: Request, answer: Answer) -> Answer:
    faults = request.hub.faults
    headers = {"Vary": "Accept, Authorization", "X-GitHub-Media-Type": "github.v3; format=json"} | answer.headers
    body = None if answer.body is None else json.dumps(answer.body).encode()
    if body is not None:
        headers["Content-Type"] = "application/json; charset=utf-8"
    if request.method == "GET" and answer.status == 200 and body is not None:
        headers["ETag"] = f'W/"{hashlib.sha256(body).hexdigest()}"'
        headers["Cache-Control"] = "private, max-age=60, s-maxage=60"
        if request.headers.get("if-none-match") == headers["ETag"]:
            del headers["Content-Type"]  # of nothing; prism would read it
            return Answer(None, 304, headers | faults.headers())  # docs: a 304 does not count against the limit
    faults.charge()
    return Answer(body, answer.status, headers | faults.headers())
