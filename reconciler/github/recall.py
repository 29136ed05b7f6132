"""Answers that were given before, for conditional requests ("Best practices for using the REST API").

GitHub confirms an answer that did not change with 304, which costs nothing of the rate limit. An answer is only ever
recalled for the credential that got it: another one may see less.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

_ANSWERS = 2_000
"""Most answers that are kept; the least recently used goes first."""
_BYTES = 32 * 1024**2
"""Most bytes of them together."""
_LARGEST = 1024**2
"""Largest one that is kept, so that a few large ones don't push out all others."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One answer: its tag, its bytes, and the address of the next page."""

    tag: str
    data: bytes
    following: str | None


class Recall:
    """The latest answers, by credential and address."""

    def __init__(self, answers: int = _ANSWERS, size: int = _BYTES, largest: int = _LARGEST) -> None:
        self._answers = answers
        self._size = size
        self._largest = largest
        self._held: OrderedDict[tuple[bytes, str], Remembered] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, token: str, url: str) -> Remembered | None:
        """What this credential got from this address."""
        key = _key(token, url)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def learn(self, token: str, url: str, answer: Remembered) -> None:
        """Keep it, in place of an older one."""
        key = _key(token, url)
        with self._lock:
            self._drop(key)
            if len(answer.data) > self._largest:
                return
            self._held[key] = answer
            self._bytes += len(answer.data)
            while len(self._held) > self._answers or self._bytes > self._size:
                self._drop(next(iter(self._held)))

    def forget(self, token: str, url: str) -> None:
        """Keep nothing of it."""
        with self._lock:
            self._drop(_key(token, url))

    def _drop(self, key: tuple[bytes, str]) -> None:
        if old := self._held.pop(key, None):
            self._bytes -= len(old.data)


def _key(token: str, url: str) -> tuple[bytes, str]:
    # The token itself would outlive its rotation here.
    return sha256(token.encode()).digest(), url
