"""A board and an environment's page that stay open while others work, and remember all that they ever showed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser

from tests.browser.chromium import WIDE, Tab, tab

SECONDS = 20.0
"""How long a page may take to show what is so already; it takes one or two."""

_REMEMBER = """(() => {
  const seen = window.allThatWasSeen = [], last = new Map();
  const note = (name, text) => {
    if (last.get(name) === text) return;
    last.set(name, text);
    seen.push(`${name}: ${text}`);
  };
  const words = (parts) => [...parts].map(part => part.innerText).join(" ").replace(/\\s+/g, " ").trim();
  const look = () => {
    for (const card of document.querySelectorAll("[data-environment]")) note(card.dataset.environment, words([card]));
    note("page", words(document.querySelectorAll("#live > .head, #live > .why, #live > .split")));
    note("history", words(document.querySelectorAll(".history > li:first-child")));
    note("link", words(document.querySelectorAll("#link")));
  };
  new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
  addEventListener("load", look);
  window.EventSource = class extends EventSource {
    constructor(url) {
      super(url);
      this.addEventListener("transition", (event) => {
        const {environment, sync, health} = JSON.parse(event.data);
        note("event", [environment, sync, health].join(" "));
      });
    }
  };
})()"""
"""It lives in the page's window: after a navigation, or a reload, it would have forgotten all."""


@dataclass
class Watched:
    """One open page, and what was not seen in it."""

    tab: Tab
    missing: list[str] = field(default_factory=list)

    def seen(self) -> list[str]:
        """Everything that was shown since it was opened, each thing behind the name of what showed it."""
        found: list[str] = self.tab.page.evaluate("() => window.allThatWasSeen")
        return found

    def expect(self, when: str, *patterns: str) -> None:
        """Note what does not come to be shown in time, or was not shown in this order.

        Args:
            when: What was done before, for whoever reads of it.
            patterns: Regular expressions, each of which one thing that was shown must match.
        """
        end = time.monotonic() + SECONDS
        while (missed := _first_missing(self.seen(), patterns)) and time.monotonic() < end:
            self.tab.page.wait_for_timeout(100)
        if missed:
            self.missing.append(f"{when}: never showed {missed!r}, but\n  " + "\n  ".join(self.seen()[-12:]))


def _first_missing(seen: list[str], patterns: tuple[str, ...]) -> str | None:
    left = iter(seen)
    for pattern in patterns:
        if not any(re.search(pattern, one) for one in left):
            return pattern
    return None


@contextmanager
def watching(browser: Browser, url: str) -> Iterator[Watched]:
    """Open a page once, for as long as the block lasts."""
    with tab(browser, url, WIDE, begin=_REMEMBER) as opened:
        yield Watched(opened)
