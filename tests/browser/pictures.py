"""The pictures of the pages that the documentation keeps: of samples, with a clock that stands, so that they stay so.

python -m tests.browser.pictures                all of them, into docs/images
python -m tests.browser.pictures build/look     into another folder
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.chromium import MISSING, NARROW, WIDE, Scheme, browsing, tab
from tests.browser.samples import SAMPLES

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
BYTES = 150_000
ALL_BYTES = 2_500_000
QUALITY = 58

_HEIGHT = {WIDE: 1000, NARROW: 1400}
"""Pixels of a page that are kept; what is below is more of the same."""
_NAMES = {WIDE: "desk", NARROW: "phone"}
_EVERYWHERE: tuple[tuple[int, Scheme], ...] = ((WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark"))
_ONCE: tuple[tuple[int, Scheme], ...] = ((WIDE, "light"), (NARROW, "dark"))
_WHOLE = frozenset(
    {("degraded", "environment")}
    | {("thirty", page) for page in ("board", "compare", "timeline", "audit", "reason", "lost")}
)
"""Kept in both themes, on both screens; the others once on each."""


@dataclass(frozen=True)
class Picture:
    """A page of a sample, as one screen shows it."""

    sample: str
    page: str
    path: str
    width: int
    scheme: Scheme

    @property
    def file(self) -> str:
        """How it is called among the images."""
        return f"{self.page}-{self.sample}-{_NAMES[self.width]}-{self.scheme}.webp"


def pictures() -> Iterator[Picture]:
    """Every page in both themes, on a desk and on a phone; what it is like in other states, and sizes, once."""
    for sample in SAMPLES:
        for page, path in sample.pages:
            whole = (sample.name, page) in _WHOLE
            once = _ONCE[:1] if page == "environment" else _ONCE
            if whole or sample.name != "thirty":
                for width, scheme in _EVERYWHERE if whole else once:
                    yield Picture(sample.name, page, path, width, scheme)


def take(browser: Browser, url: str, picture: Picture) -> bytes:
    """One picture, of a page that is live, without the part far below."""
    with tab(browser, url + picture.path, picture.width, picture.scheme) as one:
        if one.page.query_selector("[data-live]"):
            one.page.wait_for_selector("[data-link=live]")
        height = min(one.page.evaluate("() => document.documentElement.scrollHeight"), _HEIGHT[picture.width])
        clip = {"x": 0, "y": 0, "width": picture.width, "height": height, "scale": 1}
        asked = {"format": "webp", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
        session = one.page.context.new_cdp_session(one.page)
        return base64.b64decode(session.send("Page.captureScreenshot", asked)["data"])


def main(folder: Path) -> int:
    """Take all; 1 when they came out too large to be kept."""
    if MISSING:
        print(MISSING, file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    with browsing() as browser:
        for sample in SAMPLES:
            with sample.served() as site:
                for picture in (one for one in pictures() if one.sample == sample.name):
                    data = take(browser, site.url, picture)
                    (folder / picture.file).write_bytes(data)
                    sizes[picture.file] = len(data)
    large = [name for name, size in sizes.items() if size > BYTES]
    print(f"{len(sizes)} pictures, {sum(sizes.values()):,} bytes; too large: {', '.join(large) or 'none'}")
    return int(bool(large) or sum(sizes.values()) > ALL_BYTES)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
