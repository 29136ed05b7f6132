"""Spans of time as people write them: `90s`, `30m`, `1.5h`, `2d`, `1h30m`."""

from __future__ import annotations

import re

_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,3})?)"
_DURATION = re.compile(rf"(?=.)(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def parse(text: str) -> float:
    """A duration in seconds: numbers with the units d, h, m and s, from the largest to the smallest, each once.

    Raises:
        ValueError: It is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a duration; write 90s, 30m, 1.5h, 2d or 1h30m")
    return sum(float(number) * unit for number, unit in zip(match.groups(), _UNITS.values(), strict=True) if number)


def in_words(seconds: float) -> str:
    """Seconds, from 0, as `1h30m` or `45s`; fractions are only told below one second."""
    if 0 < seconds < 1:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    rest, parts = round(seconds), []
    for name, unit in _UNITS.items():
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0s"
