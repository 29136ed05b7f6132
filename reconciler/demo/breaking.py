"""`demo break`: a run is merged that does not become healthy. It goes back by itself, and is not tried again."""

from __future__ import annotations

from reconciler.core.declare import FOLDER
from reconciler.demo import service
from reconciler.demo.merge import propose
from reconciler.demo.service import ARTIFACT, BROKEN, GOOD, WEB
from reconciler.demo.tour import Tour
from reconciler.errors import Reason
from reconciler.model import Status


def break_it(tour: Tour) -> None:
    """Deploy a web service, then a broken run of it.

    Raises:
        ReconcilerError: The daemon did not bring it to life, or not back.
    """
    story, clone = tour.story, tour.clone
    clone.catch_up()
    if not clone.file(WEB).exists():
        _begin(tour)
    if clone.declared(WEB)[0] == BROKEN:
        story.says(f"{WEB} declares run {BROKEN} already; `reconciler retry {WEB}` tries it once more.")
        return
    story.headline(f"Run {BROKEN} of it has a fault that nobody saw. It is reviewed, approved and merged:")
    artifact = tour.ci.artifact(BROKEN)
    assert artifact.sha256 is not None
    propose(clone, WEB, BROKEN, artifact.sha256)
    commit = clone.merge(f"{WEB}-run-{BROKEN}")
    clone.push("reviewer")

    def went_back(status: Status) -> bool:
        back = status.live is not None and status.live.run_id == GOOD and status.reason is Reason.HEALTH_CHECK_FAILED
        return back and status.declared.commit == commit

    tour.watch.until([WEB], f"run {GOOD} is live again", went_back)
    story.headline(f"It answered 503 for 3 seconds, and run {GOOD} was brought back by itself. Nobody was called.")
    tour.type("why", WEB)
    tour.type("history", WEB)


def _begin(tour: Tour) -> None:
    story, clone = tour.story, tour.clone
    story.headline("A small web service: the daemon starts it after the switch, and asks it whether it is well.")
    tour.ci.publish_small((GOOD, BROKEN), ARTIFACT, service.pack)
    clone.branch(WEB)
    data = service.declaration(tour.folder, tour.ci.artifact(GOOD), GOOD)
    clone.edit(clone.file(WEB), data, f"Declare {WEB}")
    clone.merge(WEB)
    clone.push("reviewer")
    tour.watch.until([WEB], f"{WEB} is healthy", lambda status: status.ready)
    story.says(f"{WEB} is live and healthy; {FOLDER}/{WEB}.yaml says how it is run.")
