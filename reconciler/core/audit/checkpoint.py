"""A signed word on how far the chain had come: what makes a whole chain that was computed anew, or cut, show.

What is signed is `statement`, under `NAMESPACE`. Both name this use and a version, so that nothing else that the
same key may ever sign can pass for a checkpoint. Signing and checking signatures are an adapter's part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.core.strictjson import Malformed, Shape, canonical, hex64, load, record, text, time, time_text, whole

NAMESPACE = "reconciler-audit@v1"
"""What a signature must have been made for (OpenSSH, PROTOCOL.sshsig)."""
CHECKPOINT = "checkpoint"
MAX_LINE = 64 * 1024
"""Bytes of one line: a signature of an RSA key of 16384 bits needs 6 KiB."""

_DOMAIN = "reconciler audit checkpoint"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """At `at`, the chain had `entries` entries and the last one's hash was `head`."""

    entries: int
    head: str
    at: datetime
    signature: str
    """Armored, in the format of `ssh-keygen -Y sign`, over what `statement` gives."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a check found of a checkpoint's signature. `key` is a fingerprint; empty when none can be read."""

    key: str
    fault: str = ""
    """Why it does not count, in words that follow "the checkpoint"; empty when it is good."""


Signatures = Callable[[Checkpoint], Signature]
"""Checks the signature of one checkpoint against keys that somebody trusts."""


def statement(entries: int, head: str, at: datetime) -> bytes:
    """The bytes that are signed."""
    said = {"at": time_text(at), "domain": _DOMAIN, "entries": entries, "head": head, "v": _VERSION}
    return canonical(said).encode() + b"\n"


def line(checkpoint: Checkpoint) -> bytes:
    """The one form that a checkpoint has in an export and in an anchor, newline included."""
    said = {
        "at": time_text(checkpoint.at),
        "entries": checkpoint.entries,
        "head": checkpoint.head,
        "kind": CHECKPOINT,
        "signature": checkpoint.signature,
        "v": _VERSION,
    }
    return canonical(said).encode() + b"\n"


def parse(data: bytes) -> Checkpoint:
    """Read one line. The signature is not checked here.

    Raises:
        Malformed: It is not, to the byte, what `line` makes of a checkpoint.
    """
    return of_object(load(data) if len(data) <= MAX_LINE else None, data)


def of_object(document: object, data: bytes) -> Checkpoint:
    """The checkpoint that was found on the line `data`; raises as `parse` does."""
    values: dict[str, Any] = record(document, _SHAPES)
    if values.pop("v") != _VERSION or values.pop("kind") != CHECKPOINT:
        raise Malformed(f"not a checkpoint in version {_VERSION} of the format")
    found = Checkpoint(**values)
    if len(data) > MAX_LINE or line(found) != data:
        raise Malformed("not in canonical form: keys out of order, spaces, or another spelling of a value")
    return found


_SHAPES: dict[str, Shape] = {
    "at": time,
    "entries": whole,
    "head": hex64,
    "kind": text,
    "signature": text,
    "v": whole,
}
