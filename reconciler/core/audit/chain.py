"""A whole export against itself: is any entry edited, missing, added, repeated or out of place?

The file is enough; no store, no key, no network. It is read once, line by line. What can't be told from it: whether
somebody who may rewrite the whole file computed every hash anew. For that, compare the head with one that was
kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from reconciler.core.audit.entry import MAX_LINE, START, VERSION, Entry, Head, Kind, digest, of_object, read_object
from reconciler.core.strictjson import Malformed, Shape, canonical, hex64, record, text, whole

MAX_FINDINGS = 1_000
"""Problems, and likewise notes, that one verification lists: a file of garbage must not fill the memory."""

_END = "end"
_TRAILER: dict[str, Shape] = {"entries": whole, "head": hex64, "kind": text, "v": whole}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something found on one line; lines count from 1."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What an export proves. `notes` are worth a look and no breach: a clock that jumped, an open intent."""

    entries: int
    head: str
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]

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


def verify(export: Iterable[bytes]) -> Verification:
    """Judge an export's lines, each with its newline. Never raises for what they hold."""
    judge = _Judge()
    for data in export:
        judge.take(data)
    judge.close()
    return Verification(judge.entries, judge.head.hash, tuple(judge.problems), tuple(judge.notes))


@dataclass(slots=True)
class _Judge:
    """What is known after some lines. `sound` is False behind a line that gave no entry to chain on."""

    line: int = 0
    entries: int = 0
    head: Head = START
    sound: bool = True
    ended: bool = False
    at: datetime | None = None
    attempt: int = 0
    """The largest attempt id so far."""
    open: dict[int, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Judge the next line."""
        self.line += 1
        if self.ended:
            self._problem("a line behind the end of the export")
        try:
            document = read_object(data)
            if document.get("kind") == _END:
                self._end(data, document)
            else:
                self._entry(of_object(document, data))
        except Malformed as malformed:
            self._problem(str(malformed))
            self.sound = False

    def close(self) -> None:
        """Judge what is missing at the end."""
        if not self.ended:
            self._problem("the export has no end line: entries may have been cut off")
        for attempt, entry in self.open.items():
            note = f"attempt {attempt} of {entry.environment!a} (entry {entry.seq}) has no outcome yet"
            self._add(self.notes, note)

    def _entry(self, entry: Entry) -> None:
        self.entries += 1
        if digest(entry) != entry.hash:
            self._problem(f"entry {entry.seq} was edited: its content does not have its hash")
        if self.sound and entry.seq != self.head.seq + 1:
            self._problem(f"entry {entry.seq} stands where {self.head.seq + 1} must: removed, added, or moved")
        if self.sound and entry.prev != self.head.hash:
            self._problem(f"entry {entry.seq} does not follow the entry before: `prev` is not that one's hash")
        if self.at and entry.at < self.at:
            back = (self.at - entry.at).total_seconds()
            self._add(self.notes, f"entry {entry.seq} was written {back:g} s before the one before it, by its clock")
        self._attempt(entry)
        self.head, self.sound, self.at = entry.head, True, entry.at

    def _attempt(self, entry: Entry) -> None:
        if entry.kind is Kind.OPERATOR:
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
