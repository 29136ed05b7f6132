"""A built site, looked at as a browser would: no link leads nowhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FETCHED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "image": "href",
    "img": "src",
    "input": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "track": "src",
    "use": "href",
    "video": "src",
}
"""Elements that a browser fetches something for by itself, and the attribute that says what."""
_NOT_FETCHED = {"canonical", "next", "prev", "alternate"}
_ANYWHERE = "404.html"
"""Shown for any address, so its own links are meant from the root of wherever the site is put."""
_IN_STYLE = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)")


@dataclass(slots=True)
class _Page:
    names: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = _Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.page.names |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.page.links.append(found["href"])
        if tag in _FETCHED and not _NOT_FETCHED & set(found.get("rel", "").split()):
            self.page.fetched += [value for key in (_FETCHED[tag], "srcset", "poster") if (value := found.get(key))]
        self.page.fetched += _IN_STYLE.findall(found.get("style", ""))


def problems(site: Path) -> list[str]:
    """Everything that is wrong, each on a line that names the page."""
    pages = {page: _read(page) for page in sorted(site.rglob("*.html"))}
    found = [
        f"{page.relative_to(site)}: {said}" for page, content in pages.items() for said in _of(page, content, pages)
    ]
    for style in sorted(site.rglob("*.css")):
        found += [f"{style.relative_to(site)}: fetches {url}" for url in _IN_STYLE.findall(style.read_text())]
    return found


def _of(page: Path, content: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    at_home = page.name != _ANYWHERE
    for url in content.fetched:
        if urlsplit(url).netloc:
            yield f"fetches {url}"
        elif at_home and not urlsplit(url).scheme and not (page.parent / unquote(urlsplit(url).path)).exists():
            yield f"fetches {url}, which is not there"
    for url in content.links if at_home else ():
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.exists():
            yield f"leads to {url}, which is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
            yield f"leads to {url}, a place which that page does not have"


def _read(page: Path) -> _Page:
    reader = _Reader()
    reader.feed(page.read_text())
    return reader.page
