"""Who is told what, and when: where an environment stands, what was told, and what is due of that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.core import notifying
from reconciler.core.notifying import BURST, PATIENCE, USUAL, Allowance, Route, after, due, kinds, messages
from reconciler.errors import Reason
from reconciler.model import (
    CommitId,
    Declared,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Health,
    Notice,
    NoticeKind,
    Release,
    RunId,
    Status,
    Sync,
    ToldNotice,
)
from tests.factories import NOON

PROD = EnvironmentName("shop/prod")
FAILED, DRIFTED, DEGRADED, STUCK, HELD, WAITING, DEPLOYED, RECOVERED = NoticeKind
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ROUTE = Route("oncall", ("*/prod",), frozenset(USUAL), HOUR, 30)
ALL = replace(ROUTE, kinds=frozenset(NoticeKind))
EARLIER = NOON - 5 * HOUR
DRIFT = (Drift("bin/app", DriftKind.CONTENT, "a", "b"),)


def release(run: int) -> Release:
    return Release(f"{run}-x", RunId(run), Digest(f"{run:064x}"))


def well(run: int = 101, minutes: float = 0) -> Status:
    """Run `run` is declared, live and healthy, since so many minutes."""
    since = NOON - timedelta(minutes=minutes)
    declared = Declared(CommitId("c" * 40), RunId(run), Digest(f"{run:064x}"))
    return Status(
        PROD, Sync.SYNCED, Health.HEALTHY, None, "", "", declared, release(run), since, (), since=since, target="/srv"
    )


def held(reason: Reason, run: int = 102, minutes: float = 0) -> Status:
    """Run 101 is live, and `run` is held since so many minutes."""
    declared = Declared(CommitId("d" * 40), RunId(run), Digest(f"{run:064x}"))
    since = NOON - timedelta(minutes=minutes)
    return replace(well(), sync=Sync.HELD, reason=reason, declared=declared, since=since)


FAILURE = replace(held(Reason.HEALTH_CHECK_FAILED), health=Health.DEGRADED)
UNHEALTHY = replace(well(), health=Health.DEGRADED, reason=Reason.HEALTH_CHECK_FAILED)
CHANGED = replace(well(), sync=Sync.OUT_OF_SYNC, health=Health.DEGRADED, reason=Reason.DRIFTED, drift=DRIFT)
AWAY = replace(well(), sync=Sync.UNKNOWN, reason=Reason.TARGET_UNAVAILABLE)
BUG = replace(well(), sync=Sync.UNKNOWN, reason=Reason.INTERNAL_ERROR)
UNAPPROVED = held(Reason.APPROVAL_MISSING)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        pytest.param(well(), (), id="what is as it was declared is nothing to tell"),
        pytest.param(replace(well(), sync=Sync.PROGRESSING), (), id="nor is what is on its way"),
        pytest.param(UNAPPROVED, (HELD,), id="a gate holds"),
        pytest.param(held(Reason.SOAKING), (WAITING,), id="it soaks"),
        pytest.param(held(Reason.FROZEN), (WAITING,), id="a freeze"),
        pytest.param(held(Reason.SUSPENDED), (WAITING,), id="an operator's hand"),
        pytest.param(held(Reason.FORGE_UNAVAILABLE), (STUCK,), id="nobody can tell who approved it"),
        pytest.param(AWAY, (STUCK,), id="the target is out of reach"),
        pytest.param(BUG, (STUCK,), id="a bug"),
        pytest.param(FAILURE, (FAILED, DEGRADED, HELD), id="it did not come to life and gave way"),
        pytest.param(UNHEALTHY, (DEGRADED,), id="what is live and declared is not healthy any more"),
        pytest.param(CHANGED, (DRIFTED, DEGRADED), id="somebody changed it"),
        pytest.param(replace(UNAPPROVED, health=Health.DEGRADED), (DEGRADED, HELD), id="unhealthy, and held"),
    ],
)
def test_an_environment_is(status: Status, wanted: tuple[NoticeKind, ...]) -> None:
    assert kinds(status) == wanted


def told(route: Route, status: Status, before: ToldNotice | None = None, *, ago: timedelta = MINUTE) -> ToldNotice:
    """What is remembered of a status that was told so long ago."""
    found = due(route, before, status, EARLIER, NOON - ago)
    assert found is not None
    return after(route, before, found.notice, NOON - ago)


def now(route: Route, before: ToldNotice | None, status: Status) -> tuple[NoticeKind, bool] | None:
    """What is told now, and whether again."""
    found = due(route, before, status, EARLIER, NOON)
    return (found.notice.kind, found.notice.reminder) if found and found.at <= NOON else None


def test_what_is_new_is_told_at_once() -> None:
    assert now(ROUTE, None, UNAPPROVED) == (HELD, False)


def test_the_same_is_not_told_again_before_its_time_and_then_as_a_reminder() -> None:
    again = told(ROUTE, UNAPPROVED, ago=HOUR - MINUTE)
    assert now(ROUTE, again, UNAPPROVED) is None
    assert now(ROUTE, told(ROUTE, UNAPPROVED, ago=HOUR), UNAPPROVED) == (HELD, True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(held(Reason.SELF_APPROVAL), id="another reason"),
        pytest.param(held(Reason.APPROVAL_MISSING, run=103), id="another run"),
        pytest.param(replace(UNAPPROVED, health=Health.DEGRADED), id="something worse"),
    ],
)
def test_told_although_something_was_told_right_before(other: Status) -> None:
    before = told(ROUTE, UNAPPROVED)
    assert now(ROUTE, before, other) == (kinds(other)[0], False)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(UNAPPROVED, message="in other words", hint="other"), id="other words"),
        pytest.param(replace(UNAPPROVED, request="#7", approvers=("ann",)), id="other people"),
        pytest.param(replace(UNAPPROVED, declared=replace(UNAPPROVED.declared, commit=CommitId("e" * 40))), id="a tip"),
    ],
)
def test_the_same_in_other_clothes_is_the_same(other: Status) -> None:
    assert now(ROUTE, told(ROUTE, UNAPPROVED), other) is None


def test_the_end_is_told_once_and_only_of_what_was_told() -> None:
    before = told(ROUTE, UNAPPROVED)
    assert now(ROUTE, before, well(102)) == (RECOVERED, False)
    assert now(ROUTE, told(ROUTE, well(102), before), well(102)) is None
    assert now(ROUTE, None, well(102)) is None


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(held(Reason.SOAKING), id="it soaks now, which this route does not tell"),
        pytest.param(replace(well(102), sync=Sync.PROGRESSING), id="it is on its way"),
        pytest.param(replace(well(102), health=Health.PROGRESSING), id="its first checks have not passed yet"),
    ],
)
def test_it_is_not_over_while(status: Status) -> None:
    assert now(ROUTE, told(ROUTE, UNAPPROVED), status) is None


def test_an_outage_is_told_once_it_lasts() -> None:
    short, long = (replace(AWAY, since=NOON - PATIENCE + by) for by in (MINUTE, timedelta()))
    assert now(ROUTE, None, short) is None
    assert now(ROUTE, None, long) == (STUCK, False)
    assert now(ROUTE, None, BUG) == (STUCK, False)


def test_what_goes_to_and_fro_is_told_less_and_less_often() -> None:
    """Held for half a minute, well for half a minute, and so on for a day."""
    step, before, times = timedelta(seconds=30), None, []
    for number in range(2 * 60 * 24):
        at = NOON + number * step
        status = replace(UNAPPROVED if number % 2 == 0 else well(102), since=at)
        for seconds in (0, 29):
            look = at + timedelta(seconds=seconds)
            found = due(ROUTE, before, status, EARLIER, look)
            if found and found.at <= look:
                before = after(ROUTE, before, found.notice, look)
                times.append((look, found.notice))
    assert [notice.kind for _, notice in times[:2]] == [HELD, RECOVERED]
    assert len(times) <= 2 * 24  # once an hour, and its end
    assert not any(notice.reminder for _, notice in times)


def test_what_goes_to_and_fro_slowly_is_told_later_and_later_and_then_still() -> None:
    before, delays = None, []
    for number in range(8):
        since = NOON + number * timedelta(minutes=20)
        found = due(ROUTE, before, replace(UNAPPROVED if number % 2 == 0 else well(102), since=since), EARLIER, since)
        assert found is not None
        delays.append((found.at - since) / MINUTE)
        before = after(ROUTE, before, found.notice, found.at)
    assert delays == [0, 0, 1, 2, 4, 8, 15, 15]


def test_a_failure_is_told_at_once_whatever_was_before() -> None:
    before = ToldNotice(RECOVERED, "", NOON - MINUTE, 9)
    assert now(ROUTE, before, FAILURE) == (FAILED, False)
    assert now(ROUTE, before, UNAPPROVED) is None


def test_a_deployment_is_told_where_that_is_asked_for_and_once() -> None:
    live = well(102)
    assert now(ROUTE, None, live) is None
    assert now(ALL, None, live) == (DEPLOYED, False)
    assert now(ALL, told(ALL, live), live) is None
    assert now(ALL, told(ALL, live), well(103)) == (DEPLOYED, False)


def test_what_was_deployed_before_the_route_began_is_history() -> None:
    live = well(102, minutes=5 * 60)
    assert now(ALL, None, live) is None
    assert now(ALL, None, replace(live, live_since=None)) is None


def test_an_end_that_comes_by_a_deployment_is_one_message() -> None:
    before = told(ALL, UNAPPROVED)
    assert now(ALL, before, well(102)) == (RECOVERED, False)
    assert now(ALL, told(ALL, well(102), before), well(102)) is None


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    ahead = replace(UNAPPROVED, since=NOON + 1000 * HOUR)
    assert now(ROUTE, None, ahead) == (HELD, False)
    future = ToldNotice(HELD, notifying.about(HELD, UNAPPROVED), NOON + 1000 * HOUR, 7)
    assert now(ROUTE, future, UNAPPROVED) == (HELD, True)
    assert Allowance(30, NOON + 1000 * HOUR).opens_at(NOON) <= NOON + 2 * MINUTE


@pytest.mark.parametrize(
    ("patterns", "covered"),
    [
        (("*",), True),
        (("shop/prod",), True),
        (("*/prod",), True),
        (("prod", "shop/*"), True),
        (("prod",), False),
        (("SHOP/*",), False),
    ],
)
def test_a_route_covers_what_its_patterns_name(patterns: tuple[str, ...], covered: bool) -> None:
    assert replace(ROUTE, environments=patterns).covers(PROD) is covered


def test_after_a_calm_some_messages_go_out_at_once_and_then_as_many_as_the_hour_allows() -> None:
    busy, at, sent = NOON, NOON, 0
    while at <= NOON + 2 * HOUR and sent < 1_000:
        allowance = Allowance(30, busy)
        if allowance.room(at):
            busy, sent = allowance.spent(at), sent + 1
        else:
            assert allowance.opens_at(at) > at
            at = allowance.opens_at(at)
    assert sent in (BURST + 60, BURST + 61)
    assert Allowance(30, busy).room(at + 2 * HOUR) == BURST


def notices(*found: NoticeKind) -> list[Notice]:
    return [
        Notice(EnvironmentName(f"e{place:02}"), kind, replace(well(), environment=EnvironmentName(f"e{place:02}")))
        for place, kind in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("count", "room", "together", "sizes"),
    [
        pytest.param(1, 5, False, [1], id="one alone"),
        pytest.param(3, 5, False, [1, 1, 1], id="three, each alone"),
        pytest.param(4, 5, False, [4], id="four in a digest"),
        pytest.param(3, 2, False, [3], id="more than there is room for"),
        pytest.param(2, 5, True, [2], id="all at a beginning"),
        pytest.param(5, 0, False, [], id="no room"),
        pytest.param(0, 5, True, [], id="nothing"),
    ],
)
def test_how_many_go_out_with_how_many_messages(count: int, room: int, together: bool, sizes: list[int]) -> None:
    assert [len(group) for group in messages(notices(*[HELD] * count), room, together=together)] == sizes


def test_the_worst_comes_first() -> None:
    (digest,) = messages(notices(RECOVERED, HELD, FAILED, HELD), 5, together=False)
    assert [(one.kind, one.environment) for one in digest] == [
        (FAILED, "e02"),
        (HELD, "e01"),
        (HELD, "e03"),
        (RECOVERED, "e00"),
    ]
