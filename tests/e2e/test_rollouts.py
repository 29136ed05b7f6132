"""Rollouts of real passes, as GitHub shows them: also while one is under way, and after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.chores.rollouts import Rollouts
from reconciler.ports import Trace
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import GitHubSite
from tests.site import eventually


class PulledThePlug(BaseException):
    """The process ends here."""


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    site = GitHubSite(tmp_path, github)
    for run in (1, 2):
        site.build(run)
    return site


def states(site: GitHubSite) -> list[tuple[int, list[str]]]:
    """Every deployment's run, and the states it went through, oldest first."""
    found = []
    for one in site.deploy.deployments:
        assert isinstance(one.payload, dict)
        found.append((one.payload["run_id"], [said.state for said in sorted(one.statuses, key=lambda said: said.id)]))
    return found


def tell(site: GitHubSite) -> None:
    """What a process that was started anew tells."""
    with site.system() as system:
        rollouts = system.rollouts()
        assert rollouts is not None
        rollouts.tell()


def told_during(site: GitHubSite, step: str) -> None:
    """One pass; at one of its steps the chore has its turn, as it does beside a pass that takes long."""
    store = site.store()
    done: list[str] = []

    def trace(name: str) -> None:
        if name == step and not done:
            done.append(name)
            Rollouts(store, deployments).tell()

    with site.system(trace) as system:
        assert system.world.forge is not None
        assert system.world.forge.deployments is not None
        deployments = system.world.forge.deployments
        runner = system.runner(lambda *_: None)
        for name in sorted(system.tracker.look()):
            runner.run(name)
    assert done


def cut_at(step: str) -> Trace:
    def trace(name: str) -> None:
        if name == step:
            raise PulledThePlug

    return trace


def test_a_pass_under_way_is_shown_in_progress_and_its_end_afterwards(site: GitHubSite) -> None:
    site.declare("prod", 1)
    told_during(site, "target:switch")
    assert states(site) == [(1, ["in_progress"])]
    tell(site)
    site.declare("prod", 2)
    told_during(site, "target:switch")
    tell(site)
    assert states(site) == [(1, ["in_progress", "success", "inactive"]), (2, ["in_progress", "success"])]


def test_what_a_freeze_holds_is_queued_with_the_time_at_which_it_may_go(site: GitHubSite) -> None:
    site.declare("prod", 1)
    site.reconcile()
    window = {"environments": ["prod"], "from": "2020-01-01T00:00", "to": "2099-01-01T00:00", "reason": "a fair"}
    site.land(site.policy(freeze=[{**window, "time_zone": "UTC"}]))
    site.declare("prod", 2)
    site.reconcile()
    tell(site)
    assert states(site) == [(1, ["success"]), (2, ["queued"])]
    told = site.deploy.deployments[-1].statuses[0].description
    assert told.startswith("held until 2099-01-01 00:00Z: Frozen: prod is frozen")


def test_what_nobody_approved_is_not_shown(site: GitHubSite) -> None:
    site.deploy.push(site.engineer, "main", {"environments/prod.yaml": site.declaration("prod", 1)}, "By hand")
    assert not site.reconcile()["prod"].ready
    tell(site)
    assert states(site) == []


@pytest.mark.parametrize("lost", [False, True], ids=["remembered", "store lost"])
@pytest.mark.parametrize("shown", [False, True], ids=["never shown", "shown in progress"])
def test_killed_between_the_switch_and_the_record_there_is_one_final_record(
    site: GitHubSite, shown: bool, lost: bool
) -> None:
    site.declare("prod", 1)
    with pytest.raises(PulledThePlug):
        site.reconcile(cut_at("store:outcome"))
    if shown:
        tell(site)
    if lost:
        for file in (site.folder / "state").glob("*.db*"):
            file.unlink()
    assert site.reconcile()["prod"].ready
    tell(site)
    tell(site)
    assert states(site) == [(1, [*(["in_progress"] if shown else []), "success"])]


def test_killed_before_the_switch_the_same_rollout_goes_on(site: GitHubSite) -> None:
    site.declare("prod", 1)
    with pytest.raises(PulledThePlug):
        site.reconcile(cut_at("target:switch"))
    tell(site)
    assert site.reconcile()["prod"].ready
    tell(site)
    assert states(site) == [(1, ["in_progress", "success"])]


def test_suspending_what_is_live_says_nothing_new(site: GitHubSite) -> None:
    site.declare("prod", 1)
    site.reconcile()
    tell(site)
    site.answer("suspend", "prod", "--reason", "a look")
    assert str(site.reconcile()["prod"].reason) == "Suspended"
    tell(site)
    assert states(site) == [(1, ["success"])]


def test_the_daemon_shows_rollouts_by_itself(site: GitHubSite) -> None:
    site.declare("prod", 1)
    with site.daemon():
        eventually(lambda: [said[-1:] for _, said in states(site)] == [["success"]], 60)
        site.declare("prod", 2)
        eventually(lambda: [said[-1:] for _, said in states(site)] == [["inactive"], ["success"]], 60)


def test_rollouts_that_are_turned_off_are_not_shown(site: GitHubSite) -> None:
    forge = site.settings["forge"]
    assert isinstance(forge, dict)
    site.configure(forge={**forge, "rollouts": False})
    with site.system() as system:
        assert system.rollouts() is None
