"""`demo smuggle`: a change of prod that nobody reviewed reaches the branch, and nothing else."""

from __future__ import annotations

from reconciler.demo.tour import DEV, PROD, STAGING, Tour
from reconciler.errors import Reason
from reconciler.model import Digest, RunId


def smuggle(tour: Tour) -> None:
    """The engineer pushes a bump of prod straight to the branch.

    Raises:
        ReconcilerError: The daemon did not judge it as it should.
    """
    story, clone = tour.story, tour.clone
    clone.catch_up()
    if clone.smuggled():
        story.says("prod has a smuggled change already; `reconciler demo smuggle --revert` takes it back.")
        return
    before = tour.folder.release(PROD)
    run_id, sha256 = _other_run(tour)
    story.headline(f"The engineer is in a hurry, and pushes run {run_id} to prod without a review.")
    clone.bump(PROD, run_id, sha256)
    commit = clone.remember_smuggled()
    clone.push("engineer")
    tour.watch.until(
        [PROD],
        "prod is held for want of an approval",
        lambda status: (status.declared.commit, status.reason) == (commit, Reason.APPROVAL_MISSING),
    )
    story.headline(f"Held. {_untouched(before, tour)}")
    tour.type("why", PROD)
    story.says("Take it back:  reconciler demo smuggle --revert")


def revert(tour: Tour) -> None:
    """The engineer takes it back.

    Raises:
        ReconcilerError: It can't be reverted, or the daemon did not follow.
    """
    story, clone = tour.story, tour.clone
    clone.catch_up()
    if not clone.smuggled():
        story.says("There is nothing to take back.")
        return
    story.headline("The engineer takes it back: what was approved before needs no new approval.")
    clone.revert_smuggled()
    clone.push("engineer")
    run_id, _ = clone.declared(PROD)
    tour.watch.until([PROD], "prod is Synced", lambda status: status.ready and status.declared.run_id == run_id)
    tour.type("get", PROD)


def _other_run(tour: Tour) -> tuple[RunId, Digest]:
    """What staging declares; when prod does so too, what dev does, or any other run."""
    declared = tour.clone.declared(PROD)
    candidates = (*(tour.clone.declared(name)[0] for name in (STAGING, DEV)), *tour.ci.runs())
    run_id = next(number for number in candidates if number != declared[0])
    sha256 = tour.ci.artifact(run_id).sha256
    assert sha256 is not None
    return run_id, sha256


def _untouched(before: str, tour: Tour) -> str:
    """Says what `current` names, which is the point of the whole thing."""
    now = tour.folder.release(PROD)
    return f"prod still runs {now}." if now == before else f"prod went from {before} to {now}!"
