"""Commands that act or look at the world: `reconcile`, the operator's hand, `diff`, `check`, `audit`."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from copy import deepcopy
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from reconciler.machine import statefolder
from reconciler.settings import load
from tests.cliworld import CliWorld, cli


@pytest.fixture
def world(tmp_path: Path) -> CliWorld:
    world = CliWorld(tmp_path)
    for run in (101, 102):
        world.site.publish(run)
    world.site.declare("dev", 101, approval="none")
    return world


# --- reconcile -----------------------------------------------------------------------------------


def test_reconcile_ends_with_success_when_all_is_synced(world: CliWorld) -> None:
    result = world("reconcile")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:2] == ["dev", "101"]
    assert world.site.current("dev") == 101


def test_reconcile_ends_with_3_when_a_gate_holds_a_named_environment_only(world: CliWorld) -> None:
    world.site.declare("prod", 999)
    assert world("reconcile", "dev").exit_code == 0
    assert world("reconcile", "prod").exit_code == 3
    assert world("reconcile").exit_code == 3


def test_reconcile_ends_with_1_when_something_broke(world: CliWorld) -> None:
    world.site.live.rename(world.site.live.with_name("elsewhere"))
    result = world("reconcile", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["items"][0]["reason"] == "TargetUnavailable"


def test_reconcile_of_an_unknown_environment_touches_nothing(world: CliWorld) -> None:
    result = world("reconcile", "dv")
    assert result.exit_code == 2
    assert "did you mean dev?" in result.stderr
    assert world.site.current("dev") is None


def test_the_hint_of_an_unknown_environment_names_those_that_there_are(world: CliWorld) -> None:
    assert "hint: there is dev\n" in world("reconcile", "zzz").stderr


def test_reconcile_of_a_branch_without_environments_says_so(tmp_path: Path) -> None:
    result = CliWorld(tmp_path)("reconcile")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "main declares no environment\n")


def test_reconcile_names_files_that_declare_nothing(world: CliWorld) -> None:
    world.site.git.direct_push(world.site.engineer, "environments/Prod.yaml", "x: 1\n")
    assert "warning: environments/Prod.yaml:1:1: found the name 'Prod'" in world("reconcile").stderr


def test_reconcile_without_the_branch_says_so(world: CliWorld) -> None:
    world.site.configure(repository={"url": str(world.site.git.origin), "branch": "production"})
    result = world("reconcile")
    assert result.exit_code == 1
    assert "there is no branch 'production'" in result.stderr


def test_reconcile_beside_a_daemon_is_refused_with_the_holder(world: CliWorld) -> None:
    with statefolder.exclusive(load(world.site.settings_file).state):
        result = world("reconcile")
        assert world("check", "--daemon").exit_code == 0
    assert result.exit_code == 1
    assert result.stderr.startswith("error: StateLocked: ")
    assert f"process {os.getpid()}" in result.stderr
    assert world("check", "--daemon").exit_code == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("repositry: {}\n", ":2:1: repositry"),
        ("workers: [\n", ":3:1: "),
        ("workers: many\n", ":2:1: workers"),
        ("forge: {type: gitlab}\n", "forge: no forge of type 'gitlab'"),
    ],
    ids=["an unknown key", "no YAML", "a value of the wrong kind", "an adapter that nobody installed"],
)
def test_settings_that_are_wrong_are_a_usage_error_that_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    file = tmp_path / "reconciler.yaml"
    file.write_text(f"state: {tmp_path / 'state'}\n{text}")
    result = cli("-c", str(file), "reconcile")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: InvalidSettings: ")
    assert place in result.stderr


# --- the operator's hand -------------------------------------------------------------------------


def test_suspend_and_resume_are_obeyed_and_audited_under_the_account_s_name(world: CliWorld) -> None:
    world("reconcile")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert world("suspend", "dev", "--reason", "over the weekend", LOGNAME="mallory").stdout == "dev is suspended\n"
    assert f"suspended by {user}: over the weekend" in world("get").stdout
    world.site.declare("dev", 102, approval="none")
    assert world("reconcile").exit_code == 3
    assert world.site.current("dev") == 101
    assert world("resume", "dev").stdout == "dev is resumed\n"
    assert world("reconcile").exit_code == 0
    assert world.site.current("dev") == 102
    hands = [(entry.action, entry.by, entry.message) for entry in world.site.audit() if entry.kind == "operator"]
    assert hands == [("suspend", user, "over the weekend"), ("resume", user, "")]


def test_the_same_hand_twice_is_said_and_adds_nothing_to_the_audit(world: CliWorld) -> None:
    world("reconcile")
    assert world("resume", "dev").stdout == "dev was not suspended\n"
    world("suspend", "dev", "--reason", "x")
    assert world("suspend", "dev", "--reason", "x").stdout.startswith("dev was suspended already, by ")
    world("retry", "dev")
    world("retry", "dev")
    assert [e.action for e in world.site.audit() if e.kind == "operator"] == ["suspend", "retry"]


def test_retry_tries_bytes_again_that_failed_under_the_same_declaration(world: CliWorld) -> None:
    place = world.site.runs / "101" / "app.zip"
    good = place.read_bytes()
    place.write_bytes(b"x" * len(good))
    assert world("reconcile").exit_code == 3
    place.write_bytes(good)
    assert world("reconcile").exit_code == 3
    assert world("retry", "dev").stdout == "dev is tried again\n"
    assert world("reconcile").exit_code == 0


def test_retry_with_nothing_failed_says_so(world: CliWorld) -> None:
    world("reconcile")
    assert world("retry", "dev").stdout == "nothing failed; dev is looked at again\n"


def test_a_hand_wakes_the_daemon(world: CliWorld) -> None:
    world("reconcile")
    wake = statefolder.wake_folder(load(world.site.settings_file).state)
    wake.mkdir()
    world("suspend", "dev", "--reason", "x")
    assert (wake / "now").exists()


# --- diff ----------------------------------------------------------------------------------------


def test_diff_compares_with_the_target_as_it_is_now(world: CliWorld) -> None:
    world("reconcile")
    assert world("diff", "dev", "--exit-code").exit_code == 0
    release = world.site.live / "dev" / "current"
    (release / "lib/1.txt").write_text("by hand")
    (release / "bin/app").unlink()
    (release / "x\ny").write_text("new")
    assert world("diff", "dev").exit_code == 0
    result = world("diff", "dev", "--exit-code")
    assert result.exit_code == 1
    signs = {line.split()[2]: line.split()[0] for line in result.stdout.splitlines()[4:]}
    assert signs == {"bin/app": "-", "lib/1.txt": "~", "x\\ny": "+"}


def test_diff_knows_a_declaration_that_no_pass_has_seen(world: CliWorld) -> None:
    world("reconcile")
    world.site.push("dev", 102)
    found = world.json("diff", "dev")
    assert (found["declared"]["runId"], found["live"]["runId"], found["differs"]) == (102, 101, True)
    assert world.site.current("dev") == 101


def test_diff_without_the_repository_uses_the_last_look_and_says_so(world: CliWorld) -> None:
    world("reconcile")
    world.site.git.origin.rename(world.site.git.origin.with_name("gone"))
    result = world("diff", "dev")
    assert result.exit_code == 0
    assert "declared as of the last look" in result.stderr


# --- check ---------------------------------------------------------------------------------------


def checks(world: CliWorld) -> dict[str, bool]:
    return {item["name"]: item["ok"] for item in world.json("check")["items"]}


def test_check_before_the_first_start_makes_nothing(world: CliWorld) -> None:
    assert world("check").exit_code == 0
    assert not (world.site.folder / "state").exists()


def test_check_builds_every_part_before_the_first_start(tmp_path: Path) -> None:
    options = {
        "ci": {"type": "directory", "rot": "runs"},
        "away": {"type": "directory", "root": "nowhere"},
        "web": {"type": "http", "url": "http://127.0.0.1:9/runs"},
        "good": {"type": "directory", "root": "runs"},
    }
    rules = {"repositories": ["acme/shop"], "workflows": ["build.yml"]}
    sources = {name: {**given, "provenance": deepcopy(rules)} for name, given in options.items()}
    forge = {"type": "signed_merge", "allowed_signerz": "nope"}
    targets = {"directory": {"roots": ["live", "missing", "state/live"]}}
    world = CliWorld(tmp_path, forge=forge, sources=sources, targets=targets)
    items = world.json("check")["items"]
    failed = {item["name"]: item["message"] for item in items if not item["ok"]}
    assert set(failed) == {"forge", "sources.ci", "sources.away", "sources.web", "root"}
    assert "forge.allowed_signerz" in failed["forge"]
    assert "sources.ci.root: this key is required" in failed["sources.ci"]
    assert "can't be read" in failed["sources.away"]
    assert "127.0.0.1:9" in failed["sources.web"]
    assert failed["root"].startswith(f"{tmp_path / 'missing'} ")
    assert f"{tmp_path / 'state' / 'live'} is made at the first deployment" in [item["message"] for item in items]
    assert not (tmp_path / "state").exists()


def test_a_server_that_has_no_runs_yet_answers(tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        rules = {"repositories": ["*"], "workflows": ["*"]}
        source = {"type": "http", "url": f"http://127.0.0.1:{server.server_port}/", "provenance": rules}
        assert checks(CliWorld(tmp_path, sources={"ci": source}))["sources.ci"]
        server.shutdown()


def test_a_variable_that_names_no_file_is_named_in_the_hint(tmp_path: Path) -> None:
    gone = str(tmp_path / "reconciler.yaml")
    hint = "RECONCILER_CONFIG names it: unset RECONCILER_CONFIG, or `make run`"
    assert f"hint: {hint}" in cli("get", RECONCILER_CONFIG=gone).stderr
    assert f"hint: {hint}" in cli("check", RECONCILER_CONFIG=gone).stdout
    assert hint not in cli("-c", gone, "get", RECONCILER_CONFIG=gone).stderr


def test_check_finds_everything_in_place(world: CliWorld) -> None:
    world("reconcile")
    found = checks(world)
    parts = {"forge", "sources.ci", "targets.directory"}
    assert set(found) == {"settings", "git", "ssh-keygen", "state", "store", "repository", "root"} | parts
    assert all(found.values())
    assert world("check").exit_code == 0


def test_check_tells_apart_what_is_missing(world: CliWorld) -> None:
    world("reconcile")
    world.site.live.rename(world.site.live.with_name("elsewhere"))
    world.site.git.origin.rename(world.site.git.origin.with_name("gone"))
    (world.site.folder / "state").chmod(0o755)
    failed = {name for name, ok in checks(world).items() if not ok}
    assert failed == {"state", "repository", "root"}
    result = world("check")
    assert result.exit_code == 1
    assert "hint: " in result.stdout


def test_check_without_git_or_keys_on_the_path(world: CliWorld) -> None:
    result = world("check", "-o", "json", PATH="/nonexistent")
    failed = {item["name"] for item in json.loads(result.stdout)["items"] if not item["ok"]}
    assert {"git", "ssh-keygen", "repository"} <= failed


def test_check_shows_what_is_wrong_with_the_settings(tmp_path: Path) -> None:
    result = cli("-c", str(tmp_path / "none.yaml"), "check")
    assert result.exit_code == 1
    assert "none.yaml: No such file or directory" in result.stdout


# --- audit ---------------------------------------------------------------------------------------


@pytest.fixture
def export(world: CliWorld) -> Path:
    world("reconcile")
    file = world.site.folder / "audit.jsonl"
    assert world("audit", "export", "--output-file", str(file)).exit_code == 0
    return file


def test_an_export_is_verified_from_stdin(export: Path) -> None:
    for data, code in ((export.read_bytes(), 0), (export.read_bytes().replace(b'"dev"', b'"prod"'), 1)):
        argv = (sys.executable, "-m", "reconciler", "audit", "verify", "-")
        assert subprocess.run(argv, input=data, capture_output=True, check=False).returncode == code


def test_an_export_is_verified_from_the_file_alone(export: Path) -> None:
    result = cli("audit", "verify", str(export))
    assert result.exit_code == 0
    assert result.stdout.startswith("intact: 2 entries")


def test_export_to_stdout_is_the_same(world: CliWorld, export: Path) -> None:
    assert world("audit", "export").stdout.encode() == export.read_bytes()


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda lines: [lines[0].replace(b'"dev"', b'"prod"'), *lines[1:]], id="an edited entry"),
        pytest.param(lambda lines: lines[1:], id="a dropped entry"),
        pytest.param(lambda lines: [lines[1], lines[0], lines[2]], id="entries in another order"),
        pytest.param(lambda lines: lines[:-1], id="a cut end"),
    ],
)
def test_verify_finds(export: Path, tamper: object) -> None:
    lines = export.read_bytes().splitlines(keepends=True)
    assert callable(tamper)
    export.write_bytes(b"".join(tamper(lines)))
    result = cli("audit", "verify", str(export))
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{export}:")
    found = json.loads(cli("audit", "verify", str(export), "-o", "json").stdout)
    signed = {"checkpoints", "signed", "anchored"}
    assert set(found) == {"apiVersion", "kind", "intact", "entries", "head", "problems", "notes", *signed}
    assert not found["intact"]
    assert set(found["problems"][0]) == {"line", "what"}


def test_verify_of_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert cli("audit", "verify", str(tmp_path / "none")).exit_code == 2


def test_an_export_that_can_t_be_written_leaves_nothing(world: CliWorld) -> None:
    world("reconcile")
    result = world("audit", "export", "--output-file", str(world.site.folder / "none" / "audit.jsonl"))
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr
