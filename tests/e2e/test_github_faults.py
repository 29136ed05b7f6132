"""GitHub goes away, or has had enough of us, in the middle of a life: what is live stays, and it goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.forges.github import sharing
from tests.github.hub import Hub
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import GitHubSite, file_of
from tests.site import eventually

ONE_CHANGE = 8
"""Requests about one commit: seven, and one for the repository's number."""
FLEET = tuple(f"e{number:02}" for number in range(20))
Fault = Callable[[Hub], None]


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    """Run 1 is live in prod and dev; dev needs nobody's approval."""
    site = GitHubSite(tmp_path, github)
    for run in (1, 2):
        site.build(run)
    site.declare("prod", 1)
    site.land({file_of("dev"): site.declaration("dev", 1, approval="none")})
    assert all(status.ready for status in site.reconcile().values())
    return site


def fails(status: int, path: str) -> Fault:
    return lambda hub: hub.fail(status, times=10_000, path=path)


def down(hub: Hub) -> None:
    hub.go_down()


def over_the_limit(hub: Hub) -> None:
    hub.limit_rate()


def over_the_secondary_limit(hub: Hub) -> None:
    hub.limit_secondary(3600)


def storage_fails(hub: Hub) -> None:
    hub.storage.fail(503, times=10_000)


EVERY_CALL = {
    **{
        path: (fails(502, path), Reason.FORGE_UNAVAILABLE)
        for path in ("/commits/", "/pulls/", "/reviews", "/issues/", "/activity", "/collaborators/")
    },
    "down": (down, Reason.FORGE_UNAVAILABLE),
    "rate limit": (over_the_limit, Reason.FORGE_UNAVAILABLE),
    "secondary rate limit": (over_the_secondary_limit, Reason.FORGE_UNAVAILABLE),
    "refused": (fails(403, "/pulls/"), Reason.FORGE_UNAVAILABLE),
    "token revoked": (fails(401, "acme/deploy"), Reason.FORGE_UNAVAILABLE),
    **{
        path: (fails(500, path), Reason.SOURCE_UNAVAILABLE)
        for path in ("/actions/runs/2", "/artifacts", "/compare/", "/zip")
    },
    "storage": (storage_fails, Reason.SOURCE_UNAVAILABLE),
}


@pytest.mark.parametrize(("fault", "reason"), EVERY_CALL.values(), ids=EVERY_CALL)
def test_while_a_call_fails_what_is_live_stays_and_then_it_goes_on(
    fault: Fault, reason: Reason, site: GitHubSite
) -> None:
    site.declare("prod", 2)
    fault(site.hub)
    for _ in range(2):
        found = site.reconcile()
        assert (found["prod"].reason, site.current("prod")) == (reason, 1), found["prod"]
        assert found["dev"].ready
    site.hub.come_up()
    site.hub.faults.clear()
    site.hub.storage._failures.clear()
    assert site.reconcile()["prod"].ready
    assert site.current("prod") == 2


def test_a_download_that_breaks_off_is_resumed(site: GitHubSite) -> None:
    site.declare("prod", 2)
    site.hub.storage.cut_after(40)
    for _ in range(3):
        if site.reconcile()["prod"].ready:
            break
    assert site.current("prod") == 2


def test_the_daemon_goes_on_by_itself_and_others_do_meanwhile(site: GitHubSite) -> None:
    """An environment without a gate, whose artifact is in custody, does not need GitHub at all."""
    site.configure(repository={"url": str(site.deploy.git_url), "poll_seconds": 0.5}, drift_seconds=0.5)
    with site.daemon():
        eventually(lambda: "started" in (site.folder / "daemon.log").read_text())
        site.hub.go_down()
        site.declare("prod", 2)
        eventually(lambda: "ForgeUnavailable" in (site.folder / "daemon.log").read_text(), 60)
        (site.live / "dev" / site.live.joinpath("dev/current").readlink() / "app.txt").write_text("drifted")
        eventually(partial(_is_whole, site, "dev", 1), 60)
        assert site.current("prod") == 1
        site.hub.come_up()
        eventually(lambda: site.current("prod") == 2, 60)


def _is_whole(site: GitHubSite, name: str, run: int) -> bool:
    try:
        return site.current(name) == run
    except AssertionError:
        return False


def test_while_a_limit_is_in_force_nothing_is_asked(site: GitHubSite) -> None:
    site.configure(repository={"url": str(site.deploy.git_url), "poll_seconds": 0.1}, workers=1)
    site.hub.limit_rate()
    site.declare("prod", 2)
    site.hub.forget()
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        system.tracker.look()
        for _ in range(20):
            assert runner.run(next(name for name in system.catalog.environments if name == "prod")).failures
    assert [call.status for call in site.hub.log] == [403]


# --- one pull request for many environments -------------------------------------------------------


def fleet(site: GitHubSite) -> dict[str, str | None]:
    return {file_of(name): site.declaration(name, 1) for name in FLEET}


@pytest.fixture
def slow_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few seconds are as long as a test takes."""
    monkeypatch.setattr(sharing, "SHARED_SECONDS", 3_600.0)


@pytest.mark.usefixtures("slow_time")
def test_a_change_of_many_environments_is_asked_about_once(site: GitHubSite) -> None:
    site.land(fleet(site))
    site.hub.forget()
    assert all(site.reconcile()[name].ready for name in FLEET)
    about = [call for call in site.hub.log if "acme/deploy" in call.path]
    assert len(about) == ONE_CHANGE


@pytest.mark.usefixtures("slow_time")
def test_an_approval_is_found_at_once_by_whoever_is_told_of_it(site: GitHubSite) -> None:
    """Though it was asked a moment ago."""
    pull = site.pull(fleet(site))
    site.deploy.merge(pull, site.engineer, "squash")
    with site.system() as system:
        runner = system.runner(lambda *_: None)
        names = sorted(name for name in system.tracker.look() if name in FLEET)
        assert {runner.run(name).status.reason for name in names} == {Reason.SELF_APPROVAL}
        site.deploy.review(pull, site.reviewer, "APPROVED")
        assert runner.run(names[0]).status.reason is Reason.SELF_APPROVAL, "nobody said so"
        assert set(names) <= runner.unsettled()
        assert all(runner.run(name).status.ready for name in names)
