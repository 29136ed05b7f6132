"""Which time counts as soak: one row of sightings each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.core.soak import Sighting, same, seen
from reconciler.model import Digest, EnvironmentName, RunId, Soak
from tests.factories import NOON, sha256

GAP = 30.0


def sighting(at: float, ticks: float | None = None, **other: object) -> Sighting:
    """What is seen so many seconds after noon; by a wall clock that is right, unless `ticks` differ."""
    first = Sighting(
        environment=EnvironmentName("staging"),
        run_id=RunId(1),
        sha256=sha256(b"one"),
        live_since=NOON,
        settings=Digest("5" * 64),
        healthy=True,
        at=NOON + timedelta(seconds=at),
        ticks=at if ticks is None else ticks,
        token=1,
    )
    return replace(first, **other)  # type: ignore[arg-type]


def row(*sightings: Sighting) -> Soak | None:
    """The row after all of these, by one process each time that the token is the same."""
    soak: Soak | None = None
    ticks: float | None = None
    for one in sightings:
        soak = seen(soak, ticks, one, GAP)
        ticks = one.ticks
    return soak


def earned(*sightings: Sighting) -> float:
    soak = row(*sightings)
    assert soak
    return soak.earned


def test_the_first_sighting_earns_nothing() -> None:
    assert earned(sighting(0)) == 0.0


def test_time_between_sightings_counts() -> None:
    assert earned(sighting(0), sighting(10), sighting(35)) == 35.0


def test_a_row_knows_when_it_began_and_was_seen_last() -> None:
    soak = row(sighting(3), sighting(10))
    assert soak
    assert (soak.began, soak.seen) == (NOON + timedelta(seconds=3), NOON + timedelta(seconds=10))


@pytest.mark.parametrize(
    "other",
    [
        {"run_id": RunId(2)},
        {"sha256": sha256(b"two")},
        {"live_since": NOON + timedelta(seconds=15)},
        {"live_since": None},
        {"settings": Digest("6" * 64)},
        {"environment": EnvironmentName("other")},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_thing_begins_a_row_of_its_own(other: dict[str, Any]) -> None:
    assert earned(sighting(0), sighting(10), sighting(20, **other)) == 0.0
    assert earned(sighting(0), sighting(10, **other), sighting(20)) == 0.0


def test_what_is_not_healthy_has_no_row() -> None:
    assert row(sighting(0), sighting(10), sighting(20, healthy=False)) is None
    assert earned(sighting(0), sighting(10, healthy=False), sighting(20), sighting(25)) == 5.0


@pytest.mark.parametrize(
    ("wall", "ticks", "expected"),
    [
        pytest.param(10, 10, 20.0, id="both went on"),
        pytest.param(0, 10, 10.0, id="the wall clock stood"),
        pytest.param(10, 0, 10.0, id="the other clock stood"),
        pytest.param(-3600, 10, 10.0, id="the wall clock was set back"),
        pytest.param(5, 10, 15.0, id="the slower one counts"),
        pytest.param(GAP, 10, 20.0, id="the wall clock was set forward by less than the gap"),
        pytest.param(GAP, GAP, 10.0 + GAP, id="just within the gap"),
        pytest.param(GAP + 0.1, 10, 0.0, id="the wall clock jumped over the gap"),
        pytest.param(10, GAP + 0.1, 0.0, id="the process slept, and the wall clock hides it"),
        pytest.param(3600, 10, 0.0, id="the wall clock was set forward"),
    ],
)
def test_the_slower_of_two_clocks_counts(wall: float, ticks: float, expected: float) -> None:
    assert earned(sighting(0), sighting(10), sighting(10 + wall, 10 + ticks)) == expected


def test_time_between_two_processes_earns_nothing_and_keeps_what_was_earned() -> None:
    assert earned(sighting(0), sighting(10), sighting(20, token=2), sighting(24, token=2)) == 14.0


@pytest.mark.parametrize("ticks", [5.0, 10 + GAP + 1], ids=["the machine was started anew", "an outage that it hides"])
def test_what_the_wall_clock_says_of_an_outage_is_not_believed(ticks: float) -> None:
    assert earned(sighting(0), sighting(10), sighting(20, ticks=ticks, token=2)) == 0.0


def test_time_in_which_it_was_out_of_sight_earns_nothing() -> None:
    soak = row(sighting(0), sighting(10))
    after = seen(soak, None, sighting(20), GAP)
    assert after
    assert after.earned == 10.0


def test_looks_that_are_noted_out_of_order_earn_no_second_twice() -> None:
    """Two threads look at once, and the earlier look is noted last."""
    assert earned(sighting(0), sighting(20), sighting(10), sighting(25)) <= 25.0


def test_a_row_is_the_same_whatever_time_went_by_and_not_when_unhealthy() -> None:
    soak = row(sighting(0))
    assert soak
    assert same(soak, sighting(9999))
    assert not same(soak, sighting(1, healthy=False))
    assert not same(soak, sighting(1, live_since=None))
