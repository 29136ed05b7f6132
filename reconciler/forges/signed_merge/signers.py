"""The operator's allowed signers file (ssh-keygen(1), ALLOWED SIGNERS), read more strictly than ssh does.

Refused is what would let somebody in whom no line names: patterns in principals, certificate authorities.
What a line allows (namespaces, times) stays for ssh-keygen to apply; here it is only made sure that every
word of it is one that ssh-keygen knows.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

_LINE = re.compile(
    r'(?P<principals>[^\s"]+)[ \t]+'
    r'(?:(?P<options>(?:[^\s"]|"[^"]*")+)[ \t]+)?'
    r"(?P<type>(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)"
    r"|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com))[ \t]+"
    r"(?P<key>[A-Za-z0-9+/]+={0,2})(?:[ \t].*)?"
)
_OPTION = re.compile(r'([A-Za-z-]+)(?:=("[^"]*"|[^",]*))?(?:,|$)')
_KNOWN = frozenset({"namespaces", "valid-after", "valid-before"})


@dataclass(frozen=True, slots=True)
class SignerLine:
    """One line: who may sign with one key, and under which conditions."""

    principals: tuple[str, ...]
    """In lower case, in the line's order."""
    key: str
    """The public key, base64."""
    text: str
    """The line as ssh-keygen is to read it, without comment."""
    presented: str
    """A principal as it is written in the line, for ssh-keygen to match."""
    timed: bool
    """Whether the key is good for a time only."""


class Unusable(Exception):
    """A file of the operator's that can't be relied upon; says what and where."""


def parse(name: str, data: bytes) -> tuple[SignerLine, ...]:
    """Read an allowed signers file; `name` is for messages.

    Raises:
        Unusable: A line that is not of the format, or that would let in more than it names.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable(f"{name}: not UTF-8 text") from None
    found = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r")
        if line and not line.startswith("#"):
            found.append(_signer(f"{name}:{number}", line))
    return tuple(found)


def _signer(place: str, line: str) -> SignerLine:
    match = _LINE.fullmatch(line)
    if match is None:
        raise Unusable(f"{place}: not of the form: principals [options] key-type base64-key")
    principals = match["principals"].split(",")
    if not all(principals) or any(c in match["principals"] for c in "*?!"):
        raise Unusable(f"{place}: principals must be names, separated by commas; patterns would let in unnamed people")
    options = match["options"] or ""
    kinds = _options(place, options)
    _check_key(place, match["type"], match["key"])
    text = " ".join(part for part in (match["principals"], options, match["type"], match["key"]) if part)
    return SignerLine(
        principals=tuple(principal.lower() for principal in principals),
        key=match["key"],
        text=text + "\n",
        presented=principals[0],
        timed=bool(kinds & {"valid-after", "valid-before"}),
    )


def _options(place: str, options: str) -> set[str]:
    kinds: set[str] = set()
    at = 0
    while at < len(options):
        match = _OPTION.match(options, at)
        kind = match.group(1).lower() if match else ""
        if match is not None and kind == "cert-authority":
            raise Unusable(f"{place}: cert-authority would let in people that no line names; list their own keys")
        if match is None or kind not in _KNOWN or not match.group(2):
            raise Unusable(f"{place}: unknown option in {options!r}; known are {', '.join(sorted(_KNOWN))}")
        kinds.add(kind)
        at = match.end()
    return kinds


def _check_key(place: str, kind: str, key: str) -> None:
    """The key must be what its type says; it begins with the type's name once more (RFC 4253, 6.6)."""
    try:
        blob = base64.b64decode(key, validate=True)
    except binascii.Error:
        blob = b""
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
        raise Unusable(f"{place}: the key is cut short or not an {kind} key")
