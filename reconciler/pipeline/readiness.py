"""Whether a rollback would work right now, by a look at every byte that it would bring back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.model import Digest, Readiness, RunId
from reconciler.pipeline.home import Home

Revoked = Callable[[RunId, Digest], str]
"""Why an artifact is revoked; empty when it is not."""


def readiness(home: Home, revoked: Revoked) -> Readiness | None:
    """Whether a rollback to what was live before would work, every byte of that looked at; None: nothing is kept.

    Args:
        home: Where the environment lives, and what is there.
        revoked: No rollback goes to what is; it is only told of where nothing else is kept.

    Raises:
        ReconcilerError: `TargetUnavailable`.
    """
    before = list(dict.fromkeys(_before(home)))
    if not before:
        return None
    wanted = next((one for one in before if not revoked(*one)), before[0])
    name = f"{wanted[0]}-{wanted[1][:12]}"
    if why := revoked(*wanted):
        return Readiness(name, ready=False, why=f"it is revoked: {why}")
    found = home.target.readiness(*wanted)
    return found or Readiness(name, ready=False, why="it is not kept on the target any more")


def _before(home: Home) -> Iterator[tuple[RunId, Digest]]:
    """What a rollback may go back to: the last good release, then what is kept and did not fail, newest first."""
    observed = home.observed
    live = observed.live
    good = observed.service.good if observed.service else None
    failed = observed.service.failed if observed.service else None
    if good and live and (good.run_id, good.sha256) != (live.run_id, live.sha256):
        yield good.run_id, good.sha256
    for one in observed.retained:
        if (live is None or one.id != live.id) and (failed is None or one.sha256 != failed.sha256):
            yield one.run_id, one.sha256
