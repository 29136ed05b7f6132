"""Config and secrets on their way to what is activated: as a file, as a fingerprint, and never as something shown."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from reconciler.core.strictjson import canonical

MASK = "***"
"""What is shown in a secret's place."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = re.compile(r'(["\\$`])')
"""What a backslash is needed before in double quotes: POSIX 2.2.3, and EnvironmentFile= in systemd.exec(5)."""
_SHORTEST_PART = 8
"""Characters of the shortest part of a secret that is masked for itself: shorter ones are words of their own."""
_BASE64_BYTES = 3
_URL_SAFE = str.maketrans("+/", "-_")


def render(variables: Mapping[str, str]) -> bytes:
    r"""A file of `NAME="value"` lines, by name.

    `. file` in a shell and systemd's EnvironmentFile= both give back exactly these values, also those of several
    lines: in double quotes each takes everything as it stands but for `"`, `\`, `$` and a backtick.

    Raises:
        ValueError: A name or a value that neither can give back. No value is in the message.
    """
    return "".join(f'{name}="{_quoted(name, value)}"\n' for name, value in sorted(variables.items())).encode()


def _quoted(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name of a variable: {name[:80]!r}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{name} holds a NUL, or half a character")
    return _SPECIAL.sub(r"\\\1", value)


def fingerprint(salt: str, data: bytes) -> str:
    """64 hex digits that tell one content from another, and nobody without the salt what it is.

    Args:
        salt: The target's own, 32 hex digits.
        data: What is to be told from another.
    """
    return hmac.new(bytes.fromhex(salt), data, hashlib.sha256).hexdigest()


def secrets_fingerprint(salt: str, values: Mapping[str, str]) -> str:
    """The fingerprint of some secrets, by name; empty for none."""
    return fingerprint(salt, canonical(dict(values)).encode()) if values else ""


def masked(text: str, values: Iterable[str]) -> str:
    """The text with every secret in it replaced, in all its `forms`, also where two overlap."""
    spans = sorted(span for form in forms(values) for span in _places(text, form))
    parts: list[str] = []
    done = 0
    for begin, end in spans:
        if begin >= done:
            parts += [text[done:begin], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def forms(values: Iterable[str]) -> frozenset[str]:
    """Every text that gives a secret away.

    Itself, each of its lines, and how programs write it: with JSON's or a shell's escapes, percent-encoded as in an
    address, and in base64, also as the part of a longer text, such as a `user:password`.
    """
    return frozenset(form for value in values if value for form in _forms(value))


def _forms(value: str) -> Iterator[str]:
    yield value
    if stripped := value.strip():
        yield stripped
    lines = [line.strip() for line in value.splitlines()]
    for part in (value, *(line for line in lines if len(line) >= _SHORTEST_PART)):
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield _SPECIAL.sub(r"\\\1", part)
        for percent in (quote(part, "/", errors="replace"), quote(part, "", errors="replace")):
            for text in (percent, percent.replace("%20", "+")):
                yield text
                yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)
        yield from _base64(part.encode(errors="replace"))


def _base64(value: bytes) -> Iterator[str]:
    """What of its base64 is the same whatever stands before and behind it; for each place that it can begin at."""
    for before in range(_BASE64_BYTES):
        text = base64.b64encode(bytes(before) + value).decode().rstrip("=")
        inner = text[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        for part in (inner, text) if before == 0 else (inner,):
            if len(part) >= _SHORTEST_PART:
                yield part
                yield part.translate(_URL_SAFE)


def _places(text: str, form: str) -> Iterator[tuple[int, int]]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)
