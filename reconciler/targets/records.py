"""What we write on a target besides releases: JSON that tells when a bit of it was flipped.

A record is one JSON object whose first line carries a SHA-256 over the head, which in turn carries one
over the rows behind it. So the head can be read and trusted without the rows of 10,000 files, and a
damaged record is as good as a missing one, never a wrong one. That it is ours is told by where it lies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.core.approve import Approval
from reconciler.model import Accepted, CommitId, Digest, EnvironmentName, RunId
from reconciler.targets.layout import ReleaseId
from reconciler.targets.manifest import Item

VERSION = 1
HEAD_BYTES = 64 * 1024
"""Most bytes of a record's head: names, ids and dates."""

_CHECK_BYTES = 64
_START, _MIDDLE, _ROWS = b'{"check":"', b'","head":', b',\n"rows":'
_NO_ROWS = b"[]"
_COMPACT = json.JSONEncoder(separators=(",", ":"))


class Damaged(Exception):
    """A record that can't be read as it was written."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of one installed release without its rows."""

    release: ReleaseId
    sha256: Digest
    unpack: str
    """`outer` or `inner`: how its files were got out of the artifact."""
    sequence: int
    """Counts installations on this target; a larger one is newer."""
    rows_sha256: str


def encode_manifest(release: ReleaseId, sha256: Digest, unpack: str, sequence: int, items: Sequence[Item]) -> bytes:
    """A manifest as it is stored: one row per file or folder, in the order of `Item`'s fields."""
    rows = ("[\n" + ",\n".join(map(_row, items)) + "\n]").encode()
    head = {
        "version": VERSION,
        "release": str(release),
        "run_id": release.run_id,
        "sha256": sha256,
        "unpack": unpack,
        "sequence": sequence,
        "columns": Item._fields,
        "rows_sha256": hashlib.sha256(rows).hexdigest(),
    }
    return _seal(head, rows)


def decode_head(data: bytes, name: ReleaseId) -> Head:
    """The head of the manifest that is stored under a release's name.

    Raises:
        Damaged: It is not whole, or another release's.
    """
    head, _ = _unseal(data)
    with shape():
        release = ReleaseId.parse(head["release"])
        sha256 = Digest(head["sha256"])
        if release != name or head["version"] != VERSION or sha256[:12] != name.prefix or len(sha256) != 64:
            raise Damaged("it describes another release")
        return Head(name, sha256, str(head["unpack"]), int(head["sequence"]), str(head["rows_sha256"]))


def decode_items(data: bytes, head: Head) -> list[Item]:
    """The rows of a manifest whose head is known.

    Raises:
        Damaged: They are not the rows that the head speaks of.
    """
    return [Item(*row) for row in decode_rows(data, head)]


def decode_rows(data: bytes, head: Head) -> list[list[Any]]:
    """The same as they are stored: lists in the order of `Item`'s fields.

    Raises:
        Damaged: They are not the rows that the head speaks of.
    """
    _, rows = _unseal(data)
    if hashlib.sha256(rows).hexdigest() != head.rows_sha256:
        raise Damaged("its rows are not those that were written")
    with shape():
        found: list[list[Any]] = json.loads(rows)
        if not set(map(len, found)) <= {len(Item._fields)}:
            raise ValueError("a row has another length")
    return found


def encode_accepted(approval: Approval, token: int) -> bytes:
    """An approved declaration as it is stored, with the token of who stored it."""
    head = {"version": VERSION, **accepted_fields(accepted_of(approval, approval.judged_at)), "token": token}
    return seal(head)


def accepted_fields(accepted: Accepted) -> dict[str, object]:
    """An accepted declaration in a record's head."""
    return {
        "environment": accepted.environment,
        "commit": accepted.commit,
        "declaration": accepted.declaration,
        "run_id": accepted.run_id,
        "sha256": accepted.sha256,
        "request": accepted.request,
        "approvers": accepted.approvers,
        "accepted_at": accepted.accepted_at.isoformat(),
    }


def decode_accepted(data: bytes) -> Accepted:
    """The last accepted declaration.

    Raises:
        Damaged: It is not whole.
    """
    with shape():
        return accepted_from(unseal(data))


def accepted_from(head: Mapping[str, Any]) -> Accepted:
    """What `accepted_fields` made; inside of `shape` only."""
    return Accepted(
        environment=EnvironmentName(str(head["environment"])),
        commit=CommitId(str(head["commit"])),
        declaration=Digest(str(head["declaration"])),
        run_id=RunId(int(head["run_id"])),
        sha256=Digest(str(head["sha256"])),
        request=str(head["request"]),
        approvers=tuple(map(str, head["approvers"])),
        accepted_at=when(head["accepted_at"]),
    )


def when(text: str) -> datetime:
    """A time in a record; inside of `shape` only."""
    return datetime.fromisoformat(text).astimezone(UTC)


def same(accepted: Accepted | None, approval: Approval) -> bool:
    """Whether an approval says nothing new. When it was judged does not count: every pass judges anew."""
    return accepted is not None and accepted == accepted_of(approval, accepted.accepted_at)


def accepted_of(approval: Approval, at: datetime) -> Accepted:
    """An approval as it is recorded, judged at that time."""
    return Accepted(
        environment=approval.environment,
        commit=approval.commit,
        declaration=approval.declaration,
        run_id=approval.run_id,
        sha256=approval.sha256,
        request=approval.request,
        approvers=approval.approvers,
        accepted_at=at,
    )


def seal(head: Mapping[str, object]) -> bytes:
    """A record without rows."""
    return _seal(head, _NO_ROWS)


def unseal(data: bytes) -> dict[str, Any]:
    """The head of a record without rows.

    Raises:
        Damaged: It is not whole.
    """
    head, rows = _unseal(data)
    if rows != _NO_ROWS:
        raise Damaged("something was added to it")
    return head


def _dump(value: object) -> bytes:
    return _COMPACT.encode(value).encode()


def _row(item: Item) -> str:
    """What the encoder makes of an item, in a fifth of its time: only a path can hold what must be escaped."""
    path, folder, mode, size, sha256, mtime, ctime, inode = item
    kind = "true" if folder else "false"
    return f'[{_COMPACT.encode(path)},{kind},"{mode}",{size},"{sha256}",{mtime},{ctime},{inode}]'


def _seal(head: Mapping[str, object], rows: bytes) -> bytes:
    body = _dump(head)
    check = hashlib.sha256(body).hexdigest().encode()
    return _START + check + _MIDDLE + body + _ROWS + rows + b"}\n"


def _unseal(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Head and rows; the rows are cut off where only the beginning of a record was read."""
    body_at = len(_START) + _CHECK_BYTES + len(_MIDDLE)
    line, found, rows = data.partition(_ROWS)
    check, body = line[len(_START) : len(_START) + _CHECK_BYTES], line[body_at:]
    frame = _START + check + _MIDDLE
    if not found or not line.startswith(frame) or hashlib.sha256(body).hexdigest().encode() != check:
        raise Damaged("its head is not what was written")
    with shape():
        head = json.loads(body)
    if not isinstance(head, dict):
        raise Damaged("its head is not an object")
    return head, rows.removesuffix(b"}\n")


class shape:  # noqa: N801  # used as a word in a with statement
    """Whatever does not have the shape of a record is damaged."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError, RecursionError)):
            raise Damaged("it does not have the shape of a record") from error
