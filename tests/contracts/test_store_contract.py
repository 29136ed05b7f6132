"""What `ports.Store` promises, on every adapter: each is a function in `MAKERS` that opens a store in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.core import audit
from reconciler.core.audit import START, Entry, Kind
from reconciler.errors import PolicyDenied, Reason, Transient
from reconciler.model import (
    Accepted,
    Action,
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
    OperatorHand,
    Outcome,
    Release,
    RunId,
    Status,
    Sync,
    Verdict,
)
from reconciler.ports import Store
from reconciler.stores import sql
from tests.factories import NOON

STAGING, PROD = EnvironmentName("staging"), EnvironmentName("shop/prod")
LATER = NOON + timedelta(minutes=5)
DECLARED = Declared(CommitId("c" * 40), RunId(2**63 - 1), Digest("a" * 64))
LIVE = Release("101-aaaaaaaaaaaa", RunId(101), Digest("a" * 64))
GATE = GateResult(
    Gate.APPROVAL, Verdict.HELD, Reason.APPROVAL_MISSING, "nobody \u2028 \U0001f600", ("#12", "é"), "ask", LATER
)
ATTEMPT = Attempt(STAGING, Action.DEPLOY, DECLARED, LIVE, NOON, request="#12", approvers=("7",), gates=(GATE,), token=4)
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


def test_everything_is_there_when_it_is_opened_again(reopen: Callable[[], Store]) -> None:
    first = reopen()
    first.save_tip(CommitId("e" * 40))
    attempt = first.begin(ATTEMPT)
    first.finish(succeeded(attempt), STATUS, ACCEPTED)
    again = reopen()
    assert again.tip() == "e" * 40
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


def test_texts_that_are_no_text_are_remembered_readably(store: Store) -> None:
    hostile = "a\nb\x1b[2J\udcff\x00 '); DROP TABLE audit; --"
    shown = hostile.replace("\udcff", "\\udcff")
    attempt = store.begin(replace(ATTEMPT, message=hostile, request=hostile, approvers=(hostile,)))
    store.finish(succeeded(attempt), replace(STATUS, message=hostile), None)
    store.save(replace(STATUS, message=hostile), LATER)
    assert store.attempts()[0].approvers == (shown,)
    assert store.statuses()[STAGING].message == store.transitions()[0].message == shown
    assert len(chain(store)) == 2


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


def test_several_threads_write_one_chain(store: Store) -> None:
    def work(n: int) -> None:
        name = EnvironmentName(f"env-{n}")
        for _ in range(5):
            attempt = store.begin(replace(ATTEMPT, environment=name))
            store.finish(succeeded(attempt), replace(STATUS, environment=name), replace(ACCEPTED, environment=name))
            store.statuses()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(chain(store)) == 80
    assert len(store.statuses()) == 8
    assert store.unfinished() == ()
