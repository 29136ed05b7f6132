"""Which sources seem to be out: told by their answers to all, and only ever a word on who goes first."""

from __future__ import annotations

from contextlib import suppress

import pytest

from reconciler.errors import PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.pipeline.outages import FAILURES, PROBE, SILENCE, Outages
from tests.simulation.faults import ManualClock

AWAY = Transient(Reason.SOURCE_UNAVAILABLE, "answers 503")
NO = PolicyDenied(Reason.RUN_NOT_FOUND, "there is no such run")


def ask(outages: Outages, clock: ManualClock, *errors: ReconcilerError | None, source: str = "ci") -> None:
    for error in errors:
        with suppress(ReconcilerError), outages.asking(source, clock):
            if error:
                raise error


def test_a_source_seems_to_be_out_after_some_failures_in_a_row() -> None:
    outages, clock = Outages(), ManualClock()
    assert not outages.any(clock)
    ask(outages, clock, *[AWAY] * (FAILURES - 1))
    assert not outages.of("ci", clock)
    ask(outages, clock, AWAY)
    assert outages.of("ci", clock)
    assert outages.any(clock)
    assert not outages.of("other", clock)


@pytest.mark.parametrize("answer", [None, NO], ids=["it knows the run", "it says that there is none"])
def test_one_answer_on_whichever_run_and_it_is_not_out_any_more(answer: ReconcilerError | None) -> None:
    outages, clock = Outages(), ManualClock()
    ask(outages, clock, *[AWAY] * 10, answer)
    assert not outages.any(clock)
    ask(outages, clock, *[AWAY, AWAY, answer] * 10)
    assert not outages.any(clock), "failures among answers are of runs, and not of the source"


def test_one_after_another_goes_first_to_see_whether_it_is_back() -> None:
    outages, clock = Outages(), ManualClock()
    ask(outages, clock, *[AWAY] * FAILURES)
    clock.seconds += PROBE
    assert not outages.of("ci", clock)
    with suppress(Transient), outages.asking("ci", clock):
        assert outages.of("ci", clock), "while one asks, the others need not"
        raise AWAY
    assert outages.of("ci", clock)
    clock.seconds += PROBE
    ask(outages, clock, None)
    assert not outages.of("ci", clock)


def test_a_source_that_leaves_one_waiting_and_answers_nobody_seems_to_be_out() -> None:
    outages, clock = Outages(), ManualClock()
    with outages.asking("ci", clock):
        clock.seconds += SILENCE
        assert not outages.of("ci", clock)
        clock.seconds += 0.01
        assert outages.of("ci", clock)
        ask(outages, clock, None)
        clock.seconds += 10 * SILENCE
        assert not outages.of("ci", clock), "others were answered: it is that one run"
    assert not outages.any(clock)
