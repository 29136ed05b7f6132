"""The operator's OpenPGP keyring: which primary keys it holds, and the addresses in their user ids.

Only names are read here (RFC 9580, packets 6 and 13); every signature, self-signatures included, is left
to gpgv, which reads the same file. All user ids of a key count, also old ones: they serve to find out
that two keys are one person's. `gpgv` itself would name only one of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.forges.signed_merge.signers import Unusable

_PRIMARY_KEY = 6
_USER_ID = 13
_EMAIL = re.compile(r"<([^<>\s]+@[^<>\s]+)>\s*|([^<>\s]+@[^<>\s]+)")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One primary key."""

    fingerprint: str
    """Upper-case hex, as gpgv prints it."""
    emails: tuple[str, ...]
    """In lower case, in the order of the user ids."""


def parse(name: str, data: bytes) -> tuple[PublicKey, ...]:
    """Read a keyring as `gpg --export` writes it; `name` is for messages.

    Raises:
        Unusable: It is another format, or cut short.
    """
    found: list[PublicKey] = []
    for tag, body in _packets(name, data):
        if tag == _PRIMARY_KEY:
            found.append(PublicKey(_fingerprint(name, body), ()))
        elif tag == _USER_ID and found:
            match = _EMAIL.fullmatch(body.decode("utf-8", "replace").strip()) or _EMAIL.search(
                body.decode("utf-8", "replace")
            )
            if match:
                email = (match.group(1) or match.group(2)).lower()
                found[-1] = PublicKey(found[-1].fingerprint, (*found[-1].emails, email))
    return tuple(found)


def _fingerprint(name: str, body: bytes) -> str:
    """RFC 9580, 5.5.4: SHA-1 over the packet for a version 4 key."""
    if body[:1] != b"\x04":
        raise Unusable(f"{name}: holds a key of OpenPGP version {body[0] if body else 0}; version 4 is supported")
    hashed = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    return hashed.hexdigest().upper()


def _packets(name: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet (RFC 9580, 4.2), in the old and in the new form of lengths."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise Unusable(f"{name}: not a binary OpenPGP keyring; write one with: gpg --export > {name}")
        at += 1
        if head & 0x40:
            tag, (length, size) = head & 0x3F, _new_length(data[at : at + 5])
        else:
            size = (1, 2, 4, 0)[head & 3]
            tag, length = (head >> 2) & 0x0F, int.from_bytes(data[at : at + size], "big")
        at += size
        if size == 0 or at + length > len(data):
            raise Unusable(f"{name}: the keyring is cut short, or of a form that gpg --export does not write")
        yield tag, data[at : at + length]
        at += length


def _new_length(octets: bytes) -> tuple[int, int]:
    """Body length and how many octets told it; 0 octets for a partial length, which no key has."""
    if not octets or 224 <= octets[0] < 255:
        return 0, 0
    if octets[0] < 192:
        return octets[0], 1
    if octets[0] == 255:
        return int.from_bytes(octets[1:5], "big"), 5
    return ((octets[0] - 192) << 8) + int.from_bytes(octets[1:2], "big") + 192, 2
