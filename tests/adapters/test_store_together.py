"""Threads that write at the same moment wait for the disk once: what they may rely on when they share a transaction.

The first to come is held right before its commit until all others wait; so they always share the next one.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from reconciler.errors import Reason, Transient
from reconciler.model import Attempt, EnvironmentName
from reconciler.stores import sql, sqlite
from tests.adapters.test_store_sqlite_crash import child, result
from tests.contracts.test_store_contract import ATTEMPT, STATUS, Noon, chain, succeeded

OTHERS = 5
WITHIN = 30.0
"""Seconds after which a test that hangs ends."""


def named(number: int) -> Attempt:
    return replace(ATTEMPT, environment=EnvironmentName(f"env-{number}"))


@dataclass
class Crowd:
    """A store, a thread that is about to commit, and others behind it. Number 0 is the first; they come in order."""

    path: Path
    heard: Callable[[str], None] = lambda _: None
    """Gets the steps behind the first."""
    steps: list[str] = field(default_factory=list)
    came: dict[int, object] = field(default_factory=dict)
    """What each call came to: a value, or what it raised."""

    def __post_init__(self) -> None:
        self.store = sql.create(f"sqlite:///{self.path}", Noon(), self._trace)
        self.store.tip()  # the schema is there
        self.steps.clear()
        self._held, self._go = threading.Event(), threading.Event()

    def run(self, works: list[Callable[[], object]]) -> None:
        threads = [threading.Thread(target=self._work, args=item) for item in enumerate(works)]
        threads[0].start()
        assert self._held.wait(WITHIN)
        for before, thread in enumerate(threads[1:]):
            thread.start()
            self._until_they_wait(before + 1)
        self._go.set()
        for thread in threads:
            thread.join(WITHIN)
            assert not thread.is_alive()

    def _work(self, number: int, work: Callable[[], object]) -> None:
        try:
            self.came[number] = work()
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            self.came[number] = error

    def _trace(self, step: str) -> None:
        self.steps.append(step)
        if step != "store:schema" and len(self.steps) == 1:
            self._held.set()
            assert self._go.wait(WITHIN)
        elif len(self.steps) > 1:
            self.heard(step)

    def _until_they_wait(self, count: int) -> None:
        waiting = self.store._database._waiting  # nothing else shows who waits
        turn = threading.Event()
        while len(waiting) < count:
            turn.wait(0.001)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    made = Crowd(tmp_path / "state.db")
    yield made
    made.store.close()


def committed(path: Path) -> int:
    """How many attempts another process sees."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM attempts").fetchone()[0])


def begins(crowd: Crowd) -> list[Callable[[], object]]:
    return [lambda n=n: crowd.store.begin(named(n)) for n in range(OTHERS + 1)]  # type: ignore[misc]


def test_what_is_brought_while_one_commits_is_committed_at_once_and_in_the_order_it_came(crowd: Crowd) -> None:
    seen: list[tuple[int, int]] = []
    crowd.heard = lambda _: seen.append((committed(crowd.path), len(crowd.came)))
    crowd.run(begins(crowd))
    # Up to the last step nothing but the first attempt is there, and nobody behind the first was told that it is done.
    assert [count for count, _ in seen] == [1] * OTHERS
    assert max(told for _, told in seen) <= 1
    assert crowd.came == {n: replace(named(n), id=n + 1) for n in range(OTHERS + 1)}
    assert [entry.environment for entry in chain(crowd.store)] == [named(n).environment for n in range(OTHERS + 1)]


def test_who_fails_fails_alone(crowd: Crowd) -> None:
    works = begins(crowd)
    works[2] = lambda: crowd.store.finish(succeeded(replace(named(2), id=77)), STATUS, None)
    works[4] = lambda: crowd.store.raise_token("nobody", 2**70)
    crowd.run(works)
    assert isinstance(crowd.came[2], Transient)
    assert "knows nothing of its beginning" in str(crowd.came[2])
    assert isinstance(crowd.came[4], Transient)
    assert "damaged" in str(crowd.came[4])
    kept = [0, 1, 3, 5]
    assert [crowd.came[n] for n in kept] == [replace(named(n), id=at) for at, n in enumerate(kept, 1)]
    assert [entry.environment for entry in chain(crowd.store)] == [named(n).environment for n in kept]
    assert crowd.store.statuses() == {}


def test_when_the_turn_does_not_come_all_who_wait_hear_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.3)
    crowd = Crowd(tmp_path / "state.db")
    tried: list[Path] = []
    real = sqlite.check_room
    with closing(sqlite3.connect(crowd.path, isolation_level=None, check_same_thread=False)) as other:

        def room(path: Path) -> None:
            tried.append(path)
            if len(tried) == 2:  # between the first commit and the next
                other.execute("BEGIN IMMEDIATE")
            real(path)

        monkeypatch.setattr(sqlite, "check_room", room)
        crowd.run(begins(crowd))
        other.execute("ROLLBACK")
    told = [crowd.came[n] for n in range(1, OTHERS + 1)]
    assert all(isinstance(error, Transient) and error.reason is Reason.STORE_UNAVAILABLE for error in told)
    assert all("locked" in str(error) for error in told)
    assert committed(crowd.path) == 1
    assert len(tried) == 2  # one transaction for all who wait
    assert crowd.store.begin(named(9)).id == 2
    crowd.store.close()


def test_when_the_one_who_commits_is_cut_nobody_is_told_that_it_is_kept(crowd: Crowd) -> None:
    def cut(_: str) -> None:
        if len(crowd.steps) == 3:
            raise KeyboardInterrupt

    crowd.heard = cut
    crowd.run(begins(crowd))
    assert [type(crowd.came[n]).__name__ for n in range(1, OTHERS + 1)].count("KeyboardInterrupt") == 1
    assert sum(isinstance(error, Transient) for error in crowd.came.values()) == OTHERS - 1
    assert committed(crowd.path) == 1
    assert crowd.store.begin(named(9)).id == 2
    chain(crowd.store)


@pytest.mark.parametrize("last", range(2, OTHERS + 2))
def test_killed_before_they_are_committed_none_of_them_is_there(tmp_path: Path, last: int) -> None:
    path = tmp_path / "state.db"

    def work() -> None:
        crowd = Crowd(path)
        crowd.heard = lambda _: os.kill(os.getpid(), signal.SIGKILL) if len(crowd.steps) == last else None
        crowd.run(begins(crowd))

    assert result(child(work)) == -signal.SIGKILL
    assert committed(path) == 1
    again = sql.create(f"sqlite:///{path}", Noon(), lambda _: None)
    assert [entry.environment for entry in chain(again)] == ["env-0"]
    again.close()


def test_eight_threads_that_write_for_a_while_write_one_chain(tmp_path: Path) -> None:
    store = sql.create(f"sqlite:///{tmp_path}/state.db", Noon(), lambda _: None)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                begun = store.begin(named(number))
                status = replace(STATUS, environment=begun.environment, message=str(turn))
                store.finish(succeeded(begun), status, None)
                assert store.statuses()[begun.environment] == status
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(chain(store)) == 8 * 20 * 2
    assert store.unfinished() == ()
    store.close()
