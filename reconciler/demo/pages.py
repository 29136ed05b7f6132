"""Where the demo's pages are, as its settings say."""

from __future__ import annotations

import re

from reconciler.demo.folder import DemoFolder
from reconciler.demo.ports import First, is_free, port

_LISTEN = re.compile(r"^(  listen: 127\.0\.0\.1:)([0-9]{1,5})", re.MULTILINE)


def settle(folder: DemoFolder) -> None:
    """Have a daemon that is about to start find its port free: another one is written where it is not."""
    text = folder.settings.read_text()
    found = _LISTEN.search(text)
    if found and not is_free(int(found[2])):
        folder.settings.write_text(_LISTEN.sub(rf"\g<1>{port(folder, First.PAGES)}", text))


def address(folder: DemoFolder) -> str:
    """Where the pages are."""
    found = _LISTEN.search(folder.settings.read_text())
    return f"http://127.0.0.1:{found[2]}" if found and int(found[2]) else ""
