"""The SQLite store against kill, a full disk, and several processes: real processes on one real file."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Reason, Transient
from reconciler.model import CommitId, EnvironmentName, OperatorHand, Outcome, Sync
from reconciler.ports import Trace
from reconciler.stores import sql
from tests.contracts.test_store_contract import (
    ACCEPTED,
    ATTEMPT,
    CHECKPOINT,
    LATER,
    PLAN,
    POLICY,
    PROD,
    REWRITE,
    ROLLOUT,
    RUN,
    SOAK,
    STAGING,
    STATUS,
    Noon,
    chain,
    succeeded,
)
from tests.factories import NOON

STEPS = (
    "store:schema",
    "store:lease",
    "store:token",
    "store:tip",
    "store:status",
    "store:intent",
    "store:outcome",
    "store:refuse",
    "store:hand",
    "store:intent",
    "store:outcome",
    "store:soaks",
    "store:soaks",
    "store:policy",
    "store:rewrite",
    "store:checkpoint",
    "store:run",
    "store:told_plan",
    "store:told_plan",
    "store:told_rollout",
    "store:told_rollout",
)


def opened(path: Path, trace: Trace = lambda _: None) -> sql.SqlStore:
    return sql.create(f"sqlite:///{path}", Noon(), trace)


def workload(store: sql.SqlStore) -> None:
    """Everything that writes, in the order of `STEPS`."""
    store.acquire("a")
    store.raise_token("a", 5)
    store.save_tip(CommitId("e" * 40))
    store.save(STATUS, NOON)
    store.finish(succeeded(store.begin(ATTEMPT)), replace(STATUS, sync=Sync.PROGRESSING), ACCEPTED)
    store.refuse(ATTEMPT, replace(STATUS, sync=Sync.HELD))
    store.save_hand(STAGING, OperatorHand(True), "suspend", LATER)
    store.finish(replace(store.begin(ATTEMPT), outcome=Outcome.FAILED), STATUS, None)
    store.save_soaks({STAGING: SOAK, PROD: replace(SOAK, environment=PROD)})
    store.save_soaks({STAGING: None, PROD: replace(SOAK, environment=PROD, earned=1.5)})
    store.save_policy(POLICY)
    store.accept_rewrite(REWRITE)
    store.save_checkpoint(CHECKPOINT)
    store.save_run("ci", RUN)
    store.save_told_plan(12, PLAN)
    store.save_told_plan(12, None)
    store.save_told_rollout(ROLLOUT, "queued: a freeze")
    store.save_told_rollout(ROLLOUT, "success: live")


def child(work: Callable[[], None]) -> int:
    """Run in a process of its own; gives its id. It ends with 0, 1 after an exception, or by a signal."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:  # whatever happened: pytest itself must not go on in here
        if code:
            traceback.print_exc()
        os._exit(code)


def result(pid: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_workload_meets_every_step(tmp_path: Path) -> None:
    steps: list[str] = []
    store = opened(tmp_path / "state.db", steps.append)
    workload(store)
    store.close()
    assert tuple(steps) == STEPS


class Enough(Exception):
    """Ends the run that a killed one is compared with."""


@pytest.mark.parametrize("last", range(len(STEPS)), ids=[f"{n + 1} {step}" for n, step in enumerate(STEPS)])
def test_killed_right_before_a_commit_it_is_as_if_that_step_never_began(tmp_path: Path, last: int) -> None:
    def after(act: Callable[[], None]) -> Trace:
        left = iter(range(last + 1))
        return lambda _: act() if next(left) == last else None

    def stop() -> None:
        raise Enough

    killed, stopped = tmp_path / "killed.db", tmp_path / "stopped.db"
    end = child(lambda: workload(opened(killed, after(lambda: os.kill(os.getpid(), signal.SIGKILL)))))
    assert result(end) == -signal.SIGKILL
    other = opened(stopped, after(stop))
    with pytest.raises(Enough):
        workload(other)
    other.close()
    assert dump(killed) == dump(stopped)
    again = opened(killed)
    chain(again)
    assert [attempt.outcome for attempt in again.unfinished()] == ([None] if last in (6, 10) else [])
    workload(again)
    chain(again)
    again.close()


def test_killed_at_any_moment_the_chain_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    def endless() -> None:
        store = opened(path)
        while True:
            store.finish(succeeded(store.begin(ATTEMPT)), STATUS, ACCEPTED)

    for n in range(8):
        pid = child(endless)
        time.sleep(0.15 + n * 0.013)
        os.kill(pid, signal.SIGKILL)
        assert result(pid) == -signal.SIGKILL
        store = opened(path)
        entries = chain(store)
        assert len(entries) == 2 * len(store.attempts(limit=10_000)) - len(store.unfinished())
        for attempt in store.unfinished():
            store.finish(replace(attempt, outcome=Outcome.INTERRUPTED), STATUS, None)
        store.close()


def test_many_processes_may_open_a_new_store_at_the_same_instant(tmp_path: Path) -> None:
    for turn in range(3):
        path = tmp_path / f"{turn}.db"
        starter, gun = os.pipe()

        def race(path: Path = path, starter: int = starter, gun: int = gun) -> None:
            os.close(gun)
            os.read(starter, 1)  # returns for all at once, when the last writing end is closed
            store = opened(path)
            store.acquire("a")
            store.close()

        pids = [child(race) for _ in range(8)]
        os.close(gun)
        assert [result(pid) for pid in pids] == [0] * 8
        os.close(starter)
        store = opened(path)
        assert store.acquire("a") == 9
        store.close()


def test_four_processes_that_open_a_new_store_at_once_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    def work(n: int) -> None:
        store = opened(path)
        name = EnvironmentName(f"env-{n}")
        tokens = [store.acquire(name)]
        for turn in range(25):
            attempt = store.begin(replace(ATTEMPT, environment=name))
            store.finish(succeeded(attempt), replace(STATUS, environment=name, message=str(turn)), None)
            tokens.append(store.acquire(name))
        assert tokens == sorted(set(tokens))
        store.close()

    pids = [child(lambda n=n: work(n)) for n in range(4)]  # type: ignore[misc]
    assert [result(pid) for pid in pids] == [0, 0, 0, 0]
    store = opened(path)
    assert len(chain(store)) == 200
    assert store.acquire("a") == 4 * 26 + 1
    store.close()


def write_for_ever(store: sql.SqlStore) -> None:
    while True:
        store.save_hand(STAGING, OperatorHand(reason="canary " * 50), "retry", NOON)


def test_a_disk_that_takes_no_more_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    def fill() -> None:
        store = opened(path)
        store.acquire("a")
        resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, 512 * 1024))
        with pytest.raises(Transient) as told:
            write_for_ever(store)
        assert told.value.reason is Reason.STORE_UNAVAILABLE
        assert str(path) in told.value.message
        assert "canary" not in told.value.message
        assert "disk" in told.value.hint

    assert result(child(fill)) == 0
    store = opened(path)
    written = len(chain(store))
    assert written > 10
    store.save_hand(STAGING, OperatorHand(), "resume", NOON)
    assert len(chain(store)) == written + 1
    store.close()
