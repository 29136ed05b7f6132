"""Everything a pass touches, as ports; and how a failure becomes a gate's word."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.bounds import Bounds
from reconciler.core.policy import Policy
from reconciler.core.provenance import Provenance
from reconciler.core.rules import FloorSpec
from reconciler.errors import BAD_BYTES, Reason, ReconcilerError
from reconciler.model import CommitId, Gate, GateResult, Verdict
from reconciler.pipeline.outages import Outages
from reconciler.ports import (
    Activator,
    Clock,
    Custody,
    Forge,
    Probe,
    Repository,
    Secrets,
    Source,
    Store,
    Targets,
)


@dataclass(frozen=True, slots=True)
class World:
    """The parts, as `wiring` chose them."""

    repository: Repository
    forge: Forge | None
    sources: Mapping[str, tuple[Source, Provenance]]
    targets: Mapping[str, Targets]
    custody: Custody
    store: Store
    clock: Clock
    bounds: Bounds
    newcomer: Policy
    """Lets a new environment file in, when nothing stood there before."""
    baseline: CommitId | None
    """The operator's word that the declarations at this commit are accepted as they are."""
    floors: tuple[FloorSpec, ...] = ()
    """The operator's: what no file and no policy can go below."""
    secrets: Secrets | None = None
    """Where the values of secrets are; None: no environment may have any."""
    activators: Mapping[str, Activator] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    repairs: int = 6
    """Repairs of drift within an hour, for each environment."""
    gap: float = 150.0
    """Seconds for which a release may be out of sight without losing what it has soaked."""
    outages: Outages = field(default_factory=Outages)
    """Which sources seem to be out."""


class Fence:
    """The fencing token of this process; raised when a target has seen a larger one than the store knew."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store = store
        self._holder = holder
        self._token = store.acquire(holder)
        self._lock = threading.Lock()

    @property
    def token(self) -> int:
        """This process's token as it is now."""
        return self._token

    def above(self, seen: int) -> int:
        """A token that is not smaller than `seen`.

        Raises:
            ReconcilerError: `FencedOff`, when the lease is somebody else's by now.
        """
        with self._lock:
            if self._token < seen:
                self._token = self._store.raise_token(self._holder, seen)
            return self._token


class Held(Exception):
    """A gate holds; carries its word and the failure behind it, if one was."""

    def __init__(self, result: GateResult, error: ReconcilerError | None = None) -> None:
        super().__init__(result.message)
        self.result = result
        self.error = error


@contextmanager
def gate(name: Gate) -> Iterator[None]:
    """Turn a failure inside into that gate's word.

    Raises:
        Held: The gate's word.
        ReconcilerError: `StoreUnavailable` as it is: what can't be recorded is not judged either.
    """
    try:
        yield
    except ReconcilerError as error:
        if error.reason is Reason.STORE_UNAVAILABLE:
            raise
        actual = Gate.CUSTODY if error.reason in BAD_BYTES else name
        word = GateResult(actual, Verdict.HELD, error.reason, error.message, (), error.hint)
        raise Held(word, error) from error
