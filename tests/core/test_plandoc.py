"""The words around a plan: which settings lower a bar, what is said of each act, and what its digest is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.core.alterations import altered, entries_altered, shown
from reconciler.core.declare import read
from reconciler.core.plan import Plan, Proposed
from reconciler.core.plandoc import (
    ChangePlan,
    EnvironmentPlan,
    PolicyChange,
    Running,
    WayBack,
    earliest,
    on_failure,
    on_merge,
    undo,
)
from reconciler.errors import Reason
from reconciler.model import (
    Action,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Release,
    RunId,
    Verdict,
)
from tests.factories import NOON

OLD, NEW = Digest("1" * 64), Digest("2" * 64)
HEAD = CommitId("a" * 40)
LIVE = Release("101-111111111111", RunId(101), OLD)
WANTED = Proposed(Digest("3" * 64), RunId(102), NEW)


def leaves(more: str = "", run: int = 1) -> dict[str, object]:
    text = f"version: 1\nartifact: {{name: a, run_id: {run}, sha256: {'0' * 64}}}\n"
    reading = read("x.yaml", f"{text}target: {{type: directory, path: /srv/x}}\n{more}".encode())
    assert reading.declaration, reading.problems
    return reading.declaration.leaves()


TWO = "approval: {required: 2, from: [ann, bob]}"
TCP = "health: {tcp: '127.0.0.1:80'}"
RUNS = "activate: {command: [./r]}\nconfig: {A: hello}\nsecrets: {S: {env: X}}"
SOAK = "promote: {after: [dev, staging], soak: 1h}"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param("", "", [], id="only the run differs"),
        pytest.param("", "suspend: true", ["suspend: false → true"], id="no bar"),
        pytest.param(TWO, "approval: {required: 1, from: [ann, bob]}", ["approval.required: 2 → 1 !"], id="fewer"),
        pytest.param(TWO, "approval: {required: 3, from: [ann, bob]}", ["approval.required: 2 → 3"], id="more people"),
        pytest.param(TWO, "approval: {required: 2}", ["approval.from: [ann, bob] → - !"], id="anybody"),
        pytest.param(TWO, "approval: {required: 2, from: [ann]}", ["approval.from: [ann, bob] → [ann]"], id="one less"),
        pytest.param(
            TWO, "approval: {required: 2, from: [ann, bob, eve]}",
            ["approval.from: [ann, bob] → [ann, bob, eve] !"], id="somebody else too",
        ),
        pytest.param("", "approval: {allow_self: true}", ["approval.allow_self: false → true !"], id="authors"),
        pytest.param("", "approval: none", ["approval: {required: 1, allow_self: false} → none !"], id="nobody"),
        pytest.param("approval: none", "", ["approval: none → {required: 1, allow_self: false}"], id="somebody again"),
        pytest.param("", SOAK, ["promote.after: - → [dev, staging]", "promote.soak: - → 1h"], id="a new upstream"),
        pytest.param(SOAK, "", ["promote.after: [dev, staging] → - !", "promote.soak: 1h → - !"], id="no upstream"),
        pytest.param(SOAK, SOAK.replace("1h", "90m"), ["promote.soak: 1h → 90m"], id="a longer soak"),
        pytest.param(SOAK, SOAK.replace("1h", "59m"), ["promote.soak: 1h → 59m !"], id="a shorter soak"),
        pytest.param(TCP, TCP.replace("80", "81"), ["health.tcp: 127.0.0.1:80 → 127.0.0.1:81"], id="another check"),
        pytest.param(
            RUNS, RUNS.replace("hello", "hullo").replace("{env: X}", "{file: /x}"),
            ["config.A: a value → another value", "secrets.S: a reference → another reference"], id="no value",
        ),
        pytest.param(
            SOAK, SOAK.replace("dev, ", ""), ["promote.after: [dev, staging] → [staging] !"], id="one upstream less"
        ),
    ],
)  # fmt: skip
def test_settings_that_differ_and_which_of_them_lower_a_bar(before: str, after: str, told: list[str]) -> None:
    found = altered(leaves(before), leaves(after, run=2))
    assert [f"{s.path}: {shown(s.before)} → {shown(s.after)}{' !' if s.loosens else ''}" for s in found] == told


def test_a_release_that_is_not_asked_for_its_health_any_more_lowers_a_bar() -> None:
    assert [s.path for s in altered(leaves(TCP), leaves()) if s.loosens] == ["health.tcp"]
    other = "health: {command: [./check]}"
    assert [s.path for s in altered(leaves(TCP), leaves(other)) if s.loosens] == []


def test_values_are_kept_as_the_file_has_them_and_none_where_there_is_none() -> None:
    (soak_gone, *_), (nobody,) = altered(leaves(SOAK), leaves()), altered(leaves(), leaves("approval: none"))
    assert (soak_gone.before, soak_gone.after) == (("dev", "staging"), None)
    assert (nobody.before, nobody.after) == ({"required": 1, "allow_self": False}, "none")


def test_an_entry_that_leaves_the_policy_lowers_a_bar_and_one_that_comes_does_not() -> None:
    before, after = {"revoked": ({"run_id": 1},), "freeze": ()}, {"revoked": ({"run_id": 2},), "freeze": ()}
    gone, come = entries_altered(before, after)
    assert (gone.before, gone.after, gone.loosens) == ({"run_id": 1}, None, True)
    assert (come.before, come.after, come.loosens) == (None, {"run_id": 2}, False)


def planned(action: Action, before: Release | None = LIVE, *held: GateResult) -> EnvironmentPlan:
    name = EnvironmentName("prod")
    plan = Plan(name, action, HEAD, WANTED, before, "/srv/prod", held)
    declared = Declared(HEAD, RunId(102), NEW)
    return EnvironmentPlan(name, "environments/prod.yaml", None, declared, before, "", plan, held, drifted=3)


def hold(gate: Gate, minutes: int | None) -> GateResult:
    at = NOON + timedelta(minutes=minutes) if minutes is not None else None
    return GateResult(gate, Verdict.HELD, Reason.FROZEN, "closed", not_before=at)


@pytest.mark.parametrize(
    ("one", "merge", "failure", "back"),
    [
        pytest.param(
            planned(Action.DEPLOY), "installs 102-222222222222 beside 101-111111111111 at /srv/prod and switches",
            "live stays 101-111111111111", "reconciler rollback prod --to 101", id="deploy",
        ),
        pytest.param(
            planned(Action.DEPLOY, None), "installs 102-222222222222 at /srv/prod, the first", "nothing is live",
            "revert the merge; what it installed stays", id="the first",
        ),
        pytest.param(
            planned(Action.ROLLBACK), "switches current from 101-111111111111 back to 102-222222222222",
            "live stays 101-111111111111", "reconciler rollback prod --to 101", id="roll back",
        ),
        pytest.param(
            replace(planned(Action.ROLLBACK), way_back=WayBack.CLOSED_HERE), "switches current", "live stays",
            "revert the merge, which also lifts the revocation of run 101", id="revoked by the same merge",
        ),
        pytest.param(
            replace(planned(Action.DEPLOY), way_back=WayBack.CLOSED_BEFORE), "installs", "live stays",
            "promote another run; run 101, which is live now, is revoked", id="revoked before",
        ),
        pytest.param(planned(Action.REPAIR), "installs 102-222222222222 anew", "live stays", "revert", id="repair"),
        pytest.param(planned(Action.ACCEPT), "keeps 102-222222222222 live", "", "revert the merge", id="settings"),
        pytest.param(planned(Action.NONE), "changes nothing", "", "", id="nothing"),
        pytest.param(
            planned(Action.DEPLOY, LIVE, hold(Gate.FREEZE, 5)),
            "nothing changes until the gate freeze passes, at the earliest at 2026-03-01 12:05:00Z; then it installs",
            "live stays", "reconciler rollback", id="held, and until when",
        ),
        pytest.param(
            planned(Action.DEPLOY, LIVE, hold(Gate.PROMOTION, 5), hold(Gate.FREEZE, None)),
            "nothing changes until the gates promotion and freeze pass; then it installs",
            "live stays", "reconciler", id="held",
        ),
        pytest.param(
            replace(planned(Action.NONE), plan=None, removed=True), "nothing is torn down: 101-111111111111 stays live",
            "", "put the file back", id="removed",
        ),
        pytest.param(replace(planned(Action.NONE), plan=None), "nothing changes: 101-", "", "", id="unreadable"),
        pytest.param(
            replace(planned(Action.NONE), plan=None, live=None, live_unknown="no such folder"),
            "what is live can't be told from here", "", "", id="out of sight",
        ),
    ],
)  # fmt: skip
def test_what_happens_on_merge_on_failure_and_how_it_is_undone(
    one: EnvironmentPlan, merge: str, failure: str, back: str
) -> None:
    assert on_merge(one).startswith(merge)
    assert on_failure(one).startswith(failure)
    assert bool(on_failure(one)) is bool(failure)
    assert undo(one).startswith(back)
    assert bool(undo(one)) is bool(back)


RUNNING = Running("command ./restart", "http://127.0.0.1/ok", "60s", "101-111111111111")


@pytest.mark.parametrize(
    ("action", "running", "then"),
    [
        pytest.param(
            Action.DEPLOY, RUNNING,
            "if it is live and does not run, 101-111111111111 is brought back by itself, and this is not tried again",
            id="back to the last good one",
        ),
        pytest.param(
            Action.ACTIVATE, RUNNING,
            "if it does not run with that, 101-111111111111 is activated by itself with the settings of before",
            id="back to the settings of before",
        ),
        pytest.param(Action.DEPLOY, replace(RUNNING, good=""), "people to look at: there is nothing to", id="first"),
        pytest.param(Action.REPAIR, RUNNING, "people to look at: there is nothing to go back to", id="a repair"),
        pytest.param(Action.DEPLOY, replace(RUNNING, hold=True), "look at: rollback is set to hold", id="hold"),
        pytest.param(Action.ROLLBACK, RUNNING, "look at: a rollback is never rolled back", id="a rollback"),
    ],
)  # fmt: skip
def test_what_follows_when_it_is_live_and_does_not_run(action: Action, running: Running, then: str) -> None:
    assert then in on_failure(replace(planned(action), running=running))


def test_how_it_comes_to_life_is_told_where_anything_is_to_be_seen_of_it() -> None:
    one = planned(Action.DEPLOY)
    assert on_merge(replace(one, running=RUNNING)).endswith(
        " and switches current; then activates it (command ./restart) and gives it 60s to pass its health check "
        "(http://127.0.0.1/ok)"
    )
    asked = replace(RUNNING, activation="")
    assert on_merge(replace(one, running=asked)).endswith(
        "; then gives it 60s to pass its health check (http://127.0.0.1/ok)"
    )
    assert on_merge(replace(one, running=replace(RUNNING, health=""))).endswith(
        "; then activates it (command ./restart)"
    )
    assert on_merge(replace(planned(Action.NONE), running=RUNNING)) == on_merge(planned(Action.NONE))


def test_the_earliest_time_is_the_latest_of_all_that_hold_and_unknown_if_one_is() -> None:
    both = planned(Action.DEPLOY, LIVE, hold(Gate.PROMOTION, 9), hold(Gate.FREEZE, 5))
    assert earliest(both) == NOON + timedelta(minutes=9)
    assert earliest(planned(Action.DEPLOY, LIVE, hold(Gate.PROMOTION, 9), hold(Gate.FREEZE, None))) is None


def test_the_digest_is_over_what_is_done_and_not_over_when_or_what_gates_say() -> None:
    plan = ChangePlan(HEAD, HEAD, "main", NOON, (planned(Action.DEPLOY),))
    later = replace(
        plan, as_of=NOON + timedelta(days=1), environments=(planned(Action.DEPLOY, LIVE, hold(Gate.FREEZE, 5)),)
    )
    assert later.digest == plan.digest
    others = [
        replace(plan, environments=()),
        replace(plan, environments=(planned(Action.ROLLBACK),)),
        replace(plan, environments=(planned(Action.DEPLOY, None),)),
        replace(plan, policy=PolicyChange(OLD, NEW, (), ())),
    ]
    assert len({one.digest for one in (plan, *others)}) == len(others) + 1
    assert (later.refused, plan.refused) == (True, False)
    assert replace(plan, rewritten="gone").refused
