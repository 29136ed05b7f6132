"""Artifact storage on an address of its own, as GitHub has it: signed links, ranges, and no business with tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.github.state import Call


class Storage:
    """Serves what a link was given out for; `tokens_seen` must stay empty."""

    def __init__(self) -> None:
        self.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"

    def clear(self) -> None:
        """No links, no log, no faults."""
        self.calls: list[Call] = []
        self.tokens_seen: list[str] = []
        self.ranges = True
        self._links: dict[str, bytes] = {}
        self._cut: int | None = None
        self._failures: list[int] = []

    def link(self, name: str, content: bytes) -> str:
        """A signed link to these bytes, as the API redirects to."""
        signature = secrets.token_urlsafe(24)
        self._links[signature] = content
        return f"{self.url}/artifacts/{name}.zip?se=2026-11-22T00%3A00%3A00Z&sig={signature}%3D"

    def expire(self) -> None:
        """No link that was given out works any more; GitHub's live for a minute."""
        self._links.clear()

    def cut_after(self, count: int) -> None:
        """The next download ends after so many bytes."""
        self._cut = count

    def fail(self, status: int, times: int = 1) -> None:
        """The next downloads get that."""
        self._failures += [status] * times

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def content(self, path: str) -> bytes | None:
        """What a link leads to."""
        signature = parse_qs(urlsplit(path).query).get("sig", [""])[0]
        return self._links.get(signature.removesuffix("="))

    def failure(self) -> int | None:
        """What the next download gets instead."""
        return self._failures.pop(0) if self._failures else None

    def piece(self, content: bytes) -> bytes:
        """What goes out before the line is cut."""
        cut, self._cut = self._cut, None
        return content if cut is None else content[:cut]


def _handler(storage: Storage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            if "authorization" in headers:
                storage.tokens_seen.append(headers["authorization"])
            content, status, start = _considered(self, storage)
            # Before the answer: whoever has it finds the call here.
            storage.calls.append(Call("GET", self.path, headers, status=status))
            _send(self, storage, content, status, start)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
            """Quiet."""

    return Handler


def _considered(request: BaseHTTPRequestHandler, storage: Storage) -> tuple[bytes, int, int]:
    """What the link leads to, the status of the answer, and where in it the answer begins."""
    content, failure = storage.content(request.path), storage.failure()
    if failure or content is None:
        return b"", failure or 403, 0  # 403: what Azure answers to a signature that is over or wrong
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")) if storage.ranges else None
    start = int(asked[1]) if asked else 0
    if asked and start >= len(content):
        return b"", 416, 0
    return content, 206 if asked else 200, start


def _send(request: BaseHTTPRequestHandler, storage: Storage, content: bytes, status: int, start: int) -> None:
    request.send_response(status)
    if status == 206:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if status in (200, 206):
        request.send_header("Content-Type", "application/zip")
        request.send_header("ETag", f'"0x{hashlib.sha256(content).hexdigest()[:16].upper()}"')
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    request.wfile.write(storage.piece(content[start:]))
