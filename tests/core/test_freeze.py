"""When a freeze is closed, and when it opens: instants, whatever the clocks on the wall do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.freeze import closed_until
from reconciler.core.policyfile import FreezeSpec, PolicyDocument
from reconciler.core.rules import Rules
from reconciler.core.walltime import readings, zone
from reconciler.model import EnvironmentName

PROD = EnvironmentName("prod")
BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def once(begin: str, end: str, where: str = "UTC", reason: str = "closed") -> FreezeSpec:
    return FreezeSpec.model_validate({"reason": reason, "from": begin, "to": end, "time_zone": where})


def again(cron: str, duration: str, where: str = "UTC", reason: str = "closed") -> FreezeSpec:
    return FreezeSpec.model_validate({"reason": reason, "cron": cron, "duration": duration, "time_zone": where})


def rules(*freezes: FreezeSpec) -> Rules:
    return Rules((PolicyDocument(version=1, freeze=freezes),))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def closed(freeze: FreezeSpec, begin: str, end: str) -> list[tuple[str, str]]:
    """The closed spans between two instants, by looking at each minute."""
    moment, minutes = at(begin), int((at(end) - at(begin)) / timedelta(minutes=1))
    seen = [closed_until(freeze, moment + timedelta(minutes=m)) is not None for m in range(minutes)]
    edges = [m for m, (was, now) in enumerate(pairwise([False, *seen, False])) if was != now]
    told = [(moment + timedelta(minutes=m)).strftime("%d %H:%M") for m in edges]
    return list(zip(told[::2], told[1::2], strict=True))


@pytest.mark.parametrize(
    ("moment", "is_closed"),
    [
        pytest.param("2026-12-24T16:59:59.999999Z", False, id="not before its first instant"),
        pytest.param("2026-12-24T17:00:00Z", True, id="at its first instant"),
        pytest.param("2026-12-27T06:59:59.999999Z", True, id="just before its last instant"),
        pytest.param("2026-12-27T07:00:00Z", False, id="not at its last instant"),
    ],
)
def test_from_is_part_of_it_and_to_is_not(moment: str, is_closed: bool) -> None:
    freeze = once("2026-12-24T18:00", "2026-12-27T08:00", BERLIN)
    assert (rules(freeze).frozen(PROD, at(moment)) is not None) == is_closed


@pytest.mark.parametrize(
    ("moment", "is_closed"),
    [
        pytest.param("2026-07-03T17:59:59.999999Z", False, id="not before the schedule's minute"),
        pytest.param("2026-07-03T18:00:00Z", True, id="at the schedule's minute"),
        pytest.param("2026-07-03T18:00:00.000001Z", True, id="a microsecond later"),
        pytest.param("2026-07-06T07:59:59.999999Z", True, id="just before the time is over"),
        pytest.param("2026-07-06T08:00:00Z", False, id="not when the time is over"),
    ],
)
def test_a_schedule_closes_for_its_duration(moment: str, is_closed: bool) -> None:
    freeze = again("0 18 * * FRI", "62h")
    assert (rules(freeze).frozen(PROD, at(moment)) is not None) == is_closed


def test_a_date_is_the_beginning_of_its_day_on_the_clock_of_the_zone() -> None:
    freeze = once("2026-12-24", "2026-12-27", BERLIN)
    assert freeze.once == (at("2026-12-23T23:00Z"), at("2026-12-26T23:00Z"))


# 2026: Berlin goes forward on 29 March at 01:00Z and back on 25 October at 01:00Z; New York on 8 March at 07:00Z and on
# 1 November at 06:00Z; Lord Howe, by half an hour, on 4 October (3rd, 15:30Z) and on 5 April (4th, 15:00Z).
@pytest.mark.parametrize(
    ("begin", "end", "where", "opens", "closes"),
    [
        pytest.param("2026-03-29T02:30", "2026-03-29T12:00", BERLIN, "2026-03-29T00:30Z", "2026-03-29T10:00Z",
                     id="a beginning that Berlin skips is the earlier reading"),
        pytest.param("2026-03-28T12:00", "2026-03-29T02:30", BERLIN, "2026-03-28T11:00Z", "2026-03-29T01:30Z",
                     id="an end that Berlin skips is the later reading"),
        pytest.param("2026-10-25T02:30", "2026-10-25T12:00", BERLIN, "2026-10-25T00:30Z", "2026-10-25T11:00Z",
                     id="a beginning that comes twice in Berlin is the first"),
        pytest.param("2026-10-24T12:00", "2026-10-25T02:30", BERLIN, "2026-10-24T10:00Z", "2026-10-25T01:30Z",
                     id="an end that comes twice in Berlin is the second"),
        pytest.param("2026-10-25T02:30", "2026-10-25T02:31", BERLIN, "2026-10-25T00:30Z", "2026-10-25T01:31Z",
                     id="a minute that comes twice closes all in between"),
        pytest.param("2026-03-08T02:30", "2026-03-08T02:31", NEW_YORK, "2026-03-08T06:30Z", "2026-03-08T07:31Z",
                     id="a minute that New York skips is closed from the earlier reading to the later"),
        pytest.param("2026-11-01T01:15", "2026-11-01T01:45", NEW_YORK, "2026-11-01T05:15Z", "2026-11-01T06:45Z",
                     id="half an hour that comes twice in New York"),
        pytest.param("2026-10-04T02:15", "2026-10-04T02:20", LORD_HOWE, "2026-10-03T15:15Z", "2026-10-03T15:50Z",
                     id="minutes that Lord Howe skips, by its half hour"),
        pytest.param("2026-04-05T01:45", "2026-04-05T01:50", LORD_HOWE, "2026-04-04T14:45Z", "2026-04-04T15:20Z",
                     id="minutes that come twice in Lord Howe, by its half hour"),
    ],
)  # fmt: skip
def test_where_a_clock_is_changed_from_and_to_close_for_longest(
    begin: str, end: str, where: str, opens: str, closes: str
) -> None:
    assert once(begin, end, where).once == (at(opens), at(closes))


@pytest.mark.parametrize(
    ("freeze", "begin", "end", "spans"),
    [
        pytest.param(again("0 1 * * *", "4h", BERLIN), "2026-03-28T12:00Z", "2026-03-29T12:00Z",
                     [("29 00:00", "29 04:00")], id="the duration is elapsed time over a spring change"),
        pytest.param(again("0 1 * * *", "4h", BERLIN), "2026-10-24T12:00Z", "2026-10-25T12:00Z",
                     [("24 23:00", "25 03:00")], id="the duration is elapsed time over an autumn change"),
        pytest.param(again("30 2 * * *", "10m", BERLIN), "2026-03-28T12:00Z", "2026-03-30T12:00Z",
                     [("29 00:30", "29 00:40"), ("29 01:30", "29 01:40"), ("30 00:30", "30 00:40")],
                     id="a start that Berlin skips closes at both readings"),
        pytest.param(again("30 2 * * *", "10m", BERLIN), "2026-10-24T12:00Z", "2026-10-26T12:00Z",
                     [("25 00:30", "25 00:40"), ("25 01:30", "25 01:40"), ("26 01:30", "26 01:40")],
                     id="a start that comes twice in Berlin closes twice"),
        pytest.param(again("30 2 * * *", "2h", BERLIN), "2026-10-24T12:00Z", "2026-10-25T12:00Z",
                     [("25 00:30", "25 03:30")], id="two starts of one wall time close without a gap when long enough"),
        pytest.param(again("30 2 * * *", "10m", NEW_YORK), "2026-03-07T12:00Z", "2026-03-09T12:00Z",
                     [("08 06:30", "08 06:40"), ("08 07:30", "08 07:40"), ("09 06:30", "09 06:40")],
                     id="a start that New York skips"),
        pytest.param(again("30 1 * * *", "10m", NEW_YORK), "2026-10-31T12:00Z", "2026-11-01T12:00Z",
                     [("01 05:30", "01 05:40"), ("01 06:30", "01 06:40")], id="a start that comes twice in New York"),
        pytest.param(again("15 2 * * *", "5m", LORD_HOWE), "2026-10-03T12:00Z", "2026-10-04T12:00Z",
                     [("03 15:15", "03 15:20"), ("03 15:45", "03 15:50")], id="a start that Lord Howe skips"),
        pytest.param(again("45 1 * * *", "5m", LORD_HOWE), "2026-04-04T12:00Z", "2026-04-05T12:00Z",
                     [("04 14:45", "04 14:50"), ("04 15:15", "04 15:20")], id="a start that comes twice in Lord Howe"),
        pytest.param(again("0 * * * *", "15m", BERLIN), "2026-10-24T23:00Z", "2026-10-25T03:00Z",
                     [("24 23:00", "24 23:15"), ("25 00:00", "25 00:15"), ("25 01:00", "25 01:15"),
                      ("25 02:00", "25 02:15")], id="each hour stays each hour in autumn"),
        pytest.param(again("0 0 29 2 *", "1d"), "2028-02-28T12:00Z", "2028-03-01T12:00Z",
                     [("29 00:00", "01 00:00")], id="a schedule that comes every four years"),
        pytest.param(again("0 0 * * *", "2h", "Pacific/Apia"), "2011-12-29T09:00Z", "2011-12-31T09:00Z",
                     [("29 10:00", "29 12:00"), ("30 10:00", "30 12:00")], id="a day that Samoa skipped"),
    ],
)  # fmt: skip
def test_a_schedule_is_meant_by_the_clock_on_the_wall(
    freeze: FreezeSpec, begin: str, end: str, spans: list[tuple[str, str]]
) -> None:
    assert closed(freeze, begin, end) == spans


def test_a_schedule_of_many_days_is_closed_until_its_last_start_is_over() -> None:
    assert closed_until(again("0 0 1 * *", "31d"), at("2026-02-28T23:00Z")) == at("2026-03-04T00:00Z")


def test_a_schedule_that_comes_once_in_a_generation_is_open_in_between() -> None:
    # 29 February on a Sunday: in 2004, and in 2032
    assert rules(again("0 0 29 2 */7", "1d")).frozen(PROD, at("2026-02-28T12:00Z")) is None
    assert rules(again("0 0 29 2 */7", "1d")).frozen(PROD, at("2032-02-29T12:00Z")) is not None


@pytest.mark.parametrize(
    ("freezes", "moment", "reason", "opens"),
    [
        pytest.param([once("2026-01-01", "2026-01-03"), once("2026-01-02", "2026-01-05", reason="longer")],
                     "2026-01-02T12:00Z", "longer", "2026-01-05T00:00Z", id="of two the longer one is told"),
        pytest.param([once("2026-01-01", "2026-01-03"), once("2026-01-02", "2026-01-05", reason="later")],
                     "2026-01-01T12:00Z", "closed", "2026-01-05T00:00Z", id="one that closes before the other opens"),
        pytest.param([once("2026-01-03", "2026-01-05", reason="next"), once("2026-01-01", "2026-01-03")],
                     "2026-01-01T12:00Z", "closed", "2026-01-05T00:00Z", id="one that closes as the other opens"),
        pytest.param([once("2026-01-04", "2026-01-05", reason="next"), once("2026-01-01", "2026-01-03")],
                     "2026-01-01T12:00Z", "closed", "2026-01-03T00:00Z", id="one that closes later is no matter"),
        pytest.param([again("0 0 * * *", "12h"), again("0 12 * * MON-FRI", "12h", reason="afternoon")],
                     "2026-11-23T13:00Z", "afternoon", "2026-11-28T12:00Z", id="two schedules that take turns"),
        pytest.param([again("0 0 * * *", "1d"), once("2026-01-01", "2026-01-01T18:00", reason="short")],
                     "2026-01-01T12:00Z", "closed", None, id="a schedule that never leaves a gap never opens"),
        pytest.param([again("* * * * *", "1m")], "2026-01-01T12:00Z", "closed", None, id="nor does each minute"),
        pytest.param([again("* 9-17 * * *", "1m")], "2026-01-01T09:00Z", "closed", "2026-01-01T18:00Z",
                     id="minutes in a row"),
    ],
)  # fmt: skip
def test_one_that_is_closed_is_enough_and_it_opens_when_none_is(
    freezes: list[FreezeSpec], moment: str, reason: str, opens: str | None
) -> None:
    for order in (freezes, freezes[::-1]):
        frozen = rules(*order).frozen(PROD, at(moment))
        assert frozen is not None
        assert (frozen.reason, frozen.opens) == (reason, at(opens) if opens else None)


def test_of_two_policies_both_close() -> None:
    let_in = PolicyDocument(version=1, freeze=(once("2026-01-01", "2026-01-03"),))
    at_tip = PolicyDocument(version=1, freeze=(once("2026-01-02", "2026-01-05"),))
    frozen = Rules((let_in, at_tip)).frozen(PROD, at("2026-01-01T12:00Z"))
    assert frozen is not None
    assert frozen.opens == at("2026-01-05T00:00Z")


def test_a_freeze_closes_only_the_environments_that_it_names() -> None:
    freeze = FreezeSpec.model_validate(
        {"reason": "x", "from": "2026-01-01", "to": "2026-01-02", "environments": ("prod", "shop/*")}
    )
    there = rules(freeze)
    names = ("prod", "shop/eu/prod", "staging", "prod2", "shop")
    assert [name for name in names if there.frozen(EnvironmentName(name), at("2026-01-01T12:00Z"))] == [
        "prod",
        "shop/eu/prod",
    ]
    assert there.windows(PROD) == (freeze,)


# --- against another way of counting ------------------------------------------------------------

ZONES = ["UTC", BERLIN, NEW_YORK, LORD_HOWE, "Africa/Casablanca", "Asia/Kathmandu"]
MOMENTS = st.integers(0, 366 * 24 * 60 * 60).map(lambda s: at("2026-01-01T00:00Z") + timedelta(seconds=s))
NEAR_A_CHANGE = st.tuples(
    st.sampled_from(["2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-03-08T07:00Z", "2026-11-01T06:00Z",
                     "2026-10-03T15:30Z", "2026-04-04T15:00Z", "2026-02-15T02:00Z", "2026-03-22T02:00Z"]),
    st.integers(-4 * 3_600, 4 * 3_600),
).map(lambda drawn: at(drawn[0]) + timedelta(seconds=drawn[1]))  # fmt: skip
SCHEDULES = st.tuples(
    st.sampled_from(["0", "30", "15,45", "*/20", "*"]), st.sampled_from(["*", "2", "1-3", "*/6"]),
    st.sampled_from(["*", "1", "25-31"]), st.sampled_from(["*", "MON-FRI", "SUN"]),
)  # fmt: skip


def matches(moment: datetime, fields: tuple[str, str, str, str]) -> bool:
    minute, hour, day, weekday = fields
    minutes = {"0": {0}, "30": {30}, "15,45": {15, 45}, "*/20": {0, 20, 40}, "*": set(range(60))}
    hours = {"*": set(range(24)), "2": {2}, "1-3": {1, 2, 3}, "*/6": {0, 6, 12, 18}}
    days = {"*": True, "1": moment.day == 1, "25-31": moment.day >= 25}[day]
    weekdays = {"*": True, "MON-FRI": moment.weekday() < 5, "SUN": moment.weekday() == 6}[weekday]
    here = days and weekdays if "*" in (day, weekday) else days or weekdays
    return moment.minute in minutes[minute] and moment.hour in hours[hour] and here


@settings(max_examples=60, deadline=None)
@given(SCHEDULES, st.sampled_from(ZONES), st.sampled_from(["1m", "25m", "90m", "7h"]), NEAR_A_CHANGE | MOMENTS)
def test_it_is_closed_after_each_reading_of_each_wall_minute_that_matches(
    fields: tuple[str, str, str, str], where: str, duration: str, moment: datetime
) -> None:
    minute, hour, day, weekday = fields
    freeze = again(f"{minute} {hour} {day} * {weekday}", duration, where)
    local = (moment.replace(tzinfo=None) + timedelta(hours=14)).replace(second=0, microsecond=0)
    minutes = (local - timedelta(minutes=m) for m in range(34 * 60))
    starts = [start for m in minutes if matches(m, fields) for start in readings(m, zone(where))]
    ends = [start + freeze.lasts for start in starts if start <= moment < start + freeze.lasts]
    assert closed_until(freeze, moment) == max(ends, default=None)


FREEZES = st.one_of(
    st.builds(
        lambda s, h, z: once(s.strftime("%Y-%m-%dT%H:%M"), (s + timedelta(hours=h)).strftime("%Y-%m-%dT%H:%M"), z),
        MOMENTS | NEAR_A_CHANGE, st.integers(2, 400), st.sampled_from(ZONES),
    ),
    st.builds(
        lambda f, d, z: again(f"{f[0]} {f[1]} {f[2]} * {f[3]}", d, z),
        SCHEDULES.filter(lambda f: f[0] != "*"), st.sampled_from(["10m", "3h", "30h"]), st.sampled_from(ZONES),
    ),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(FREEZES, min_size=1, max_size=4), MOMENTS | NEAR_A_CHANGE, st.lists(st.floats(0, 1), max_size=10))
def test_it_opens_where_nothing_is_closed_and_all_before_is(
    freezes: list[FreezeSpec], now: datetime, samples: list[float]
) -> None:
    there = rules(*freezes)
    frozen = there.frozen(PROD, now)
    if frozen is None or frozen.opens is None:
        return
    assert now < frozen.opens
    assert there.frozen(PROD, frozen.opens) is None
    for part in [*samples, 0]:
        moment = now + (frozen.opens - now) * part
        if moment < frozen.opens:
            again_frozen = there.frozen(PROD, moment)
            assert again_frozen is not None
            assert again_frozen.opens == frozen.opens
    assert there.frozen(PROD, frozen.opens - timedelta(microseconds=1)) is not None
