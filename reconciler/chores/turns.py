"""Whose turn it is, where environments are looked at one after the other: the newest news, and a line.

For what is told elsewhere beside the passes. Nothing here is remembered by the store: a process that starts knows of no
news, and looks at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from reconciler.errors import Reason, ReconcilerError
from reconciler.model import Attempt, EnvironmentName, Transition
from reconciler.ports import Store

PATIENCE = 3
"""Environments that may fail in one call before it ends: a forge out of reach must not cost a deadline for each."""
SEARCHED = 1_000
"""Attempts, or changes of state, that are searched for what is new; behind more, nobody can tell."""
_MEANWHILE = 20
"""Attempts that may begin between two questions before nobody can tell."""


class Mark(NamedTuple):
    """How far the store's memory was looked at."""

    attempt: int
    """The newest attempt's id; 0 before the first."""
    transition: int
    """The newest change of state's id; 0 before the first."""


def newest(store: Store) -> Mark:
    """How far it goes: two rows are asked for."""
    attempts, transitions = store.attempts(limit=1), store.transitions(limit=1)
    return Mark(_id(attempts[0]) if attempts else 0, transitions[-1].id if transitions else 0)


def news(store: Store, seen: Mark | None, until: Mark) -> tuple[Attempt | Transition, ...] | None:
    """What came behind a mark: attempts, newest first, then changes of state.

    Args:
        store: The memory.
        seen: Up to where it was looked at; None: not at all.
        until: What `newest` answered.

    Returns:
        None: nobody can tell, at the start, when there is too much, or when the store was replaced.
    """
    if seen is None or until.attempt < seen.attempt or until.transition < seen.transition:
        return None
    wanted = until.attempt - seen.attempt + _MEANWHILE if until.attempt > seen.attempt else 0
    attempts = store.attempts(limit=min(wanted, SEARCHED)) if wanted else ()
    transitions = store.transitions(after=seen.transition, limit=SEARCHED)
    if (attempts and _id(attempts[-1]) > seen.attempt + 1) or len(transitions) == SEARCHED:
        return None
    return (*(attempt for attempt in attempts if _id(attempt) > seen.attempt), *transitions)


class Line:
    """Environments that wait for a look, soonest first. For one thread."""

    def __init__(self) -> None:
        self._names: dict[EnvironmentName, None] = {}

    def __iter__(self) -> Iterator[EnvironmentName]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def join(self, names: Iterable[EnvironmentName]) -> None:
        """Behind the others; who is in line already stays where they are."""
        self._names |= dict.fromkeys(names)

    def go_first(self, names: Iterable[EnvironmentName]) -> None:
        """Before all others."""
        self._names = dict.fromkeys(names) | self._names

    def take_turns(self, names: Sequence[EnvironmentName], look: Callable[[EnvironmentName], bool]) -> None:
        """Look at some of those in line.

        Args:
            names: Who may have a turn now, in order.
            look: Looks at one; returns whether they need not stay in line.

        Raises:
            ReconcilerError: The first that a look raised, after the others had their turn; `StoreUnavailable`, at once.
                Who it was raised for is the last in line.
        """
        failures: list[ReconcilerError] = []
        for name in names:
            self._names[name] = self._names.pop(name)
            try:
                settled = look(name)
            except ReconcilerError as error:
                if error.reason is Reason.STORE_UNAVAILABLE:
                    raise
                failures.append(error)
                if len(failures) >= PATIENCE:
                    break
            else:
                if settled:
                    del self._names[name]
        if failures:
            raise failures[0]


def _id(attempt: Attempt) -> int:
    return attempt.id or 0
