"""The real program: a merge becomes live by itself, watched or polled; it stops cleanly, and outlives kill -9."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from tests.site import Site, eventually


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    for run in (1, 2, 3):
        site.publish(run)
    site.declare("prod", 1)
    return site


def test_a_local_merge_is_live_without_waiting_for_a_poll(site: Site) -> None:
    site.configure(repository={"url": str(site.git.origin), "poll_seconds": 3600})
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        for run in (2, 3):
            site.declare("prod", run)
            eventually(partial(_is_live, site, run), 20)


def _is_live(site: Site, run: int) -> bool:
    return site.current("prod") == run


def test_a_merge_on_a_remote_is_live_after_a_poll(site: Site) -> None:
    with site.git.serve() as url:
        site.configure(repository={"url": url, "poll_seconds": 0.2})
        with site.daemon():
            eventually(lambda: site.current("prod") == 1)
            site.declare("prod", 2)
            eventually(lambda: site.current("prod") == 2, 20)


def test_a_direct_push_is_refused_and_explained_with_exit_code_3(site: Site) -> None:
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        site.push("prod", 2)
        eventually(lambda: "ApprovalMissing" in site.answer("get").stdout)
        why = site.cli("why", "prod")
        assert why.returncode == 3
        assert "ApprovalMissing" in why.stdout
        assert site.git.tip[:12] in why.stdout
        assert site.answer("wait", "prod", "--for", "Ready", "--timeout", "1s").returncode == 5
        site.git.git("-c", "user.name=e", "-c", "user.email=e@x", "revert", "--no-edit", "HEAD")
        site.git.push()
        assert site.cli("wait", "prod", "--for", "Ready", "--timeout", "20s").returncode == 0
        assert site.cli("why", "prod").returncode == 0
    assert site.current("prod") == 1


def test_drift_is_repaired_by_itself(site: Site) -> None:
    site.configure(drift_seconds=0.2)
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        eventually(lambda: site.answer("get", "prod").returncode == 0 and "Synced" in site.answer("get", "prod").stdout)
        (site.live / "prod" / "current" / "lib/0.txt").write_bytes(b"by hand")
        eventually(lambda: (site.live / "prod" / "current" / "lib/0.txt").read_bytes() == b"run 1")


def test_drift_is_repaired_although_the_repository_was_away_when_the_daemon_started(site: Site) -> None:
    assert site.reconcile()["prod"].ready
    site.git.origin.rename(site.folder / "away")
    file = site.live / "prod" / "current" / "lib/0.txt"
    file.write_bytes(b"by hand")
    with site.daemon():
        eventually(lambda: file.read_bytes() == b"run 1")
        (site.folder / "away").rename(site.git.origin)
        site.declare("prod", 2)
        eventually(lambda: site.current("prod") == 2)


def test_an_operator_wakes_a_daemon_that_would_sleep_for_an_hour(site: Site) -> None:
    site.configure(repository={"url": str(site.git.origin), "poll_seconds": 3600}, drift_seconds=3600)
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        eventually(lambda: "Synced" in site.answer("get", "prod").stdout)
        assert site.cli("suspend", "prod", "--reason", "night").returncode == 0
        eventually(lambda: "Suspended" in site.answer("get", "prod", "-o", "wide").stdout)


def test_a_stop_is_clean_and_a_kill_is_survived(site: Site) -> None:
    with (site.folder / "log").open("ab") as log:
        killed = site.start(log=log)
        eventually(lambda: site.current("prod") == 1)
        killed.kill()
        killed.wait(10)
        site.declare("prod", 2)
        again = site.start(log=log)
        eventually(lambda: site.current("prod") == 2)
        again.send_signal(signal.SIGTERM)
        assert again.wait(20) == 0
    assert "Traceback" not in (site.folder / "log").read_text()


def test_two_daemons_do_not_share_a_state_folder(site: Site) -> None:
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        second = site.cli("reconcile")
        assert second.returncode == 1
        assert "StateLocked" in second.stderr
        assert site.answer("check", "--daemon").returncode == 0
    assert site.answer("check", "--daemon").returncode != 0


def test_an_answer_says_that_the_repository_is_away_and_nothing_once_it_is_back(site: Site) -> None:
    site.configure(repository={"url": str(site.git.origin), "poll_seconds": 0.2})
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        assert "note:" not in site.answer("get").stderr
        site.git.origin.rename(site.folder / "away")
        eventually(lambda: "a merge may wait there" in site.answer("get").stderr)
        assert "Synced" in site.answer("get").stdout  # what is known is told all the same
        (site.folder / "away").rename(site.git.origin)
        eventually(lambda: "note:" not in site.answer("why", "prod").stderr)
