"""`reconciler plan --request`, and the GitHub Action around it: its own steps, run by bash as a runner does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.github.plugin import GitHub, github, referee  # noqa: F401
from tests.github.site import TOKEN, GitHubSite, file_of
from tests.github.state import Pull

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
STAGING = file_of("staging")


@dataclass
class Done:
    """How a job ended."""

    code: int
    log: str
    summary: str


class Runner:
    """Runs the action's steps as GitHub's runner does, on a machine from which no target can be seen."""

    def __init__(self, site: GitHubSite, folder: Path) -> None:
        self.site = site
        self.folder = folder
        folder.mkdir()
        for name in ("temp", "workspace", "home"):
            (folder / name).mkdir()
        settings = {name: site.settings[name] for name in ("repository", "forge", "sources")}
        text = yaml.safe_dump({**settings, "targets": {"directory": {"roots": [str(site.live)]}}})
        (folder / "workspace" / "ci.yaml").write_text(text.replace(TOKEN, "GITHUB_TOKEN"))

    def __call__(self, pull: Pull | str, **inputs: str) -> Done:
        """One job; `inputs` beside those that every job of these tests has."""
        number = pull if isinstance(pull, str) else str(pull.number)
        given = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
        given |= {"config": "ci.yaml", "request": number, "token": self.site.github.token}
        given |= {"repository-url": str(self.site.deploy.git_url), "program": str(program())}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        summary = self.folder / "summary.md"
        summary.write_text("")
        log = ""
        for step in STEPS:
            if step.get("if") == "inputs.program == ''" and given["program"]:
                continue
            done = self.step(step, given, summary)
            log += done.stdout + done.stderr
            if done.returncode:
                return Done(done.returncode, log, summary.read_text())
        return Done(0, log, summary.read_text())

    def step(self, step: dict[str, Any], inputs: dict[str, str], summary: Path) -> subprocess.CompletedProcess[str]:
        """One of them, in the environment that GitHub's documentation describes."""
        assert step["shell"] == "bash"
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_REPOSITORY": "acme/deploy",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(self.folder / "temp"),
            **{name: evaluated(text, inputs) for name, text in step.get("env", {}).items()},
        }
        argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        where = self.folder / "workspace"
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, env=environment, cwd=where)


def program() -> Path:
    return Path(sys.executable).with_name("reconciler")


def evaluated(text: str, inputs: dict[str, str]) -> str:
    """The one kind of expression that the action uses in its steps."""
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], text)


@pytest.fixture
def site(tmp_path: Path, github: GitHub) -> GitHubSite:  # noqa: F811
    (tmp_path / "site").mkdir()
    made = GitHubSite(tmp_path / "site", github)
    made.deploy.push(made.engineer, "main", {"README.md": "Declarations\n"}, "Begin")
    made.configure(new_environments="none")
    for run in (1, 2):
        made.build(run)
    made.land({STAGING: made.declaration("staging", 1)})
    assert made.reconcile()["staging"].ready
    return made


def bump(site: GitHubSite, run: int = 2, **fields: object) -> Pull:
    return site.pull({STAGING: site.declaration("staging", run, **fields)})


def ours(site: GitHubSite, pull: Pull) -> list[str]:
    return [one.body for one in site.deploy.comments(pull) if one.author == site.hub.operator]


# --- the command ----------------------------------------------------------------------------------


def test_a_request_is_planned_without_a_clone_and_nothing_is_told(site: GitHubSite) -> None:
    pull = bump(site)
    done = site.cli("plan", "--request", str(pull.number))
    assert done.returncode == 0, done.stderr
    assert f"Merging {pull.head_commit[:12]} into main" in done.stdout
    assert "staging: deploy, run 1 (" in done.stdout
    assert (ours(site, pull), site.deploy.statuses(pull.head_commit)) == ([], [])


def test_with_comment_the_same_is_shown_on_the_request(site: GitHubSite) -> None:
    pull = bump(site)
    done = site.cli("plan", "--request", str(pull.number), "--comment", "-o", "markdown")
    assert done.returncode == 0, done.stderr
    assert [body.strip() for body in ours(site, pull)] == [done.stdout.strip()]
    (status,) = site.deploy.statuses(pull.head_commit)
    assert (status.context, status.state) == ("reconciler/plan", "success")


def test_a_refusal_ends_with_0_unless_the_exit_code_is_asked_for(site: GitHubSite) -> None:
    site.artifacts[9] = site.artifacts[2]
    pull = bump(site, 9)
    arguments = ("plan", "--request", str(pull.number), "--comment")
    assert site.cli(*arguments).returncode == 0
    assert site.cli(*arguments, "--exit-code").returncode == 3
    assert site.deploy.statuses(pull.head_commit)[0].state == "failure"


def test_a_conflict_is_shown_on_the_request_and_ends_with_3(site: GitHubSite) -> None:
    pull = bump(site)
    site.land({STAGING: site.declaration("staging", 1, approval={"required": 1})})
    site.deploy.push(site.engineer, "main", {STAGING: None}, "Away")
    done = site.cli("plan", "--request", str(pull.number), "--comment")
    assert done.returncode == 3
    assert "ApprovalStale" in done.stderr
    (body,) = ours(site, pull)
    assert "ApprovalStale" in body
    assert site.deploy.statuses(pull.head_commit)[0].state == "error"


@pytest.mark.parametrize(
    "arguments", [("--comment",), ("--request", "1", "--head", "main"), ("--request", "1", "--base", "main")]
)
def test_options_that_don_t_go_together_are_a_mistake(site: GitHubSite, arguments: tuple[str, ...]) -> None:
    done = site.cli("plan", *arguments)
    assert (done.returncode, "open pull request" in done.stderr) == (2, False)


def test_a_number_without_an_open_request_is_a_mistake(site: GitHubSite) -> None:
    done = site.cli("plan", "--request", "4711")
    assert (done.returncode, "no open pull request against 'main'" in done.stderr) == (2, True)


# --- the action -----------------------------------------------------------------------------------


def test_the_action_leaves_one_comment_and_a_green_status(site: GitHubSite, tmp_path: Path) -> None:
    pull, runner = bump(site), Runner(site, tmp_path / "runner")
    first, done = runner(pull), runner(pull)
    assert (first.code, done.code) == (0, 0), first.log + done.log
    (body,) = ours(site, pull)
    assert body.startswith(f"<!-- reconciler-plan head={pull.head_commit} ")
    assert done.summary.strip() == body.strip()
    assert site.deploy.statuses(pull.head_commit)[0].state == "success"


def test_the_action_is_red_where_a_gate_would_refuse(site: GitHubSite, tmp_path: Path) -> None:
    site.artifacts[9] = site.artifacts[2]
    pull, runner = bump(site, 9), Runner(site, tmp_path / "runner")
    assert runner(pull).code == 0
    status = site.deploy.statuses(pull.head_commit)[0]
    assert (status.state, (status.description or "").startswith("staging: RunNotFound: ")) == ("failure", True)
    assert runner(pull, fail_on_refusal="true").code == 3


@pytest.mark.parametrize("number", ["", "1; touch pwned", "$(touch pwned)", "--comment", "1 2"])
def test_a_request_that_is_no_number_runs_nothing(site: GitHubSite, tmp_path: Path, number: str) -> None:
    runner = Runner(site, tmp_path / "runner")
    site.hub.forget()
    done = runner(number)
    assert (done.code, "there is no pull request" in done.log) == (2, True)
    assert site.hub.log == []
    assert not (tmp_path / "runner" / "workspace" / "pwned").exists()


def test_hostile_words_of_a_request_are_only_words(site: GitHubSite, tmp_path: Path) -> None:
    text = site.declaration("staging", 2)
    site.deploy.push(site.engineer, "$(id>pwned)`id>pwned`", {STAGING: text}, "$(touch pwned)")
    pull = site.deploy.open_pull(site.engineer, "$(id>pwned)`id>pwned`", title='"; touch pwned; #')
    done = Runner(site, tmp_path / "runner")(pull)
    assert done.code == 0, done.log
    assert not (tmp_path / "runner" / "workspace" / "pwned").exists()


def test_the_token_is_in_no_output(site: GitHubSite, tmp_path: Path) -> None:
    done = Runner(site, tmp_path / "runner")(bump(site))
    assert site.github.token not in done.log + done.summary


def test_the_token_goes_into_the_address_for_git_when_none_is_given(site: GitHubSite, tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text('#!/bin/sh\nprintf %s "$RECONCILER_REPOSITORY__URL"\n')
    spy.chmod(0o755)
    done = Runner(site, tmp_path / "runner")("7", repository_url="", program=str(spy), token="s3cret")
    assert done.summary == "https://x-access-token:s3cret@github.com/acme/deploy.git"


def test_no_script_of_the_action_holds_an_expression() -> None:
    for step in STEPS:
        assert "uses" not in step  # no action of others
        assert "${{" not in step["run"]


def test_an_old_python_is_told_in_words(site: GitHubSite, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    runner, path = Runner(site, tmp_path / "runner"), os.environ["PATH"]
    os.environ["PATH"] = f"{tools}:{path}"
    try:
        done = runner("1", program="")
    finally:
        os.environ["PATH"] = path
    assert (done.code, "needs Python 3.11" in done.log) == (1, True)
