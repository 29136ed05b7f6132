"""Values as people read them, on a terminal and at a forge alike."""

from __future__ import annotations

from datetime import datetime

ARROW = "→"


def escape(text: str) -> str:
    """The text with everything spelled out that a terminal might act on or that hides: ANSI, bidi, line breaks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def plain(text: str, most: int) -> str:
    """The text on one line of at most `most` characters, without any that hides or that something might act on.

    For pages, where a text that somebody else wrote stands among others: one blank stands for all that went.
    """
    shown = text[: 4 * most]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else " " for c in shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= most else shown[: most - 1].rstrip() + "…"


def block(text: str, most: int) -> str:
    """As `plain`, on several lines: those of the text, at most `most` characters in all, the end of a longer one."""
    shown = text[-most:].expandtabs(4)
    lines = ("".join(c if c.isprintable() else " " for c in line).rstrip() for line in shown.split("\n"))
    return "\n".join(lines).strip("\n")


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things: `1 file`, `2 files`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def short(name: str | None) -> str:
    """The first twelve characters of a commit or a digest."""
    return name[:12] if name else "-"


def moment(at: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"
