"""What can be wrong with a hub: failures on request, both rate limits, silence."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LIMIT = 5000


@dataclass
class Fault:
    """What the next requests of a kind get instead of an answer."""

    status: int
    times: int
    path: str
    method: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True)
class Refusal:
    """An answer in place of the right one."""

    status: int
    headers: dict[str, str]
    body: bytes


class Faults:
    """Asked once for each request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """None of them."""
        self.down = False
        self._faults: list[Fault] = []
        self.unlimit()

    def add(self, status: int, times: int, path: str, method: str, headers: dict[str, str], body: bytes | None) -> None:
        """One more."""
        self._faults.append(Fault(status, times, path, method.upper(), headers, body))

    def limit(self, remaining: int, reset: datetime) -> None:
        """So many requests, until then."""
        self._remaining, self._reset = remaining, reset

    def unlimit(self) -> None:
        """As it is most of the time."""
        self._remaining, self._reset = _LIMIT, datetime.now(UTC) + timedelta(hours=1)
        self.secondary: int | None = None
        self.retry_after: int | None = None

    def headers(self) -> dict[str, str]:
        """How much may still be asked, on every answer."""
        return {
            "X-RateLimit-Limit": str(_LIMIT),
            "X-RateLimit-Remaining": str(self._remaining),
            "X-RateLimit-Used": str(_LIMIT - self._remaining),
            "X-RateLimit-Reset": str(int(self._reset.timestamp())),
            "X-RateLimit-Resource": "core",
        }

    def charge(self) -> None:
        """One more answer that counts; a 304 does not."""
        with self._lock:
            self._remaining = max(0, self._remaining - 1)

    def refuse(self, method: str, path: str) -> Refusal | None:
        """What this request gets instead of an answer, if anything."""
        with self._lock:
            return self._failure(method, path) or self._over_limit()

    def _failure(self, method: str, path: str) -> Refusal | None:
        for fault in self._faults:
            if fault.times > 0 and fault.path in path and fault.method in ("", method):
                fault.times -= 1
                body = _message(f"status {fault.status}") if fault.body is None else fault.body
                return Refusal(fault.status, fault.headers, body)
        return None

    def _over_limit(self) -> Refusal | None:
        if self._remaining <= 0 and datetime.now(UTC) < self._reset:
            return Refusal(403, {}, _message("API rate limit exceeded for user ID 1."))
        if self.secondary is not None:
            headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            return Refusal(self.secondary, headers, _message(text))
        return None


def _message(text: str) -> bytes:
    return json.dumps({"message": text, "documentation_url": "https://docs.github.com/rest"}).encode()
