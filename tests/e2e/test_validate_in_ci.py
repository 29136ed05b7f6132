"""`validate` where others run it: as annotations of GitHub Actions, in the action around it, as a pre-commit hook."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cliworld import cli
from tests.e2e.test_action import evaluated, program
from tests.e2e.test_cli_declarations import GOOD

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "validate" / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
WRONG = (GOOD % "prod").replace("101", "012")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository's files, one of them with a problem."""
    folder = tmp_path / "workspace" / "environments"
    folder.mkdir(parents=True)
    (folder / "staging.yaml").write_text(GOOD % "staging")
    (folder / "prod.yaml").write_text(WRONG)
    return folder.parent


# --- annotations ----------------------------------------------------------------------------------


def annotated(workspace: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, **variables: str) -> list[str]:
    monkeypatch.chdir(workspace)
    return cli("validate", "-o", "github", *arguments, **variables).stdout.splitlines()


def test_a_problem_is_an_annotation_at_its_line_and_column(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = annotated(workspace, monkeypatch)
    place = "environments/prod.yaml:2:32"
    assert line.startswith(f"::error file=environments/prod.yaml,line=2,col=32::{place}: artifact.run_id: found 012; ")


def test_a_note_is_a_warning_and_no_problem_is_no_line(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "environments" / "prod.yaml").unlink()
    assert annotated(workspace, monkeypatch) == ["1 environment is valid"]
    policy = "version: 1\napproval: [{environments: [nobody]}]\n"
    (workspace / "environments" / "policy.yaml").write_text(policy)
    warning, _ = annotated(workspace, monkeypatch)
    assert warning.startswith("::warning file=environments/policy.yaml,line=2,col=")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param("a,line=9.yaml", "file=environments/a%2Cline=9.yaml,line=1,", id="a comma"),
        pytest.param(
            "a::set-output name=x::y.yaml", "file=environments/a%3A%3Aset-output name=x%3A%3Ay.yaml,", id="::"
        ),
        pytest.param("100%0A.yaml", "file=environments/100%250A.yaml,line=1,", id="a percent sign"),
        pytest.param(
            "a\n::stop-commands::x.yaml", r"file=environments/a\n%3A%3Astop-commands%3A%3Ax.yaml,", id="a break"
        ),
        pytest.param("a\r\x1b[31m.yaml", r"file=environments/a\r\x1b[31m.yaml,line=1,", id="what a terminal obeys"),
    ],
)
def test_a_hostile_file_name_is_no_command(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    (workspace / "environments" / "prod.yaml").unlink()
    (workspace / "environments" / name).write_text(GOOD % "a")
    (line,) = annotated(workspace, monkeypatch)
    assert line.startswith(f"::error {place}")
    assert line.isprintable()
    assert "%0A" not in line.replace("%250A", "")


def test_paths_are_meant_from_the_workspace_wherever_the_command_ran(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = annotated(workspace / "environments", monkeypatch, ".", GITHUB_WORKSPACE=str(workspace))
    assert line.startswith("::error file=environments/prod.yaml,line=2,")


# --- the action -----------------------------------------------------------------------------------


def job(workspace: Path, **inputs: str) -> tuple[int, str]:
    """The action's steps as a runner runs them: exit code and log."""
    given = {name: str(one["default"]) for name, one in ACTION["inputs"].items()} | {"program": str(program())} | inputs
    log = ""
    for step in STEPS:
        if step.get("if") == "inputs.program == ''" and given["program"]:
            continue
        assert step["shell"] == "bash"
        (workspace.parent / "step.sh").write_text(step["run"])
        own = {name: evaluated(text, given) for name, text in step.get("env", {}).items()}
        own |= {"PATH": os.environ["PATH"], "GITHUB_WORKSPACE": str(workspace), "RUNNER_TEMP": str(workspace.parent)}
        own |= {"GITHUB_ACTION_PATH": str(ROOT / "validate")}
        argv = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(workspace.parent / "step.sh"))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=own, cwd=workspace)
        log += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, log
    return 0, log


def test_the_action_marks_each_problem_and_fails(workspace: Path) -> None:
    code, log = job(workspace)
    assert (code, log.count("::error ")) == (1, 1)
    assert "::error file=environments/prod.yaml,line=2,col=32::" in log
    (workspace / "environments" / "prod.yaml").write_text(GOOD % "prod")
    assert job(workspace) == (0, "2 environments are valid\n")


@pytest.mark.parametrize("paths", ["$(touch pwned)", "x; touch pwned", "--help", "`touch pwned`\nenvironments"])
def test_hostile_paths_are_only_paths(workspace: Path, paths: str) -> None:
    code, log = job(workspace, paths=paths)
    assert (code, "no such file or folder" in log) == (2, True)
    assert not (workspace / "pwned").exists()


def test_several_paths_stand_on_a_line_each(workspace: Path) -> None:
    assert job(workspace, paths="environments/staging.yaml\n\nenvironments/prod.yaml\n")[0] == 1
    assert job(workspace, paths="environments/staging.yaml\n") == (0, "1 environment is valid\n")


def test_no_script_of_the_action_holds_an_expression_and_no_step_is_of_others() -> None:
    for step in STEPS:
        assert "uses" not in step
        assert "${{" not in step["run"]


# --- the hook -------------------------------------------------------------------------------------


def test_the_hook_stops_a_commit_with_a_problem_and_lets_others_pass(workspace: Path) -> None:
    hooks = workspace.parent / "reconciler"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    for folder in (hooks, workspace):
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
    git(hooks, "commit", "--quiet", "--message", "Hooks")
    # `language: system` takes the program that is here, in place of installing the project once more.
    hook = {"id": "reconciler-validate", "language": "system"}
    repository = {"repo": str(hooks), "rev": git(hooks, "rev-parse", "HEAD"), "hooks": [hook]}
    (workspace / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [repository]}))
    git(workspace, "add", ".")
    done = pre_commit(workspace)
    assert (done.returncode, "environments/prod.yaml:2:32: artifact.run_id" in done.stdout) == (1, True), done.stdout
    (workspace / "environments" / "prod.yaml").write_text(GOOD % "prod")
    git(workspace, "add", ".")
    assert pre_commit(workspace).returncode == 0


def git(folder: Path, *arguments: str) -> str:
    person = ("-c", "user.name=e", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(("git", *person, *arguments), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def pre_commit(folder: Path) -> subprocess.CompletedProcess[str]:
    own = {
        **os.environ,
        "PATH": f"{program().parent}:{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(folder.parent / "cache"),
    }
    argv = (sys.executable, "-m", "pre_commit", "run")
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, env=own)
