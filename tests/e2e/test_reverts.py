"""What merging such a request really does, judged by real passes: what runs is declared, and nobody has to approve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.chores.reverts import Reverts
from reconciler.errors import Reason
from reconciler.git.branches import Branches
from reconciler.machine.clock import SystemClock
from reconciler.model import Accepted, Action, CommitId, Declared, Digest, EnvironmentName, Health, RunId, Status, Sync
from reconciler.wiring import System
from tests.factories import NOON
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import METHODS, GitHubSite, file_of

PROD = EnvironmentName("prod")


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    site = GitHubSite(tmp_path, github)
    for run in (1, 2, 3):
        site.build(run)
    return site


def rolled_back(site: GitHubSite, system: System, commit: CommitId) -> Accepted:
    """What is remembered when run 2 was tried and run 1 was brought back; the target is as it was before."""
    system.tracker.look()
    before, good = system.world.store.statuses()[PROD], system.world.store.accepted(PROD)
    assert good is not None
    declared = Declared(commit, RunId(2), Digest(str(site.artifacts[2].sha256)))
    failed = replace(
        before,
        sync=Sync.HELD,
        health=Health.DEGRADED,
        reason=Reason.HEALTH_CHECK_FAILED,
        message="answered 503",
        declared=declared,
    )
    system.world.store.save(failed, NOON, good)
    return good


def proposed(system: System) -> None:
    """What the chore does in a daemon with `repository.reverts` on."""
    settings, world = system.settings, system.world
    assert world.forge is not None
    branches = Branches(
        settings.repository.url,
        settings.repository.branch,
        settings.state / "git",
        settings.state / "reverts",
        settings.bounds,
        lambda _: None,
    )
    reverts = Reverts(world.store, world.repository, world.forge, branches, "main", SystemClock(), lambda *_: None)
    reverts.tell()


@pytest.mark.parametrize("method", METHODS)
def test_merged_by_anybody_it_declares_what_runs_without_an_approval_and_deploys_nothing(
    site: GitHubSite, method: str
) -> None:
    """The commit has no author that GitHub knows, and nobody but its opener lets it in: it only goes back."""
    site.declare("prod", 1)
    site.reconcile()
    commit = site.declare("prod", 2, config={"COLOUR": "red"})
    with site.system() as system:
        good = rolled_back(site, system, commit)
        live = (site.live / "prod" / "current").readlink()
        proposed(system)
    (pull,) = [pull for pull in site.deploy.pulls if pull.state == "open"]
    site.deploy.merge(pull, pull.author, method)
    status: Status = site.reconcile()["prod"]
    assert (status.sync, status.reason, status.declared.run_id) == (Sync.SYNCED, None, 1)
    assert (site.live / "prod" / "current").readlink() == live
    after = site.store().accepted(PROD)
    assert after is not None
    assert after.declaration == good.declaration
    done = [attempt.action for attempt in site.store().attempts(PROD)]
    assert done[0] in (Action.ACCEPT, Action.DEPLOY)
    assert done.count(Action.DEPLOY) == 1


def test_the_request_is_nobodys_approval_of_what_comes_along_with_it(site: GitHubSite) -> None:
    site.declare("prod", 1)
    site.reconcile()
    commit = site.declare("prod", 2)
    with site.system() as system:
        rolled_back(site, system, commit)
        proposed(system)
    (pull,) = [pull for pull in site.deploy.pulls if pull.state == "open"]
    site.deploy.push(site.engineer, pull.head, {file_of("prod"): site.declaration("prod", 3)}, "And a little more")
    site.deploy.merge(pull, site.engineer)
    status = site.reconcile()["prod"]
    assert (status.sync, status.live and status.live.run_id) == (Sync.HELD, 1)
    assert status.reason in (Reason.SELF_APPROVAL, Reason.APPROVAL_MISSING)
