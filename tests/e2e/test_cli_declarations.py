"""`validate`, `schema` and `publish`: what engineers and CI run, with no daemon in sight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.cli.declarations import Document, schema_text
from tests.cliworld import CliWorld, cli
from tests.factories import sha256

ROOT = Path(__file__).parents[2]
GOOD = """\
version: 1
artifact: {name: shop, run_id: 101, sha256: 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8}
target: {type: directory, path: /srv/%s}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "environments"
    (folder / "shop").mkdir(parents=True)
    (folder / "staging.yaml").write_text(GOOD % "staging")
    (folder / "shop" / "prod.yaml").write_text(GOOD % "prod")
    (folder / "README.md").write_text("not an environment")
    (folder / "environment.schema.json").write_text("{}")
    return folder


def test_the_environments_of_this_very_repository_are_valid() -> None:
    result = cli("validate", str(ROOT / "environments"))
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_default_is_the_folder_here(folder: Path) -> None:
    assert cli("validate").stdout == "2 environments are valid\n"


@pytest.mark.parametrize("of", Document)
def test_the_committed_schema_is_the_one_that_the_program_prints(of: Document) -> None:
    committed = (ROOT / "environments" / f"{of}.schema.json").read_text()
    assert committed == cli("schema", of).stdout == schema_text(of)


def test_the_schema_is_that_of_environments_when_nothing_else_is_asked_for() -> None:
    assert cli("schema").stdout == schema_text(Document.ENVIRONMENT)
    assert cli("schema", "settings").exit_code == 2


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        pytest.param("a.yaml", GOOD.replace("101", "012") % "a", "a.yaml:2:32: artifact.run_id: found 012", id="octal"),
        pytest.param("a.yaml", "version: 1\nx: [", "a.yaml:", id="no YAML"),
        pytest.param("a.yaml", "", "a.yaml:1:1: found an empty file", id="an empty file"),
        pytest.param("a.yaml", "#" * 70_000, "a.yaml:1:1: found more than 65536 bytes", id="a large file"),
        pytest.param("a.yml", GOOD % "a", "a.yml:1:1: found the ending .yml", id="another ending"),
        pytest.param("A.yaml", GOOD % "a", "A.yaml:1:1: found the name 'A'", id="a name that is none"),
        pytest.param("policy.yaml", "version: 1\nx: 1", "policy.yaml:2:1: found the unknown key 'x'", id="a policy"),
        pytest.param("policy.yaml", "#" * 70_000, "policy.yaml:1:1: found more than 65536 bytes", id="a large policy"),
        pytest.param(
            "a.yaml", GOOD % "a" + "promote: {after: [qa]}\n",
            "a.yaml:4:18: promote.after: found qa, which no file declares; wanted", id="an unknown upstream",
        ),
        pytest.param(
            "a.yaml", GOOD % "staging/inner", "a.yaml:3:33: target.path: found /srv/staging/inner, which overlaps",
            id="a target inside of another",
        ),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_its_place(folder: Path, path: str, text: str, problem: str) -> None:
    (folder / path).write_text(text)
    result = cli("validate")
    assert result.exit_code == 1
    assert any(line.startswith(f"environments/{problem}") for line in result.stdout.splitlines()), result.stdout
    assert "problem" in result.stderr


def test_a_valid_policy_is_no_environment(folder: Path) -> None:
    (folder / "policy.yaml").write_text("version: 1\napproval: [{required: 2}]\n")
    assert cli("validate").stdout == "2 environments and the policy are valid\n"
    assert cli("validate", "environments/policy.yaml").stdout == "the policy is valid\n"


def test_what_a_policy_says_for_nobody_or_twice_is_told_and_no_problem(folder: Path) -> None:
    text = 'version: 1\napproval: [{environments: [staging, "x/*"]}]\nrevoked:\n'
    (folder / "policy.yaml").write_text(text + "".join(f"- {{run_id: 7, reason: {why}}}\n" for why in "ab"))
    place = "environments/policy.yaml"
    notes = (
        f"note: {place}:2:37: approval[0].environments[1]: 'x/*' matches no environment so far\n"
        f"note: {place}:5:3: revoked[1]: the same as revoked[0]; one entry is enough\n"
    )
    for arguments in ((), (place,)):
        result = cli("validate", *arguments)
        assert (result.exit_code, result.stderr) == (0, notes)
    document = json.loads(cli("validate", "-o", "json").stdout)
    assert (document["policies"], document["items"]) == (1, [])
    assert document["notes"][0] == {
        "file": place, "line": 2, "column": 37, "at": "approval[0].environments[1]",
        "what": "'x/*' matches no environment so far",
    }  # fmt: skip


def test_a_circle_is_told_also_when_a_file_of_it_has_another_mistake(folder: Path) -> None:
    (folder / "qa.yaml").write_text(GOOD % "qa" + "promote: {after: [staging, Dev, nope]}\n")
    (folder / "staging.yaml").write_text(GOOD % "staging" + "promote: {after: [qa]}\nx: 1\n")
    told = [line.split("; wanted")[0] for line in cli("validate").stdout.splitlines()]
    assert "environments/qa.yaml:4:18: promote.after: found the name 'Dev'" in told
    assert "environments/qa.yaml:4:18: promote.after: found nope, which no file declares" in told
    assert "environments/staging.yaml:4:18: promote.after: found a circle: staging → qa → staging" in told


def test_what_a_changed_file_waits_for_is_looked_up_in_the_whole_folder(folder: Path) -> None:
    (folder / "qa.yaml").write_text(GOOD % "qa" + "promote: {after: [staging]}\n")
    assert cli("validate", "environments/qa.yaml").stdout == "1 environment is valid\n"
    (folder / "staging.yaml").write_text(GOOD % "staging" + "promote:\n  after: [qa]\n")
    result = cli("validate", "environments/qa.yaml")
    assert result.exit_code == 1
    assert result.stdout == (
        "environments/qa.yaml:4:18: promote.after: found a circle: qa → staging → qa; "
        "wanted environments that are declared here, and that don't wait for this one\n"
    )
    assert [line.split(": ")[0] for line in cli("validate").stdout.splitlines()] == [
        "environments/qa.yaml:4:18",
        "environments/staging.yaml:5:10",
    ]


def test_a_file_outside_of_a_folder_of_environments_waits_for_who_knows_whom(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD % "a" + "promote: {after: [qa]}\n")
    assert cli("validate", str(tmp_path / "a.yaml")).exit_code == 0
    assert cli("validate", str(tmp_path)).exit_code == 1


def test_a_link_is_a_problem_and_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2: [")
    (folder / "a.yaml").symlink_to(tmp_path / "secret")
    (folder / "loop.yaml").symlink_to(folder)
    result = cli("validate")
    assert "environments/a.yaml:1:1: found a symbolic link; wanted a regular file" in result.stdout
    assert "environments/loop.yaml:1:1: found a symbolic link" in result.stdout
    assert "hunter2" not in result.stdout


def test_names_are_meant_from_the_folder_of_environments_however_it_is_spelt(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "Shop").mkdir()
    (folder / "Shop" / "a.yaml").write_text(GOOD % "a")
    assert "found the name 'Shop/a'" in cli("validate", "environments/Shop/a.yaml").stdout
    assert "found the name 'Shop/a'" in cli("validate", str(folder / "Shop")).stdout
    monkeypatch.chdir(folder)
    assert "found the name 'Shop/a'" in cli("validate", "Shop/a.yaml").stdout
    assert "found the name 'Shop/a'" in cli("validate", ".").stdout


def test_a_file_named_twice_is_no_rival_of_itself(folder: Path) -> None:
    for paths in (["environments", "environments/staging.yaml"], [str(folder), "environments"]):
        assert cli("validate", *paths).stdout == "2 environments are valid\n", paths


def test_a_hostile_file_name_reaches_no_terminal(folder: Path) -> None:
    (folder / "a\x1b[31m\n.yaml").write_text(GOOD % "a")
    out = cli("validate").stdout
    assert "\x1b" not in out
    assert "environments/a\\x1b[31m\\n.yaml:1:1: found the name" in out


def test_a_path_that_is_not_there_is_a_usage_error(folder: Path) -> None:
    result = cli("validate", "nope")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: nope: no such file or folder\nhint: ")


def test_one_file_with_one_problem_is_counted_as_such(folder: Path) -> None:
    (folder / "a.yaml").write_text("version: 1\nx: '")
    result = cli("validate")
    assert result.stdout.endswith(": found broken YAML: unexpected end of stream; wanted well-formed YAML\n")
    assert result.stderr == "1 problem in 1 file\n"


def test_the_keys_of_problems_are_a_contract(folder: Path) -> None:
    (folder / "a.yaml").write_text("")
    document = json.loads(cli("validate", "-o", "json").stdout)
    assert (document["apiVersion"], document["kind"], document["environments"]) == ("reconciler/v1", "ProblemList", 3)
    assert set(document["items"][0]) == {"file", "line", "column", "at", "found", "wanted", "hint"}


# --- publish -------------------------------------------------------------------------------------

ACTIONS = {
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_WORKFLOW_REF": "acme/shop/.github/workflows/build.yml@refs/heads/main",
    "GITHUB_REF_NAME": "main",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_SHA": "a" * 40,
}


def test_publish_takes_the_run_from_github_s_variables_and_prints_the_two_lines(tmp_path: Path) -> None:
    (tmp_path / "app.zip").write_bytes(b"bytes")
    result = cli("publish", "--root", str(tmp_path / "runs"), f"app={tmp_path / 'app.zip'}", **ACTIONS)
    assert result.exit_code == 0
    assert result.stdout == f"  run_id: 7\n  sha256: {sha256(b'bytes')}\n"
    run = json.loads((tmp_path / "runs" / "7" / "run.json").read_text())
    assert (run["workflow"], run["attempt"], run["branch"]) == (".github/workflows/build.yml", 2, "main")


def test_publish_into_the_settings_folder_of_runs_can_be_deployed(tmp_path: Path) -> None:
    world = CliWorld(tmp_path)
    (tmp_path / "app.zip").write_bytes(world.site.artifact(7))
    result = world("publish", f"app={tmp_path / 'app.zip'}", "--workflow", "build.yml", "-o", "json", **ACTIONS)
    document = json.loads(result.stdout)
    assert (document.pop("apiVersion"), document.pop("kind")) == ("reconciler/v1", "PublishedRun")
    assert set(document) == {"runId", "artifacts"}
    assert set(document["artifacts"][0]) == {"name", "file", "size", "sha256"}
    world.site.declare("dev", 7)
    assert world("reconcile").exit_code == 0


def test_publish_of_other_bytes_under_the_same_run_fails_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "app.zip"
    arguments = ("publish", "--root", str(tmp_path / "runs"), f"app={file}")
    file.write_bytes(b"one")
    assert cli(*arguments, **ACTIONS).exit_code == 0
    assert cli(*arguments, **ACTIONS).exit_code == 0
    file.write_bytes(b"two")
    assert cli(*arguments, **ACTIONS).exit_code == 1
    assert (tmp_path / "runs" / "7" / "app.zip").read_bytes() == b"one"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["app"], id="an artifact without a file"),
        pytest.param(["app=x", "app=y"], id="an artifact named twice"),
        pytest.param(["app=/nonexistent"], id="a file that is not there"),
        pytest.param(["app=x", "--run-id", "0"], id="a run id of zero"),
    ],
)
def test_publish_refuses_as_a_usage_error(tmp_path: Path, arguments: list[str]) -> None:
    assert cli("publish", "--root", str(tmp_path), *arguments, **ACTIONS).exit_code == 2
    assert not list(tmp_path.glob("[0-9]*"))


def test_publish_asks_for_all_that_is_missing_at_once(tmp_path: Path) -> None:
    missing = dict.fromkeys(ACTIONS, "")
    result = cli("publish", "--root", str(tmp_path), "app=x", **missing)
    assert result.exit_code == 2
    wanted = "--run-id, --repository, --branch, --event, --commit, --workflow"
    assert result.stderr.startswith(f"error: nothing says {wanted}\nhint: ")


@pytest.mark.parametrize("commit", ["abc", "HEAD", "A" * 40, "a" * 41, "a" * 40 + "\n"])
def test_publish_says_in_words_what_a_commit_is(tmp_path: Path, commit: str) -> None:
    result = cli("publish", "--root", str(tmp_path), "app=x", "--commit", commit, **ACTIONS)
    assert result.exit_code == 2
    assert "wanted the full id of a commit: 40 or 64 lower-case hex digits" in result.stderr


def test_publish_without_a_workflow_does_not_guess(tmp_path: Path) -> None:
    result = cli("publish", "--root", str(tmp_path), "app=x", **{**ACTIONS, "GITHUB_WORKFLOW_REF": ""})
    assert result.exit_code == 2
    assert "--workflow" in result.stderr
