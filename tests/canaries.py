"""Looking for secrets where none may be: in texts, in every disguise that programs give them, and in argument lists."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote, quote_plus

_SHORTEST_LINE = 8
"""Characters; docs/activation.md says from which length on a line of a value is masked by itself."""


def forms(values: Iterable[str]) -> list[bytes]:
    """Values, and each longer line of them, in the disguises that programs give them."""
    texts = {text for value in values for text in (value, *value.splitlines()) if len(text) >= _SHORTEST_LINE}
    found: set[bytes] = set()
    for text in texts:
        plain = text.encode()
        told = {text, quote(text), quote(text, safe=""), quote_plus(text), repr(text)[1:-1]}
        told |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        found |= {one.encode() for one in told}
        for shift in range(3):  # where it begins in a longer text decides how base64 writes it
            found |= {one(b"x" * shift + plain)[4:-4] for one in (base64.b64encode, base64.urlsafe_b64encode)}
    return sorted(found)


def leaks(text: bytes, canaries: Iterable[bytes]) -> list[bytes]:
    """The canaries that are in a text."""
    return [canary for canary in canaries if canary in text]


@contextmanager
def listed() -> Iterator[set[bytes]]:
    """Every argument list that any process of this machine has meanwhile, as far as one who looks often can see."""
    seen: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.01):
            for folder in os.listdir("/proc"):  # noqa: PTH208 - hundreds of them, often
                if folder.isdigit():
                    with suppress(OSError), open(f"/proc/{folder}/cmdline", "rb") as file:  # noqa: PTH123
                        seen.add(file.read())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
