"""`demo approve`: the reviewer lets a proposed branch in, and the daemon acts on it, or says what it waits for."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core.declare import POLICY
from reconciler.core.rules import NO_POLICY, Rules, read_policy
from reconciler.demo.clone import Clone
from reconciler.demo.merge import followed
from reconciler.demo.tour import ENVIRONMENTS, Tour
from reconciler.errors import Reason, Terminal
from reconciler.model import CommitId, EnvironmentName, Health, Status


def approve(tour: Tour, branch: str | None) -> None:
    """Merge a branch that somebody pushed, signed by the reviewer, and see what comes of it.

    Args:
        tour: Where.
        branch: Which; None: the only one that waits.

    Raises:
        ReconcilerError: There is no such branch, it can't be merged, or the daemon did not follow.
    """
    story, clone = tour.story, tour.clone
    clone.catch_up()
    name = branch or _only(clone.proposed())
    if clone.is_let_in(name):
        story.says(f"{name} was let in already; nothing was changed.")
        return
    _expect(name, clone.proposed())
    changed = clone.changed_on(name)
    story.headline(f"The reviewer has read {name}, and merges it: this is the approval.")
    commit = clone.merge_proposed(name)
    clone.push("reviewer")
    for file in changed:
        if file != POLICY:
            _tell(tour, EnvironmentName(file.removesuffix(".yaml")), commit)
    if POLICY in changed:
        tour.watch.until(ENVIRONMENTS, "what is revoked is flagged", _judged_by(clone))


def _tell(tour: Tour, environment: EnvironmentName, commit: CommitId) -> None:
    """What became of one environment."""
    story = tour.story
    status = tour.watch.until([environment], f"{environment} follows", lambda status: followed(status, commit))
    live = tour.folder.release(environment)
    if status.ready:
        story.headline(f"{environment} runs run {status.declared.run_id}: {live} is live.")
    else:
        story.headline(f"Approved, and held all the same: {status.reason}. {environment} still runs {live}.")
        tour.type("why", environment)


def _judged_by(clone: Clone) -> Callable[[Status], bool]:
    """Tells whether an environment is flagged if, by the policy as it stands now, it runs what is revoked."""
    policy = clone.policy
    document = (read_policy(policy.name, policy.read_bytes()) if policy.is_file() else NO_POLICY).document
    rules = Rules((document,) if document else ())

    def judged(status: Status) -> bool:
        live = status.live
        revoked = live is not None and rules.revoked(live.run_id, live.sha256) is not None
        return revoked == (status.health is Health.DEGRADED)

    return judged


def _only(proposed: list[str]) -> str:
    if len(proposed) == 1:
        return proposed[0]
    _expect("", proposed)
    message = f"{len(proposed)} branches wait to be let in: {', '.join(proposed)}"
    raise Terminal(Reason.INVALID_SETTINGS, message, "name one of them")


def _expect(name: str, proposed: list[str]) -> None:
    if name in proposed:
        return
    if not proposed:
        message = f"there is no branch {name!r} to let in" if name else "no branch waits to be let in"
        raise Terminal(Reason.INVALID_SETTINGS, message, "propose one: `reconciler promote prod --from staging`")
    if name:
        raise Terminal(Reason.INVALID_SETTINGS, f"there is no branch {name!r}", f"there is: {', '.join(proposed)}")
