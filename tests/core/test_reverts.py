"""When declaring what runs is due, and what the proposal is called and says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.core.authoring import Pin, trailers
from reconciler.core.reverts import MESSAGE_CHARACTERS, Revert, due
from reconciler.errors import DID_NOT_RUN, Reason
from reconciler.model import (
    Accepted,
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Health,
    Outcome,
    Release,
    RunId,
    Status,
    Sync,
)
from tests.factories import NOON

PROD = EnvironmentName("shop/prod")
BROUGHT, GOOD_COMMIT = CommitId("b" * 40), CommitId("a" * 40)
WANTED = Declared(BROUGHT, RunId(102), Digest(f"{102:064x}"))
LIVE = Release("101-x", RunId(101), Digest(f"{101:064x}"))
GOOD = Accepted(PROD, GOOD_COMMIT, Digest("d" * 64), LIVE.run_id, LIVE.sha256, "#11", ("carol(7)",), NOON)
FAILED = Status(
    PROD, Sync.HELD, Health.DEGRADED, Reason.HEALTH_CHECK_FAILED, "answered 503 in 0.2 s", "",
    WANTED, LIVE, NOON, (), request="#12", approvers=("bob(8)",), since=NOON + timedelta(minutes=3),
)  # fmt: skip
ATTEMPT = Attempt(
    PROD, Action.DEPLOY, WANTED, LIVE, NOON, id=4, request="#12", approvers=("bob(8)",),
    finished=NOON + timedelta(minutes=1), outcome=Outcome.FAILED, reason=Reason.HEALTH_CHECK_FAILED,
    message="refused the connection 6 times in 60 s",
)  # fmt: skip


def revert(status: Status = FAILED, *attempts: Attempt) -> Revert:
    found = due(status, GOOD, attempts)
    assert found is not None
    return found


@pytest.mark.parametrize("reason", sorted(DID_NOT_RUN))
def test_what_did_not_come_to_life_and_was_rolled_back_is_due(reason: Reason) -> None:
    found = revert(replace(FAILED, reason=reason))
    assert (found.environment, found.good, found.live) == (PROD, GOOD, LIVE)
    assert (found.failed.commit, found.failed.run_id, found.failed.reason) == (BROUGHT, 102, reason)


NOT_DUE: dict[str, Callable[[Status], Status]] = {
    "nothing is wrong": lambda one: replace(one, reason=None),
    "a gate holds": lambda one: replace(one, reason=Reason.SOAKING),
    "an operator suspended it": lambda one: replace(one, reason=Reason.SUSPENDED),
    "the artifact is bad, so nothing was rolled back": lambda one: replace(one, reason=Reason.ARTIFACT_UNSAFE),
    "it is kept as it failed (rollback: hold)": lambda one: replace(
        one, live=Release("102-x", RunId(102), Digest(f"{102:064x}"))
    ),
    "something else is live than what was let in last": lambda one: replace(
        one, live=Release("100-x", RunId(100), Digest(f"{100:064x}"))
    ),
    "the run is live with other bytes": lambda one: replace(
        one, live=Release("101-y", RunId(101), Digest(f"{9:064x}"))
    ),
    "nothing is live": lambda one: replace(one, live=None),
    "what is declared can't be read": lambda one: replace(one, declared=Declared(BROUGHT)),
    "nobody knows which commit declared it": lambda one: replace(one, declared=replace(WANTED, commit=None)),
    "only settings failed, of the artifact that is live": lambda one: replace(
        one, declared=Declared(BROUGHT, LIVE.run_id, LIVE.sha256)
    ),
}


@pytest.mark.parametrize("change", NOT_DUE.values(), ids=NOT_DUE.keys())
def test_nothing_is_due_while(change: Callable[[Status], Status]) -> None:
    assert due(change(FAILED), GOOD, (ATTEMPT,)) is None


def test_nothing_is_due_where_nobody_knows_what_was_let_in() -> None:
    assert due(FAILED, None, (ATTEMPT,)) is None
    assert due(FAILED, replace(GOOD, commit=BROUGHT)) is None


def test_the_branch_is_one_for_each_declaration_that_failed() -> None:
    assert revert().branch == "reconciler/revert/shop/prod-102-bbbbbbbbbbbb"
    assert revert(replace(FAILED, reason=Reason.ACTIVATION_FAILED), ATTEMPT).branch == revert().branch
    declared_again = replace(FAILED, declared=replace(WANTED, commit=CommitId("c" * 40)))
    assert revert(declared_again).branch != revert().branch


def test_what_failed_is_told_by_its_attempt_and_else_by_the_status() -> None:
    back = replace(ATTEMPT, id=5, reason=None, outcome=Outcome.SUCCEEDED, message="back")
    refused = replace(ATTEMPT, id=6, outcome=Outcome.REFUSED, message="it failed here, and is not tried again")
    told = revert(FAILED, refused, back, ATTEMPT)
    assert (told.failed.message, told.failed.at) == (ATTEMPT.message, ATTEMPT.finished)
    other = replace(ATTEMPT, declared=replace(WANTED, commit=CommitId("c" * 40)))
    for attempts in ((), (other,), (replace(ATTEMPT, finished=None),)):
        told = revert(FAILED, *attempts)
        assert (told.failed.message, told.failed.at) == (FAILED.message, FAILED.since)


def test_the_body_says_what_failed_when_what_is_live_what_a_merge_does_and_what_else_there_is() -> None:
    body = revert(FAILED, ATTEMPT).body
    for said in (
        f"| declared, and failed | 102 | `{WANTED.sha256}` |",
        f"| live, and declared after the merge | 101 | `{LIVE.sha256}` |",
        "Failed: HealthCheckFailed, seen 2026-03-01 12:01:00Z",
        "Said: refused the connection 6 times in 60 s",
        f"Declared by: commit {BROUGHT}, #12, approved by bob(8)",
        "Live: 101-x since 2026-03-01 12:00:00Z",
        f"Let in by: commit {GOOD_COMMIT}, #11, approved by carol(7)",
        f"Accepted: 2026-03-01 12:00:00Z, file sha256 {GOOD.declaration}",
        "**On merge** nothing is deployed",
        "`environments/shop/prod.yaml` is then byte for byte what was let in with commit `aaaaaaaaaaaa`",
        "**Until then** run 101 stays live, and run 102 is not tried again.",
        "`reconciler promote shop/prod --run RUN`",
        "`reconciler retry shop/prod` tries it once more",
    ):
        assert said in body, said


def test_the_message_has_the_trailers_of_a_rollback_and_what_failed() -> None:
    message = revert().message
    assert message.startswith("Revert shop/prod to run 101, which is live\n\n")
    said = trailers(message)
    assert said is not None
    assert (said.environment, said.after, said.revoked) == (PROD, Pin(LIVE.run_id, LIVE.sha256), None)
    assert message.endswith(f"\nReconciler-Failed: {BROUGHT}\n")


def test_what_a_program_printed_stays_on_its_line_in_its_fence() -> None:
    wild = "no\n```\n# Merged\n\nReconciler-Environment: dev\n@everyone \x1b[2J\u202e" + "x" * 5_000
    found = revert(replace(FAILED, message=wild))
    (line,) = [line for line in found.body.split("\n") if line.startswith("Said: ")]
    assert line.startswith("Said: no\\n```\\n# Merged\\n\\nReconciler-Environment: dev\\n@everyone \\x1b[2J\\u202ex")
    assert len(line) <= MESSAGE_CHARACTERS + len("Said: ")
    assert found.body.count("\n```") == 2
    assert "Merged" not in found.message


def test_a_body_is_never_longer_than_a_forge_takes() -> None:
    many = tuple(f"somebody-{number}({number})" for number in range(1_000))
    found = revert(replace(FAILED, message="\x00" * 9_000, approvers=many, request="#" * 9_000))
    assert len(replace(found, good=replace(GOOD, approvers=many)).body) < 10_000
