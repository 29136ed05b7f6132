"""Spans of time as people write them."""

from __future__ import annotations

import pytest

from reconciler.core.durations import in_words, parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("30m", 1_800),
        ("1.5h", 5_400),
        ("2d", 172_800),
        ("1h30m", 5_400),
        ("1d2h3m4.5s", 93784.5),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "s",
        "1 h",
        "30m1h",
        "1h1h",
        "-1s",
        "+1s",
        "1e3s",
        "1H",
        "1ms",
        ".5h",
        "1.h",
        "1h\n",
        "\u0661s",
        "1" * 7 + "s",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write"):
        parse(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (0.25, "0.25s"), (45, "45s"), (59.6, "1m"), (5_400, "1h30m"), (172_800, "2d"), (90_061, "1d1h1m1s")],
)
def test_a_duration_is_told_as_it_is_written(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
    assert parse(words) == pytest.approx(seconds, abs=0.5)
