"""What is due, and when to look again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from reconciler.core.approve import Approval
from reconciler.core.lanes import Lane, Past, lane_of, patience, rest, usual
from reconciler.core.plan import Plan, Proposed, decide, plan_digest
from reconciler.core.schedule import (
    HOUR,
    REPAIR_PAUSE,
    DueQueue,
    Signal,
    hold_delay,
    repair_from,
    retry_delay,
    signalled,
    sweep_at,
)
from reconciler.errors import WAITS_FOR_PEOPLE, Reason
from reconciler.model import (
    Accepted,
    Action,
    CommitId,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Gate,
    GateResult,
    Observation,
    Release,
    RunId,
    Verdict,
)
from tests.factories import NOON, approval, sha256

WANTED = approval(b"new")
LIVE = Release("101-x", RunId(101), sha256(b"new"))
DRIFT = (Drift("a", DriftKind.MISSING, "a file", "nothing"),)


def accepted(of: Approval, declaration: str | None = None) -> Accepted:
    digest = Digest(declaration) if declaration else of.declaration
    return Accepted(EnvironmentName("staging"), of.commit, digest, of.run_id, of.sha256, "", (), NOON)


@pytest.mark.parametrize(
    ("observed", "action"),
    [
        (Observation(None, None), Action.DEPLOY),
        (Observation(None, accepted(WANTED), DRIFT), Action.DEPLOY),
        (Observation(Release("100-x", RunId(100), sha256(b"old")), None), Action.DEPLOY),
        (Observation(Release("100-x", RunId(100), sha256(b"new")), None), Action.DEPLOY),
        (Observation(LIVE, accepted(WANTED), DRIFT), Action.REPAIR),
        (Observation(LIVE, accepted(WANTED, "e" * 64)), Action.ACCEPT),
        (Observation(LIVE, None), Action.ACCEPT),
        (Observation(LIVE, accepted(WANTED)), Action.NONE),
    ],
    ids=[
        "nothing is live",
        "what was live is gone",
        "another artifact is live",
        "the same bytes of another run are live",
        "the right release drifted",
        "another declaration of the same artifact",
        "live, but no record of why",
        "converged",
    ],
)
def test_one_action_is_due(observed: Observation, action: Action) -> None:
    assert decide(WANTED, observed, never) is action


def never(run_id: RunId, sha256: Digest) -> bool:
    """Nothing was ever live."""
    return False


@pytest.mark.parametrize(
    ("live", "was_live", "action"),
    [
        pytest.param(102, True, Action.ROLLBACK, id="an earlier run that was live here: back"),
        pytest.param(102, False, Action.DEPLOY, id="an earlier run that never was: a promotion"),
        pytest.param(100, True, Action.DEPLOY, id="a later run that was live here: a promotion once more"),
        pytest.param(None, True, Action.DEPLOY, id="nothing is live: there is nothing to go back from"),
    ],
)
def test_back_is_only_to_an_earlier_run_that_was_live_here(live: int | None, was_live: bool, action: Action) -> None:
    release = Release(f"{live}-x", RunId(live), sha256(b"other")) if live else None
    asked: list[tuple[RunId, Digest]] = []

    def known(run_id: RunId, digest: Digest) -> bool:
        asked.append((run_id, digest))
        return was_live

    assert decide(WANTED, Observation(release, None), known) is action
    assert set(asked) <= {(WANTED.run_id, WANTED.sha256)}


PLAN = Plan(
    EnvironmentName("staging"),
    Action.DEPLOY,
    CommitId("c" * 40),
    Proposed(WANTED.declaration, WANTED.run_id, WANTED.sha256),
    LIVE,
    "/srv/staging",
    (),
)


def test_a_digest_is_of_the_act_and_not_of_the_moment() -> None:
    held = GateResult(Gate.FREEZE, Verdict.HELD, Reason.FROZEN, "closed")
    for same in (
        replace(PLAN, commit=CommitId("d" * 40)),
        replace(PLAN, gates=(held,)),
        replace(PLAN, wanted=replace(WANTED, judged_at=NOON + timedelta(days=1), request="#2", approvers=())),
    ):
        assert same.digest == PLAN.digest
    assert PLAN.digest == plan_digest(PLAN.environment, PLAN.action, WANTED, LIVE, PLAN.target)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, environment=EnvironmentName("prod")),
        replace(PLAN, action=Action.ROLLBACK),
        replace(PLAN, before=None),
        replace(PLAN, before=replace(LIVE, id="101-x.2")),
        replace(PLAN, target="/srv/other"),
        replace(PLAN, wanted=Proposed(Digest("e" * 64), WANTED.run_id, WANTED.sha256)),
        replace(PLAN, wanted=Proposed(WANTED.declaration, RunId(7), WANTED.sha256)),
        replace(PLAN, wanted=Proposed(WANTED.declaration, WANTED.run_id, sha256(b"else"))),
    ],
    ids=["environment", "action", "nothing live", "live again", "place", "declaration", "run", "content"],
)
def test_another_act_has_another_digest(other: Plan) -> None:
    assert other.digest != PLAN.digest


def test_a_plan_tells_the_first_gate_that_holds() -> None:
    passed = GateResult(Gate.HISTORY, Verdict.PASSED)
    soaking = GateResult(Gate.PROMOTION, Verdict.HELD, Reason.SOAKING)
    frozen = GateResult(Gate.FREEZE, Verdict.HELD, Reason.FROZEN)
    assert replace(PLAN, gates=(passed, soaking, frozen)).held is soaking
    assert replace(PLAN, gates=(passed, GateResult(Gate.APPROVAL, Verdict.PENDING))).held is None


def test_retries_wait_longer_each_time_and_never_longer_than_a_poll() -> None:
    assert [retry_delay(n, 15.0, 1.0) for n in (1, 2, 3, 4, 5, 60)] == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_retries_are_spread_over_half_their_length() -> None:
    assert retry_delay(3, 15.0, 0.0) == 2.0


def test_the_queue_gives_each_key_once_at_its_earliest_time() -> None:
    queue = DueQueue()
    queue.put("late", 9.0)
    queue.put("twice", 5.0)
    queue.put("twice", 2.0)
    queue.put("twice", 7.0)
    assert queue.next_at() == 2.0
    assert queue.take(1.9) is None
    assert queue.take(8.0) == "twice"
    assert queue.take(8.0) is None
    assert queue.next_at() == 9.0
    assert queue.take(9.0) == "late"
    assert queue.next_at() is None


@pytest.mark.parametrize(
    ("waits_for_people", "opens_in", "delay"),
    [
        pytest.param(False, None, 15.0, id="a fault may be over at any time"),
        pytest.param(True, None, 60.0, id="people are waited for at the pace of drift"),
        pytest.param(False, 7_200.0, 60.0, id="so is a gate that can't open for hours"),
        pytest.param(False, 20.0, 20.0, id="but not past the time at which it can"),
        pytest.param(False, 0.2, 1.0, id="nor in a hot loop right before it"),
        pytest.param(False, -5.0, 1.0, id="a gate that could be open is looked at soon"),
    ],
)
def test_what_holds_says_when_to_look_again(waits_for_people: bool, opens_in: float | None, delay: float) -> None:
    assert hold_delay(99, 15.0, 60.0, 1.0, waits_for_people=waits_for_people, opens_in=opens_in) == delay


def test_a_slower_poll_is_no_reason_to_look_more_often() -> None:
    assert hold_delay(99, 300.0, 60.0, 1.0, waits_for_people=True, opens_in=None) == 300.0


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.REVOKED, Reason.SELF_APPROVAL, Reason.DIGEST_MISMATCH])
def test_what_only_a_person_can_end_waits_for_people(reason: Reason) -> None:
    assert reason in WAITS_FOR_PEOPLE


def test_sweeps_come_in_whole_seconds_and_are_spread() -> None:
    assert sweep_at(1000.3, 300.0, 0.0) == 1271.0
    assert sweep_at(1000.3, 300.0, 1.0) == 1331.0
    assert sweep_at(1000.3, 0.1, 0.5) == pytest.approx(1000.4), "but nothing is rounded that comes many times a second"


# --- lanes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("past", "news", "lane"),
    [
        pytest.param(Past(), False, Lane.PROMPT, id="what was as it should be"),
        pytest.param(Past(slow=True), False, Lane.PROMPT, id="what was slow, and came to its end"),
        pytest.param(Past(failed=True), False, Lane.RETRY, id="what failed, and nothing happened since"),
        pytest.param(Past(failed=True), True, Lane.PROMPT, id="what failed, and was changed since"),
        pytest.param(Past(failed=True, slow=True), False, Lane.SLOW, id="what failed and may hang"),
        pytest.param(Past(failed=True, slow=True), True, Lane.PROMPT, id="what may hang, and was changed since"),
    ],
)
def test_what_fails_without_news_waits_among_its_like(past: Past, news: bool, lane: Lane) -> None:
    assert lane_of(past, news=news) is lane


def test_patience_follows_what_is_usual_within_bounds() -> None:
    assert patience(0.001) == 0.1
    assert patience(0.2) == pytest.approx(0.8)
    assert patience(60.0) == 5.0


def test_one_pass_that_hangs_does_not_make_hanging_usual() -> None:
    took = 0.05
    for _ in range(10):
        took = usual(took, 3600.0)
    assert patience(took) < 4.0
    for _ in range(50):
        took = usual(took, 0.05)
    assert took == pytest.approx(0.05, rel=0.1)


def test_retries_take_a_fortieth_of_a_worker_and_are_not_put_off_for_long() -> None:
    assert rest(0.02) == pytest.approx(0.78)
    assert rest(60.0) == 5.0


# --- repairs of drift, and looks that somebody's writing asks for -------------------------------------


def made(*ago: float) -> list[datetime]:
    """Repairs so many seconds before noon."""
    return [NOON - timedelta(seconds=seconds) for seconds in ago]


@pytest.mark.parametrize(
    ("repairs", "hourly", "wait"),
    [
        pytest.param(made(), 6, None, id="the first one is made at once"),
        pytest.param(made(1, 2), 6, None, id="so are the next two"),
        pytest.param(made(1, 2, 3), 6, 29.0, id="then there is a pause"),
        pytest.param(made(31, 32, 33), 6, None, id="which ends"),
        pytest.param(made(10, 50, 52, 53), 6, 50.0, id="and is twice as long each time"),
        pytest.param(made(60, 120, 300, 900, 1800, 3000), 6, 600.0, id="and never more than so many in an hour"),
        pytest.param(made(3601, 3602, 3603, 3604), 6, None, id="what is older than an hour is forgotten"),
        pytest.param(made(5), 1, 3595.0, id="one an hour is one an hour"),
        pytest.param(made(), 0, 3600.0, id="none is none"),
    ],
)
def test_repairs_come_in_growing_pauses(repairs: list[datetime], hourly: int, wait: float | None) -> None:
    start = repair_from(reversed(repairs), NOON, hourly)
    assert start == (None if wait is None else NOON + timedelta(seconds=wait))


def test_a_clock_that_was_set_back_holds_no_repair() -> None:
    assert repair_from([NOON + timedelta(days=n) for n in range(1, 30)], NOON, 6) is None


def test_what_writes_all_the_time_is_repaired_so_often_an_hour_and_no_more() -> None:
    now, repairs = NOON, list[datetime]()
    for _ in range(20_000):
        if repair_from(repairs, now, 6) is None:
            repairs.append(now)
        now += timedelta(seconds=1)
    for start in repairs:
        assert sum(start <= at < start + HOUR for at in repairs) <= 6
    assert min(later - at for at, later in pairwise(repairs[2:])) >= REPAIR_PAUSE


def test_a_touch_is_looked_at_at_once_and_a_program_that_writes_all_the_time_ever_more_rarely() -> None:
    looks, signal = list[float](), None
    for tenth in range(6_000):
        now = 100.0 + tenth / 10
        signal = signalled(signal, now)
        if not looks or signal.at != looks[-1]:
            looks.append(signal.at)
    assert looks[0] == 100.0
    gaps = [later - at for at, later in pairwise(looks)]
    assert gaps[:4] == pytest.approx([1.0, 2.0, 4.0, 8.0])
    assert gaps[-1] == pytest.approx(60.0)


def test_a_touch_after_a_quiet_while_is_looked_at_at_once_again() -> None:
    assert signalled(Signal(100.0, 8.0), 117.0) == Signal(117.0, 1.0)
    assert signalled(Signal(100.0, 8.0), 115.0) == Signal(115.0, 16.0)
    assert signalled(Signal(100.0, 8.0), 103.0) == Signal(108.0, 16.0)
