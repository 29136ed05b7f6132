"""Where in the audit chain an attempt has its outcome, found in a few reads however long the chain is.

Ids of attempts only grow along the chain, but for outcomes, which stand somewhere behind their intents.
"""

from __future__ import annotations

import math

from reconciler.core.audit import Entry, Kind
from reconciler.model import Attempt
from reconciler.ports import Store

_STRETCHES = (8, 64, 512)
"""Entries that are read at once, more where none of them says what is asked."""


def outcome_of(store: Store, attempt: Attempt) -> int | None:
    """The number of the entry with an attempt's outcome; None: it has none, or was not found.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    newest = store.audit_before(limit=1)
    if attempt.id is None or not newest:
        return None
    low, high = 1, newest[0].seq
    while low < high:
        middle = (low + high + 1) // 2
        if _begun_from(store, middle) <= attempt.id:
            low = middle
        else:
            high = middle - 1
    for entry in _stretch(store, low, _STRETCHES[-1]):
        if entry.attempt == attempt.id and entry.kind in (Kind.OUTCOME, Kind.REFUSED):
            return entry.seq
    return None


def _begun_from(store: Store, seq: int) -> float:
    """The id of the first attempt that begins at an entry or behind it; infinite when none does."""
    for count in _STRETCHES:
        for entry in _stretch(store, seq, count):
            if entry.kind in (Kind.INTENT, Kind.REFUSED) and entry.attempt is not None:
                return entry.attempt
    return math.inf


def _stretch(store: Store, seq: int, count: int) -> tuple[Entry, ...]:
    """Entries from one on, oldest first."""
    return tuple(one for one in reversed(store.audit_before(seq + count, count)) if one.seq >= seq)
