"""Who is proven where: one table of upstreams, and what is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.core.declare import PromoteSpec
from reconciler.core.plan import Proposed
from reconciler.core.promotion import Rule, Upstream, judge_promotion, strictest
from reconciler.errors import Reason
from reconciler.model import Digest, EnvironmentName, Gate, GateResult, Release, RunId, Soak, Verdict
from tests.factories import NOON, sha256

ONE, TWO = EnvironmentName("one"), EnvironmentName("two")
SHA = sha256(b"wanted")
WANTED = Proposed(Digest("d" * 64), RunId(7), SHA)
HERE = Release("7-x", RunId(7), SHA)
REBUILT = Release("6-x", RunId(6), SHA)
OTHER = Release("8-x", RunId(8), sha256(b"other"))


def soaked(seconds: float, name: EnvironmentName = ONE) -> Soak:
    return Soak(name, RunId(7), SHA, NOON, Digest("5" * 64), NOON, NOON, seconds, 1)


def judge(rule: Rule, *upstreams: Upstream) -> GateResult:
    return judge_promotion(WANTED, rule, upstreams, NOON)


RULE = Rule((ONE,), 60.0)


@pytest.mark.parametrize(
    ("rule", "upstream", "reason"),
    [
        pytest.param(RULE, Upstream(ONE, HERE, "", soaked(60)), None, id="for just as long as is asked"),
        pytest.param(RULE, Upstream(ONE, REBUILT, "", soaked(60)), None, id="the same bytes of another run"),
        pytest.param(RULE, Upstream(ONE, HERE, "", soaked(59.9)), Reason.SOAKING, id="a little too short"),
        pytest.param(RULE, Upstream(ONE, HERE), Reason.SOAKING, id="healthy, and never watched"),
        pytest.param(RULE, Upstream(ONE, OTHER, "", soaked(60)), Reason.NOT_IN_UPSTREAM, id="another artifact"),
        pytest.param(RULE, Upstream(ONE, None), Reason.NOT_IN_UPSTREAM, id="nothing at all"),
        pytest.param(RULE, Upstream(ONE, HERE, "drift", soaked(60)), Reason.UPSTREAM_UNHEALTHY, id="not healthy now"),
        pytest.param(RULE, Upstream(ONE, OTHER, "drift"), Reason.NOT_IN_UPSTREAM, id="not healthy, and another one"),
        pytest.param(Rule((ONE,), 0.0), Upstream(ONE, HERE), None, id="no soak is asked"),
        pytest.param(Rule((ONE,), 0.0), Upstream(ONE, HERE, "drift"), Reason.UPSTREAM_UNHEALTHY, id="nor forgiven"),
    ],
)
def test_an_upstream(rule: Rule, upstream: Upstream, reason: Reason | None) -> None:
    word = judge(rule, upstream)
    assert (word.gate, word.reason) == (Gate.PROMOTION, reason)
    assert (word.verdict is Verdict.HELD) == (reason is not None)
    assert word.evidence
    assert (word.hint != "") == (reason is not None)


def test_whoever_promotes_from_nowhere_passes() -> None:
    assert judge(strictest([None, None])).verdict is Verdict.PASSED


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("one", "two", "reason"),
    [
        (Upstream(ONE, HERE, "", soaked(60)), Upstream(TWO, HERE, "", soaked(60)), None),
        (Upstream(ONE, HERE, "", soaked(60)), Upstream(TWO, HERE, "", soaked(5)), Reason.SOAKING),
        (Upstream(ONE, HERE, "", soaked(5)), Upstream(TWO, HERE, "drift"), Reason.UPSTREAM_UNHEALTHY),
        (Upstream(ONE, HERE, "drift"), Upstream(TWO, OTHER), Reason.NOT_IN_UPSTREAM),
        (Upstream(ONE, HERE, "", soaked(5)), Upstream(TWO, None), Reason.NOT_IN_UPSTREAM),
    ],
)
def test_of_two_upstreams_both_must_prove_it_and_the_worse_is_told(
    one: Upstream, two: Upstream, reason: Reason | None, swapped: bool
) -> None:
    upstreams = (two, one) if swapped else (one, two)
    word = judge(Rule((ONE, TWO), 60.0), *upstreams)
    assert word.reason is reason
    assert len(word.evidence) == 2


def test_the_earliest_time_is_that_of_the_last_to_be_proven() -> None:
    upstreams = Upstream(ONE, HERE, "", soaked(50)), Upstream(TWO, HERE, "", soaked(20, TWO))
    assert judge(Rule((ONE, TWO), 60.0), *upstreams).not_before == NOON + timedelta(seconds=40)


def test_nobody_can_tell_the_earliest_time_while_something_else_must_happen_first() -> None:
    upstreams = Upstream(ONE, HERE, "", soaked(50)), Upstream(TWO, None)
    assert judge(Rule((ONE, TWO), 60.0), *upstreams).not_before is None


def test_of_two_rules_every_upstream_and_the_longer_soak_count() -> None:
    one = PromoteSpec.model_validate({"after": ("one",), "soak": "30m"})
    both = PromoteSpec.model_validate({"after": ("two", "one"), "soak": "10s"})
    assert strictest([one, None, both]) == Rule((ONE, TWO), 1800.0)
