"""Ports of this machine for the demo's servers: free when the demo was made, and kept.

They are below those that systems give to whoever asks for any: so one is free again when its server starts the next
time. Which one follows from the folder's name, so that several demos don't reach for the same at the same moment.
"""

from __future__ import annotations

import socket
import zlib
from enum import IntEnum

from reconciler.demo.folder import DemoFolder

_PORTS = 800
"""From the first on."""
_TRIED = 50


class First(IntEnum):
    """Where the ports of each server begin: above what the program takes by default."""

    PAGES = 8100
    SERVICE = 8900


def port(folder: DemoFolder, first: First) -> int:
    """A port that is free now; any other when the first ones that come to mind are not."""
    wanted = zlib.crc32(str(folder.path).encode())
    tried = (first + (wanted + step) % _PORTS for step in range(_TRIED))
    return next((number for number in tried if is_free(number)), 0) or _any()


def is_free(number: int) -> bool:
    """Whether a server could have it now."""
    try:
        with socket.create_server(("127.0.0.1", number)):
            return True
    except (OSError, OverflowError):  # no number of a port, written by hand
        return False


def _any() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
