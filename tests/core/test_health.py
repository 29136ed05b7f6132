"""Rows of checks: which answers make healthy, unhealthy, failed, and when the next one is asked for."""

from __future__ import annotations

import pytest

from reconciler.core import health
from reconciler.core.health import Tally
from reconciler.core.running import HealthSpec
from reconciler.model import HealthState, Probed

SPEC = HealthSpec.model_validate({"tcp": "127.0.0.1:1", "within": "60s", "every": "10s", "successes": 2, "failures": 3})
WAITING, HEALTHY = HealthState.WAITING, HealthState.HEALTHY
UNHEALTHY, FAILED = HealthState.UNHEALTHY, HealthState.FAILED


def told(answers: str, *, at: float = 1.0, proven: bool = False, tally: Tally | None = None) -> Tally:
    """What a row comes to: `+` passed, `-` did not; `|`: from here on the time is over."""
    tally = tally or Tally()
    for number, one in enumerate(answers):
        if one == "|":
            at = 60.0
        else:
            tally = health.after(tally, Probed(one == "+", f"answer {number}"), SPEC, at, proven=proven)
    return tally


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        pytest.param("", WAITING, id="nobody answered yet"),
        pytest.param("+", WAITING, id="one good answer of two"),
        pytest.param("++", HEALTHY, id="two in a row"),
        pytest.param("+-+-+-+", WAITING, id="flapping is not two in a row"),
        pytest.param("-----++", HEALTHY, id="a slow start"),
        pytest.param("-------", WAITING, id="bad ones are no failure while there is time"),
        pytest.param("--|-", FAILED, id="a bad one when the time is over"),
        pytest.param("+|+", HEALTHY, id="a good row under way when the time is over is let finish"),
        pytest.param("|++", HEALTHY, id="so is one that begins with the last check"),
        pytest.param("|+-", FAILED, id="but the first bad one fails it"),
        pytest.param("|-+", FAILED, id="one good answer does not take a failure back"),
        pytest.param("|-++", HEALTHY, id="what failed may become healthy later"),
        pytest.param("|-+-+-", FAILED, id="and not by flapping"),
        pytest.param("|-++---", UNHEALTHY, id="and unhealthy after that"),
        pytest.param("++--", HEALTHY, id="two bad ones of three"),
        pytest.param("++---", UNHEALTHY, id="three bad ones in a row"),
        pytest.param("++--+--+--", HEALTHY, id="flapping is not three in a row"),
        pytest.param("++|---", UNHEALTHY, id="what was healthy can't fail any more"),
        pytest.param("++---+", UNHEALTHY, id="one good answer does not make it healthy again"),
        pytest.param("++---++", HEALTHY, id="two in a row do"),
        pytest.param("++---+-+-", UNHEALTHY, id="flapping leaves it unhealthy"),
    ],
)
def test_a_row_of_answers_comes_to(answers: str, state: HealthState) -> None:
    assert told(answers).state is state


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        pytest.param("--", WAITING, id="two bad ones after a restart say nothing yet"),
        pytest.param("---", UNHEALTHY, id="three do"),
        pytest.param("|--", WAITING, id="the time does not count"),
        pytest.param("|---", UNHEALTHY, id="so it is unhealthy, and has not failed"),
        pytest.param("++", HEALTHY, id="healthy as before"),
    ],
)
def test_what_was_proven_before_can_not_fail(answers: str, state: HealthState) -> None:
    assert told(answers, proven=True).state is state


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("", ""),
        ("-", "answer 0"),
        ("-+", "answer 0"),
        ("-+-", "answer 2"),
        ("-++", ""),
        ("++-", "answer 2"),
        ("++-+", ""),
        ("++---+", "answer 4"),
        ("|-+", "answer 1"),
    ],
)
def test_the_message_is_of_the_last_bad_answer_until_all_is_well(answers: str, message: str) -> None:
    assert told(answers).message == message


def test_no_count_grows_for_ever() -> None:
    tally = told("-" * 1_000 + "+" * 1_000, proven=True)
    assert (tally.good, tally.bad, tally.asked) == (2, 0, 10)
    assert told("-" * 1_000, tally=tally).bad == 3


@pytest.mark.parametrize(
    ("since", "behind"),
    [
        pytest.param(20.0, 20.0, id="a restart in the middle"),
        pytest.param(3_600.0, 60.0, id="a restart much later, or a clock that was set forward"),
        pytest.param(-3_600.0, 0.0, id="a clock that was set back"),
    ],
)
def test_at_a_restart_the_time_goes_on(since: float, behind: float) -> None:
    assert health.start(since, 60.0) == behind


def pauses(every: str, answers: int, *, within: str = "60s") -> list[float]:
    spec = SPEC.model_copy(update={"every": every, "within": within})
    tally, found = Tally(), []
    for _ in range(answers):
        tally = health.after(tally, Probed(False, "no"), spec, 0.0, proven=False)
        found.append(health.next_delay(tally, spec, 0.0, 0.5))
    return found


def test_the_pauses_grow_while_it_is_waited_for() -> None:
    assert pauses("10s", 8) == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_a_long_wait_overflows_nothing() -> None:
    assert pauses("10s", 5_000)[-1] == 1.0


@pytest.mark.parametrize(
    ("elapsed", "pause"),
    [
        pytest.param(59.0, 1.0, id="long before"),
        pytest.param(59.7, 0.3, id="a check is made right when the time is over"),
        pytest.param(60.0, 1.0, id="and then as before, for a row that is let finish"),
        pytest.param(99.0, 1.0, id="long after"),
    ],
)
def test_the_last_check_in_time(elapsed: float, pause: float) -> None:
    assert health.next_delay(Tally(asked=10), SPEC, elapsed, 0.5) == pytest.approx(pause)


@pytest.mark.parametrize("state", [HEALTHY, UNHEALTHY, FAILED])
def test_later_it_is_asked_every_so_often_and_not_in_step_with_others(state: HealthState) -> None:
    delays = [health.next_delay(Tally(state), SPEC, 5.0, spread) for spread in (0.0, 0.5, 1.0)]
    assert delays == pytest.approx([9.0, 10.0, 11.0])


def test_the_first_check_is_at_once_after_an_activation_and_spread_at_a_restart() -> None:
    assert health.first_delay(SPEC, 0.7, proven=False) == 0.0
    assert health.first_delay(SPEC, 0.7, proven=True) == pytest.approx(0.7)
