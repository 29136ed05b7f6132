"""One audit entry: its fields, its place in the chain, and the one line that stands for it.

A line is JSON with sorted keys and no spaces, ended by one newline. It is ASCII: every other character is an
escape, so that a line has one form only, no character passes for a line break, and a terminal shows what is
there. `hash` is the SHA-256 of the line without its `hash` and without the newline. `prev` and the format's
version `v` are among the bytes that are hashed, so that an entry of another format, or of another place in
the chain, can't stand in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from reconciler.core.strictjson import (
    Malformed,
    Shape,
    canonical,
    clean,
    hex64,
    load,
    many,
    optional,
    record,
    text,
    time,
    time_text,
    whole,
)
from reconciler.model import (
    AcceptedPolicy,
    Attempt,
    CommitId,
    Digest,
    EnvironmentName,
    GateResult,
    OperatorHand,
    Rewrite,
    RunId,
)

VERSION = 1
MAX_LINE = 1024 * 1024
"""Bytes of one line with its newline. `seal` stays below it by cutting texts; `parse` refuses more."""
MAX_TEXT = 1_000
"""Characters of one message or piece of evidence."""
MAX_NAME = 200
"""Characters of one id."""
MAX_ITEMS = 100
"""Approvers of one entry, and pieces of evidence of one gate."""


POLICY = EnvironmentName("policy")
"""What an entry about the policy names in place of an environment, whose name this can't be."""


class Kind(StrEnum):
    """What an entry says."""

    INTENT = "intent"
    """An effect is about to happen."""
    OUTCOME = "outcome"
    """How it ended; exactly one for each intent."""
    REFUSED = "refused"
    """The gates let nothing begin."""
    OPERATOR = "operator"
    """An operator's hand: suspend, resume, retry, accept-rewrite."""
    POLICY = "policy"
    """A policy file came in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """What is kept of one gate's word. Plain texts, since a later version may know more gates and reasons."""

    gate: str
    verdict: str
    reason: str | None
    message: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What an entry tells, before it has its place in the chain."""

    at: datetime
    kind: Kind
    environment: EnvironmentName
    action: str
    attempt: int | None = None
    """Links an intent with its outcome; larger than that of every attempt before. None for what is no attempt."""
    commit: CommitId | None = None
    run_id: RunId | None = None
    sha256: Digest | None = None
    before: str | None = None
    """The id of the release that was live."""
    request: str = ""
    approvers: tuple[str, ...] = ()
    gates: tuple[GateRecord, ...] = ()
    token: int = 0
    outcome: str | None = None
    reason: str | None = None
    message: str = ""
    by: str = ""
    """Who the operator was."""
    plan: str = ""
    """SHA-256 of the plan that was carried out. When empty, it is not on the line: older lines keep their hash."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: its last entry's number and hash."""

    seq: int
    hash: str


START = Head(0, "0" * 64)
"""The head of a chain without entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Fact):
    """A fact in its place. `seq` counts from 1; `prev` is the hash of the entry before."""

    seq: int
    prev: str
    hash: str

    @property
    def head(self) -> Head:
        """Where the next entry goes."""
        return Head(self.seq, self.hash)


def attempted(kind: Kind, attempt: Attempt, at: datetime) -> Fact:
    """What one attempt has to say at its beginning, at its end, or when it was refused."""
    return Fact(
        at=at,
        kind=kind,
        environment=attempt.environment,
        action=attempt.action,
        attempt=attempt.id,
        commit=attempt.declared.commit,
        run_id=attempt.declared.run_id,
        sha256=attempt.declared.sha256,
        before=attempt.before.id if attempt.before else None,
        request=_clip(attempt.request, MAX_TEXT),
        approvers=_few(attempt.approvers, MAX_NAME),
        gates=tuple(_record(gate) for gate in attempt.gates),
        token=attempt.token,
        outcome=attempt.outcome,
        reason=attempt.reason,
        message=_clip(attempt.message, MAX_TEXT),
        plan=attempt.plan,
    )


def operated(environment: EnvironmentName, hand: OperatorHand, what: str, at: datetime) -> Fact:
    """What an operator did: `what` is `suspend`, `resume` or `retry`."""
    return Fact(
        at=at,
        kind=Kind.OPERATOR,
        environment=environment,
        action=what,
        message=_clip(hand.reason, MAX_TEXT),
        by=_clip(hand.by, MAX_NAME),
    )


def policy_accepted(policy: AcceptedPolicy, at: datetime) -> Fact:
    """A policy file came in force; `sha256` is the one of its bytes."""
    return Fact(
        at=at,
        kind=Kind.POLICY,
        environment=POLICY,
        action="accept",
        commit=policy.commit,
        sha256=policy.digest,
        request=_clip(policy.request, MAX_TEXT),
        approvers=_few(policy.approvers, MAX_NAME),
    )


def rewrite_accepted(rewrite: Rewrite) -> Fact:
    """An operator's word that a rewritten branch is followed; it concerns every environment, and names none."""
    return Fact(
        at=rewrite.at,
        kind=Kind.OPERATOR,
        environment=EnvironmentName(""),
        action="accept-rewrite",
        commit=rewrite.tip,
        message=_clip(f"instead of {rewrite.instead_of or 'a tip that the store lost'}: {rewrite.reason}", MAX_TEXT),
        by=_clip(rewrite.by, MAX_NAME),
    )


def seal(fact: Fact, after: Head) -> Entry:
    """Give a fact its place behind `after`. Evidence is left out, and says so, when the line would be too long."""
    entry = _sealed(fact, fact.gates, after)
    if len(line(entry)) <= MAX_LINE:
        return entry
    bare = tuple(replace(gate, evidence=("... left out: too long",)) for gate in fact.gates)
    return _sealed(fact, bare, after)


def line(entry: Entry) -> bytes:
    """The entry's one form, newline included."""
    return canonical(_document(entry)).encode() + b"\n"


def parse(data: bytes) -> Entry:
    """Read one line. Its hash is not recomputed here: see `digest`.

    Raises:
        Malformed: It is not, to the byte, what `line` makes of an entry.
    """
    return of_object(read_object(data), data)


def of_object(document: dict[str, object], data: bytes) -> Entry:
    """The entry that `read_object` found on the line `data`; raises as `parse` does."""
    if document.get("v") != VERSION:
        raise Malformed(f"not version {VERSION} of the format")
    values: dict[str, Any] = record(document, _PLANNED if "plan" in document else _ENTRY)
    del values["v"]
    entry = Entry(**values)
    if line(entry) != data:
        raise Malformed("not in canonical form: keys out of order, spaces, or another spelling of a value")
    return entry


def digest(entry: Entry) -> str:
    """The hash that the entry must carry."""
    document = _document(entry)
    del document["hash"]
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def read_object(data: bytes) -> dict[str, object]:
    """One line as a JSON object.

    Raises:
        Malformed: It is none, or too long, or does not end in a newline.
    """
    if len(data) > MAX_LINE:
        raise Malformed(f"longer than {MAX_LINE} bytes")
    if not data.endswith(b"\n"):
        raise Malformed("no newline at its end")
    document = load(data)
    if not isinstance(document, dict):
        raise Malformed("not a JSON object")
    return document


def _sealed(fact: Fact, gates: tuple[GateRecord, ...], after: Head) -> Entry:
    values = {item.name: getattr(fact, item.name) for item in fields(Fact)} | {"gates": gates}
    draft = Entry(**values, seq=after.seq + 1, prev=after.hash, hash="")
    return replace(draft, hash=digest(draft))


def _document(entry: Entry) -> dict[str, object]:
    document = {name: getattr(entry, name) for name in _FIELDS if name != "plan" or entry.plan}
    gates = [{name: getattr(gate, name) for name in _GATE} for gate in entry.gates]
    return document | {"at": time_text(entry.at), "gates": gates, "v": VERSION}


def _record(result: GateResult) -> GateRecord:
    return GateRecord(
        gate=result.gate,
        verdict=result.verdict,
        reason=result.reason,
        message=_clip(result.message, MAX_TEXT),
        evidence=_few(result.evidence, MAX_TEXT),
    )


def _clip(value: str, limit: int) -> str:
    value = clean(value)
    return value if len(value) <= limit else value[: limit - 3] + "..."


def _few(items: tuple[str, ...], limit: int) -> tuple[str, ...]:
    kept = tuple(_clip(item, limit) for item in items[:MAX_ITEMS])
    left = len(items) - len(kept)
    return (*kept, f"... and {left} more") if left else kept


def _kind(value: object) -> Kind:
    if not isinstance(value, str) or value not in tuple(Kind):
        raise Malformed("an unknown kind of entry")
    return Kind(value)


def _gate(value: object) -> GateRecord:
    values: dict[str, Any] = record(value, _GATE)
    return GateRecord(**values)


_GATE: dict[str, Shape] = {
    "gate": text,
    "verdict": text,
    "reason": optional(text),
    "message": text,
    "evidence": many(text),
}
_ENTRY: dict[str, Shape] = {
    "v": whole,
    "seq": whole,
    "at": time,
    "kind": _kind,
    "environment": text,
    "action": text,
    "attempt": optional(whole),
    "commit": optional(text),
    "run_id": optional(whole),
    "sha256": optional(hex64),
    "before": optional(text),
    "request": text,
    "approvers": many(text),
    "gates": many(_gate),
    "token": whole,
    "outcome": optional(text),
    "reason": optional(text),
    "message": text,
    "by": text,
    "prev": hex64,
    "hash": hex64,
}
_PLANNED = _ENTRY | {"plan": hex64}
_FIELDS = tuple(item.name for item in fields(Entry))
