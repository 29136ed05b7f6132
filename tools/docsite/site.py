"""The build: staged, rendered by zensical, made to need nobody, and looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tools.docsite import links, pages

BUILD_SECONDS = 300
"""Deadline; it takes some two seconds."""
_SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the search needs on pages that were opened as files. We have our own, and ask nobody for it."""
OFFLINE = "assets/offline-search.js"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WARNING = re.compile(r"^Warning: (.*)\n\s*╭─\[ (\S+) \]", re.MULTILINE)


def build(folder: Path) -> list[str]:
    """Build the site into `folder/site`.

    Returns:
        Every problem: what the renderer warned of, links that lead nowhere, requests to somebody else.
    """
    config = pages.stage(folder)
    done = render(config)
    if done.returncode:
        return [*pages.gaps(config), *warnings(done.stdout + done.stderr)]
    alone(folder / "site")
    return [*pages.gaps(config), *links.problems((folder / "site").resolve())]


def warnings(said: str) -> list[str]:
    """What the renderer said, a line for each warning; all of it when there is none, as it then failed otherwise."""
    plain = _COLOUR.sub("", said)
    found = [f"{place}: {what}" for what, place in _WARNING.findall(plain)]
    return found or [line for line in plain.splitlines() if line.strip()]


def render(config: Path) -> subprocess.CompletedProcess[str]:
    """Run the renderer, for which a warning is an error."""
    argv = (sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", config.name)
    variables = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        argv, cwd=config.parent, env=variables, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )


def alone(site: Path) -> None:
    """Let the pages fetch nothing from elsewhere."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        if _SHIM in text:
            page.write_text(text.replace(_SHIM, os.path.relpath(site / OFFLINE, page.parent)))
