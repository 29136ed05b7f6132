"""A real browser: pages that remember what went wrong in them, and the judgement of axe on each."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

Scheme = Literal["light", "dark"]
WIDE, NARROW, NARROWEST = 1440, 390, 360
"""Pixels: a desk, a phone, and the smallest phone."""
PROGRAM = os.environ.get("RECONCILER_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "" if PROGRAM else "no Chromium here: apt-get install chromium, or name one in RECONCILER_TEST_CHROMIUM"
"""Why tests in a browser are skipped; CI has nothing to skip."""

_LOOK = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")
"""Rules that a theme, or a size, can break by itself."""
_AXE = """async (rules) => (await axe.run(document, {resultTypes: ["violations"], ...rules})).violations.map(found =>
  `${found.impact} ${found.id}: ${found.nodes.slice(0, 3).map(node => node.target.join(" ")).join(", ")}`)"""
_SIDEWAYS = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 5).map(one => `${one.tagName.toLowerCase()}.${one.className}`)"""


@dataclass
class Tab:
    """One page, and what went wrong in it."""

    page: Page
    wrong: list[str] = field(default_factory=list)
    """Errors of scripts, refusals of the content security policy, requests to anywhere else."""

    def violations(self) -> list[str]:
        """What axe finds, however small, each with its weight."""
        return self._axe({})

    def violations_of_look(self) -> list[str]:
        """The same, but only of what another theme or size may have broken: a fraction of the time."""
        return self._axe({"runOnly": {"type": "rule", "values": _LOOK}})

    def _axe(self, rules: dict[str, object]) -> list[str]:
        self.page.evaluate(f"() => {{ window.axe || (() => {{ {AXE_SCRIPT} }})(); }}")
        found: list[str] = self.page.evaluate(_AXE, rules)
        return found

    def forgive(self, pattern: str) -> None:
        """Forget what went wrong so far, as far as it matches."""
        self.wrong = [one for one in self.wrong if not re.search(pattern, one)]

    def sideways(self) -> list[str]:
        """What makes it wider than the window; empty when nothing does."""
        found: list[str] = self.page.evaluate(_SIDEWAYS)
        return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser for as long as the block lasts."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(
    browser: Browser, url: str, width: int = WIDE, scheme: Scheme = "light", scripts: bool = True, begin: str = ""
) -> Iterator[Tab]:
    """A page of its own, loaded.

    Args:
        browser: Shows it.
        url: Of the page.
        width: Of the window, in pixels.
        scheme: What the system prefers.
        scripts: Whether scripts run.
        begin: A script of the test's own, which runs before the page's.
    """
    size = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=scripts)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        if begin:
            page.add_init_script(begin)
        made = Tab(page)
        host = urlsplit(url).netloc
        page.on("console", lambda said: made.wrong.append(said.text) if _wrong(said, url) else None)
        page.on("pageerror", lambda error: made.wrong.append(str(error)))
        page.on("request", lambda asked: None if _ours(asked.url, host) else made.wrong.append(f"asks {asked.url}"))
        page.goto(url, wait_until="load")
        yield made
    finally:
        context.close()


def _wrong(said: ConsoleMessage, url: str) -> bool:
    """An error of the page; that the page itself is not found is none."""
    return said.type in ("error", "warning") and not (said.location["url"] == url and "404" in said.text)


def _ours(url: str, host: str) -> bool:
    return urlsplit(url).netloc == host or url.startswith("data:")
