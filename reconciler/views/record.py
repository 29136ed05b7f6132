"""The audit record: searched, a page at a time, and verified as it is shown.

Verified is the chain itself: each hash, each link, each intent with its outcome. Whether the signature of a checkpoint
is good takes a key that the reader trusts: `reconciler audit verify` asks for one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from reconciler.core.audit import Entry, Follower, Kind, digest
from reconciler.errors import ReconcilerError
from reconciler.views.facts import Facts

ENTRIES = 50
"""Entries on one page."""
SEARCHED = 20_000
"""Entries that one search goes through; the page says where to go on."""
AT_ONCE = 1_000
"""Entries that are verified for one page; the next one goes on."""
READ = 2_000
"""Entries that one search reads in full: a text that stands on most lines, and in few fields, ends it early."""
TEXT = 200
"""Characters of a search that are looked at."""
_PROBLEMS = 50
"""Problems that are shown."""


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """What somebody wants to see."""

    text: str = ""
    """In any field, whatever its case."""
    environment: str = ""
    """Its whole name."""
    kind: str = ""
    before: int | None = None
    """Entries before this number; None: from the newest on."""


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain was found whole."""

    entries: int
    """How many there are."""
    upto: int
    """How many of them were verified: each hash, each link, each intent with its outcome."""
    problems: tuple[str, ...]
    """What is wrong with it; empty: nothing was found."""
    signed: int
    """The last entry that a checkpoint covers, whose signature is not checked here; 0: none does."""
    signed_at: datetime | None

    @property
    def whole(self) -> bool:
        """Verified to its end, and nothing wrong."""
        return not self.problems and self.upto == self.entries


@dataclass(frozen=True, slots=True)
class Record:
    """One page of it."""

    query: RecordQuery
    entries: tuple[Entry, ...]
    """Newest first, to the byte as they are in the chain: a hash covers them as they are. Who shows their texts spells
    out what hides in them."""
    older: int | None
    """Where the next page begins; None: that was all."""
    searched: bool
    """Whether the search went through all that it had to; else `older` goes on."""
    verified: Verified
    as_of: datetime


class Records:
    """Remembers how far the chain was verified, so that each page verifies what is new. Safe from several threads."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._lock = threading.Lock()
        self._follower = Follower()
        self._replaced = ""

    def page(self, query: RecordQuery) -> Record:
        """One page.

        Raises:
            ReconcilerError: `StoreUnavailable`; also when a row of the chain can't be read at all.
        """
        verified = self.verify()
        before = verified.entries + 1 if query.before is None else min(max(query.before, 1), verified.entries + 1)
        found, reached = self._search(query, before)
        shown = found[:ENTRIES]
        older = shown[-1].seq if len(found) > ENTRIES else reached if reached > 1 else None
        return Record(
            query=query,
            entries=tuple(shown),
            older=older,
            searched=len(found) > ENTRIES or reached == 1,
            verified=replace(verified, problems=(*verified.problems, *_altered(shown))[:_PROBLEMS]),
            as_of=self._facts.clock.now(),
        )

    def verify(self, most: int = AT_ONCE) -> Verified:
        """Go on with the chain where it was left, for as many entries.

        Raises:
            ReconcilerError: `StoreUnavailable`.
        """
        store = self._facts.store
        with self._lock:
            newest = store.audit_before(limit=1)
            entries = newest[0].seq if newest else 0
            self._begin_anew_if_replaced()
            unread = self._follow(most)
            upto, problems = self._follower.head.seq, self._follower.problems
            replaced = (self._replaced,) if self._replaced else ()
        checkpoint = store.last_checkpoint()
        told = () if checkpoint is None else self._signed_otherwise(checkpoint.entries, checkpoint.head)
        return Verified(
            entries=max(entries, upto),
            upto=upto,
            problems=(*replaced, *told, *unread, *problems)[:_PROBLEMS],
            signed=checkpoint.entries if checkpoint and not told else 0,
            signed_at=checkpoint.at if checkpoint and not told else None,
        )

    def _follow(self, most: int) -> tuple[str, ...]:
        """Verify the next entries; why that ends before, where it does."""
        try:
            for entry in islice(self._facts.store.audit(self._follower.head.seq), most):
                self._follower.take(entry)
        except ReconcilerError:  # its message names a file of this machine
            last = self._follower.head.seq
            return (f"what stands behind entry {last} can't be read; reconciler audit export says why",)
        return ()

    def _begin_anew_if_replaced(self) -> None:
        head = self._follower.head
        if not head.seq:
            return
        known = self._facts.store.audit_before(head.seq + 1, 1)
        if not known or known[0].head != head:
            self._replaced = (
                f"this is not the chain that was read before: entry {head.seq} had the hash {head.hash[:12]}; "
                "compare it with an export or an anchor"
            )
            self._follower = Follower()

    def _signed_otherwise(self, seq: int, head: str) -> tuple[str, ...]:
        known = self._facts.store.audit_before(seq + 1, 1) if seq else ()
        if not seq or (known and (known[0].seq, known[0].hash) == (seq, head)):
            return ()
        return (f"the checkpoint over {seq} entries speaks of the hash {head[:12]}, which entry {seq} does not have",)

    def _search(self, query: RecordQuery, before: int) -> tuple[list[Entry], int]:
        """What was searched for, newest first, up to one more than a page; and the entry that the search came to."""
        text = query.text.strip()[:TEXT]
        texts = [_spellings(text)] if text else []
        texts += [(f'"environment":{json.dumps(query.environment[:TEXT])}',)] if query.environment else []
        texts += [(f'"kind":{json.dumps(query.kind[:TEXT])}',)] if query.kind else []
        end, read, matches = max(before - SEARCHED, 1), 0, list[Entry]()
        while before > end and read < READ and len(matches) <= ENTRIES:
            found = self._facts.store.audit_found(texts, before, before - end, ENTRIES + 1)
            matches += [one for one in found if _matches(one, query, text.casefold())]
            read += len(found)
            before = found[-1].seq if len(found) > ENTRIES else end
        return matches[: ENTRIES + 1], before


def _spellings(text: str) -> tuple[str, ...]:
    """As a line may have it: ASCII in any case is one to the store, other letters are escapes there."""
    cases = (text,) if text.isascii() else (text, text.lower(), text.upper(), text.title())
    return tuple(dict.fromkeys(json.dumps(one)[1:-1] for one in cases))


def _matches(entry: Entry, query: RecordQuery, text: str) -> bool:
    """Exactly: on a line, a text may also stand in the name of a field."""
    if query.environment and entry.environment != query.environment:
        return False
    if query.kind and entry.kind != query.kind:
        return False
    return not text or any(text in value.casefold() for value in _values(entry))


def _values(entry: Entry) -> Iterator[str]:
    numbers = (entry.seq, entry.attempt, entry.run_id, entry.token)
    yield from (str(number) for number in numbers if number is not None)
    texts = (entry.environment, entry.action, entry.commit, entry.sha256, entry.before, entry.request, entry.outcome)
    yield from (value for value in (*texts, entry.reason, entry.message, entry.by, entry.plan, entry.hash) if value)
    yield entry.kind
    yield from entry.approvers
    for gate in entry.gates:
        yield from (gate.gate, gate.verdict, gate.reason or "", gate.message, *gate.evidence)


def _altered(shown: Sequence[Entry]) -> Iterator[str]:
    """What the entries of the page themselves show: they may have been verified long ago."""
    by_number = {one.seq: one for one in shown}
    for one in shown:
        behind = by_number.get(one.seq + 1)
        if digest(one) != one.hash:
            yield f"entry {one.seq} was edited: its content does not have its hash"
        if behind and behind.prev != one.hash:
            yield f"entry {behind.seq} does not follow the entry before: `prev` is not that one's hash"


KINDS = tuple(kind.value for kind in Kind)
"""What can be asked for."""
