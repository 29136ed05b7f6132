"""Whether a rollback would work right now, by a look at every byte that it would bring back."""

from __future__ import annotations

from reconciler.model import Readiness
from reconciler.pipeline.home import Home


def readiness(home: Home) -> Readiness | None:
    """Whether a rollback to what was live before would work, every byte of that looked at; None: nothing is kept.

    Raises:
        ReconcilerError: `TargetUnavailable`.
    """
    observed = home.observed
    live = observed.live
    good = observed.service.good if observed.service else None
    failed = observed.service.failed if observed.service else None
    usable = (one for one in observed.retained if live is None or one.id != live.id)
    other = next((one for one in usable if failed is None or one.sha256 != failed.sha256), None)
    if good and live and (good.run_id, good.sha256) != (live.run_id, live.sha256):
        wanted = (good.run_id, good.sha256)
    elif other:
        wanted = (other.run_id, other.sha256)
    else:
        return None
    found = home.target.readiness(*wanted)
    return found or Readiness(f"{wanted[0]}-{wanted[1][:12]}", ready=False, why="it is not kept on the target any more")
