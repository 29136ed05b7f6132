"""`demo tamper`: an attacker at the artifact store alters what was declared and approved. Found while bytes arrive.

The harder of two cases: the file is altered in place, with its size and what CI wrote down about it unchanged,
so that only the bytes themselves can tell.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.demo.clone import digest
from reconciler.demo.folder import shown
from reconciler.demo.merge import branch_name, propose
from reconciler.demo.tour import STAGING, Tour
from reconciler.errors import Reason
from reconciler.model import Digest, RunId

FLIPPED_BYTES = 16


def tamper(tour: Tour) -> None:
    """Have a run approved for staging, and alter its artifact before the daemon fetches it.

    Raises:
        ReconcilerError: The daemon did not notice.
    """
    story, clone = tour.story, tour.clone
    clone.catch_up()
    if altered := _altered(tour):
        story.says(f"Run {altered[0]} is tampered with already; `reconciler demo tamper --restore` mends it.")
        return
    before = tour.folder.release(STAGING)
    run_id, sha256 = _fresh_run(tour)
    story.headline(f"Run {run_id} is declared for staging, and approved.")
    propose(clone, STAGING, run_id, sha256)
    commit = clone.merge(branch_name(STAGING, run_id))
    story.headline("Before it is deployed, somebody gets at the artifact store, and alters the file in place.")
    stored = tour.ci.stored(run_id)
    flip(stored)
    story.typed("attacker", f": {FLIPPED_BYTES} bytes of {shown(stored)} inverted; size and run.json stay as they were")
    clone.push("reviewer")
    tour.watch.until(
        [STAGING],
        "staging is held for its bytes",
        lambda status: (status.declared.commit, status.reason) == (commit, Reason.DIGEST_MISMATCH),
    )
    now = tour.folder.release(STAGING)
    what = f"staging still runs {now}." if now == before else f"staging went from {before} to {now}!"
    story.headline(f"Held. {what}")
    tour.type("why", STAGING)
    story.says("Mend it:  reconciler demo tamper --restore")


def restore(tour: Tour) -> None:
    """Put the bytes back, and have the daemon try again.

    Raises:
        ReconcilerError: The daemon did not follow.
    """
    story = tour.story
    altered = _altered(tour)
    if not altered:
        story.says("Nothing is tampered with.")
        return
    story.headline("The artifact store is mended; bytes that failed once are tried again only when somebody says so.")
    for run_id in altered:
        flip(tour.ci.stored(run_id))
    tour.clone.catch_up()
    run_id, _ = tour.clone.declared(STAGING)
    if run_id in altered:
        tour.type("retry", STAGING)
    tour.watch.until([STAGING], "staging is Synced", lambda s: s.ready and s.declared.run_id == run_id)
    tour.type("get", STAGING)


def flip(path: Path) -> None:
    """Invert a few bytes in the middle of a file; a second time puts them back."""
    offset = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(offset)
        data = file.read(FLIPPED_BYTES)
        file.seek(offset)
        file.write(bytes(byte ^ 0xFF for byte in data))


def _altered(tour: Tour) -> tuple[RunId, ...]:
    """Runs whose file is not what CI stored."""
    return tuple(number for number in tour.ci.runs() if digest(tour.ci.stored(number)) != _stored_digest(tour, number))


def _fresh_run(tour: Tour) -> tuple[RunId, Digest]:
    """A run that was never declared, as the daemon keeps its own copy of what it once fetched; built if need be."""
    known = tour.ci.runs()
    run_id = next((n for n in known if not tour.clone.ever_declared(_stored_digest(tour, n))), None)
    if run_id is None:
        run_id = RunId(known[-1] + 1)
        tour.ci.build([run_id])
    return run_id, _stored_digest(tour, run_id)


def _stored_digest(tour: Tour, run_id: RunId) -> Digest:
    sha256 = tour.ci.artifact(run_id).sha256
    assert sha256 is not None
    return sha256
