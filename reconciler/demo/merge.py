"""`demo merge`: the way that a promotion goes. The engineer changes two lines, the reviewer merges, the daemon acts."""

from __future__ import annotations

from reconciler.demo.clone import Clone
from reconciler.demo.folder import shown
from reconciler.demo.tour import PROD, STAGING, Tour
from reconciler.errors import Reason, Terminal
from reconciler.model import CommitId, Digest, EnvironmentName, RunId, Status, Sync


def merge(tour: Tour, environment: EnvironmentName, run_id: RunId) -> None:
    """Promote a run to an environment, and see it go live.

    Raises:
        ReconcilerError: There is no such run or environment, or it did not go live.
    """
    story, clone = tour.story, tour.clone
    clone.catch_up()
    artifact = tour.ci.artifact(run_id)
    assert artifact.sha256 is not None
    if clone.declared(environment) == (run_id, artifact.sha256):
        story.says(f"{environment} declares run {run_id} already; nothing was changed.")
        return
    story.headline(f"Promote run {run_id} to {environment}: a change of two lines, and a signed merge.")
    propose(clone, environment, run_id, artifact.sha256)
    commit = clone.merge(branch_name(environment, run_id))
    pushed = tour.clock.now()
    clone.push("reviewer")
    status = tour.watch.until([environment], f"{environment} follows", lambda s: followed(s, commit))
    _expect_ready(environment, status)
    seconds = (status.live_since - pushed).total_seconds() if status.live_since else 0.0
    story.headline(f"{environment} runs run {run_id}: live {max(seconds, 0.0):.1f} s after the push.")
    waiting = _downstream(tour, environment)
    story.says("Look at it:")
    story.says(f"  reconciler why {waiting or environment}")
    story.says(f"  {shown(tour.folder.current(environment) / 'bin' / 'reconciler')} version")


def _downstream(tour: Tour, environment: EnvironmentName) -> EnvironmentName | None:
    """Prod, when what has just come to staging is what it waits for; its time begins now."""
    prod, staging = (tour.watch.status(name) for name in (PROD, STAGING))
    if environment != STAGING or prod is None or staging is None or prod.ready:
        return None
    if prod.declared.sha256 != staging.declared.sha256:
        return None
    status = tour.watch.until([PROD], "prod has seen it", lambda s: s.reason is not Reason.NOT_IN_UPSTREAM)
    if status.reason is Reason.SOAKING:
        tour.story.headline(f"prod goes on waiting: {status.message}.")
    return PROD


def propose(clone: Clone, environment: EnvironmentName, run_id: RunId, sha256: Digest) -> None:
    """What the engineer does: a branch with the two lines changed, signed."""
    clone.branch(branch_name(environment, run_id))
    clone.bump(environment, run_id, sha256)


def branch_name(environment: EnvironmentName, run_id: RunId) -> str:
    """The engineer's branch."""
    return f"{environment}-run-{run_id}"


def followed(status: Status, commit: CommitId) -> bool:
    """Whether the daemon has come to its end with a commit: there, or held."""
    return status.declared.commit == commit and (status.ready or status.sync is Sync.HELD)


def _expect_ready(environment: EnvironmentName, status: Status) -> None:
    if not status.ready:
        message = f"{environment} is held: {status.message}"
        raise Terminal(status.reason or Reason.INTERNAL_ERROR, message, f"reconciler why {environment}")
