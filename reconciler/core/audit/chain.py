"""A whole export against itself: is any entry edited, missing, added, repeated or out of place?

The file is enough; no store, no key, no network. It is read once, line by line. What can't be told from it: whether
somebody who may rewrite the whole file computed every hash anew, which the signatures of its checkpoints tell, and
whether the end was cut together with what was signed there, which an anchor tells: a checkpoint kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from reconciler.core.audit.checkpoint import CHECKPOINT, Checkpoint, Signatures
from reconciler.core.audit.checkpoint import of_object as checkpoint_of
from reconciler.core.audit.entry import MAX_LINE, START, VERSION, Entry, Head, Kind, digest, of_object, read_object
from reconciler.core.strictjson import Malformed, Shape, canonical, hex64, record, text, whole

MAX_FINDINGS = 1_000
"""Problems, and likewise notes, that one verification lists: a file of garbage must not fill the memory."""

_WORTH_A_NOTE = 1.0
"""Seconds by which a clock goes back: less is what setting it right by the network does."""
_END = "end"
_TRAILER: dict[str, Shape] = {"entries": whole, "head": hex64, "kind": text, "v": whole}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something found on one line; lines count from 1."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A good signature: by the key with the fingerprint `key`, which said at `at` that there were `entries` entries."""

    entries: int
    at: datetime
    key: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What an export proves. `notes` are worth a look and no breach: a clock that jumped, an open intent."""

    entries: int
    head: str
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    checkpoints: int = 0
    """How many are in the export, good or not."""
    signed: Signed | None = None
    """The last good signature. None when none was good, or nobody gave a key to check them with."""
    anchored: Checkpoint | None = None
    """The longest reaching anchor whose entry is in the export. None when none is, or nobody gave one."""

    @property
    def intact(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems


def trailer(count: int, head: str) -> bytes:
    """The line that ends an export, so that a cut end shows.

    Args:
        count: How many entries stand before it.
        head: The last one's hash, or `START.hash` when there is none.
    """
    return canonical({"entries": count, "head": head, "kind": _END, "v": VERSION}).encode() + b"\n"


def lines(file: BinaryIO) -> Iterator[bytes]:
    """A file's lines, newlines kept. One longer than any entry comes in pieces, which `verify` refuses."""
    while piece := file.readline(MAX_LINE + 1):
        yield piece


def verify(
    export: Iterable[bytes], signatures: Signatures | None = None, anchors: Collection[Checkpoint] = ()
) -> Verification:
    """Judge an export's lines, each with its newline. Never raises for what they hold.

    Args:
        export: The lines.
        signatures: Checks checkpoints. When given, each must be good, and one must reach to the last entry.
        anchors: Checkpoints from elsewhere. Each must speak of an entry that is in the export.
    """
    judge = _Judge(signatures)
    for anchor in anchors:
        if anchor.entries:
            judge.anchors.setdefault(anchor.entries, []).append(anchor)
    if signatures and anchors:
        judge.check_signature(max(anchors, key=lambda anchor: anchor.entries), "the anchored checkpoint")
    for data in export:
        judge.take(data)
    return judge.close()


class Follower:
    """Verifies a chain as it grows, entry by entry from the first; for one thread at a time.

    What an export's end line and signatures tell is not looked at.
    """

    def __init__(self) -> None:
        self._judge = _Judge(None)

    @property
    def head(self) -> Head:
        """The last entry that was judged."""
        return self._judge.head

    @property
    def problems(self) -> tuple[str, ...]:
        """What was found wrong so far, at most `MAX_FINDINGS` of it."""
        return tuple(problem.what for problem in self._judge.problems)

    def take(self, entry: Entry) -> None:
        """Judge the next entry: its hash, its place behind the one before, its attempt."""
        self._judge.line += 1
        self._judge.take_entry(entry)


@dataclass(slots=True)
class _Judge:
    """What is known after some lines. `sound` is False behind a line that gave no entry to chain on."""

    signatures: Signatures | None
    anchors: dict[int, list[Checkpoint]] = field(default_factory=dict)
    """By the entry that they speak of, and which was not met yet."""
    line: int = 0
    entries: int = 0
    head: Head = START
    sound: bool = True
    ended: bool = False
    sealed: bool = False
    """Whether a checkpoint came behind the end line: then nothing may."""
    checkpoints: int = 0
    checkpoint: Checkpoint | None = None
    """The last one."""
    signed: Signed | None = None
    anchored: Checkpoint | None = None
    at: datetime | None = None
    attempt: int = 0
    """The largest attempt id so far."""
    open: dict[int, Entry] = field(default_factory=dict)
    carriage: bool = False
    """Whether it was told of line ends that the store does not write: once, not for each line."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Judge the next line."""
        self.line += 1
        if data.endswith(b"\r\n"):
            if not self.carriage:
                self._problem("lines end with a carriage return: the file was converted; take it as it was exported")
            self.carriage, data = True, data[:-2] + b"\n"
        try:
            self._take(read_object(data), data)
        except Malformed as malformed:
            self._problem(str(malformed))
            self.sound = False

    def _take(self, document: dict[str, object], data: bytes) -> None:
        kind = document.get("kind")
        if self.ended and (self.sealed or kind != CHECKPOINT):
            self._problem("a line behind the end of the export")
        if kind == CHECKPOINT:
            self._checkpoint(checkpoint_of(document, data))
        elif kind == _END:
            self._end(data, document)
        else:
            self.take_entry(of_object(document, data))

    def close(self) -> Verification:
        """Judge what is missing at the end, and say what was found."""
        if not self.ended:
            self._problem("the export has no end line: entries may have been cut off")
        for attempt, entry in self.open.items():
            note = f"attempt {attempt} of {entry.environment!a} (entry {entry.seq}) has no outcome yet"
            self._add(self.notes, note)
        self._close_signatures()
        self._close_anchors()
        problems, notes = tuple(self.problems), tuple(self.notes)
        found = (self.checkpoints, self.signed, self.anchored)
        return Verification(self.entries, self.head.hash, problems, notes, *found)

    def check_signature(self, checkpoint: Checkpoint, what: str) -> Signed | None:
        """See whether a checkpoint's signature is good, where somebody gave a key to see it with."""
        found = self.signatures(checkpoint) if self.signatures else None
        if found and found.fault:
            self._problem(f"{what} over {_entries(checkpoint.entries)} {found.fault}")
        return Signed(checkpoint.entries, checkpoint.at, found.key) if found and not found.fault else None

    def _checkpoint(self, found: Checkpoint) -> None:
        self.checkpoints, self.sealed = self.checkpoints + 1, self.ended
        if found == self.checkpoint:
            self._problem("a checkpoint that stands twice")
        elif (found.entries, found.head) != (self.head.seq, self.head.hash):
            self._problem(
                f"the checkpoint speaks of {found.entries} entries up to {found.head[:12]}, "
                f"here are {self.head.seq} up to {self.head.hash[:12]}"
            )
        else:
            self.signed = self.check_signature(found, "the checkpoint") or self.signed
        self.checkpoint = found

    def _close_signatures(self) -> None:
        if self.signatures is None or (self.signed and self.signed.entries == self.entries):
            return
        upto = f"signed up to entry {self.signed.entries} of {self.entries}" if self.signed else "no good signature"
        self._problem(f"the end is not signed: {upto}")

    def _anchor(self, entry: Entry) -> None:
        for anchor in self.anchors.pop(entry.seq, ()):
            if anchor.head == entry.hash:
                self.anchored = anchor
            else:
                self._problem(f"entry {entry.seq} is not the one that was anchored, which had the hash {anchor.head}")

    def _close_anchors(self) -> None:
        last = max(self.anchors, default=0)
        if last > self.head.seq:
            self._problem(f"the end was cut: the anchor knows of {_entries(last)}, here are {self.entries}")
        for seq in sorted(self.anchors):
            if seq <= self.head.seq:
                self._problem(f"entry {seq}, which was anchored, is missing")

    def take_entry(self, entry: Entry) -> None:
        """Judge an entry that stands where the next one must."""
        self.entries += 1
        if digest(entry) != entry.hash:
            self._problem(f"entry {entry.seq} was edited: its content does not have its hash")
        if self.sound and entry.seq != self.head.seq + 1:
            self._problem(f"entry {entry.seq} stands where {self.head.seq + 1} must: removed, added, or moved")
        if self.sound and entry.prev != self.head.hash:
            self._problem(f"entry {entry.seq} does not follow the entry before: `prev` is not that one's hash")
        if self.at and entry.at < self.at:
            back = (self.at - entry.at).total_seconds()
            if back >= _WORTH_A_NOTE:
                self._add(
                    self.notes, f"entry {entry.seq} was written {back:g} s before the one before it, by its clock"
                )
        self._attempt(entry)
        self._anchor(entry)
        self.head, self.sound, self.at = entry.head, True, entry.at

    def _attempt(self, entry: Entry) -> None:
        if entry.kind in (Kind.OPERATOR, Kind.POLICY):
            return
        if entry.attempt is None:
            self._problem(f"entry {entry.seq} belongs to no attempt")
        elif entry.kind is Kind.OUTCOME:
            self._outcome(entry, entry.attempt)
        elif entry.attempt <= self.attempt:
            self._problem(f"attempt {entry.attempt} (entry {entry.seq}) begins again, or after a later one")
        else:
            self.attempt = entry.attempt
            if entry.kind is Kind.INTENT:
                self.open[entry.attempt] = entry

    def _outcome(self, entry: Entry, attempt: int) -> None:
        intent = self.open.pop(attempt, None)
        if intent is None:
            what = "a second outcome" if attempt <= self.attempt else "an outcome without an intent"
            self._problem(f"attempt {attempt} (entry {entry.seq}) has {what}")
        elif intent.environment != entry.environment:
            self._problem(f"attempt {attempt} began in {intent.environment!a} and ends in {entry.environment!a}")

    def _end(self, data: bytes, document: dict[str, object]) -> None:
        values = record(document, _TRAILER)
        self.ended = True
        if data != trailer(self.entries, self.head.hash):
            self._problem(
                f"the end line speaks of {values['entries']} entries up to {str(values['head'])[:12]}, "
                f"here are {self.entries} up to {self.head.hash[:12]}"
            )

    def _problem(self, what: str) -> None:
        self._add(self.problems, what)

    def _add(self, findings: list[Problem], what: str) -> None:
        if len(findings) < MAX_FINDINGS:
            findings.append(Problem(self.line, what))
        elif len(findings) == MAX_FINDINGS:
            findings.append(Problem(self.line, "and more, not listed"))


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
