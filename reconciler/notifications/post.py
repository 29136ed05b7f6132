"""The program that sends one message and ends: `python -m reconciler.notifications.post`, with the message on stdin.

What to send, and the address, come as one JSON object; one JSON object says how it went, in our own words: what a
server or a library says of an address may repeat it. Memory and time are limited from within as well, so that a process
that lost its parent ends too.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import resource
import signal
import sys
from typing import Any

from reconciler.notifications.addresses import BadAddress, Kind, kind_of

REQUEST_BYTES = 1024**2
"""Largest request: a digest of a hundred environments has a tenth of it."""
_MEMORY_BYTES = 1024**3
"""Address space: apprise takes a tenth of it; an answer that never ends stops here."""
_STATUS = re.compile(r"error=([0-9]{3})\b")
_NO_CONNECTION = ("Connection error", "Socket Exception", "connection")


class _Heard(logging.Handler):
    """What apprise says while it sends; read for what happened, and never shown."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def why(self) -> str:
        """In our own words."""
        said = "\n".join(self.lines)
        if status := _STATUS.search(said):
            return f"it answered {status[1]}"
        if any(word in said for word in _NO_CONNECTION):
            return "no connection came about, or it broke off"
        return "it did not take the message"


def sender(address: str, seconds: float) -> tuple[Kind, Any]:
    """What sends to an address; nothing is sent yet.

    Raises:
        BadAddress: It can't be used.
    """
    kind = kind_of(address)
    from apprise import AppriseAsset

    make = getattr(importlib.import_module(kind.module), kind.sender)
    parts = make.parse_native_url(address) if address.lower().startswith("https://") else make.parse_url(address)
    if not parts:
        raise BadAddress(f"its address is none of {kind.name}")
    asset = AppriseAsset(
        app_id="reconciler",
        app_desc="reconciler",
        app_url="",
        storage_mode="memory",
        http_redirects=False,  # nobody but who was named gets to see what the address holds
        pgp_autogen=False,
        pem_autogen=False,
        allow_templates=False,
    )
    parts |= {"asset": asset, "include_image": False, "cto": min(5.0, seconds), "rto": seconds}
    try:
        return kind, make(**parts)
    except TypeError:  # apprise's own error is one
        raise BadAddress(f"its address lacks something that {kind.name} needs, or is not as it wants it") from None


def send(request: dict[str, Any]) -> str:
    """Send, or only try the address; returns why it did not work, empty when it did."""
    logger = logging.getLogger("apprise")
    heard = _Heard()
    logger.addHandler(heard)
    logger.propagate = False
    try:
        kind, plugin = sender(request["address"], float(request["seconds"]))
        if request["try"]:
            return ""
        return "" if _notify(kind, plugin, request) else heard.why()
    except BadAddress as bad:
        return str(bad)
    except ImportError:
        return "apprise is not installed, or too old"
    except MemoryError:
        return "it answered without an end"
    except Exception as error:  # noqa: BLE001 - a library's: its text may hold the address
        return f"it failed with {type(error).__name__}"
    finally:
        logger.removeHandler(heard)


def _notify(kind: Kind, plugin: Any, request: dict[str, Any]) -> bool:
    if kind.name == "webhook":
        # All of the body is ours: what apprise would put there is taken out.
        own = dict.fromkeys(("version", "title", "message", "attachments", "type"), "")
        plugin.payload_extras, plugin.method = {**own, **request["document"]}, "POST"
    body_format = "markdown" if kind.markdown else "text"
    return bool(
        plugin.notify(
            body=request["body"], title=request["title"], notify_type=request["urgency"], body_format=body_format
        )
    )


def _limit(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.setitimer(signal.ITIMER_REAL, seconds + 1.0)


def main() -> None:
    """Answer the one request on stdin."""
    request = json.loads(sys.stdin.buffer.read(REQUEST_BYTES))
    _limit(float(request["seconds"]))
    with os.fdopen(os.dup(1), "w") as answer:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # a library that prints must not be taken for us
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        json.dump({"why": send(request)}, answer)


if __name__ == "__main__":
    main()
