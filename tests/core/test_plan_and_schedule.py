"""What is due, and when to look again."""

from __future__ import annotations

import pytest

from reconciler.core.approve import Approval
from reconciler.core.plan import decide
from reconciler.core.schedule import DueQueue, retry_delay
from reconciler.model import Accepted, Action, Digest, Drift, DriftKind, EnvironmentName, Observation, Release, RunId
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
    assert decide(WANTED, observed) is action


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
