"""What the tests of the rules between environments share: staging and prod, a process that stays, what attackers do."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from reconciler import wiring
from reconciler.declarations.tracker import Tracker
from reconciler.errors import Reason
from reconciler.loop.runner import Runner
from reconciler.model import CommitId, Gate, GateResult, Status, Sync
from reconciler.ports import Trace
from tests.archives import zip_of
from tests.factories import sha256
from tests.site import Site, environment

POLICY = "environments/policy.yaml"
AFTER = {"after": ["staging"]}
CLOSED = {"reason": "year end", "from": "2020-01-01", "to": "2099-01-01", "environments": ["prod"]}
NESTED = zip_of({"app.zip": zip_of({"bin/app": b"inner"}, {"bin/app": 0o755})})


def staging_and_prod(folder: Path) -> Site:
    """Staging and prod run 1; prod promotes from staging; runs 2 and 3 are built."""
    site = Site(folder)
    for run in (1, 2, 3):
        site.publish(run)
    site.merge(
        {
            "environments/staging.yaml": site.declaration("staging", 1),
            "environments/prod.yaml": site.declaration("prod", 1, promote=AFTER),
        }
    )
    site.reconcile()
    assert site.reconcile()["prod"].ready
    return site


class Live:
    """One process of the product that stays, so that what it sees earns time."""

    def __init__(self, runner: Runner, tracker: Tracker) -> None:
        self._runner, self._tracker = runner, tracker

    def look(self) -> None:
        """Fetch what was pushed."""
        self._tracker.look()

    def run(self, name: str) -> Status:
        """One pass for one environment."""
        return self._runner.run(environment(name)).status


@contextmanager
def process(site: Site, trace: Trace = wiring.silent) -> Iterator[Live]:
    """Start the product in this process; it has looked once."""
    with site.system(trace) as system:
        live = Live(system.runner(lambda *_: None), system.tracker)
        live.look()
        yield live


def word(status: Status, gate: Gate) -> GateResult:
    """What one gate said."""
    return next(result for result in status.gates if result.gate is gate)


def held(status: Status, reason: Reason) -> None:
    """Check that nothing is let through for this reason, and that people are told why and what to do."""
    assert (status.sync, status.reason) == (Sync.HELD, reason), status
    assert status.message
    assert status.hint


def stopped(site: Site, name: str, reason: Reason, live: int) -> None:
    """Reconcile, and check that an environment is held for this reason and that this run is still live there."""
    held(site.reconcile()[name], reason)
    assert site.current(name) == live


def remove(site: Site, path: str) -> None:
    """Delete a file by a direct push."""
    site.git.switch(site.git.main).remove(path).commit(site.engineer, "Remove").push()


def lose_the_store(site: Site) -> None:
    """All that the product remembers, its copies of the bytes too."""
    shutil.rmtree(site.folder / "state")


def push_from_the_side(site: Site, published: CommitId) -> None:
    """Bring in what the clone stands on by a swapped merge, with the policy as it was published."""
    if site.git.git("ls-tree", published, POLICY):
        site.git.git("checkout", published, "--", POLICY)
        site.git.commit(site.engineer, "The policy as it is")
    site.git.push_swapped(site.engineer, published)


def full_disk_at(wanted: str) -> Trace:
    """A disk that has no room at one step, once."""

    def fill() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    return once(wanted, fill)


def once(wanted: str, act: Callable[[], object]) -> Trace:
    """Do something at a step of the product, the first time that it gets there."""
    left = [wanted]

    def trace(step: str) -> None:
        if step in left:
            left.remove(step)
            act()

    return trace


def nested(site: Site, name: str, unpack: str, **fields: object) -> dict[str, str]:
    """Run 7, an archive in an archive, to be unpacked in one of the two ways."""
    declared = site.declaration(name, 7, sha=sha256(NESTED), **fields)  # type: ignore[arg-type]
    document = yaml.safe_load(declared)
    document["artifact"]["unpack"] = unpack
    return {f"environments/{name}.yaml": yaml.safe_dump(document, sort_keys=False)}


def live_files(site: Site, name: str) -> list[str]:
    """What is live, file by file."""
    release = (site.live / name / "current").resolve(strict=True)
    return sorted(path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file())


def serve_for_a_moment(site: Site, name: str, run: int) -> None:
    """Move the live link aside, link to another release, and move the first link back."""
    folder = site.live / name
    (folder / "current").rename(folder / "aside")
    (folder / "current").symlink_to(next(folder.glob(f"releases/{run}-*")).relative_to(folder))
    time.sleep(0.05)  # the clock of a file system may tick slowly
    (folder / "aside").rename(folder / "current")


def promote_to_2(site: Site) -> None:
    """Staging runs 2; prod declares it, and has not been looked at since."""
    site.declare("staging", 2)
    site.reconcile()
    site.declare("prod", 2, promote=AFTER)


def fail_the_switch_to_2(site: Site) -> None:
    """Run 2 is let in to prod and placed there, but never goes live."""
    promote_to_2(site)
    assert site.reconcile(full_disk_at("target:switch"))["prod"].reason is Reason.TARGET_UNAVAILABLE
    assert site.current("prod") == 1


def rewrite(site: Site, files: dict[str, str]) -> None:
    """Replace the history; the operator, who was told another story, accepts it."""
    site.git.rewrite(site.engineer, files)
    held(site.reconcile()["prod"], Reason.BRANCH_REWRITTEN)
    done = site.answer("accept-rewrite", site.git.tip, "--reason", "meant")
    assert done.returncode == 0, done.stderr
