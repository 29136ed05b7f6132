"""A job beside a loop: asked for at any time, run once at a time, and what went wrong is told later."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from reconciler.loop.beside import LONGEST_WAIT, Beside

SECONDS = 10.0


class Hands:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.at


def test_a_call_returns_while_the_job_is_under_way() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        go_on.wait(SECONDS)

    beside = Beside(job, "job", Hands())
    beside()
    assert begun.wait(SECONDS)
    go_on.set()
    assert beside.wait(SECONDS)


def test_calls_during_a_run_are_one_more_run_behind_it() -> None:
    runs: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def job() -> None:
        runs.append(threading.active_count())
        begun.set()
        go_on.wait(SECONDS)

    beside = Beside(job, "job", Hands())
    beside()
    assert begun.wait(SECONDS)
    for _ in range(5):
        beside()
    go_on.set()
    assert beside.wait(SECONDS)
    assert len(runs) == 2


def test_what_a_run_ended_with_is_told_by_the_next_call_once_and_the_job_goes_on() -> None:
    runs: list[int] = []

    def job() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("no")

    clock = Hands()
    beside = Beside(job, "job", clock)
    beside()
    assert beside.wait(SECONDS)
    clock.at += LONGEST_WAIT
    with pytest.raises(ValueError, match="no"):
        beside()
    assert beside.wait(SECONDS)
    beside()
    assert beside.wait(SECONDS)
    assert len(runs) == 3


def test_after_a_run_that_failed_the_next_waits_later_and_later() -> None:
    runs: list[float] = []
    clock = Hands()

    def job() -> None:
        runs.append(clock.at)
        raise ValueError("no")

    beside = Beside(job, "job", clock)
    for _ in range(600):
        with suppress(ValueError):
            beside()
        assert beside.wait(SECONDS)
        clock.at += 1.0
    waits = [later - earlier for earlier, later in pairwise(runs)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[LONGEST_WAIT] * (len(waits) - 6)]
