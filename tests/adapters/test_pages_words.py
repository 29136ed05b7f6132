"""What all pages say alike, and where the marks of their figures go."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from reconciler.model import EnvironmentName, Health, Outcome, Sync, Verdict
from reconciler.views.chain import Proof
from reconciler.views.figures import Day, LeadPoint
from reconciler.views.states import State
from reconciler.web.pages import plots, words
from tests.factories import NOON


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (7.5, "7.5 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 days"),
        (400 * 86_400, "400 days"),
        (-3, "0 s"),
    ],
)
def test_a_span_has_one_unit(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("ago", "said"),
    [(0, "now"), (-4, "now"), (30, "30 s ago"), (7_200, "2 h ago"), (-600, "in 10 min"), (-90_000, "in 25 h")],
)
def test_an_instant_is_told_as_seen_from_now(ago: float, said: str) -> None:
    assert words.relative(NOON - timedelta(seconds=ago), NOON) == said


def test_a_change_of_size_has_a_sign() -> None:
    assert [words.change_of_size(1024, size) for size in (1024, 2048, 0)] == ["±0", "+1.0 KiB", "-1.0 KiB"]


@pytest.mark.parametrize("word", [*Sync, *Health, *Outcome, *Verdict, *Proof, *State, "odd"])
def test_every_word_has_a_sign(word: str) -> None:
    assert words.tone(word) in State


def test_words_that_are_bad_never_look_well() -> None:
    good = {Sync.SYNCED, Health.HEALTHY, Outcome.SUCCEEDED, Verdict.PASSED, Proof.PROVEN, State.WELL}
    every = {*Sync, *Health, *Outcome, *Verdict, *Proof, *State}
    assert {str(word) for word in every if words.tone(word) is State.WELL} == {str(word) for word in good}


@pytest.mark.parametrize(
    ("address", "linked"),
    [
        ("https://git.example.com/1", True),
        ("http://git.example.com/1", True),
        ("javascript:alert(1)", False),
        (" https://x", False),
        ("data:text/html,x", False),
        ("//example.com", False),
    ],
)
def test_only_addresses_of_the_web_are_linked(address: str, linked: bool) -> None:
    assert bool(words.web_address(address)) is linked


def test_what_hides_is_spelled_out_and_what_is_long_is_cut() -> None:
    assert words.clean("a\u202eb\x1b[0m\n") == "a\\u202eb\\x1b[0m\\n"
    assert len(words.clean("x" * 9_999)) == words.LONGEST
    assert words.printed("one\ntwo\x07") == "one\ntwo\\x07"


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "steps"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (5, (0, 1, 2, 3, 4, 5)),
        (6, (0, 2, 4, 6)),
        (26, (0, 10, 20, 30)),
        (1201, (0, 500, 1000, 1500)),
    ],
)
def test_an_axis_has_few_round_steps_that_reach_far_enough(most: int, steps: tuple[int, ...]) -> None:
    assert plots.whole_steps(most) == steps


def test_a_bar_is_as_high_as_its_day_and_stacked_by_outcome() -> None:
    days = [Day(date(2026, 3, 1), 3, 1, 0, 1), Day(date(2026, 3, 2), 0, 0, 0, 0), Day(date(2026, 3, 3), 5, 0, 0, 0)]
    drawn = plots.bars(days)
    first = [bar for bar in drawn.bars if bar.x == drawn.bars[0].x]
    assert [bar.kind for bar in first] == ["deployed", "failed", "refused"]
    assert sum(bar.height for bar in first) == pytest.approx(drawn.bars[-1].height, abs=0.3)
    for lower, upper in pairwise(first):
        assert upper.y + upper.height == pytest.approx(lower.y, abs=0.2)
    assert all(bar.x >= plots.LEFT and bar.x + bar.width <= plots.WIDTH for bar in drawn.bars)
    assert [tick.text for tick in drawn.across] == ["1 Mar", "2 Mar", "3 Mar"]


def test_days_without_deployments_are_drawn_as_nothing() -> None:
    assert plots.bars([]).bars == ()
    assert plots.bars([Day(date(2026, 3, 1), 0, 0, 0, 0)]).bars == ()


def test_longer_lead_times_stand_higher_and_later_ones_to_the_right() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    points = [
        LeadPoint(at + timedelta(days=n), EnvironmentName("prod"), timedelta(minutes=5 * 20**n)) for n in range(3)
    ]
    drawn = plots.dots(points, date(2026, 3, 1), date(2026, 3, 4))
    assert sorted(drawn.dots, key=lambda dot: dot.x) == list(drawn.dots)
    assert sorted(drawn.dots, key=lambda dot: -dot.y) == list(drawn.dots)
    assert all(plots.TOP <= dot.y <= plots.HEIGHT - plots.BOTTOM for dot in drawn.dots)
    assert drawn.dots[0].told == "prod: 5 min"


@pytest.mark.parametrize("lead", [timedelta(0), timedelta(seconds=1), timedelta(days=4_000)])
def test_odd_lead_times_stay_on_the_drawing(lead: timedelta) -> None:
    drawn = plots.dots([LeadPoint(NOON, EnvironmentName("prod"), lead)], NOON.date(), NOON.date())
    assert plots.TOP <= drawn.dots[0].y <= plots.HEIGHT - plots.BOTTOM


def test_a_sparkline_goes_from_edge_to_edge() -> None:
    assert plots.sparkline([0, 2, 1]) == "0,18 48,2 96,10"
    assert plots.sparkline([]) == ""
    assert plots.sparkline([0]) == "0,18"
