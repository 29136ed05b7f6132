"""A page for each reason: read from the package, or from `docs/reasons` beside it in a checkout.

The pages are the one source of what a reason means. They are written in a small part of Markdown, so that a terminal
and a web page can both lay them out from the blocks here: headings, paragraphs, lists, code, and within a line code and
links.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path

from reconciler.errors import Reason, Terminal

HEADINGS = (
    "What it means",
    "What stays live",
    "Why it is there",
    "How to see the evidence",
    "What to do",
    "Related",
)
"""Every page has these, in this order."""
_GIVEN = "Given by: "
_ITEM = "- "
_FENCE = "```"
_SPAN = re.compile(r"`(?P<code>[^`]+)`|\[(?P<text>[^\]]+)\]\((?P<link>[^)\s]+)\)")


class Kind(StrEnum):
    """What a block is."""

    PARAGRAPH = "paragraph"
    LIST = "list"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list, or lines of code."""

    kind: Kind
    items: tuple[str, ...]
    """The paragraph; or each point of the list; or each line of the code."""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one heading."""

    title: str
    blocks: tuple[Block, ...]
    text: str
    """The same in Markdown."""


@dataclass(frozen=True, slots=True)
class ReasonPage:
    """What there is to say of one reason."""

    reason: Reason
    summary: str
    """One sentence."""
    given_by: str
    """`the gate approval`, `the daemon` …"""
    sections: tuple[Section, ...]
    text: str
    """All of it, in Markdown."""

    @property
    def related(self) -> tuple[Reason, ...]:
        """Reasons that are easily taken for this one."""
        last = " ".join(item for block in self.sections[-1].blocks for item in block.items)
        names = [span.link.removesuffix(".md") for span in spans(last) if span.link]
        return tuple(Reason(name) for name in names if name in set(Reason))


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line."""

    text: str
    code: bool = False
    link: str = ""
    """Relative to the page, as it is written: `SelfApproval.md`, `../living.md#states`."""


def page(reason: Reason) -> ReasonPage:
    """The page of a reason.

    Raises:
        Terminal: `InternalError`: this installation has none.
    """
    return parse(reason, _text(reason))


def pages() -> Iterator[ReasonPage]:
    """All of them, in the order of the gates."""
    return map(page, Reason)


def find(name: str) -> Reason | None:
    """The reason that is meant, whatever its case; None: there is none of that name."""
    wanted = _folded(name)
    return next((reason for reason in Reason if _folded(reason) == wanted), None)


def closest(name: str) -> tuple[Reason, ...]:
    """Reasons that may have been meant, the likeliest first."""
    wanted, folded = _folded(name), {_folded(reason): reason for reason in Reason}
    close = difflib.get_close_matches(wanted, folded, n=3)
    begun = [one for one in folded if wanted and (one.startswith(wanted) or wanted in one)]
    return tuple(folded[one] for one in dict.fromkeys([*close, *begun]))[:3]


def parse(reason: Reason, text: str) -> ReasonPage:
    """A page as its parts.

    Raises:
        ValueError: It is not written as all of them are.
    """
    head, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = [part.strip() for part in head.strip().split("\n\n")]
    if len(parts) != 3 or parts[0] != f"# {reason}" or not parts[2].startswith(_GIVEN):
        raise ValueError(f"{reason}.md does not begin with its name, one sentence, and what gives it")
    sections = tuple(_section(part) for part in rest)
    if tuple(section.title for section in sections) != HEADINGS:
        raise ValueError(f"{reason}.md has other headings than {', '.join(HEADINGS)}")
    given_by = parts[2].removeprefix(_GIVEN).removesuffix(".")
    return ReasonPage(reason, " ".join(parts[1].split()), given_by, sections, text)


def spans(line: str) -> tuple[Span, ...]:
    """The pieces of a line: text, code, links."""
    found: list[Span] = []
    end = 0
    for match in _SPAN.finditer(line):
        if before := line[end : match.start()]:
            found.append(Span(before))
        code, link = match["code"], match["link"]
        found.append(Span(code, code=True) if code else Span(match["text"], link=link))
        end = match.end()
    if rest := line[end:]:
        found.append(Span(rest))
    return tuple(found)


def _section(text: str) -> Section:
    title, _, body = text.partition("\n")
    return Section(title.strip(), tuple(_blocks(body)), body.strip())


def _blocks(text: str) -> Iterator[Block]:
    for part in re.split(r"\n{2,}", text.strip("\n")):
        lines = part.splitlines()
        if part.startswith(_FENCE):
            yield Block(Kind.CODE, tuple(lines[1:-1]))
        elif part.startswith(_ITEM):
            points = re.split(r"^- ", part, flags=re.MULTILINE)[1:]
            yield Block(Kind.LIST, tuple(" ".join(point.split()) for point in points))
        else:
            yield Block(Kind.PARAGRAPH, (" ".join(part.split()),))


def _folded(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _text(reason: Reason) -> str:
    package = resources.files("reconciler")
    places = (package / "reasons" / f"{reason}.md", Path(__file__).parents[1] / "docs" / "reasons" / f"{reason}.md")
    for place in places:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    hint = "install reconciler anew: its wheel brings the pages along"
    raise Terminal(Reason.INTERNAL_ERROR, f"this installation has no page about {reason}", hint)
