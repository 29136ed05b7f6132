"""Which names inside an archive may become files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.names import MAX_DEPTH, Names, UnsafeName, check, fold, shown


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b/c.txt",
        ".hidden/..almost",
        "with space/and-dash",
        "-starts-with-a-dash",
        "naïve/日本語/🙂",
        "ab:c",
        "node_modules/@scope/pkg/index.js",
        "x" * 255,
        "/".join(["d"] * MAX_DEPTH),
        "/".join(["p" * 203] * 5) + "/123",
    ],
)
def test_a_plain_relative_name_is_taken_as_it_is(name: str) -> None:
    assert check(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("", "empty", id="no name at all"),
        pytest.param("/etc/passwd", "absolute", id="absolute"),
        pytest.param("..", "'..'", id="the folder above"),
        pytest.param("../x", "'..'", id="out of the release at the start"),
        pytest.param("a/../../x", "'..'", id="out of the release in the middle"),
        pytest.param("a/..", "'..'", id="out of the release at the end"),
        pytest.param("./a", "'.'", id="a dot in front"),
        pytest.param("a/./b", "'.'", id="a dot in the middle"),
        pytest.param("a//b", "empty part", id="an empty part"),
        pytest.param("a/", "empty part", id="a slash at the end"),
        pytest.param("a\\b", "backslash", id="a backslash that Windows reads as a separator"),
        pytest.param("..\\x", "backslash", id="out of the release with a backslash"),
        pytest.param("C:/x", "drive", id="a drive letter"),
        pytest.param("c:x", "drive", id="a drive-relative name"),
        pytest.param("a\0b", "NUL", id="a NUL, where C stops to read"),
        pytest.param("a\nb", "invisible", id="a newline, which forges a line of a listing"),
        pytest.param("a\rb", "invisible", id="a carriage return, which overwrites one"),
        pytest.param("\x1b[2Ja", "invisible", id="an ANSI sequence"),
        pytest.param("a\x7f", "invisible", id="DEL"),
        pytest.param("a\x9bb", "invisible", id="a C1 control, ANSI in one character"),
        pytest.param("a\u202etxt.exe", "invisible", id="a bidi override, which shows another name"),
        pytest.param("a\u2066b", "invisible", id="a bidi isolate"),
        pytest.param("a\u200bb", "invisible", id="a zero-width space"),
        pytest.param("\ufeffa", "invisible", id="a byte order mark"),
        pytest.param("a\u2028b", "invisible", id="a line separator"),
        pytest.param("a\udcffb", "not UTF-8", id="a lone surrogate, a byte that is not UTF-8"),
        pytest.param("x" * 256, "255 bytes", id="a part of 256 bytes"),
        pytest.param("é" * 128, "255 bytes", id="a part of 128 characters in 256 bytes"),
        pytest.param("/".join(["p" * 204] * 5) + "/x", "1024 bytes", id="1,026 bytes in all"),
        pytest.param("/".join(["d"] * (MAX_DEPTH + 1)), "deep", id="33 parts deep"),
    ],
)
def test_a_name_that_could_be_read_in_two_ways_is_refused(name: str, why: str) -> None:
    with pytest.raises(UnsafeName, match=why):
        check(name)


@given(st.text(alphabet=st.sampled_from("ab./\\:~-\0\n\u202e\udc80é "), max_size=40))
def test_whatever_is_taken_stays_inside(name: str) -> None:
    try:
        check(name)
    except UnsafeName:
        return
    parts = name.split("/")
    assert all(part not in ("", ".", "..") for part in parts)
    assert name.encode().decode() == name
    assert not set(name) & set("\0\n\\\u202e")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["a", "a"], id="the same file twice"),
        pytest.param(["d/", "d/"], id="the same folder twice"),
        pytest.param(["a", "A"], id="names that differ by case"),
        pytest.param(["d/x", "D/y"], id="implied folders that differ by case"),
        pytest.param(["straße", "STRASSE"], id="names that full case folding makes equal"),
        pytest.param(["é", "e\u0301"], id="composed and decomposed"),
        pytest.param(["É", "e\u0301"], id="composed and decomposed, of different case"),
        pytest.param(["k", "\u212a"], id="k and the Kelvin sign"),
        pytest.param(["a", "a/b"], id="a file, then a file in it"),
        pytest.param(["a/b", "a"], id="a file in a folder, then a file in its place"),
        pytest.param(["a/", "a"], id="a folder, then a file of its name"),
        pytest.param(["a", "a/"], id="a file, then a folder of its name"),
        pytest.param(["a/b/c", "a/b"], id="a file in the place of an implied folder"),
        pytest.param(["x/y", "X"], id="a file that differs from an implied folder by case"),
    ],
)
def test_two_names_for_one_place_are_refused(names: list[str]) -> None:
    seen = Names()
    seen.add(names[0].rstrip("/"), folder=names[0].endswith("/"))
    with pytest.raises(UnsafeName):
        seen.add(names[1].rstrip("/"), folder=names[1].endswith("/"))


def test_a_folder_may_be_implied_before_and_after_it_is_listed() -> None:
    seen = Names()
    seen.add("a/b/one", folder=False)
    seen.add("a", folder=True)
    seen.add("a/b", folder=True)
    seen.add("a/b/two", folder=False)
    assert len(seen) == 4


def test_a_name_is_shown_without_anything_that_a_terminal_acts_on() -> None:
    text = shown("\x1b[2J\u202e" + "long" * 100)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 80


def test_folding_is_the_same_for_plain_and_other_names() -> None:
    assert fold("ABC") == fold("abc") == "abc"
    assert fold("Åb") == fold("a\u030aB")
