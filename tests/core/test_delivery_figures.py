"""The four figures of DORA, from a story of what was done to environments told in a few words."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from reconciler.core.delivery_figures import Lead, by_day, deployments, failure_rate, leads, restores, spread
from reconciler.errors import Reason
from reconciler.model import (
    Action,
    Attempt,
    Declared,
    Digest,
    EnvironmentName,
    Health,
    Outcome,
    Release,
    RunId,
    Sync,
    Transition,
)
from tests.factories import NOON, sha256


def digest(run: int) -> Digest:
    return sha256(b"%d" % run)


def release(run: int) -> Release:
    return Release(str(run), RunId(run), digest(run))


def attempts(*story: str) -> list[Attempt]:
    """Each `MINUTE ACTION RUN [OUTCOME] [from RUN] [in ENVIRONMENT]`, in order of their ids."""
    found: list[Attempt] = []
    for number, line in enumerate(story, 1):
        minute, action, run, *rest = line.split()
        where = rest[rest.index("in") + 1] if "in" in rest else "prod"
        outcome = Outcome(rest[0]) if rest and rest[0] in tuple(Outcome) else Outcome.SUCCEEDED
        at = NOON + timedelta(minutes=float(minute))
        reason = Reason.HEALTH_CHECK_FAILED if outcome is Outcome.FAILED else None
        reason = Reason.DIGEST_MISMATCH if "bytes" in rest else reason
        before = release(int(rest[rest.index("from") + 1])) if "from" in rest else None
        declared = Declared(None, RunId(int(run)), digest(int(run)))
        found.append(
            Attempt(
                *(EnvironmentName(where), Action(action), declared, before, at - timedelta(seconds=10), number),
                finished=at,
                outcome=outcome,
                reason=reason,
            )
        )
    return found


def changes(*story: str) -> list[Transition]:
    """Each `MINUTE HEALTH [REASON] [in ENVIRONMENT]`."""
    found: list[Transition] = []
    for number, line in enumerate(story, 1):
        minute, health, *rest = line.split()
        where = rest[rest.index("in") + 1] if "in" in rest else "prod"
        reason = Reason(rest[0]) if rest and rest[0] != "in" else None
        at = NOON + timedelta(minutes=float(minute))
        found.append(Transition(number, at, EnvironmentName(where), Sync.SYNCED, Health(health), reason, ""))
    return found


@pytest.mark.parametrize(
    ("story", "wanted"),
    [
        pytest.param([], None, id="nothing was deployed"),
        pytest.param(["0 deploy 1", "1 deploy 2"], 0.0, id="all is well"),
        pytest.param(["0 deploy 1", "1 deploy 2 failed"], 0.5, id="one of two failed"),
        pytest.param(
            ["0 deploy 1", "1 deploy 2 failed", "2 rollback 1 from 2"], 0.5, id="a failure and its rollback are one"
        ),
        pytest.param(["0 deploy 1", "1 deploy 2", "9 rollback 1 from 2"], 0.5, id="people went back from one"),
        pytest.param(
            ["0 deploy 1", "1 deploy 2", "2 rollback 1 from 2", "3 deploy 2", "4 rollback 1 from 2"],
            2 / 3,
            id="each time that it came and went",
        ),
        pytest.param(["0 deploy 1", "1 rollback 7 from 8"], 0.0, id="what it went back from is out of the span"),
        pytest.param(
            ["0 deploy 1", "0 deploy 1 in dev", "1 rollback 0 from 1 in dev"], 0.5, id="each environment by itself"
        ),
        pytest.param(["0 deploy 1", "1 rollback 0 failed from 1"], 0.0, id="a rollback that came to nothing"),
        pytest.param(["0 deploy 1", "1 deploy 2 refused", "2 deploy 2 interrupted"], 0.0, id="no outcome of its own"),
        pytest.param(["0 repair 1 failed", "1 deploy 1"], 0.0, id="a repair is no deployment"),
    ],
)
def test_the_part_of_deployments_that_failed(story: list[str], wanted: float | None) -> None:
    assert failure_rate(attempts(*story)) == wanted
    assert failure_rate(attempts(*story)[::-1]) == wanted


@pytest.mark.parametrize(
    ("story", "states", "wanted"),
    [
        pytest.param([], [], [], id="nothing broke"),
        pytest.param([], ["0 Degraded Drifted", "3 Healthy"], [3], id="degraded, and healthy again"),
        pytest.param([], ["0 Healthy", "1 Degraded", "2 Degraded", "5 Healthy", "7 Healthy"], [4], id="counted once"),
        pytest.param([], ["0 Degraded"], [], id="still broken"),
        pytest.param(["0 deploy 2 failed", "2 rollback 1 from 2"], [], [2], id="until the rollback"),
        pytest.param(
            ["0 deploy 2 failed", "2 rollback 1 from 2", "60 deploy 3"],
            ["0 Degraded HealthCheckFailed", "2 Degraded HealthCheckFailed", "60 Healthy"],
            [2],
            id="what stays Degraded after a rollback tells of what failed",
        ),
        pytest.param(
            ["0 deploy 2 failed", "2 rollback 1 from 2"],
            ["2 Degraded HealthCheckFailed", "10 Degraded Drifted", "12 Healthy"],
            [2, 2],
            id="what breaks after a rollback is a break",
        ),
        pytest.param(["0 deploy 2 failed bytes", "9 deploy 3"], [], [], id="bytes that never went live broke nothing"),
        pytest.param(
            [], ["0 Degraded in dev", "1 Degraded", "2 Healthy", "6 Healthy in dev"], [1, 6], id="each by itself"
        ),
    ],
)
def test_the_time_to_restore(story: list[str], states: list[str], wanted: list[float]) -> None:
    assert restores(attempts(*story), changes(*states)) == tuple(60 * minutes for minutes in wanted)


def test_a_lead_time_goes_from_ci_to_the_first_time_that_it_is_live_in_each_environment() -> None:
    built = {(RunId(1), digest(1)): NOON, (RunId(2), digest(2)): NOON + timedelta(hours=1)}
    story = attempts(
        *("10 deploy 1 in dev", "30 deploy 1", "40 deploy 3", "50 deploy 1", "20 deploy 2", "59 rollback 1 from 3"),
        "59 deploy 1 failed in qa",
    )
    wanted = [("dev", 10), ("prod", 30)]  # run 2 was live before CI began it: one of the clocks is wrong
    assert leads(story, built) == tuple(
        Lead(NOON + timedelta(minutes=m), EnvironmentName(name), timedelta(minutes=m)) for name, m in wanted
    )


def test_days_are_utc_and_none_is_left_out() -> None:
    story = attempts(
        *("719 deploy 1", "720 deploy 2", "730 deploy 3 failed", "740 rollback 2 from 3", "750 deploy 4 refused"),
        *("760 repair 2", "999999 deploy 9"),
    )
    days = by_day(story, date(2026, 2, 28), date(2026, 3, 2))
    assert [(str(one.day), one.deployed, one.failed, one.rolled_back, one.refused) for one in days] == [
        ("2026-02-28", 0, 0, 0, 0),
        ("2026-03-01", 1, 0, 0, 0),
        ("2026-03-02", 1, 1, 1, 1),
    ]
    assert deployments(story) == 3


@pytest.mark.parametrize(
    ("seconds", "median", "p90"),
    [([5.0], 5, 5), ([1.0, 3.0], 2, 3), (list(map(float, range(10, 0, -1))), 5.5, 9), ([1.0] * 19 + [9.0], 1, 1)],
)
def test_a_spread_tells_the_middle_and_what_nine_in_ten_stay_below(
    seconds: list[float], median: float, p90: float
) -> None:
    found = spread(seconds)
    assert found
    assert (found.median, found.p90, found.count) == (median, p90, len(seconds))


def test_of_nothing_there_is_no_spread() -> None:
    assert spread([]) is None
