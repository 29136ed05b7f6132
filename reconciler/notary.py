"""Checkpoints as time goes by: what was added to the audit chain is checked, signed, remembered and anchored.

For the daemon, every `audit.checkpoint_seconds` and when it stops; and for whoever asks for one by hand.
"""

from __future__ import annotations

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
        self._lock = threading.Lock()

    def checkpoint(self, *, anchor: bool = True) -> Checkpoint | None:
        """Sign the chain as it stands, when it grew since the last time. Returns the newest one; None: no entry yet.

        One that could not be pushed to the anchor is pushed at the next call, whether or not the chain grew. At a stop
        nothing is pushed (`anchor=False`): a repository out of reach must not keep the process.

        Raises:
            IntegrityError: `AuditMismatch`: the store's chain is broken, or not the one that was anchored.
            ReconcilerError: `StoreUnavailable`, `InvalidSettings` (the key), `RepositoryUnavailable` (the anchor).
        """
        with self._lock:
            newest = self._newest()
            if anchor and self._anchor and newest and newest.entries > self._anchored:
                self._anchor.push(newest, self._holds)
                self._anchored = newest.entries
            return newest

    def _newest(self) -> Checkpoint | None:
        last = max(self._store.checkpoints(), key=lambda checkpoint: checkpoint.entries, default=None)
        if last and not self._holds(last):
            raise _broken(f"entry {last.entries} is not the one that was signed, or it is gone")
        head = self._walk(Head(last.entries, last.head) if last else START)
        if head == START or (last and last.entries == head.seq):
            return last
        checkpoint = self._signer.sign(head.seq, head.hash, self._clock.now())
        self._store.save_checkpoint(checkpoint)
        return checkpoint

    def _walk(self, head: Head) -> Head:
        """The chain's end. What is broken is never signed."""
        for entry in self._store.audit(head.seq):
            if (entry.seq, entry.prev) != (head.seq + 1, head.hash) or digest(entry) != entry.hash:
                raise _broken(f"entry {head.seq} is not followed by one that belongs behind it")
            head = entry.head
        return head

    def _holds(self, checkpoint: Checkpoint) -> bool:
        entry = next(iter(self._store.audit(checkpoint.entries - 1)), None) if checkpoint.entries else None
        return entry is not None and entry.head == Head(checkpoint.entries, checkpoint.head)


def _broken(what: str) -> IntegrityError:
    hint = "keep the store as it is, and look at it: `reconciler audit export` and `audit verify` show where"
    return IntegrityError(Reason.AUDIT_MISMATCH, f"the audit log was altered in the store: {what}", hint)
