"""How far a rollout came: one table of what is remembered, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.core.rollouts import TOLD_CHARACTERS, replaced, rollouts, standing
from reconciler.errors import Reason
from reconciler.model import (
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    Outcome,
    Release,
    Rollout,
    RolloutState,
    RunId,
    Status,
    Sync,
    Verdict,
)
from tests.factories import NOON

PROD = EnvironmentName("shop/prod")
QUEUED, IN_PROGRESS, SUCCESS, FAILURE, INACTIVE = RolloutState
OK, BAD, CUT, HELD = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.REFUSED
LET_IN = GateResult(Gate.APPROVAL, Verdict.PASSED)


def release(run: int) -> Release:
    return Release(f"{run}-x", RunId(run), Digest(f"{run:064x}"))


def declared(commit: str, run: int) -> Declared:
    return Declared(CommitId(commit * 40), RunId(run), Digest(f"{run:064x}"))


def tried(
    commit: str, run: int, outcome: Outcome | None, *, before: int | None = None, action: Action = Action.DEPLOY
) -> Attempt:
    live = release(before) if before else None
    reason = Reason.TARGET_UNAVAILABLE if outcome is BAD else None
    message = "no space" if outcome is BAD else ""
    return Attempt(
        PROD,
        action,
        declared(commit, run),
        live,
        NOON,
        outcome=outcome,
        gates=(LET_IN,),
        reason=reason,
        message=message,
    )


def refused(
    commit: str, run: int, gate: Gate, reason: Reason, *, before: int | None = 101, minutes: float | None = None
) -> Attempt:
    until = None if minutes is None else NOON + timedelta(minutes=minutes)
    word = GateResult(gate, Verdict.HELD, reason, "because", (), "", until)
    let_in = () if gate in (Gate.HISTORY, Gate.SCHEMA, Gate.APPROVAL) else (LET_IN,)
    attempt = tried(commit, run, HELD, before=before)
    return replace(attempt, gates=(*let_in, word), reason=reason, message="because")


def soaking(commit: str, run: int) -> Attempt:
    return refused(commit, run, Gate.PROMOTION, Reason.SOAKING)


def unapproved(commit: str, run: int) -> Attempt:
    return refused(commit, run, Gate.APPROVAL, Reason.APPROVAL_MISSING)


def stands(commit: str, run: int, *, live: int | None, sync: Sync = Sync.HELD) -> Status:
    found = release(live) if live else None
    return Status(PROD, sync, Health.HEALTHY, None, "", "", declared(commit, run), found, None, ())


def synced(commit: str, run: int) -> Status:
    return stands(commit, run, live=run, sync=Sync.SYNCED)


def told(status: Status | None, *oldest_first: Attempt) -> list[tuple[str, int, RolloutState]]:
    found = rollouts(tuple(reversed(oldest_first)), status)
    return [(rollout.commit[0], rollout.run_id, rollout.state) for rollout in found]


A_LIVE = tried("a", 101, OK)
WAITS = GateResult(Gate.HEALTH, Verdict.PENDING)


def died(commit: str, run: int, *, before: int = 101, action: Action = Action.DEPLOY) -> Attempt:
    """It was switched to, and did not become healthy."""
    attempt = tried(commit, run, BAD, before=before, action=action)
    return replace(attempt, reason=Reason.HEALTH_CHECK_FAILED, message="answered 503")


def on_probation(commit: str, run: int) -> Status:
    return replace(synced(commit, run), health=Health.PROGRESSING)


def went_back(commit: str, run: int, outcome: Outcome | None, *, before: int) -> Attempt:
    attempt = tried(commit, run, outcome, before=before, action=Action.ROLLBACK)
    return replace(attempt, gates=(GateResult(Gate.APPROVAL, Verdict.NOT_REACHED),))


def ill(commit: str, run: int, *, live: int) -> Status:
    """What is declared did not run here."""
    return replace(stands(commit, run, live=live), health=Health.DEGRADED, reason=Reason.HEALTH_CHECK_FAILED)


TABLE = [
    pytest.param(
        on_probation("b", 102),
        [A_LIVE, tried("b", 102, None, before=101)],
        [("a", 101, SUCCESS), ("b", 102, IN_PROGRESS)],
        id="it is live, and has to prove itself",
    ),
    pytest.param(
        on_probation("b", 102),
        [A_LIVE, died("b", 102)],
        [("a", 101, SUCCESS), ("b", 102, FAILURE)],
        id="it was seen live, and failed its checks",
    ),
    pytest.param(
        ill("b", 102, live=102),
        [A_LIVE, died("b", 102), went_back("a", 101, None, before=102)],
        [("a", 101, IN_PROGRESS), ("b", 102, FAILURE)],
        id="it failed its checks, and what was live before comes back",
    ),
    pytest.param(
        ill("b", 102, live=101),
        [A_LIVE, died("b", 102), went_back("a", 101, OK, before=102)],
        [("a", 101, SUCCESS), ("b", 102, FAILURE)],
        id="it failed its checks, and what was live before is live again",
    ),
    pytest.param(
        ill("b", 102, live=101),
        [A_LIVE, died("b", 102), replace(went_back("a", 101, BAD, before=102), reason=Reason.HEALTH_CHECK_FAILED)],
        [("a", 101, FAILURE), ("b", 102, FAILURE)],
        id="what came back does not run either",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, died("b", 102), went_back("a", 101, OK, before=102), tried("b", 102, OK, before=101)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="tried again, and well",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, died("b", 102)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="it was too late, stayed live, and became healthy after all",
    ),
    pytest.param(
        on_probation("b", 102),
        [A_LIVE, died("b", 102), tried("b", 102, None, before=102, action=Action.ACTIVATE)],
        [("a", 101, SUCCESS), ("b", 102, IN_PROGRESS)],
        id="what failed stayed live, and is activated again",
    ),
    pytest.param(
        synced("c", 102),
        [A_LIVE, tried("b", 102, OK, before=101), tried("c", 102, OK, before=102, action=Action.ACTIVATE)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="other settings of the same bytes are no rollout",
    ),
    pytest.param(
        on_probation("c", 103),
        [
            A_LIVE,
            replace(tried("b", 102, CUT, before=101), gates=(LET_IN, WAITS)),
            tried("c", 103, None, before=102),
        ],
        [("a", 101, SUCCESS), ("b", 102, INACTIVE), ("c", 103, IN_PROGRESS)],
        id="replaced before its checks had decided, so never a success",
    ),
    pytest.param(None, [tried("a", 101, None)], [("a", 101, IN_PROGRESS)], id="the first ever, under way"),
    pytest.param(synced("a", 101), [A_LIVE], [("a", 101, SUCCESS)], id="it is live"),
    pytest.param(
        stands("a", 101, live=None, sync=Sync.OUT_OF_SYNC),
        [tried("a", 101, BAD)],
        [("a", 101, FAILURE)],
        id="it failed",
    ),
    pytest.param(
        synced("a", 101),
        [A_LIVE, tried("b", 102, None, before=101)],
        [("a", 101, SUCCESS), ("b", 102, IN_PROGRESS)],
        id="an intent is ahead of the status, which still names what was declared before",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, tried("b", 102, OK, before=101)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="the newer one is live, the older one is not any more",
    ),
    pytest.param(
        synced("c", 101),
        [A_LIVE, tried("b", 102, OK, before=101), tried("c", 101, OK, before=102, action=Action.ROLLBACK)],
        [("a", 101, INACTIVE), ("b", 102, INACTIVE), ("c", 101, SUCCESS)],
        id="a rollback is a rollout of its own, of the commit that declares it",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, soaking("b", 102)],
        [("a", 101, SUCCESS), ("b", 102, QUEUED)],
        id="let in, and held behind the approval",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, unapproved("b", 102)],
        [("a", 101, SUCCESS)],
        id="what nobody let in is no rollout",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, soaking("b", 102), unapproved("b", 102)],
        [("a", 101, SUCCESS), ("b", 102, QUEUED)],
        id="an approval that was withdrawn holds what is queued",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, tried("b", 102, BAD, before=101), unapproved("b", 102)],
        [("a", 101, SUCCESS), ("b", 102, FAILURE)],
        id="and leaves a failure a failure",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, tried("b", 102, BAD, before=101), refused("b", 102, Gate.FREEZE, Reason.FROZEN)],
        [("a", 101, SUCCESS), ("b", 102, QUEUED)],
        id="after a failure a gate that may open makes it wait",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, soaking("b", 102), tried("b", 102, BAD, before=101), tried("b", 102, OK, before=101)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="the last attempt decides",
    ),
    pytest.param(
        stands("c", 103, live=101),
        [A_LIVE, soaking("b", 102), soaking("c", 103)],
        [("a", 101, SUCCESS), ("b", 102, INACTIVE), ("c", 103, QUEUED)],
        id="what waited is superseded by what is declared now",
    ),
    pytest.param(
        stands("c", 103, live=101),
        [A_LIVE, soaking("b", 102), unapproved("c", 103)],
        [("a", 101, SUCCESS), ("b", 102, INACTIVE)],
        id="also by what nobody let in: the file says something else now",
    ),
    pytest.param(
        synced("c", 101),
        [A_LIVE, soaking("b", 102)],
        [("a", 101, SUCCESS), ("b", 102, INACTIVE)],
        id="and by a revert to what is live, of which no attempt tells",
    ),
    pytest.param(
        synced("c", 103),
        [A_LIVE, tried("b", 102, BAD, before=101), tried("c", 103, OK, before=101)],
        [("a", 101, INACTIVE), ("b", 102, FAILURE), ("c", 103, SUCCESS)],
        id="a failure stays one when it is superseded",
    ),
    pytest.param(
        stands("c", 103, live=101),
        [A_LIVE, tried("b", 102, CUT, before=101), soaking("c", 103)],
        [("a", 101, SUCCESS), ("b", 102, INACTIVE), ("c", 103, QUEUED)],
        id="what was interrupted and never came about is superseded",
    ),
    pytest.param(
        stands("a", 101, live=101, sync=Sync.SYNCED),
        [A_LIVE, tried("b", 102, CUT, before=101)],
        [("a", 101, SUCCESS), ("b", 102, IN_PROGRESS)],
        id="interrupted: the next pass goes on",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, tried("b", 102, CUT, before=101)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="interrupted right behind the switch",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, tried("b", 102, CUT, before=101), tried("b", 102, OK, before=101)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="interrupted, and done by a later attempt",
    ),
    pytest.param(
        stands("c", 103, live=103, sync=Sync.SYNCED),
        [A_LIVE, tried("b", 102, CUT, before=101), tried("c", 103, OK, before=102)],
        [("a", 101, INACTIVE), ("b", 102, INACTIVE), ("c", 103, SUCCESS)],
        id="interrupted behind the switch, and replaced since",
    ),
    pytest.param(
        stands("b", 102, live=102),
        [A_LIVE, tried("b", 102, CUT, before=101), refused("b", 102, Gate.SUSPENSION, Reason.SUSPENDED, before=102)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="interrupted behind the switch, and suspended before the next pass",
    ),
    pytest.param(
        stands("b", 102, live=102),
        [A_LIVE, tried("b", 102, CUT, before=101)],
        [("a", 101, SUCCESS), ("b", 102, IN_PROGRESS)],
        id="interrupted, live, and not whole: the next pass tells",
    ),
    pytest.param(
        stands("a", 101, live=101, sync=Sync.SYNCED),
        [A_LIVE, tried("b", 101, CUT, before=101)],
        [("a", 101, SUCCESS), ("b", 101, IN_PROGRESS)],
        id="interrupted, with the same bytes live before: they prove nothing",
    ),
    pytest.param(
        stands("b", 101, live=101),
        [A_LIVE, tried("b", 101, CUT, before=101), refused("b", 101, Gate.SUSPENSION, Reason.SUSPENDED, before=101)],
        [("a", 101, SUCCESS), ("b", 101, IN_PROGRESS)],
        id="nor do they when seen again",
    ),
    pytest.param(
        synced("b", 101),
        [A_LIVE, tried("b", 101, CUT, before=101)],
        [("a", 101, INACTIVE), ("b", 101, SUCCESS)],
        id="interrupted, with the same bytes live before, and settled since",
    ),
    pytest.param(
        synced("b", 102),
        [A_LIVE, tried("b", 102, BAD, before=101), tried("b", 102, OK, before=102, action=Action.ACCEPT)],
        [("a", 101, INACTIVE), ("b", 102, SUCCESS)],
        id="failed behind the switch, and settled since",
    ),
    pytest.param(
        synced("c", 102),
        [A_LIVE, tried("b", 102, BAD, before=101), tried("c", 102, OK, before=101)],
        [("a", 101, INACTIVE), ("b", 102, FAILURE), ("c", 102, SUCCESS)],
        id="failed, and the same bytes brought by another commit",
    ),
    pytest.param(
        stands("a", 101, live=101),
        [A_LIVE, refused("a", 101, Gate.SUSPENSION, Reason.SUSPENDED)],
        [("a", 101, SUCCESS)],
        id="a suspension of what is live already holds no rollout",
    ),
    pytest.param(
        stands("a", 101, live=101),
        [A_LIVE, refused("a", 101, Gate.TARGET, Reason.TARGET_UNAVAILABLE, before=None)],
        [("a", 101, QUEUED)],
        id="what was taken off the target by hand waits to come back",
    ),
    pytest.param(
        synced("b", 101),
        [A_LIVE, tried("b", 101, OK, before=101, action=Action.ACCEPT)],
        [("a", 101, SUCCESS)],
        id="a declaration that brings no other bytes is no rollout",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, soaking("b", 102), tried("a", 101, OK, before=101, action=Action.REPAIR)],
        [("a", 101, SUCCESS), ("b", 102, QUEUED)],
        id="nor is a repair, and it supersedes nothing",
    ),
    pytest.param(
        stands("b", 102, live=101),
        [A_LIVE, soaking("b", 102), tried("a", 101, OK)],
        [("a", 101, SUCCESS), ("b", 102, QUEUED)],
        id="what was live is brought back while something else waits",
    ),
    pytest.param(
        stands("c", 103, live=102),
        [A_LIVE, tried("b", 102, OK, before=101), tried("a", 101, OK)],
        [("a", 101, SUCCESS), ("b", 102, INACTIVE)],
        id="what came last is live, whichever was declared first",
    ),
    pytest.param(
        synced("a", 101),
        [replace(A_LIVE, declared=Declared(None, RunId(101)))],
        [],
        id="what can't be named is not told",
    ),
    pytest.param(synced("a", 101), [], [], id="nothing is remembered"),
]


@pytest.mark.parametrize(("status", "attempts", "expected"), TABLE)
def test_how_far_rollouts_came(
    status: Status | None, attempts: list[Attempt], expected: list[tuple[str, int, RolloutState]]
) -> None:
    assert told(status, *attempts) == expected


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate.SCHEMA, Reason.INVALID_DECLARATION),
        (Gate.REVOCATION, Reason.REVOKED),
        (Gate.SUSPENSION, Reason.SUSPENDED),
        (Gate.PROVENANCE, Reason.RUN_NOT_FOUND),
        (Gate.PROMOTION, Reason.SOAKING),
        (Gate.FREEZE, Reason.FROZEN),
        (Gate.CUSTODY, Reason.SOURCE_UNAVAILABLE),
        (Gate.TARGET, Reason.TARGET_UNAVAILABLE),
    ],
)
def test_behind_the_approval_a_gate_that_may_open_queues(gate: Gate, reason: Reason) -> None:
    attempt = refused("b", 102, gate, reason)
    attempt = replace(attempt, gates=(*dict.fromkeys((LET_IN, *attempt.gates)),))
    (found,) = rollouts([attempt], stands("b", 102, live=101))
    assert (found.state, found.told) == (QUEUED, f"held: {reason}: because")


@pytest.mark.parametrize("reason", [Reason.DIGEST_MISMATCH, Reason.ARTIFACT_UNSAFE, Reason.ARTIFACT_TOO_LARGE])
def test_bytes_that_failed_wait_for_nothing(reason: Reason) -> None:
    (found,) = rollouts([refused("b", 102, Gate.CUSTODY, reason)], stands("b", 102, live=101))
    assert (found.state, found.told) == (FAILURE, f"failed: {reason}: because")


def test_each_state_is_told_in_one_calm_line() -> None:
    status = stands("d", 104, live=102, sync=Sync.OUT_OF_SYNC)
    attempts = [
        A_LIVE,
        tried("b", 102, OK, before=101),
        soaking("c", 103),
        tried("d", 104, BAD, before=102),
    ]
    found = rollouts(attempts[::-1], status)
    assert [rollout.told for rollout in found] == [
        "run 101 is not live any more",
        "run 102 is live",
        "run 103 was superseded before it went live",
        "failed: TargetUnavailable: no space",
    ]


@pytest.mark.parametrize(
    ("attempt", "line"),
    [
        (tried("b", 102, None), "run 102 is being deployed"),
        (tried("b", 102, None, action=Action.ROLLBACK), "going back to run 102"),
        (tried("b", 102, CUT), "run 102 was interrupted on its way; the next pass goes on"),
        (soaking("b", 102), "held: Soaking: because"),
        (
            refused("b", 102, Gate.FREEZE, Reason.FROZEN, minutes=29.5),
            "held until 2026-03-01 12:30Z: Frozen: because",
        ),
        (
            refused("b", 102, Gate.FREEZE, Reason.FROZEN, minutes=30),
            "held until 2026-03-01 12:30Z: Frozen: because",
        ),
    ],
)
def test_what_is_on_its_way_or_waits_says_how_and_until_when(attempt: Attempt, line: str) -> None:
    (found,) = rollouts([attempt], stands("b", 102, live=101))
    assert found.told == line


def test_a_line_is_one_line_and_never_longer_than_github_takes() -> None:
    attempt = replace(soaking("b", 102), message="\x1b[31mred\n\u202e" + "x" * 300)
    (found,) = rollouts([attempt], None)
    assert len(found.told) == TOLD_CHARACTERS == 140
    assert found.told.isprintable()
    assert found.told.startswith("held: Soaking: \\x1b[31mred\\n\\u202ex")
    assert found.told.endswith("x…")


def test_a_rollout_has_the_same_key_in_every_state() -> None:
    (queued,) = rollouts([soaking("b", 102)], None)
    (live,) = rollouts([tried("b", 102, OK)], None)
    assert queued.key == live.key == f"shop/prod/{'b' * 40}/102"
    assert queued.sha256 == f"{102:064x}"


def test_what_is_live_stands_for_the_attempt_that_the_store_lost() -> None:
    assert standing([], synced("a", 101)) == Rollout(
        PROD, CommitId("a" * 40), RunId(101), Digest(f"{101:064x}"), SUCCESS, "run 101 is live"
    )


@pytest.mark.parametrize(
    ("status", "attempts"),
    [
        pytest.param(None, [], id="nothing is known"),
        pytest.param(stands("a", 101, live=101), [], id="something holds"),
        pytest.param(stands("a", 101, live=None, sync=Sync.SYNCED), [], id="nothing is live"),
        pytest.param(stands("b", 102, live=101, sync=Sync.SYNCED), [], id="something else is live"),
        pytest.param(replace(synced("a", 101), declared=Declared(None)), [], id="nobody knows the commit"),
        pytest.param(
            synced("a", 101), [tried("a", 101, OK, before=101, action=Action.ACCEPT)], id="another commit brought it"
        ),
    ],
)
def test_nothing_stands_for_itself_where(status: Status | None, attempts: list[Attempt]) -> None:
    assert standing(attempts, status) is None


def test_what_was_replaced_long_ago_is_told_as_any_other() -> None:
    former = replaced(PROD, CommitId("a" * 40), RunId(101), Digest("1" * 64))
    (gone, _) = rollouts([tried("b", 102, OK, before=101), A_LIVE], synced("b", 102))
    assert (former.key, former.state, former.told) == (gone.key, gone.state, gone.told)


def test_after_the_loss_of_the_store_what_is_on_probation_is_no_success_yet() -> None:
    found = standing((), on_probation("b", 102))
    assert found
    assert (found.state, found.told) == (
        IN_PROGRESS,
        "run 102 is live, and its first health checks have not passed yet",
    )


def test_what_is_live_on_probation_is_told_so() -> None:
    (_, found) = rollouts((tried("b", 102, None, before=101), A_LIVE), on_probation("b", 102))
    assert found.told == "run 102 is live, and its first health checks have not passed yet"
    (_, before) = rollouts((tried("b", 102, None, before=101), A_LIVE), synced("a", 101))
    assert before.told == "run 102 is being deployed"
