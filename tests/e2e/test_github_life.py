"""The whole life of a release on GitHub, with the real program; and what outlives GitHub's memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from reconciler.errors import Reason
from reconciler.model import Sync
from tests.github.plugin import GitHub, github, referee  # noqa: F401 - fixtures
from tests.github.site import TOKEN, GitHubSite, file_of
from tests.ports import lasting_port
from tests.site import eventually

STAGING, PROD = file_of("staging"), file_of("prod")
FIRST_JUDGEMENT = 12
"""Requests of docs/github.md: for one change with one approver, from the merge to the bytes."""
SECRET = "a-secret-of-the-tests-of-forty-characters"


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    site = GitHubSite(tmp_path, github)
    site.hub.tokens.add(site.engineer, "ghp_of_the_engineer")
    return site


def clone(site: GitHubSite) -> Path:
    """Somebody's clone, with their name in it."""
    folder = site.folder / "clone"
    _git(site.folder, "clone", "-q", str(site.deploy.git_url), str(folder))
    _git(folder, "config", "user.name", "Engineer")
    _git(folder, "config", "user.email", site.engineer.email)
    return folder


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(("git", "-C", str(folder), *arguments), check=True, capture_output=True, text=True).stdout


def command(site: GitHubSite, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the real program, typed in a clone by the engineer."""
    argv = [sys.executable, "-m", "reconciler", "-c", str(site.settings_file), *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160", TOKEN: "ghp_of_the_engineer"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environment, cwd=folder)
    site.deploy.pushed(site.engineer)
    return done


def test_from_ci_to_prod_and_back(site: GitHubSite) -> None:
    """Dev by a direct bump, staging by a request with one approval, prod by `promote` after its soak; a rollback."""
    for run in (1, 2):
        site.build(run)
    port = lasting_port()
    site.configure(
        repository={"url": str(site.deploy.git_url), "poll_seconds": 3600},
        web={"listen": f"127.0.0.1:{port}", "webhook_secret_env": "WEBHOOK_SECRET_OF_THE_TESTS"},
        drift_seconds=0.2,
    )
    os.environ["WEBHOOK_SECRET_OF_THE_TESTS"] = SECRET
    dev = site.declaration("dev", 1, approval="none")
    site.land({file_of("dev"): dev})
    site.declare("staging", 1)
    after = {"after": ["staging"], "soak": "1s"}
    site.declare("prod", 1, promote=after)
    folder = clone(site)
    with site.daemon():
        site.deploy.webhook(f"http://127.0.0.1:{port}/api/webhook/github", SECRET)
        eventually(partial(_is_live, site, "prod", 1), 60)
        site.deploy.push(
            site.engineer,
            "main",
            {
                file_of("dev"): dev.replace("run_id: 1", "run_id: 2").replace(
                    site.artifacts[1].sha256, site.artifacts[2].sha256
                )
            },
            "Try run 2 in dev",
        )
        eventually(partial(_is_live, site, "dev", 2), 60)
        assert site.current("staging") == 1

        done = command(site, folder, "promote", "staging", "--run", "2")
        assert done.returncode == 0, done
        pull = site.deploy.pulls[-1]
        assert pull.url in done.stdout
        eventually(lambda: len(site.deploy.comments(pull)) == 1, 60)
        assert f"head={pull.head_commit} " in site.deploy.comments(pull)[0].body
        eventually(lambda: _status(site, pull.head_commit) == "success", 60)
        assert pull.author == site.engineer
        site.deploy.review(pull, site.reviewer, "APPROVED")
        site.deploy.merge(pull, site.engineer, "squash")
        eventually(partial(_is_live, site, "staging", 2), 60)
        assert site.current("prod") == 1

        done = command(site, folder, "promote", "prod", "--from", "staging")
        assert done.returncode == 0, done
        pull = site.deploy.pulls[-1]
        site.deploy.merge(pull, site.reviewer, "rebase")
        eventually(partial(_is_live, site, "prod", 2), 60)

        again = command(site, folder, "rollback", "prod")
        assert again.returncode == 0, again
        pull = site.deploy.pulls[-1]
        assert "Roll back prod to run 1" in pull.title
        twice = command(site, folder, "rollback", "prod")
        assert (twice.returncode, site.deploy.pulls[-1]) == (0, pull), "the same move is one request"
        site.deploy.merge(pull, site.reviewer, "merge")
        eventually(partial(_is_live, site, "prod", 1), 60)
        eventually(lambda: _rollouts(site, "prod") == ["inactive", "inactive", "success"], 60)
    assert site.hub.storage.tokens_seen == []
    log = (site.folder / "daemon.log").read_text()
    assert "Traceback" not in log
    for secret in (site.github.token, SECRET):
        assert secret not in log
        assert all(secret.encode() not in path.read_bytes() for path in _files(site.folder / "state"))
    assert command(site, folder, "audit", "verify", _exported(site, folder)).returncode == 0


def _exported(site: GitHubSite, folder: Path) -> str:
    place = site.folder / "audit.jsonl"
    place.write_text(command(site, folder, "audit", "export").stdout)
    return str(place)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _rollouts(site: GitHubSite, environment: str) -> list[str]:
    """The last state of every deployment of an environment, oldest first."""
    found = [one for one in site.deploy.deployments if one.environment == environment]
    return [one.statuses[0].state if one.statuses else "none" for one in found]


def _status(site: GitHubSite, commit: str) -> str:
    found = [one.state for one in site.deploy.statuses(commit) if one.context == "reconciler/plan"]
    return found[0] if found else ""


def _is_live(site: GitHubSite, name: str, run: int) -> bool:
    return site.current(name) == run


# --- what outlives CI's memory --------------------------------------------------------------------


def forget(site: GitHubSite, run: int, how: str) -> None:
    """What becomes of a run's artifact at GitHub, sooner or later."""
    if how == "expired":
        site.artifacts[run].expire()
    elif how == "artifact deleted":
        site.artifacts[run].delete()
    else:
        site.artifacts[run].run.delete()


FORGOTTEN = ("expired", "artifact deleted", "run deleted")


@pytest.mark.parametrize("how", FORGOTTEN)
def test_a_rollback_does_not_need_what_github_threw_away(site: GitHubSite, how: str) -> None:
    for run in (1, 2):
        site.build(run)
        site.declare("prod", run)
        assert site.reconcile()["prod"].ready
    forget(site, 1, how)
    site.declare("prod", 1)
    status = site.reconcile()["prod"]
    assert status.ready, status
    assert site.current("prod") == 1


@pytest.mark.parametrize("how", FORGOTTEN)
def test_what_waited_for_its_time_is_deployed_from_custody(site: GitHubSite, how: str) -> None:
    """Merged while a freeze holds it; GitHub throws the artifact away before the freeze ends."""
    site.build(1)
    site.build(2)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    site.land(
        site.policy(freeze=[{"environments": ["prod"], "reason": "fair", "from": "2020-01-01", "to": "2099-01-01"}])
    )
    site.declare("prod", 2)
    assert site.reconcile()["prod"].reason is Reason.FROZEN
    forget(site, 2, how)
    site.land(site.policy())
    status = site.reconcile()["prod"]
    assert status.ready, status
    assert site.current("prod") == 2


@pytest.mark.parametrize("how", FORGOTTEN)
def test_what_was_planned_on_a_request_is_deployed_from_custody(site: GitHubSite, how: str) -> None:
    site.build(1)
    site.build(2)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    pull = site.pull({PROD: site.declaration("prod", 2)})
    with site.system() as system:
        system.tracker.look()
        plans = system.plans()
        assert plans is not None
        plans.tell()
        assert system.collect() == 0, "what an open request wants is not collected"
    forget(site, 2, how)
    site.deploy.merge(pull, site.reviewer, "squash")
    status = site.reconcile()["prod"]
    assert status.ready, status
    assert site.current("prod") == 2


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("expired", Reason.ARTIFACT_EXPIRED),
        ("artifact deleted", Reason.ARTIFACT_MISSING),
        ("run deleted", Reason.RUN_NOT_FOUND),
    ],
)
def test_what_was_never_in_custody_is_refused_with_its_reason(site: GitHubSite, how: str, reason: Reason) -> None:
    site.build(1)
    site.declare("prod", 1)
    forget(site, 1, how)
    status = site.reconcile()["prod"]
    assert (status.sync, status.reason) == (Sync.HELD, reason), status
    assert site.current("prod") is None


def test_a_copy_of_another_runs_bytes_proves_nothing_of_a_run_that_is_gone(site: GitHubSite) -> None:
    for run in (1, 2):
        site.build(run)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    text = site.declaration("prod", 2).replace(site.artifacts[2].sha256, site.artifacts[1].sha256)
    forget(site, 2, "run deleted")
    site.land({PROD: text})
    assert site.reconcile()["prod"].reason is Reason.RUN_NOT_FOUND


# --- what it costs --------------------------------------------------------------------------------


@contextmanager
def running(site: GitHubSite, polls: list[str]) -> Iterator[None]:
    """The daemon in this process; each look at the remote is told."""

    def trace(step: str) -> None:
        if step == "git:tip":
            polls.append(step)

    with site.system(trace) as system:
        daemon = system.daemon(system.runner(lambda *_: None), lambda _: None)
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            yield
        finally:
            daemon.stop()
            thread.join(60)


def test_an_idle_daemon_asks_github_for_nothing(site: GitHubSite) -> None:
    """With an open request beside it, whose plan is told."""
    site.build(1)
    site.build(2)
    site.declare("prod", 1)
    site.configure(repository={"url": str(site.deploy.git_url), "poll_seconds": 0.1}, drift_seconds=0.1)
    pull = site.pull({PROD: site.declaration("prod", 2)})
    polls: list[str] = []
    with running(site, polls):
        eventually(partial(_is_live, site, "prod", 1), 60)
        eventually(lambda: _rollouts(site, "prod") == ["success"], 60)
        eventually(lambda: _status(site, pull.head_commit) == "success", 60)
        eventually(lambda: _asked_during(site, polls, 10) == 0, 60)
    assert site.hub.requests == 0, site.hub.log


def _asked_during(site: GitHubSite, polls: list[str], looks: int) -> int:
    """Requests that reached GitHub during so many looks at the remote."""
    site.hub.forget()
    begun = len(polls)
    eventually(lambda: len(polls) >= begun + 2 * looks, 60)  # a poll looks at the branch and at the requests
    return site.hub.requests


def test_the_first_judgement_of_one_change_costs_a_known_number_of_requests(site: GitHubSite) -> None:
    site.build(1)
    site.build(2)
    site.declare("prod", 1)
    assert site.reconcile()["prod"].ready
    site.declare("prod", 2, "squash")
    site.hub.forget()
    assert site.reconcile()["prod"].ready
    asked = [f"{call.method} {call.path.partition('?')[0]}" for call in site.hub.log]
    assert len(asked) == FIRST_JUDGEMENT, asked


@pytest.mark.parametrize("token", ["", "ghp_that_was_revoked"])
def test_promote_without_a_good_credential_ends_with_code_4_and_says_so(site: GitHubSite, token: str) -> None:
    site.build(1)
    site.build(2)
    site.declare("prod", 1)
    argv = [sys.executable, "-m", "reconciler", "-c", str(site.settings_file), "promote", "prod", "--run", "2"]
    environment = {**os.environ, "NO_COLOR": "1", TOKEN: token}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environment, cwd=clone(site))
    assert done.returncode == 4, done
    assert "Traceback" not in done.stderr
    assert TOKEN in done.stderr or "put a new one where the settings say" in done.stderr, done.stderr
    assert len(site.deploy.pulls) == 1, "no request was opened"
