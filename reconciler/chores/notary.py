"""Checkpoints as time goes by: what was added to the audit chain is checked, signed, remembered and anchored.

For the daemon, every `audit.checkpoint_seconds` and when it stops; and for whoever asks for one by hand. In between it
follows the chain a little at a time, so that neither a checkpoint nor a stop has tens of thousands of entries to check.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path

from reconciler.core.audit import START, Checkpoint, Head
from reconciler.core.audit.entry import digest
from reconciler.errors import IntegrityError, Reason
from reconciler.git.anchor import Anchor
from reconciler.ports import Clock, Parts, Store
from reconciler.signing import Signer, make_key

OWN_KEY = Path("audit") / "key"
"""The key that is made when the settings name none, below the state folder."""
REF = "refs/reconciler/audit"
"""Where an anchor is looked for when nobody says otherwise."""
FOLLOWED_SECONDS = 0.25
"""For how long the chain is followed at one poll while passes wait for a worker: some thousand entries."""
FOLLOWED_AT_REST_SECONDS = 2.0
"""The same while none does."""
FAREWELL_SECONDS = 1.0
"""For how long it is checked at a stop at most: what is left is signed by the next process."""


def appoint(
    store: Store, parts: Parts, *, key: Path | None = None, repository: str = "", ref: str | None = None
) -> Notary:
    """A notary for one store.

    Args:
        store: The memory.
        parts: Clock, bounds, trace and state folder.
        key: A private SSH key, which must exist. None: one of our own, made below the state folder if need be.
        repository: Where the anchor is: `repository.url`.
        ref: The anchor's reference; None: nothing is anchored.

    Raises:
        Terminal: `InvalidSettings`.
        Transient: `StoreUnavailable`: no key could be made.
    """
    seconds = parts.bounds.git_local_seconds
    if key is None:
        key = parts.state / OWN_KEY
        make_key(key, seconds, parts.trace)
    signer = Signer(key, seconds, parts.trace)
    anchor = Anchor(repository, ref, parts.state / OWN_KEY.parent, parts.bounds, parts.trace) if ref else None
    return Notary(store, parts.clock, signer, anchor)


class Notary:
    """Makes checkpoints of one store. Safe to use from several threads.

    Args:
        store: The memory.
        clock: Dates them.
        signer: Signs them.
        anchor: Where they are pushed to, if anywhere.
    """

    def __init__(self, store: Store, clock: Clock, signer: Signer, anchor: Anchor | None) -> None:
        self._store = store
        self._clock = clock
        self._signer = signer
        self._anchor = anchor
        self._anchored = 0
        self._followed = START
        """How far this process checked the chain; what was checked need not be checked again to be signed."""
        self._lock = threading.Lock()

    def follow(self, seconds: float) -> None:
        """Check what was added, as far as that goes in so many seconds; signs nothing.

        Raises:
            IntegrityError: `AuditMismatch`: the store's chain is broken.
            ReconcilerError: `StoreUnavailable`.
        """
        with self._lock:
            self._walk(self._start(self._last()), seconds)

    def farewell(self, within: float = FAREWELL_SECONDS) -> Checkpoint | None:
        """Sign the chain as far as it can be checked in so many seconds. Nothing is pushed at a stop: a repository out
        of reach must not keep the process.

        Raises:
            ReconcilerError: As `checkpoint` does, but for the anchor.
        """
        with self._lock:
            return self._newest(within)

    def checkpoint(self) -> Checkpoint | None:
        """Sign the chain as it stands, when it grew since the last time. Returns the newest one; None: no entry yet.

        One that could not be pushed to the anchor is pushed at the next call, whether or not the chain grew.

        Raises:
            IntegrityError: `AuditMismatch`: the store's chain is broken, or not the one that was anchored.
            ReconcilerError: `StoreUnavailable`, `InvalidSettings` (the key), `RepositoryUnavailable` (the anchor).
        """
        with self._lock:
            newest = self._newest(math.inf)
            if self._anchor and newest and newest.entries > self._anchored:
                self._anchor.push(newest, self._holds)
                self._anchored = newest.entries
            return newest

    def _newest(self, within: float) -> Checkpoint | None:
        last = self._last()
        head = self._walk(self._start(last), within)
        if head == START or (last and last.entries >= head.seq):
            return last
        checkpoint = self._signer.sign(head.seq, head.hash, self._clock.now())
        self._store.save_checkpoint(checkpoint)
        return checkpoint

    def _last(self) -> Checkpoint | None:
        last = self._store.last_checkpoint()
        if last and not self._stands(Head(last.entries, last.head)):
            raise _broken(f"entry {last.entries} is not the one that was signed, or it is gone")
        return last

    def _start(self, last: Checkpoint | None) -> Head:
        """Behind what was signed; or behind what was checked since, if that still stands there."""
        signed = Head(last.entries, last.head) if last else START
        return self._followed if self._followed.seq > signed.seq and self._stands(self._followed) else signed

    def _walk(self, head: Head, seconds: float) -> Head:
        """As far as the chain could be checked. What is broken is never signed."""
        end = self._clock.monotonic() + seconds
        for entry in self._store.audit(head.seq):
            if (entry.seq, entry.prev) != (head.seq + 1, head.hash) or digest(entry) != entry.hash:
                raise _broken(f"entry {head.seq} is not followed by one that belongs behind it")
            self._followed = head = entry.head
            if self._clock.monotonic() >= end:
                break
        return head

    def _stands(self, head: Head) -> bool:
        return [entry.head for entry in self._store.audit_before(head.seq + 1, 1)] == [head]

    def _holds(self, checkpoint: Checkpoint) -> bool:
        return self._stands(Head(checkpoint.entries, checkpoint.head))


def _broken(what: str) -> IntegrityError:
    hint = "keep the store as it is, and look at it: `reconciler audit export` and `audit verify` show where"
    return IntegrityError(Reason.AUDIT_MISMATCH, f"the audit log was altered in the store: {what}", hint)
