"""What every adapter is given, and what is asked of those that can be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Protocol, runtime_checkable

from reconciler.bounds import Bounds
from reconciler.ports.deciding import Repository

Trace = Callable[[str], None]
"""Called with a step's name right before its effect: for progress, timing, and tests that pull the plug."""


class Clock(Protocol):
    """The only way to the time."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start; never goes back."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """An adapter that can tell whether it would work, before anything depends on it."""

    def check(self) -> str:
        """What answers, in a line or more; nothing is changed anywhere.

        Raises:
            ReconcilerError: What is wrong or missing, all of it, and what to do.
        """
        ...


class Addresses(Protocol):
    """Where an adapter's server shows things to people; each is empty where it has no such page. Asks nobody."""

    def request(self, request: str) -> str:
        """Of a change's request, as the forge calls it."""
        ...

    def commit(self, commit: str) -> str:
        """Of a commit, by its full name."""
        ...

    def edit(self, path: str) -> str:
        """Where a file on the tracked branch is changed, and the change proposed."""
        ...

    def run(self, run_id: int) -> str:
        """Of a run."""
        ...


@runtime_checkable
class Addressed(Protocol):
    """An adapter whose server has pages for people."""

    @property
    def addresses(self) -> Addresses:
        """Where they are."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What `wiring` hands to every adapter, whichever it needs."""

    clock: Clock
    random: Random
    trace: Trace
    bounds: Bounds
    state: Path
    """The state directory: adapters write below `state/<their own name>` only."""
    repository: Repository | None = None
    branch: str = ""
    """The tracked branch; empty when it is not known."""
