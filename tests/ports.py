"""Ports for servers that come and go while a test runs."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

_LOWEST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_GIVEN: set[int] = set()


def lasting_port() -> int:
    """A port that stays free while its server is away, which one that the system chose does not.

    The system gives its own to whoever asks for any, to each connection as well: with many tests beside this one,
    somebody else had it now and then when the server came again. So this one is below those.
    """
    end = int(_RANGE.read_text().split()[0])
    while True:
        number = _LOWEST + secrets.randbelow(end - _LOWEST)
        if number not in _GIVEN and _is_free(number):
            _GIVEN.add(number)
            return number


def _is_free(number: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", number)):
            return True
    except OSError:
        return False
