"""What `ports.Store` promises, on every adapter: each is a function in `MAKERS` that opens a store in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.core import audit
from reconciler.core.audit import START, Checkpoint, Entry, Kind
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    Action,
    Artifact,
    Attempt,
    CommitId,
    Declared,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    NoticeKind,
    OperatorHand,
    Outcome,
    Release,
    Rewrite,
    Run,
    RunId,
    Soak,
    StageTime,
    Status,
    Sync,
    ToldNotice,
    ToldPlan,
    ToldRoute,
    Verdict,
)
from reconciler.ports import Store
from reconciler.stores import sql, told
from tests.factories import NOON

STAGING, PROD = EnvironmentName("staging"), EnvironmentName("shop/prod")
LATER = NOON + timedelta(minutes=5)
DECLARED = Declared(CommitId("c" * 40), RunId(2**63 - 1), Digest("a" * 64))
LIVE = Release("101-aaaaaaaaaaaa", RunId(101), Digest("a" * 64))
GATE = GateResult(
    Gate.APPROVAL, Verdict.HELD, Reason.APPROVAL_MISSING, "nobody \u2028 \U0001f600", ("#12", "é"), "ask", LATER
)
NOTICE = ToldNotice(NoticeKind.HELD, "ApprovalMissing 102-aaaaaaaaaaaa", NOON, 2, "101-aaaaaaaaaaaa")
ROUTE = ToldRoute(NOON, LATER, NOON, "it answered 503")
ATTEMPT = Attempt(
    STAGING,
    Action.DEPLOY,
    DECLARED,
    LIVE,
    NOON,
    request="#12",
    approvers=("7",),
    gates=(GATE,),
    token=4,
    plan="b" * 64,
)
DRIFT = Drift("bin/run", DriftKind.MODE, "0755", "0644")
STATUS = Status(
    environment=STAGING,
    sync=Sync.SYNCED,
    health=Health.HEALTHY,
    reason=None,
    message="as declared",
    hint="",
    declared=DECLARED,
    live=LIVE,
    live_since=NOON,
    gates=(GATE,),
    drift=(DRIFT,),
    request="#12",
    approvers=("7",),
    since=NOON,
)
ACCEPTED = Accepted(STAGING, CommitId("c" * 40), Digest("d" * 64), RunId(101), Digest("a" * 64), "#12", ("7",), NOON)
SOAK = Soak(STAGING, RunId(101), Digest("a" * 64), NOON, Digest("d" * 64), NOON, LATER, 299.75, 4)
POLICY = AcceptedPolicy(CommitId("e" * 40), Digest("f" * 64), "#13", ("7", "9"), NOON)
REWRITE = Rewrite(CommitId("2" * 40), CommitId("1" * 40), "ops", "a secret was removed", LATER)
CHECKPOINT = Checkpoint(2, "9" * 64, NOON, "-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n")
RUN = Run(
    run_id=RunId(17243512345),
    repository="1296269",
    head_repository="1296269",
    workflow=".github/workflows/build.yml",
    branch="main",
    event="push",
    commit="c" * 40,
    conclusion="success",
    attempt=2,
    created=NOON,
    artifacts=(Artifact("shop", "11", 2**40, Digest("a" * 64)), Artifact("logs", "12", 0, None, expired=True)),
    on_branch=True,
    repository_name="acme/shop",
    head_repository_name="acme/shop",
)
PLAN = ToldPlan(12, CommitId("d" * 40), Digest("e" * 64), (Digest("a" * 64), Digest("b" * 64)))
ROLLOUT = f"shop/prod/{'c' * 40}/17243512345"


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0


def sqlite(folder: Path) -> sql.SqlStore:
    return sql.create(f"sqlite:///{folder}/state.db", Noon(), lambda _: None)


MAKERS = {"sqlite": sqlite}


@pytest.fixture(params=list(MAKERS.values()), ids=list(MAKERS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the same store, each time as another process would."""
    opened: list[sql.SqlStore] = []

    def make() -> Store:
        opened.append(request.param(tmp_path))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Store:
    return reopen()


def succeeded(attempt: Attempt) -> Attempt:
    return replace(attempt, outcome=Outcome.SUCCEEDED, finished=LATER, message="done")


def chain(store: Store) -> list[Entry]:
    """The audit chain, verified."""
    entries = list(store.audit())
    head = entries[-1].hash if entries else START.hash
    assert audit.verify([*map(audit.line, entries), audit.trailer(len(entries), head)]).problems == ()
    return entries


# --- an empty memory ----------------------------------------------------------------------------


def test_a_new_store_remembers_nothing(store: Store) -> None:
    assert store.tip() is None
    assert store.statuses() == {}
    assert store.accepted(STAGING) is None
    assert (store.attempts(), store.unfinished(), store.transitions(), list(store.audit())) == ((), (), (), [])
    assert store.hand(STAGING) == OperatorHand()
    assert (store.succeeded(STAGING), store.soaks(), store.policy()) == ((), {}, None)
    assert (store.rewrites(), store.checkpoints()) == ((), ())
    assert (store.run("ci", RUN.run_id), store.told_plans(), store.told_rollouts()) == (None, {}, {})
    assert (store.told_route("oncall"), store.told_notices("oncall")) == (None, {})


def test_everything_is_there_when_it_is_opened_again(reopen: Callable[[], Store]) -> None:
    first = reopen()
    first.save_tip(CommitId("e" * 40))
    attempt = first.begin(ATTEMPT)
    first.finish(succeeded(attempt), STATUS, ACCEPTED)
    first.save_soaks({STAGING: SOAK})
    first.save_policy(POLICY)
    first.accept_rewrite(REWRITE)
    first.save_checkpoint(CHECKPOINT)
    first.save_run("ci", RUN)
    first.save_told_plan(12, PLAN)
    first.save_told_rollout(ROLLOUT, "success: live")
    first.save_told_notices("oncall", ROUTE, {PROD: NOTICE})
    again = reopen()
    assert (again.told_route("oncall"), again.told_notices("oncall")) == (ROUTE, {PROD: NOTICE})
    assert again.run("ci", RUN.run_id) == RUN
    assert (again.told_plans(), again.told_rollouts()) == ({12: PLAN}, {ROLLOUT: "success: live"})
    assert (again.soaks(), again.policy()) == ({STAGING: SOAK}, POLICY)
    assert (again.rewrites(), again.checkpoints()) == ((REWRITE,), (CHECKPOINT,))
    assert again.tip() == REWRITE.tip
    assert again.attempts() == (succeeded(attempt),)
    assert again.statuses() == {STAGING: STATUS}
    assert again.accepted(STAGING) == ACCEPTED
    assert list(again.audit()) == chain(first)


# --- lease --------------------------------------------------------------------------------------


def test_each_token_is_larger_than_all_before(reopen: Callable[[], Store]) -> None:
    first, second = reopen(), reopen()
    tokens = [
        first.acquire("a"),
        second.acquire("b"),
        second.raise_token("b", 50),
        first.acquire("a"),
        first.raise_token("a", 7),
    ]
    assert tokens == [1, 2, 51, 52, 53]


def test_a_store_that_was_lost_can_still_go_above_what_a_target_saw(store: Store) -> None:
    assert store.raise_token("a", 9) == 10
    assert store.acquire("b") == 11


def test_a_former_holder_of_the_lease_gets_no_larger_token(reopen: Callable[[], Store]) -> None:
    former, leader = reopen(), reopen()
    former.acquire("former")
    leader.acquire("leader")
    with pytest.raises(PolicyDenied) as caught:
        former.raise_token("former", 9)
    assert caught.value.reason is Reason.FENCED_OFF
    assert leader.raise_token("leader", 9) == 10


def test_what_was_found_accepted_is_remembered_with_a_status_that_stands(store: Store) -> None:
    store.save(STATUS, NOON)
    assert store.accepted(STAGING) is None
    store.save(STATUS, NOON, ACCEPTED)
    assert store.accepted(STAGING) == ACCEPTED
    assert len(store.transitions()) == 1


def test_what_was_found_accepted_takes_the_place_of_what_was_before(store: Store) -> None:
    store.save(STATUS, NOON, ACCEPTED)
    second = replace(ACCEPTED, commit=CommitId("3" * 40))
    store.save(STATUS, NOON, second)
    assert store.accepted(STAGING) == second
    third = replace(ACCEPTED, commit=CommitId("4" * 40))
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, third)
    assert store.accepted(STAGING) == third
    store.save(replace(STATUS, message="changed"), NOON)
    assert store.accepted(STAGING) == third
    assert store.statuses()[STAGING].message == "changed"


def test_no_token_is_given_twice_to_several_threads(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda n: store.acquire(f"holder {n}"), range(40)))
    assert sorted(tokens) == list(range(1, 41))


# --- statuses and transitions -------------------------------------------------------------------


def test_a_status_comes_back_as_it_was(store: Store) -> None:
    bare = Status(PROD, Sync.UNKNOWN, Health.UNKNOWN, Reason.FORGE_UNAVAILABLE, "", "", Declared(None), None, None, ())
    store.save(STATUS, NOON)
    store.save(replace(bare, since=NOON), NOON)
    assert store.statuses() == {STAGING: STATUS, PROD: replace(bare, since=NOON)}


@pytest.mark.parametrize(
    ("changed", "transitions"),
    [
        pytest.param({}, 1, id="nothing: no transition"),
        pytest.param({"message": "still as declared"}, 1, id="the message: no transition"),
        pytest.param({"drift": ()}, 1, id="the drift: no transition"),
        pytest.param({"sync": Sync.HELD}, 2, id="sync: a transition"),
        pytest.param({"health": Health.DEGRADED}, 2, id="health: a transition"),
        pytest.param({"reason": Reason.FENCED_OFF}, 2, id="the reason: a transition"),
        pytest.param({"live": None}, 2, id="what is live: a transition"),
    ],
)
def test_when_a_pass_changes(store: Store, changed: dict[str, object], transitions: int) -> None:
    store.save(STATUS, NOON)
    status = replace(STATUS, **changed)  # type: ignore[arg-type]
    store.save(status, LATER)
    assert store.statuses()[STAGING] == status
    assert len(store.transitions()) == transitions


def test_a_transition_tells_the_state_that_was_entered(store: Store) -> None:
    store.save(replace(STATUS, sync=Sync.HELD, reason=Reason.APPROVAL_MISSING, message="nobody"), LATER)
    (found,) = store.transitions(STAGING)
    assert (found.at, found.environment, found.sync, found.health) == (LATER, STAGING, Sync.HELD, Health.HEALTHY)
    assert (found.reason, found.message, found.live) == (Reason.APPROVAL_MISSING, "nobody", LIVE.id)


def test_transitions_come_oldest_first_and_only_behind_a_cursor(store: Store) -> None:
    for sync in (Sync.SYNCED, Sync.HELD, Sync.UNKNOWN, Sync.SYNCED):
        store.save(replace(STATUS, sync=sync), NOON)
        store.save(replace(STATUS, sync=sync, environment=PROD), NOON)
    ids = [one.id for one in store.transitions()]
    assert ids == sorted(ids)
    assert [one.sync for one in store.transitions(STAGING)] == [Sync.SYNCED, Sync.HELD, Sync.UNKNOWN, Sync.SYNCED]
    assert [one.id for one in store.transitions(after=ids[5])] == ids[6:]
    assert [one.id for one in store.transitions(limit=3)] == ids[-3:]
    assert store.transitions(after=ids[-1]) == ()
    assert [one.id for one in store.transitions_from(ids[1], 3)] == ids[2:5]
    assert [one.id for one in store.transitions_from(0, 2, PROD)] == [one.id for one in store.transitions(PROD)][:2]
    assert store.transitions_from(ids[-1], 3) == ()


# --- attempts -----------------------------------------------------------------------------------


def test_an_intent_is_in_the_chain_before_anything_happens(store: Store) -> None:
    begun = store.begin(ATTEMPT)
    assert begun == replace(ATTEMPT, id=begun.id)
    assert store.unfinished() == (begun,)
    (entry,) = chain(store)
    assert (entry.kind, entry.attempt, entry.environment, entry.action) == (Kind.INTENT, begun.id, STAGING, "deploy")
    assert (entry.commit, entry.run_id, entry.sha256) == (DECLARED.commit, DECLARED.run_id, DECLARED.sha256)
    assert (entry.before, entry.request, entry.approvers, entry.token) == (LIVE.id, "#12", ("7",), 4)
    assert (entry.gates[0].gate, entry.gates[0].reason, entry.gates[0].evidence) == (
        "approval",
        "ApprovalMissing",
        ("#12", "é"),
    )
    assert entry.outcome is None


def test_an_outcome_ends_its_attempt(store: Store) -> None:
    ended = succeeded(store.begin(ATTEMPT))
    store.finish(ended, STATUS, ACCEPTED)
    assert store.unfinished() == ()
    assert store.attempts() == (ended,)
    assert (store.statuses(), store.accepted(STAGING)) == ({STAGING: STATUS}, ACCEPTED)
    assert len(store.transitions()) == 1
    _, outcome = chain(store)
    assert (outcome.kind, outcome.attempt, outcome.outcome, outcome.at) == (Kind.OUTCOME, ended.id, "succeeded", LATER)


def test_a_failure_leaves_the_accepted_declaration(store: Store) -> None:
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, ACCEPTED)
    failed = replace(store.begin(ATTEMPT), outcome=Outcome.FAILED, reason=Reason.TARGET_UNAVAILABLE, finished=LATER)
    store.finish(failed, replace(STATUS, reason=Reason.TARGET_UNAVAILABLE), None)
    assert store.accepted(STAGING) == ACCEPTED
    assert chain(store)[-1].reason == "TargetUnavailable"


def test_an_outcome_told_twice_is_one_outcome(store: Store) -> None:
    ended = succeeded(store.begin(ATTEMPT))
    store.finish(ended, STATUS, None)
    store.finish(ended, STATUS, None)
    assert [entry.kind for entry in chain(store)] == [Kind.INTENT, Kind.OUTCOME]


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"outcome": Outcome.FAILED}, id="another outcome than the one that is recorded"),
        pytest.param({"id": 99}, id="an outcome of an attempt that nobody began"),
        pytest.param({"environment": PROD}, id="an outcome in another environment"),
        pytest.param({"started": LATER}, id="an outcome of an attempt that began at another time"),
    ],
)
def test_refused_and_nothing_changed_by(store: Store, told: dict[str, object]) -> None:
    ended = succeeded(store.begin(ATTEMPT))
    store.finish(ended, STATUS, None)
    with pytest.raises(Transient) as refused:
        store.finish(replace(ended, **told), replace(STATUS, message="other"), ACCEPTED)  # type: ignore[arg-type]
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert (store.attempts(), store.statuses(), store.accepted(STAGING)) == ((ended,), {STAGING: STATUS}, None)
    assert len(chain(store)) == 2


def test_a_refusal_is_one_entry_without_an_intent(store: Store) -> None:
    held = replace(STATUS, sync=Sync.HELD, reason=Reason.APPROVAL_MISSING)
    store.refuse(replace(ATTEMPT, reason=Reason.APPROVAL_MISSING), held)
    (entry,) = chain(store)
    assert (entry.kind, entry.outcome, entry.reason) == (Kind.REFUSED, "refused", "ApprovalMissing")
    (attempt,) = store.attempts()
    assert (attempt.id, attempt.outcome, attempt.finished) == (entry.attempt, Outcome.REFUSED, NOON)
    assert (store.unfinished(), store.statuses()) == ((), {STAGING: held})


def test_attempts_come_newest_first_and_of_one_environment_when_asked(store: Store) -> None:
    begun = [store.begin(replace(ATTEMPT, environment=name)) for name in (STAGING, PROD, STAGING, STAGING)]
    assert store.attempts() == tuple(reversed(begun))
    assert store.attempts(STAGING, limit=2) == (begun[3], begun[2])
    assert store.unfinished() == tuple(begun)


def test_attempts_go_on_before_one_and_come_in_short_without_what_is_long(store: Store) -> None:
    numbers = [store.begin(replace(ATTEMPT, environment=name)).id for name in (STAGING, PROD, STAGING, STAGING)]
    back = store.begin(replace(ATTEMPT, action=Action.ROLLBACK))
    ended = replace(succeeded(back), output="listening\n")
    store.finish(ended, STATUS, ACCEPTED)
    assert [one.id for one in store.attempts(before=numbers[3])] == [numbers[2], numbers[1], numbers[0]]
    assert [one.id for one in store.attempts(STAGING, 1, before=numbers[2])] == [numbers[0]]
    assert store.attempts(before=0) == store.attempts(before=-5) == ()
    short = store.attempts_in_short(STAGING)
    assert short[0] == replace(ended, output="")  # the gates of a rollback tell whether it came by itself
    assert short[1] == replace(store.attempts(STAGING)[1], gates=())
    assert store.attempts_in_short(limit=1, before=numbers[2])[0].id == numbers[1]


def test_what_was_deployed_comes_newest_first_and_without_what_brought_nothing(store: Store) -> None:
    def ended(action: Action, run: int, outcome: Outcome = Outcome.SUCCEEDED, name: EnvironmentName = STAGING) -> None:
        declared = replace(DECLARED, run_id=RunId(run))
        begun = store.begin(replace(ATTEMPT, environment=name, action=action, declared=declared))
        store.finish(replace(succeeded(begun), outcome=outcome), STATUS, None)

    for action, run in ((Action.DEPLOY, 1), (Action.REPAIR, 2), (Action.DEPLOY, 3), (Action.ROLLBACK, 1)):
        ended(action, run)
    ended(Action.DEPLOY, 4, Outcome.FAILED)
    ended(Action.DEPLOY, 5, name=PROD)
    store.begin(ATTEMPT)
    assert [one.run_id for one in store.deployed(STAGING)] == [1, 3, 1]
    assert store.deployed(STAGING, 1)[0] == replace(DECLARED, run_id=RunId(1))


def test_how_long_stages_took_is_remembered_and_is_no_part_of_the_chain(store: Store) -> None:
    begun = store.begin(ATTEMPT)
    stages = (StageTime("fetch", 1.25), StageTime("switch", 0.0))
    store.finish(replace(succeeded(begun), stages=stages), STATUS, ACCEPTED)
    assert store.attempts()[0].stages == store.attempts_in_short()[0].stages == stages
    assert all(b"stages" not in audit.line(entry) for entry in chain(store))


def test_texts_that_are_no_text_are_remembered_readably(store: Store) -> None:
    hostile = "a\nb\x1b[2J\udcff\x00 '); DROP TABLE audit; --"
    shown = hostile.replace("\udcff", "\\udcff")
    attempt = store.begin(replace(ATTEMPT, message=hostile, request=hostile, approvers=(hostile,)))
    store.finish(succeeded(attempt), replace(STATUS, message=hostile), None)
    store.save(replace(STATUS, message=hostile), LATER)
    assert store.attempts()[0].approvers == (shown,)
    assert store.statuses()[STAGING].message == store.transitions()[0].message == shown
    assert len(chain(store)) == 2


def test_the_digest_of_the_plan_is_in_the_attempt_and_in_both_of_its_entries(store: Store) -> None:
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, None)
    store.refuse(replace(ATTEMPT, plan=""), STATUS)
    assert [attempt.plan for attempt in store.attempts()] == ["", "b" * 64]
    assert [entry.plan for entry in chain(store)] == ["b" * 64, "b" * 64, ""]


# --- what succeeded -----------------------------------------------------------------------------


def ended(store: Store, minute: int, outcome: Outcome = Outcome.SUCCEEDED, name: EnvironmentName = STAGING) -> Attempt:
    begun = store.begin(replace(ATTEMPT, environment=name, started=NOON + timedelta(minutes=minute)))
    end = replace(begun, outcome=outcome, finished=begun.started + timedelta(seconds=1))
    store.finish(end, replace(STATUS, environment=name), None)
    return end


def test_what_succeeded_comes_newest_first_and_of_one_environment(store: Store) -> None:
    first, second = ended(store, 0), ended(store, 1)
    ended(store, 2, Outcome.FAILED)
    ended(store, 3, Outcome.INTERRUPTED)
    ended(store, 4, name=PROD)
    store.refuse(replace(ATTEMPT, started=NOON + timedelta(minutes=5)), STATUS)
    store.begin(ATTEMPT)
    assert store.succeeded(STAGING) == (second, first)
    assert store.succeeded(STAGING, limit=1) == (second,)
    assert store.succeeded(EnvironmentName("unknown")) == ()


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        pytest.param(0, 0, id="a second before the first ended: none"),
        pytest.param(1, 1, id="to the moment: that one"),
        pytest.param(60, 1, id="while the second one ran: the first"),
        pytest.param(61, 2, id="when the second one ended: both"),
    ],
)
def test_what_had_succeeded_by_a_time(store: Store, seconds: int, found: int) -> None:
    both = ended(store, 0), ended(store, 1)
    assert store.succeeded(STAGING, until=NOON + timedelta(seconds=seconds)) == both[:found][::-1]


def test_what_succeeded_keeps_its_order_when_the_clock_was_set_back(store: Store) -> None:
    first, second = ended(store, 10), ended(store, 5)
    assert store.succeeded(STAGING) == (second, first)
    assert store.succeeded(STAGING, until=NOON + timedelta(minutes=7)) == (second,)


# --- the rules between environments -------------------------------------------------------------


def test_soaks_come_back_as_they_were_and_go_when_their_row_is_broken(store: Store) -> None:
    other = replace(SOAK, environment=PROD, live_since=None, earned=0.0)
    store.save_soaks({STAGING: SOAK, PROD: other})
    assert store.soaks() == {STAGING: SOAK, PROD: other}
    longer = replace(SOAK, earned=601.5, seen=LATER + timedelta(minutes=5))
    store.save_soaks({STAGING: longer})
    assert store.soaks() == {STAGING: longer, PROD: other}
    store.save_soaks({STAGING: None, PROD: other, EnvironmentName("unknown"): None})
    assert store.soaks() == {PROD: other}
    assert chain(store) == []


def test_one_soak_comes_by_itself(store: Store) -> None:
    store.save_soaks({STAGING: SOAK})
    assert (store.soak(STAGING), store.soak(PROD)) == (SOAK, None)


def test_a_policy_in_force_is_remembered_and_audited_once(store: Store) -> None:
    store.save_policy(POLICY)
    store.save_policy(replace(POLICY, accepted_at=LATER))
    assert store.policy() == POLICY
    (entry,) = chain(store)
    assert (entry.kind, entry.commit, entry.sha256) == (Kind.POLICY, POLICY.commit, POLICY.digest)
    assert (entry.request, entry.approvers, entry.at) == ("#13", ("7", "9"), NOON)


@pytest.mark.parametrize(
    "changed",
    [pytest.param({"commit": "0" * 40}, id="another commit"), pytest.param({"digest": "0" * 64}, id="other bytes")],
)
def test_a_policy_follows_another_one_with(store: Store, changed: dict[str, str]) -> None:
    store.save_policy(POLICY)
    new = replace(POLICY, **changed)  # type: ignore[arg-type]
    store.save_policy(new)
    assert store.policy() == new
    assert len(chain(store)) == 2


def test_an_accepted_rewrite_is_remembered_audited_and_followed(store: Store) -> None:
    assert REWRITE.instead_of
    store.save_tip(REWRITE.instead_of)
    store.accept_rewrite(REWRITE)
    assert (store.rewrites(), store.tip()) == ((REWRITE,), REWRITE.tip)
    (entry,) = chain(store)
    assert (entry.kind, entry.environment, entry.commit) == (Kind.OPERATOR, "", REWRITE.tip)
    assert (entry.by, entry.at) == ("ops", LATER)
    assert "a secret was removed" in entry.message


def test_an_accepted_rewrite_told_again_does_not_take_the_branch_back(store: Store) -> None:
    store.accept_rewrite(REWRITE)
    store.save_tip(CommitId("3" * 40))
    store.accept_rewrite(REWRITE)
    assert (store.rewrites(), store.tip(), len(chain(store))) == ((REWRITE,), "3" * 40, 1)


def test_rewrites_come_oldest_first(store: Store) -> None:
    again = replace(REWRITE, at=NOON, reason="once more")
    store.accept_rewrite(REWRITE)
    store.accept_rewrite(again)
    assert store.rewrites() == (REWRITE, again)
    assert len(chain(store)) == 2


def test_checkpoints_come_oldest_first_and_one_for_each_length_of_the_chain(store: Store) -> None:
    later = replace(CHECKPOINT, entries=12, head="8" * 64, at=LATER)
    for checkpoint in (CHECKPOINT, later, later, CHECKPOINT, replace(CHECKPOINT, at=LATER, signature="other")):
        store.save_checkpoint(checkpoint)
    assert store.checkpoints() == (CHECKPOINT, later)
    assert chain(store) == []


def test_the_last_checkpoint_is_the_one_that_covers_most(store: Store) -> None:
    assert store.last_checkpoint() is None
    for entries in (2, 9, 10):
        store.save_checkpoint(replace(CHECKPOINT, entries=entries))
    assert store.last_checkpoint() == replace(CHECKPOINT, entries=10)


def test_a_checkpoint_that_contradicts_an_earlier_one_is_refused(store: Store) -> None:
    store.save_checkpoint(CHECKPOINT)
    with pytest.raises(Transient) as refused:
        store.save_checkpoint(replace(CHECKPOINT, head="8" * 64))
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "altered" in refused.value.hint
    assert store.checkpoints() == (CHECKPOINT,)


def test_words_of_governance_that_are_no_text_are_remembered_readably(store: Store) -> None:
    hostile, shown = "a\udcff", "a\\udcff"
    store.accept_rewrite(replace(REWRITE, reason=hostile, by=hostile))
    store.accept_rewrite(replace(REWRITE, reason=hostile, by=hostile))
    store.save_policy(replace(POLICY, request=hostile, approvers=(hostile,)))
    assert store.rewrites() == (replace(REWRITE, reason=shown, by=shown),)
    assert store.policy() == replace(POLICY, request=shown, approvers=(shown,))
    assert len(chain(store)) == 2


# --- what was heard from CI and told at the forge -----------------------------------------------


def test_a_run_is_remembered_by_its_source_and_number_as_ci_described_it_last(store: Store) -> None:
    other = replace(RUN, run_id=RunId(2**63 - 1), on_branch=None, artifacts=())
    store.save_run("ci", RUN)
    store.save_run("ci", other)
    store.save_run("nightly", replace(RUN, branch="nightly"))
    assert store.run("ci", RUN.run_id) == RUN
    assert store.run("ci", other.run_id) == other
    assert store.run("nightly", RUN.run_id) == replace(RUN, branch="nightly")
    assert store.run("nightly", other.run_id) is None
    gone = replace(RUN, artifacts=(replace(RUN.artifacts[0], expired=True),), on_branch=False)
    store.save_run("ci", gone)
    assert store.run("ci", RUN.run_id) == gone
    assert chain(store) == []


def test_several_runs_come_at_once_from_every_source_that_knows_them(store: Store) -> None:
    other = replace(RUN, run_id=RunId(7), commit="d" * 40)
    store.save_run("ci", RUN)
    store.save_run("ci", other)
    store.save_run("old", RUN)
    store.save_run("old", replace(RUN, run_id=RunId(8)))
    assert store.runs([RUN.run_id, RunId(7), RunId(9)]) == {RUN.run_id: {"ci": RUN, "old": RUN}, 7: {"ci": other}}
    assert store.runs([]) == {}


def test_the_runs_that_were_saved_last_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "RUNS_KEPT", 3)
    runs = [replace(RUN, run_id=RunId(number)) for number in (5, 1, 4, 2)]
    for run in runs[:3]:
        store.save_run("ci", run)
    store.save_run("ci", runs[0])  # nothing new, so it is the oldest still
    store.save_run("ci", replace(runs[1], attempt=3))  # this one is the newest again
    store.save_run("ci", runs[3])
    assert [store.run("ci", run.run_id) is not None for run in runs] == [False, True, True, True]


def test_plans_that_were_told_are_remembered_until_their_request_is_not_open_any_more(store: Store) -> None:
    other = replace(PLAN, number=7, artifacts=())
    store.save_told_plan(12, PLAN)
    store.save_told_plan(7, other)
    assert list(store.told_plans().items()) == [(7, other), (12, PLAN)]
    newer = replace(PLAN, head=CommitId("f" * 40))
    store.save_told_plan(12, newer)
    store.save_told_plan(7, None)
    store.save_told_plan(99, None)
    assert store.told_plans() == {12: newer}
    assert chain(store) == []


def test_what_was_told_of_rollouts_is_remembered_until_nothing_more_will_be(store: Store) -> None:
    other = ROLLOUT.replace("prod", "dev")
    store.save_told_rollout(ROLLOUT, "")
    store.save_told_rollout(other, "failure: the target is out of reach: ü")
    assert store.told_rollouts() == {ROLLOUT: "", other: "failure: the target is out of reach: ü"}
    store.save_told_rollout(ROLLOUT, "success: live")
    store.save_told_rollout(other, None)
    store.save_told_rollout("unknown", None)
    assert store.told_rollouts() == {ROLLOUT: "success: live"}
    assert chain(store) == []


def test_words_of_ci_that_are_no_text_are_remembered_readably(store: Store) -> None:
    hostile, shown = "a\udcff\n\x00\x1b[2J'", "a\\udcff\n\x00\x1b[2J'"
    for _ in range(2):
        store.save_run("ci", replace(RUN, branch=hostile))
        store.save_told_rollout(ROLLOUT, hostile)
    found = store.run("ci", RUN.run_id)
    assert found
    assert (found.branch, store.told_rollouts()) == (shown, {ROLLOUT: shown})


# --- the operator's hand ------------------------------------------------------------------------


def test_an_operator_is_remembered_and_audited(store: Store) -> None:
    hand = OperatorHand(suspended=True, reason="maintenance", by="ops", retry_after=3)
    store.save_hand(STAGING, hand, "suspend", LATER)
    assert (store.hand(STAGING), store.hand(PROD)) == (hand, OperatorHand())
    assert store.hands() == {STAGING: hand}
    (entry,) = chain(store)
    assert (entry.kind, entry.action, entry.by, entry.message) == (Kind.OPERATOR, "suspend", "ops", "maintenance")
    assert (entry.at, entry.environment) == (LATER, STAGING)


# --- the chain ----------------------------------------------------------------------------------


def test_a_long_chain_is_read_in_order_from_anywhere(store: Store) -> None:
    for n in range(1_100):
        if n % 275 == 0:
            store.begin(ATTEMPT)
        else:
            store.save_hand(STAGING, OperatorHand(reason=str(n)), "retry", NOON)
    assert [entry.seq for entry in chain(store)] == list(range(1, 1_101))
    assert [entry.seq for entry in store.audit(after=1_098)] == [1_099, 1_100]
    assert list(store.audit(after=1_100)) == []


def test_the_chain_is_read_backwards_from_anywhere(store: Store) -> None:
    for _ in range(7):
        store.begin(ATTEMPT)
    entries = list(store.audit())
    assert store.audit_before() == tuple(reversed(entries))
    assert store.audit_before(5, 2) == (entries[3], entries[2])
    assert store.audit_before(1) == store.audit_before(-1) == ()


@pytest.mark.parametrize(
    ("texts", "before", "over", "limit", "wanted"),
    [
        ((("SHOP/Prod",),), 9, 20, 10, [6, 4, 2]),
        ((("shop/prod", "refused"),), 9, 20, 10, [7, 6, 4, 2]),
        ((("shop/prod",), ("intent",)), 6, 20, 10, [4, 2]),
        ((("shop/prod",),), 9, 4, 10, [6]),
        ((("shop/prod",),), 9, 20, 2, [6, 4]),
        ((("s_op/prod",),), 9, 20, 10, []),
        ((("s%prod",),), 9, 20, 10, []),
        ((("' OR 1=1 --",),), 9, 20, 10, []),
        ((), 4, 2, 10, [3, 2]),
    ],
    ids=["any case", "one of two", "both", "over so many", "so many", "_ is _", "% is %", "a quote is one", "anything"],
)
def test_entries_are_found_by_what_is_on_their_line(
    store: Store, texts: tuple[tuple[str, ...], ...], before: int, over: int, limit: int, wanted: list[int]
) -> None:
    for number in range(1, 7):
        store.begin(replace(ATTEMPT, environment=STAGING if number % 2 else PROD))
    store.refuse(ATTEMPT, STATUS)
    assert [one.seq for one in store.audit_found(texts, before, over, limit)] == wanted


def test_several_threads_write_one_chain(store: Store) -> None:
    def work(n: int) -> None:
        name = EnvironmentName(f"env-{n}")
        for _ in range(5):
            attempt = store.begin(replace(ATTEMPT, environment=name))
            store.finish(succeeded(attempt), replace(STATUS, environment=name), replace(ACCEPTED, environment=name))
            store.save_soaks({name: replace(SOAK, environment=name, token=attempt.id or 0)})
            store.accept_rewrite(REWRITE)
            store.save_run("ci", replace(RUN, run_id=RunId(n)))
            store.save_told_plan(n, replace(PLAN, number=n))
            store.save_told_rollout(ROLLOUT, f"success: {n}")
            store.statuses()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(chain(store)) == 81
    assert store.rewrites() == (REWRITE,)
    assert len(store.soaks()) == 8
    assert [plan.number for plan in store.told_plans().values()] == list(range(8))
    assert all(store.run("ci", RunId(n)) for n in range(8))
    assert len(store.told_rollouts()) == 1
    assert len(store.statuses()) == 8
    assert store.unfinished() == ()


def test_what_was_told_is_remembered_for_each_route_and_environment(store: Store) -> None:
    elsewhere, other = EnvironmentName("a/b/c"), replace(NOTICE, kind=NoticeKind.RECOVERED, live="")
    store.save_told_notices("oncall", ROUTE, {PROD: NOTICE, STAGING: NOTICE})
    store.save_told_notices("on", replace(ROUTE, failed_since=None), {elsewhere: other})
    store.save_told_notices("oncall-2", ROUTE, {})
    assert dict(store.told_notices("oncall")) == {PROD: NOTICE, STAGING: NOTICE}
    assert (dict(store.told_notices("on")), dict(store.told_notices("oncall-2"))) == ({elsewhere: other}, {})
    store.save_told_notices("oncall", replace(ROUTE, failure=""), {PROD: other, STAGING: None, elsewhere: None})
    assert dict(store.told_notices("oncall")) == {PROD: other}
    assert dict(store.told_notices("on")) == {elsewhere: other}
    assert store.told_route("oncall") == replace(ROUTE, failure="")
    assert store.told_route("on") == replace(ROUTE, failed_since=None)
    assert chain(store) == []
