"""Texts that somebody else wrote, made fit to stand among others."""

from __future__ import annotations

import pytest

from reconciler.core.readable import block, plain, size, spelled


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Take the discount", "Take the discount"),
        ("  two\nlines\t and  room ", "two lines and room"),
        ("\x1b[31mred\x07\x00", "[31mred"),
        ("a\u202ebc\u2066d\u200be", "a bc d e"),
        ("\ud800x\u00a0y", "x y"),
        ("é 木 \U0001f600", "é 木 \U0001f600"),
        ("<b>&\"'", "<b>&\"'"),
        ("1234567890" * 3, "1234567890123456789…"),
        ("\n" * 500 + "far away", ""),
        ("", ""),
    ],
)
def test_a_text_becomes_one_line_of_bounded_length(text: str, wanted: str) -> None:
    assert plain(text, 20) == wanted


def test_a_block_keeps_its_lines_and_the_end_of_what_is_too_long() -> None:
    assert block("\n one\x1b[0m\r\n\ttwo \n\n", 100) == " one [0m\n    two"
    assert block("first\nlast", 4) == "last"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**3, "5.0 GiB"), (2**60, "1048576.0 TiB")],
)
def test_a_size_has_one_unit(count: int, said: str) -> None:
    assert size(count) == said


def test_what_hides_is_spelled_out_within_the_bound() -> None:
    assert spelled("a\u202eb\x1b[31m\n", 100) == "a\\u202eb\\x1b[31m\\n"
    assert spelled("1234567890", 10) == "1234567890"
    assert spelled("12345678901", 10) == "123456789…"
    assert spelled("\x00" * 10_000, 10) == "\\x00\\x00\\…"
