"""Config and secrets as a file that a shell and systemd read back, and as something that is never shown."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from reconciler.core.delivery import MASK, forms, masked, render, secrets_fingerprint

VALUES = {
    "PLAIN": "8080",
    "SPACES": "  two  words\t",
    "QUOTES": """it's a "quoted" 'word'""",
    "SHELL": "$HOME ${HOME} $(id) `id` \\$ \\\\ \\n \\",
    "LINES": "-----BEGIN KEY-----\nabc=\n\n  indented\n-----END KEY-----\n",
    "ENDS_WITH_BACKSLASH": "C:\\",
    "BACKSLASH_AT_A_LINE_S_END": "one\\\ntwo",
    "COMMENT": "# no comment ; nor this",
    "EXPANDS": "~ * ? [a] {a,b} !! & | < > ( )",
    "CONTROLS": "\x01\x07\x1b[31m\r\x7f",
    "SCRIPTS": "grün 値 🔑",
    "EMPTY": "",
}


def systemd(text: str) -> dict[str, str]:
    """EnvironmentFile= by the rules of systemd.exec(5), for lines in double quotes: written from that page alone."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        equals = text.index("=", at)
        name, at, value = text[at:equals], equals + 2, ""
        assert text[equals + 1] == '"'
        while text[at] != '"':
            if text[at] == "\\" and text[at + 1] in '"\\`$':
                at += 1
            elif text[at] == "\\" and text[at + 1] == "\n":
                at += 2
                continue
            value += text[at]
            at += 1
        assert text[at + 1] == "\n"
        found[name], at = value, at + 2
    return found


def read_by_shell(shell: str, file: Path) -> dict[str, str]:
    script = "set -a; . ./file; exec env -0"
    done = subprocess.run([shell, "-c", script], cwd=file.parent, env={"PATH": "/usr/bin:/bin"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0") if entry)
    return {name: value for name, _, value in pairs if name in VALUES}


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_reads_every_value_back_exactly(shell: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(render(VALUES))
    assert read_by_shell(shell, tmp_path / "file") == VALUES


def test_systemd_reads_every_value_back_exactly_by_its_documented_rules() -> None:
    assert systemd(render(VALUES).decode()) == VALUES


def test_the_same_variables_make_the_same_file_in_any_order() -> None:
    assert render(VALUES) == render(dict(reversed(VALUES.items())))


@pytest.mark.parametrize(
    "variables",
    [{"A": "hunter2\0"}, {"A": "hunter2\ud800"}, {"A B": "hunter2"}, {"1A": "hunter2"}, {"": "hunter2"}, {"A\n": "x"}],
    ids=["a NUL", "half a character", "a space in the name", "a digit first", "no name", "a line break in the name"],
)
def test_what_nobody_could_read_back_is_refused_and_not_shown(variables: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"holds a NUL|no name of a variable") as refused:
        render(variables)
    assert "hunter2" not in str(refused.value)


SECRET = 'p@ss w"ord$/+é-4711'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SECRET, id="itself"),
        pytest.param(f"url=postgres://app:{SECRET}@db/", id="in the middle"),
        pytest.param(quote(SECRET), id="in a path"),
        pytest.param(quote(SECRET, safe=""), id="percent-encoded"),
        pytest.param(quote(SECRET, safe="").lower(), id="percent-encoded in lower case"),
        pytest.param(quote(SECRET, safe="").replace("%20", "+"), id="in a form"),
        pytest.param(json.dumps({"key": SECRET}), id="in JSON"),
        pytest.param(json.dumps({"key": SECRET}, ensure_ascii=False), id="in JSON that is not ASCII"),
        pytest.param(render({"PASSWORD": SECRET}).decode(), id="in our own file"),
    ],
)
def test_a_secret_is_masked_in_every_form(text: str) -> None:
    shown = masked(f"before {text} after", [SECRET])
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert MASK in shown
    assert not any(part in shown for part in ("4711", "p@ss", "ord"))


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:", "user1:"])
@pytest.mark.parametrize("behind", ["", "x", "xy", "\n"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_in_base64_wherever_it_stands_in_it(before: str, behind: str, encode: object) -> None:
    assert callable(encode)
    text = encode(f"{before}{SECRET}{behind}".encode()).decode()
    shown = masked(f"Authorization: Basic {text}", [SECRET])
    assert MASK in shown
    rest = shown.removeprefix("Authorization: Basic ").replace(MASK, "")
    assert len(rest) <= len(encode(f"{before}{behind}".encode())) + 4  # no more than what stands around it, and edges


def test_a_secret_is_masked_in_the_base64_of_addresses() -> None:
    secret = "ÿ~?>ÿ~?>ÿ~?>"
    text = base64.urlsafe_b64encode(secret.encode()).decode()
    assert "-" in text or "_" in text
    assert masked(f"token {text}", [secret]) == f"token {MASK}"


def test_each_long_line_of_a_secret_is_masked_for_itself() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    assert masked("line 2: hkiG9w0BAQEFAASC.", [key]) == f"line 2: {MASK}."


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    assert masked("x abcdefgh y", ["abcde", "cdefgh"]) == f"x {MASK} y"
    assert masked("aaaa", ["aaa"]) == MASK
    assert masked("abcdefghij!", ["abcdefghij", "cdefg"]) == f"{MASK}!"


def test_a_secret_that_looks_like_the_mask_is_masked_once() -> None:
    assert masked("a * b", ["*"]) == f"a {MASK} b"


def test_a_secret_with_spaces_around_it_is_masked_without_them_too() -> None:
    assert masked("got hunter2", [" hunter2\n"]) == f"got {MASK}"


def test_no_secret_masks_nothing() -> None:
    assert masked("nothing to hide", []) == "nothing to hide"
    assert masked("nothing to hide", [""]) == "nothing to hide"
    assert forms([""]) == frozenset()


def test_a_fingerprint_tells_secrets_apart_and_needs_the_salt() -> None:
    one, other = "00" * 16, "01" * 16
    assert secrets_fingerprint(one, {"A": "1", "B": "2"}) == secrets_fingerprint(one, {"B": "2", "A": "1"})
    assert secrets_fingerprint(one, {"A": "1"}) != secrets_fingerprint(one, {"A": "2"})
    assert secrets_fingerprint(one, {"A": "1"}) != secrets_fingerprint(other, {"A": "1"})
    assert secrets_fingerprint(one, {"AB": "C"}) != secrets_fingerprint(one, {"A": "BC"})
    assert secrets_fingerprint(one, {}) == ""
