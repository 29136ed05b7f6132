"""Values as people read them, on a terminal and at a forge alike."""

from __future__ import annotations

from datetime import datetime

ARROW = "→"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def escape(text: str) -> str:
    """The text with everything spelled out that a terminal might act on or that hides: ANSI, bidi, line breaks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def spelled(text: str, most: int) -> str:
    """As `escape`, of at most `most` characters: one line, in which nothing is lost but the end of a longer text."""
    shown = escape(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


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


def size(count: int) -> str:
    """Bytes: `640 B`, `1.5 KiB`."""
    value, unit = float(count), _SIZES[0]
    for unit in _SIZES:
        if value < _STEP or unit == _SIZES[-1]:
            break
        value /= _STEP
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def moment(at: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"
