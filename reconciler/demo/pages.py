"""Where the demo's pages are: a port of this machine that was free when the demo was made, and is kept.

Which one follows from the folder's name, so that several demos don't reach for the same at the same moment.
"""

from __future__ import annotations

import re
import socket
import zlib

from reconciler.demo.folder import DemoFolder

_FIRST = 8100
_PORTS = 800
"""From the first on: above what the program takes by default, and below what systems give to who asks for any."""
_TRIED = 50
_LISTEN = re.compile(r"^(  listen: 127\.0\.0\.1:)([0-9]{1,5})", re.MULTILINE)


def port(folder: DemoFolder) -> int:
    """A port that is free now; 0, which takes any, when the first ones that come to mind are not."""
    wanted = zlib.crc32(str(folder.path).encode())
    tried = (_FIRST + (wanted + step) % _PORTS for step in range(_TRIED))
    return next((number for number in tried if _is_free(number)), 0)


def settle(folder: DemoFolder) -> None:
    """Have a daemon that is about to start find its port free: another one is written where it is not."""
    text = folder.settings.read_text()
    found = _LISTEN.search(text)
    if found and not _is_free(int(found[2])):
        folder.settings.write_text(_LISTEN.sub(rf"\g<1>{port(folder)}", text))


def address(folder: DemoFolder) -> str:
    """Where the pages are."""
    found = _LISTEN.search(folder.settings.read_text())
    return f"http://127.0.0.1:{found[2]}" if found and int(found[2]) else ""


def _is_free(number: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", number)):
            return True
    except (OSError, OverflowError):  # no number of a port, written by hand
        return False
