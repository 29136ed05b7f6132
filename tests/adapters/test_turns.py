"""What is new in a real store, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.chores import turns
from reconciler.chores.turns import PATIENCE, Line, Mark, newest, news
from reconciler.errors import Reason, ReconcilerError, Transient
from reconciler.machine.clock import SystemClock
from reconciler.model import Action, Attempt, CommitId, Declared, EnvironmentName, Health, Outcome, Status, Sync
from reconciler.stores.sql import SqlStore
from tests.factories import NOON

A, B, C, D, E = (EnvironmentName(name) for name in "abcde")
DECLARED = Declared(CommitId("c" * 40))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = SqlStore(f"sqlite:///{tmp_path / 'state.db'}", SystemClock(), lambda step: None)
    yield made
    made.close()


def refuse(store: SqlStore, environment: EnvironmentName) -> None:
    """Leaves an attempt, and a change of state the first time."""
    attempt = Attempt(environment, Action.DEPLOY, DECLARED, None, NOON, outcome=Outcome.REFUSED, reason=Reason.SOAKING)
    status = Status(environment, Sync.HELD, Health.UNKNOWN, Reason.SOAKING, "", "", DECLARED, None, NOON, ())
    store.refuse(attempt, status)


def told(store: SqlStore, seen: Mark | None) -> list[EnvironmentName] | None:
    found = news(store, seen, newest(store))
    return None if found is None else [one.environment for one in found]


def test_what_came_behind_a_mark_is_told_and_nothing_before_it(store: SqlStore) -> None:
    assert newest(store) == Mark(0, 0)
    refuse(store, A)
    seen = newest(store)
    assert seen == Mark(1, 1)
    assert told(store, seen) == []
    refuse(store, B)
    refuse(store, A)
    assert told(store, seen) == [A, B, B]


def test_nobody_can_tell_at_the_start_or_of_a_store_that_was_replaced(store: SqlStore) -> None:
    refuse(store, A)
    assert told(store, None) is None
    assert told(store, Mark(2, 1)) is None
    assert told(store, Mark(1, 2)) is None


def test_nobody_can_tell_when_there_is_more_than_is_searched(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SEARCHED", 3)
    refuse(store, B)
    refuse(store, A)
    seen = newest(store)
    for _ in range(3):
        refuse(store, A)
    assert told(store, seen) == [A, A, A]
    refuse(store, A)
    assert told(store, seen) is None


def test_who_is_in_line_stays_there_and_who_goes_first_comes_before_all() -> None:
    line = Line()
    line.join([A, B])
    line.join([C, A])
    assert list(line) == [A, B, C]
    line.go_first([C, D])
    assert list(line) == [C, D, A, B]


def test_who_is_not_settled_is_the_last_in_line_and_who_is_leaves_it() -> None:
    line = Line()
    line.join([A, B, C, D])
    line.take_turns((A, B, C), lambda name: name == B)
    assert list(line) == [D, A, C]


def test_a_few_that_fail_end_the_call_behind_the_others_that_had_their_turn() -> None:
    line, looked = Line(), list[EnvironmentName]()
    line.join([A, B, C, D, E])

    def look(name: EnvironmentName) -> bool:
        looked.append(name)
        if name != B:
            raise Transient(Reason.FORGE_UNAVAILABLE, f"no answer for {name}")
        return True

    with pytest.raises(ReconcilerError, match="no answer for a"):
        line.take_turns(tuple(line), look)
    assert looked == [A, B, C, D]
    assert len(looked) - 1 == PATIENCE
    assert list(line) == [E, A, C, D]


def test_a_store_that_is_away_ends_the_call_at_once() -> None:
    line, looked = Line(), list[EnvironmentName]()
    line.join([A, B])

    def look(name: EnvironmentName) -> bool:
        looked.append(name)
        raise Transient(Reason.STORE_UNAVAILABLE, "disk full")

    with pytest.raises(Transient, match="disk full"):
        line.take_turns(tuple(line), look)
    assert (looked, list(line)) == ([A], [B, A])
